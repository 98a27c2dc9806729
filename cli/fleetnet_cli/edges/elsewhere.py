"""What is at the other end of a half that is alone, as far as its remote address tells.

What must stay true: an end names one namespace only where no other could be it. Where many could, a few are named and
all are counted, for thousands of hosts may have the same address on their bridges.
"""

import heapq
from collections.abc import Sequence
from typing import Final

from fleetnet_cli.edges import records
from fleetnet_cli.edges.connections import Connection, is_link_local, is_loopback, text
from fleetnet_cli.edges.joining import Joined
from fleetnet_cli.edges.places import Places
from fleetnet_cli.edges.records import End

NAMED: Final = 10


class Elsewhere:
    """The other ends. Those of shared addresses are remembered; memory is that of addresses."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._shared: dict[bytes, End] = {}

    def place(self, mine: Connection, joined: Joined) -> int | None:
        """The number of the one namespace that it is in; None where that is not known, or outside the fleet."""
        holders = self._places.holders(mine.remote)
        if is_loopback(mine.remote) or joined.half.place in holders:
            return joined.half.place
        if len(joined.may_be) > 1 or is_link_local(mine.remote) or len(holders) != 1:
            return None
        return next(iter(holders))

    def somebody(self, number: int, joined: Joined) -> End:
        """Whoever it is in that namespace."""
        place = self._places[number]
        why = records.SEVERAL_SOCKETS if joined.may_be else records.NO_SOCKET
        return End(place.host, place.netns, self._places.container(number), why=why)

    def nowhere(self, mine: Connection, joined: Joined) -> End:
        """An end in no one namespace."""
        if len(joined.may_be) > 1:
            return self._one_of(mine.remote, joined.may_be, records.SEVERAL_SOCKETS)
        if is_link_local(mine.remote):
            return End(address=text(mine.remote), why=records.LINK_LOCAL)
        holders = self._places.holders(mine.remote)
        if not holders:
            return End(address=text(mine.remote))
        if mine.remote not in self._shared:
            on_bridges = self._places.on_bridges(mine.remote)
            why = records.SHARED_BRIDGE if on_bridges else records.SHARED_ADDRESS
            self._shared[mine.remote] = self._one_of(mine.remote, list(holders), why)
        return self._shared[mine.remote]

    def may_be_on(self, hosts: frozenset[str], mine: Connection, joined: Joined) -> bool:
        """Whether an end in no one namespace may be on one of these hosts. What is shared on bridges is each host's own
        affair and concerns no other."""
        may_be = joined.may_be if len(joined.may_be) > 1 else tuple(self._places.holders(mine.remote))
        on_bridges = self._places.on_bridges(mine.remote)
        return not on_bridges and any(self._places[number].host in hosts for number in may_be)

    def _one_of(self, address: bytes, numbers: Sequence[int], why: str) -> End:
        named = heapq.nsmallest(NAMED, (self._places[number] for number in numbers))
        return End(address=text(address), one_of=tuple(named), may_be=len(numbers), why=why)
