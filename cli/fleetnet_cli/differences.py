"""What differs between two answers about listeners, by the services that they are.

A service is a place (namespace, protocol, address, interface, port) and the program that listens there: its
container, its unit, the name of the oldest process that holds the socket, its user. Pid, cookie and inode do not count,
nor does how many sockets a program has there: a service that was started again is the same one. Worth knowing:

- A scope is no unit here: it is made anew for each login and each run (systemd.scope(5)).
- A namespace is known by its name, else by its container, else by its number, which is another one after a restart.
- Where the process is not known at one of the times, the rest decides.

What must stay true: both answers come in their documented order, and of each no more than one host's listeners is held
at a time. What is said to have begun or stopped is known at both times; all else is said not to be known.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import NamedTuple

from fleetnet_cli.records import Socket

BEGAN, STOPPED, CHANGED, NOT_KNOWN = "began", "stopped", "changed", "not-known"

_NO_UID = -1
_SCOPE = re.compile(r"\.scope$")


class Place(NamedTuple):
    """Where something listens on its host."""

    netns: str
    protocol: str
    port: int
    address: str
    interface: str


class Program(NamedTuple):
    """What listens there."""

    container: str
    unit: str
    process: str  # "" where not known
    uid: int


class Doubt(NamedTuple):
    """Why it is not known what a host had at a time."""

    at_us: int
    why: str  # "silent", "never-heard", "not-enrolled", "gap", "not-kept"
    last_seen_us: int = 0  # of a silent host


@dataclass(frozen=True, slots=True)
class Difference:
    """A service that is there at one of two times, or another one in its place; each as the socket that shows it."""

    change: str
    before: Socket | None
    after: Socket | None
    doubts: tuple[Doubt, ...] = ()  # for each time of which it is not known whether something else was there

    @property
    def socket(self) -> Socket:
        """The later of what was found."""
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def changed_hands(self) -> bool:
        """Whether it is the same socket, held by another program: when it began says nothing of that."""
        one, other = self.before, self.after
        if one is None or other is None or not one.inode:
            return False
        return (one.inode, one.opened_at_us) == (other.inode, other.opened_at_us)

    @property
    def happened_at_us(self) -> int:
        """When it came to be so, host's clock; 0 where that is not told."""
        if self.changed_hands:
            return 0
        return self.after.opened_at_us if self.after else self.socket.closed_at_us


# Of a host, and whether something was found there before and after.
DoubtsOf = Callable[[str, bool, bool], tuple[Doubt, ...]]


def between(before: Iterable[Socket], after: Iterable[Socket], doubts_of: DoubtsOf) -> Iterator[Difference]:
    """Differences, ordered by host, namespace, protocol, port, address."""
    for host, was, now in _host_by_host(before, after):
        for one, other in of_host(was, now):
            doubts = doubts_of(host, one is not None, other is not None)
            yield Difference(NOT_KNOWN if doubts else _change(one, other), one, other, doubts)


def of_host(before: Iterable[Socket], after: Iterable[Socket]) -> Iterator[tuple[Socket | None, Socket | None]]:
    """What of one host's services differs, in the order of their places."""
    was, now = _services(before), _services(after)
    for place in sorted(was.keys() | now.keys(), key=lambda place: (place.netns != "host", place)):
        yield from _of_place(was.get(place, {}), now.get(place, {}))


def place_of(socket: Socket) -> Place:
    """Where it listens."""
    named = socket.netns != str(socket.netns_inode)
    netns = socket.netns if named else socket.container or socket.netns
    return Place(netns, socket.protocol, socket.local_port, socket.local_address, socket.interface)


def program_of(socket: Socket) -> Program:
    """What listens there."""
    oldest = min(socket.owners, key=lambda owner: (owner.started_at_us, owner.pid), default=None)
    unit = "" if _SCOPE.search(socket.unit) else socket.unit
    uid = _NO_UID if socket.uid is None else socket.uid
    return Program(socket.container, unit, oldest.name if oldest else "", uid)


def _change(before: Socket | None, after: Socket | None) -> str:
    return BEGAN if before is None else STOPPED if after is None else CHANGED


def _services(sockets: Iterable[Socket]) -> dict[Place, dict[Program, Socket]]:
    """By place and program the socket that has been there longest."""
    found: dict[Place, dict[Program, Socket]] = {}
    for socket in sockets:
        there, program = found.setdefault(place_of(socket), {}), program_of(socket)
        if program not in there or socket.opened_at_us < there[program].opened_at_us:
            there[program] = socket
    return found


def _of_place(was: dict[Program, Socket], now: dict[Program, Socket]) -> Iterator[tuple[Socket | None, Socket | None]]:
    gone = sorted(program for program in was if not any(_alike(program, other) for other in now))
    come = sorted(program for program in now if not any(_alike(program, other) for other in was))
    for one, other in zip_longest(gone, come):
        yield (None if one is None else was[one]), (None if other is None else now[other])


def _alike(one: Program, other: Program) -> bool:
    # As far as is known they are the same.
    process = one.process if one.process and other.process else ""
    return one._replace(process=process) == other._replace(process=other.process if process else "")


def _host_by_host(
    before: Iterable[Socket], after: Iterable[Socket]
) -> Iterator[tuple[str, Iterable[Socket], Iterable[Socket]]]:
    """Each host of either answer with what both have of it; names are in the order of their bytes."""
    sides = [groupby(answer, key=lambda socket: socket.host) for answer in (before, after)]
    heads = [next(side, None) for side in sides]
    while found := [head[0] for head in heads if head is not None]:
        host = min(found, key=str.encode)
        theirs = [list(head[1]) if head is not None and head[0] == host else [] for head in heads]
        yield host, theirs[0], theirs[1]
        heads = [
            next(side, None) if head is not None and head[0] == host else head
            for side, head in zip(sides, heads, strict=True)
        ]
