"""Who listens at an address and port of a namespace, or did at the time asked about."""

from typing import NamedTuple

from fleetnet_cli.edges.connections import is_ipv4, packed
from fleetnet_cli.records import Socket

_ANY_V4, _ANY_V6 = packed("0.0.0.0"), packed("::")  # noqa: S104  # not bound to


class _Bound(NamedTuple):
    v6only: bool
    end: int


class Listeners:
    """Every listener by namespace, protocol and port, and there by address, for one port may be listened to at very
    many. Memory is that of these, however many connections there are."""

    def __init__(self) -> None:
        self._bound: dict[tuple[int, str, int], dict[bytes, _Bound]] = {}

    def add(self, place: int, socket: Socket, end: int) -> None:
        """One more; of several at the same address the first counts, for they are workers of one program."""
        bound = self._bound.setdefault((place, socket.protocol, socket.local_port), {})
        bound.setdefault(packed(socket.local_address), _Bound(socket.v6only is True, end))

    def at(self, place: int, protocol: str, address: bytes, port: int) -> int | None:
        """The end that listens there; None where none does. What is bound to the address itself comes before what is
        bound to every one, as in the kernel."""
        bound = self._bound.get((place, protocol, port), {})
        found = bound.get(address)
        if found is None and is_ipv4(address):
            found = bound.get(_ANY_V4)
        if found is None:
            found = bound.get(_ANY_V6)
            if found is not None and found.v6only and is_ipv4(address):
                found = None
        return None if found is None else found.end
