"""From sockets to edges.

1. Every connection is set aside as a half, with the program that holds it (halves.py).
2. Halves that belong together are joined (joining.py). What is at the other end of one that is left follows from its
   remote address: its own namespace, where that has the address or it is a loopback one; another that alone in the
   fleet has it, and there whoever listens; none, where several have it; and the world outside, where nobody has.
3. Which end serves is judged by who listens on its port; where both ends do, or neither, by the ports: one that kernels
   hand out (32768 and above) is a client's, if the other's is not.
4. Connections that are alike in all of this are one edge.

What must stay true: memory grows with programs, listeners, addresses and edges, and not with connections. An end that
is not known is never filled with a guess: it says why.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Self

from fleetnet_cli.differences import program_of
from fleetnet_cli.edges import records
from fleetnet_cli.edges.connections import Connection, of_key, packed, turned
from fleetnet_cli.edges.elsewhere import Elsewhere
from fleetnet_cli.edges.halves import Half, Halves
from fleetnet_cli.edges.joining import Joined, join
from fleetnet_cli.edges.listeners import Listeners
from fleetnet_cli.edges.places import Places
from fleetnet_cli.edges.records import Edge, End
from fleetnet_cli.edges.wanted import NONE, SERVERS, Wanted
from fleetnet_cli.records import Socket

_UNACCEPTED = "unaccepted"  # an owner_status

# net.ipv4.ip_local_port_range as the kernel has it (Documentation/networking/ip-sysctl.rst) begins there.
_FIRST_EPHEMERAL = 32768


class Drawing:
    """What has been seen of the fleet so far, and the edges that it makes. Close it in the end."""

    def __init__(self, places: Places, wanted: Wanted) -> None:
        self.places = places
        self.contested: set[bytes] = set()  # see edges()
        self._wanted = wanted
        self._halves = Halves()
        self._listeners = Listeners()
        self._elsewhere = Elsewhere(places, wanted.hosts or frozenset())
        self._ends: list[End] = []
        self._numbers: dict[End, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of_error: object) -> None:
        self._halves.__exit__(*of_error)

    def listener(self, socket: Socket) -> End:
        """A socket that others come to; who holds it."""
        end = end_of(socket)
        self._listeners.add(self._place(socket), socket, self._number(end))
        return end

    def half(self, socket: Socket, *, asked: bool) -> bytes:  # 1.
        """A connection as one end has it; its address there."""
        place = self._place(socket)
        connection = Connection(
            socket.protocol, packed(socket.local_address), socket.local_port,
            packed(socket.remote_address), socket.remote_port,
        )  # fmt: skip
        key, side = connection.key(place, self.places.host_number(place))
        self._halves.add(key, Half(side, place, self._number(end_of(socket)), asked))
        return connection.local

    def edges(self) -> list[Edge]:
        """All edges, in their order. `contested` are then the far addresses of what was joined, where a host that is at
        neither end has the near one as well: it may report the near half too, if it was asked."""
        counted: Counter[Edge] = Counter()
        self.contested.clear()
        for key, halves in self._halves.together():
            connection = of_key(key)
            for joined in join(key, halves, self.places):
                mine = turned(connection) if joined.half.side else connection
                edge = self._joined(mine, joined.half, joined.other) if joined.other else self._alone(mine, joined)
                if self._is_wanted(edge, mine, joined):
                    counted[self._shown(edge)] += 1
                    self.contested.update(self._contested(mine, joined))
        return sorted((edge.times(n) for edge, n in counted.items()), key=lambda edge: edge.order)

    def _contested(self, mine: Connection, joined: Joined) -> Iterator[bytes]:
        if joined.other is None or self.places.are_on_one_host(joined.half.place, joined.other.place):
            return
        for near, far in ((mine.local, mine.remote), (mine.remote, mine.local)):
            if self.places.on_several_hosts(near):
                yield far

    def _shown(self, edge: Edge) -> Edge:
        """Whoever comes from outside is shown as one end, unless each is wanted, for they may be millions."""
        if edge.known == records.OUTSIDE and not edge.client.host and self._wanted.external == SERVERS:
            return replace(edge, client=End())
        return edge

    def _is_wanted(self, edge: Edge, mine: Connection, joined: Joined) -> bool:
        if edge.known == records.OUTSIDE and self._wanted.external == NONE:
            return False
        asked = joined.half.asked or (joined.other is not None and joined.other.asked)
        unknown = edge.direction == records.UNKNOWN
        ports = (mine.local_port, mine.remote_port) if unknown else (edge.port,)
        return any(map(self._wanted.has_port, ports)) and (asked or self._has_end(edge, mine, joined))

    def _has_end(self, edge: Edge, mine: Connection, joined: Joined) -> bool:
        """Whether an end of what was not asked for itself is as asked for."""
        if edge.client.host and edge.server.host:
            return self._wanted.has_end(edge.client) or self._wanted.has_end(edge.server)
        return self._wanted.only_hosts and self._elsewhere.is_asked(mine, joined)

    def _joined(self, mine: Connection, half: Half, other: Half) -> Edge:
        ends = (self._ends[half.end], self._ends[other.end])
        listening = (self._listening(half.place, mine), self._listening(other.place, turned(mine)))
        return _directed(mine, ends, listening, records.BOTH_ENDS)

    def _alone(self, mine: Connection, joined: Joined) -> Edge:  # 2.
        own = self._ends[joined.half.end]
        own_listener = self._listening(joined.half.place, mine)
        place = self._elsewhere.place(mine, joined)
        if place is None:
            end = self._elsewhere.nowhere(mine, joined)
            return _directed(mine, (own, end), (own_listener, None), records.ONE_END if end.why else records.OUTSIDE)
        there = self._elsewhere.somebody(place, mine, joined)
        return _directed(mine, (own, there), (own_listener, self._listening(place, turned(mine))), records.ONE_END)

    def _listening(self, place: int, connection: Connection) -> End | None:
        """Who listens at the local end of a connection in its namespace."""
        end = self._listeners.at(place, connection.protocol, connection.local, connection.local_port)
        return None if end is None else self._ends[end]

    def _place(self, socket: Socket) -> int:
        return self.places.number(socket.host, socket.netns, socket.netns_inode)

    def _number(self, end: End) -> int:
        found = self._numbers.get(end)
        if found is None:
            found = self._numbers[end] = len(self._ends)
            self._ends.append(end)
        return found


def end_of(socket: Socket) -> End:
    """The program that holds a socket, in its namespace: as `diff` knows programs, so that one that was started again
    is the same."""
    program = program_of(socket)
    why = "" if program.process else socket.owner_status
    return End(socket.host, socket.netns, program.container, program.unit, program.process, why=why)


def _directed(  # 3.
    mine: Connection,
    ends: tuple[End, End],
    listening: tuple[End | None, End | None],
    known: str,
) -> Edge:
    """The edge between this end and the other, whichever serves. `listening` is who listens at each."""
    ports = (mine.local_port, mine.remote_port)
    handed_out = tuple(port >= _FIRST_EPHEMERAL for port in ports)
    if (listening[0] is None) != (listening[1] is None):
        server, direction = int(listening[0] is None), records.LISTENER
    elif handed_out[0] != handed_out[1]:
        server, direction = int(handed_out[0]), records.PORTS
    else:
        # Either may serve. The one that is shown so is the same for all that they say to each other.
        server = min((0, 1), key=lambda side: (0 if all(handed_out) else ports[side], ends[side].order))
        direction = records.UNKNOWN
    port = 0 if direction == records.UNKNOWN and all(handed_out) else ports[server]
    return Edge(ends[1 - server], _serving(ends[server], listening[server]), mine.protocol, port, known, direction)


def _serving(end: End, listener: End | None) -> End:
    """Who serves: what nobody has accepted yet belongs to whoever listens, and so does what was not seen there."""
    if end.why not in (_UNACCEPTED, records.NO_SOCKET):
        return end
    return listener or (end if end.why == _UNACCEPTED else replace(end, why=records.NO_LISTENER))
