"""Who listens at an address and port of a namespace, or did at the time asked about."""

from typing import NamedTuple

from fleetnet_cli.edges.connections import is_ipv4, packed
from fleetnet_cli.records import Socket

_ANY_V4, _ANY_V6 = packed("0.0.0.0"), packed("::")  # noqa: S104  # not bound to


class _Bound(NamedTuple):
    address: bytes
    v6only: bool
    end: int


class Listeners:
    """Every listener by namespace, protocol and port. Memory is that of these, however many connections there are."""

    def __init__(self) -> None:
        self._bound: dict[tuple[int, str, int], list[_Bound]] = {}

    def add(self, place: int, socket: Socket, end: int) -> None:
        """One more; of several at the same address the first counts, for they are workers of one program."""
        bound = self._bound.setdefault((place, socket.protocol, socket.local_port), [])
        address = packed(socket.local_address)
        if not any(one.address == address for one in bound):
            bound.append(_Bound(address, socket.v6only is True, end))

    def at(self, place: int, protocol: str, address: bytes, port: int) -> int | None:
        """The end that listens there; None where none does. What is bound to the address itself comes before what is
        bound to every one, as in the kernel."""
        found = [
            (rank, one.end)
            for one in self._bound.get((place, protocol, port), ())
            if (rank := _rank(one, address)) is not None
        ]
        return min(found)[1] if found else None


def _rank(one: _Bound, address: bytes) -> int | None:
    if one.address == address:
        return 0
    if is_ipv4(address):
        return 1 if one.address == _ANY_V4 else 2 if one.address == _ANY_V6 and not one.v6only else None
    return 1 if one.address == _ANY_V6 else None
