"""What is at the other end of a half that is alone, as far as its remote address tells.

What must stay true: an end names one namespace only where no other could be it. Where many could, a few are named and
all are counted, for thousands of hosts may have the same address on their bridges.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from fleetnet_cli.edges import records
from fleetnet_cli.edges.connections import Connection, is_link_local, is_loopback, text
from fleetnet_cli.edges.joining import Fitting, Joined
from fleetnet_cli.edges.places import Places
from fleetnet_cli.edges.records import End, Place

NAMED: Final = 10


class _Shared(NamedTuple):
    """An end in no one namespace."""

    end: End
    is_asked: bool  # it may be on one of the hosts asked for


class Elsewhere:
    """The other ends. Those of shared addresses are remembered, and that of the side last asked about, whose halves
    come together; memory is that of addresses."""

    def __init__(self, places: Places, hosts: frozenset[str]) -> None:
        self._places = places
        self._hosts = hosts  # those asked for
        self._shared: dict[bytes, _Shared] = {}
        self._fitting: Fitting | None = None
        self._side = _Shared(End(), is_asked=False)

    def place(self, mine: Connection, joined: Joined) -> int | None:
        """The number of the one namespace that it is in; None where that is not known, or outside the fleet."""
        holders = self._places.holders(mine.remote)
        if is_loopback(mine.remote) or joined.half.place in holders:
            return joined.half.place
        if _fitting(mine, joined) or is_link_local(mine.remote) or len(holders) != 1:
            return None
        return next(iter(holders))

    def somebody(self, number: int, mine: Connection, joined: Joined) -> End:
        """Whoever it is in that namespace."""
        place = self._places[number]
        why = self._why(mine.local) if joined.may_be else records.NO_SOCKET
        return End(place.host, place.netns, self._places.container(number), why=why)

    def nowhere(self, mine: Connection, joined: Joined) -> End:
        """An end in no one namespace."""
        if shared := self._of_several(mine, joined):
            return shared.end
        return End(address=text(mine.remote), why=records.LINK_LOCAL if is_link_local(mine.remote) else "")

    def is_asked(self, mine: Connection, joined: Joined) -> bool:
        """Whether an end in no one namespace may be on one of the hosts asked for. What is shared on bridges is each
        host's own affair and concerns no other."""
        shared = self._of_several(mine, joined)
        return shared is not None and shared.is_asked

    def _of_several(self, mine: Connection, joined: Joined) -> _Shared | None:
        """Those who may be it, by their sockets or their address; None where there are none."""
        if fitting := _fitting(mine, joined):
            if fitting is not self._fitting:
                self._fitting, self._side = fitting, self._of_sockets(mine.remote, fitting)
            return self._side
        if is_link_local(mine.remote) or not self._places.holders(mine.remote):
            return None
        return self._of_address(mine.remote)

    def _of_sockets(self, address: bytes, fitting: Fitting) -> _Shared:
        named, is_asked = self._named(fitting.places)
        if not self._places.holders(address):
            return _Shared(_one_of(address, named, len(fitting.places), self._why(address)), is_asked)
        holders = self._of_address(address)
        is_asked = is_asked and holders.end.why != records.SHARED_BRIDGE
        if fitting.has_address:
            return _Shared(_one_of(address, named, len(fitting.places), records.SEVERAL_SOCKETS), is_asked)
        # No namespace is in both. Half of the names are for holders: no number of sockets hides whose address it is.
        held = holders.end.one_of[: NAMED - min(len(named), NAMED // 2)]
        both = sorted((*held, *named[: NAMED - len(held)]))
        end = _one_of(address, both, holders.end.may_be + len(fitting.places), records.SEVERAL_SOCKETS)
        return _Shared(end, is_asked or holders.is_asked)

    def _of_address(self, address: bytes) -> _Shared:
        if address not in self._shared:
            holders, on_bridges = self._places.holders(address), self._places.on_bridges(address)
            named, is_asked = self._named(holders)
            why = records.SHARED_BRIDGE if on_bridges else records.SHARED_ADDRESS
            end = _one_of(address, named, len(holders), why)
            self._shared[address] = _Shared(end, is_asked=is_asked and not on_bridges)
        return self._shared[address]

    def _named(self, numbers: Iterable[int]) -> tuple[list[Place], bool]:
        """The first of these namespaces, and whether any is on a host asked for."""
        places = [self._places[number] for number in numbers]
        return heapq.nsmallest(NAMED, places), any(place.host in self._hosts for place in places)

    def _why(self, address: bytes) -> str:
        """Why no socket that fits is taken, one of which has this address."""
        tells = not (is_loopback(address) or is_link_local(address))
        held = bool(self._places.holders(address))
        return records.UNHELD_ADDRESS if tells and not held else records.SEVERAL_SOCKETS


def _fitting(mine: Connection, joined: Joined) -> Fitting | None:
    """Those that may be the other half, where their sockets tell more than the address does."""
    may_be = joined.may_be
    if may_be is None or len(may_be.places) > 1:
        return may_be
    return None if may_be.has_address or is_link_local(mine.remote) else may_be


def _one_of(address: bytes, named: Sequence[Place], may_be: int, why: str) -> End:
    return End(address=text(address), one_of=tuple(named), may_be=may_be, why=why)
