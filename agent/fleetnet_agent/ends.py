"""The ends of sockets that the kernel told of, joined to what the looks saw of the same sockets. Pure.

The kernel tells of an end when it destroys a socket, a moment after the socket left its tables. What it tells is:

    1. of a socket that this look found gone: when it ended;
    2. of one that this look found in TIME_WAIT under its own cookie: when that began. (So it is with sockets that were
       dumped before. The kernel drops the socket there and keeps its addresses; FIN_WAIT2 without a process alike);
    3. of one that an earlier look found in TIME_WAIT, or found gone: nothing new;
    4. of one that no look knew: its addresses, for it has another cookie in TIME_WAIT. If this look opened a TIME_WAIT
       with these addresses, that is all there is of the connection, and the event says when it began. If an earlier
       look opened one whose event had not come yet, nothing is new;
    5. else of a brief socket: one that opened and closed between two looks;
    6. of one that this look still saw open: to be asked again at the next look. So too an end that came after the dump
       began and that nothing explains: its TIME_WAIT may only be in the next dump.

A dump may miss a TIME_WAIT. One that appears after its connection was told as brief goes on under the name of that
connection (`same_as`), so that it is one socket with two adjoining states and not two.

What must stay true: every end is explained once, and no end makes a socket of one that is known. Memory is bounded:
what is remembered for matching is the last MOST_REMEMBERED of each kind.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from fleetnet_agent.changes import Moves
from fleetnet_agent.records import State
from fleetnet_agent.sources.source import End, Sighting

REMEMBERED_US = 60_000_000  # TIME_WAIT lasts as long: TCP_TIMEWAIT_LEN in include/net/tcp.h
MOST_REMEMBERED = 16_384
MOST_WAITING = 16_384  # while a source fails; that time becomes a gap, so the oldest may go

_LEFT_BY_ITS_SOCKET = frozenset({State.TIME_WAIT, State.FIN_WAIT2})

Name = int | bytes
Addresses = tuple[bytes, int, bytes, int]


@dataclass(slots=True)
class Joined:
    """What the ends say about a look."""

    times: dict[Name, int] = field(default_factory=dict)
    """By socket of the moves: when it closed, or entered the state that this look saw."""
    brief: list[End] = field(default_factory=list)
    same_as: dict[Name, Name] = field(default_factory=dict)
    """Opened sockets of the moves that are the rest of a brief socket told before."""
    reused: dict[Name, int] = field(default_factory=dict)
    """Closed sockets of the moves that left their addresses to another one: by when that was there."""


class Ends:
    """The ends of one table's sockets. Not thread-safe."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us  # one that never jumps
        self._waiting: list[End] = []  # not yet explained
        self._endless = _Memory(None)  # names of sockets that closed before their end was told
        self._unannounced = _Memory(REMEMBERED_US)  # addresses of TIME_WAITs that came before their event
        self._briefs = _Memory(REMEMBERED_US)  # addresses of brief sockets

    @property
    def are_waiting(self) -> bool:
        """True if the next look is to explain some."""
        return bool(self._waiting)

    def postpone(self, ends: Iterable[End]) -> None:
        """There was no look that could explain these."""
        self._waiting = [*self._waiting, *ends][-MOST_WAITING:]

    def join(
        self,
        moves: Moves,
        before: Collection[End],
        after: Collection[End],
        known: Callable[[Collection[Name]], Iterable[Sighting]],
        *,
        first: bool,
    ) -> Joined:
        """Join a look's moves and the ends that were told before its dump began, and after. `known` finds sockets of
        the table by name, as they are since the look; `first` is the first look of all, before which nobody listened.
        """
        joined = Joined()
        now_us = self._clock_us()
        old = [*self._waiting, *before]
        self._waiting = []
        still_there = {one.name: one for one in known({end.name for end in (*old, *after)})}
        closed = {one.name for one in moves.closed}
        entered = {change.after.name: change.before.state for change in moves.changed if not is_left(change.before)}
        entered.update((one.name, State.CLOSE) for one in moves.opened)
        unknown_old = self._explain_known(joined, old, still_there, closed, entered, may_wait=False)
        unknown_new = self._explain_known(joined, after, still_there, closed, entered, may_wait=True)
        left = {addresses_of(one): one for one in moves.opened if is_left(one) and one.name not in joined.times}
        # Of several connections with the same addresses the last one that the dump can have seen left the TIME_WAIT.
        joined.brief = self._explain_left(joined, unknown_old[::-1], left)[::-1]
        for end in joined.brief[-MOST_REMEMBERED:]:
            if end.remote_port:
                self._briefs.add(end.addresses, now_us, (end.name, end.at_us))
        self._waiting += self._explain_left(joined, unknown_new, left)
        for addresses, one in left.items():
            self._explain_silent(joined, addresses, one, now_us, first=first)
        full = {one.name for one in moves.closed if not is_left(one)}
        full.update(
            change.after.name for change in moves.changed if is_left(change.after) and not is_left(change.before)
        )
        for name in full - joined.times.keys():
            self._endless.add(name, now_us)
        _end_reused(joined, moves)
        return joined

    def _explain_known(
        self,
        joined: Joined,
        ends: Iterable[End],
        still_there: dict[Name, Sighting],
        closed: Collection[Name],
        entered: dict[Name, State],
        *,
        may_wait: bool,
    ) -> list[End]:
        """Steps 1 to 3 and 6, and the older TIME_WAITs of step 4; the ends that are left."""
        unknown = []
        now_us = self._clock_us()
        # Most ends are of sockets that nothing is known of: they pass here by the thousand.
        endless, unannounced = self._endless, self._unannounced
        for end in ends:
            name = end.name
            if name in closed:
                joined.times[name] = end.at_us
            elif name in still_there:
                self._explain_left_or_open(joined, end, still_there[name], entered, may_wait=may_wait)
            elif not (name in endless and endless.pop(name, now_us)) and not (
                unannounced and unannounced.pop(end.addresses, now_us)
            ):
                unknown.append(end)
        return unknown

    def _explain_left_or_open(
        self, joined: Joined, end: End, there: Sighting, entered: dict[Name, State], *, may_wait: bool
    ) -> None:
        """Steps 2, 3 and 6, of a socket that this look saw."""
        if not is_left(there):
            # The dump saw it before it ended. An end told before the dump cannot be that of what the dump saw.
            if may_wait:
                self._waiting.append(end)
        elif end.name in entered and entered[end.name] is not there.state:
            joined.times[end.name] = end.at_us

    def _explain_left(self, joined: Joined, ends: Collection[End], left: dict[Addresses, Sighting]) -> list[End]:
        """Step 4 with what this look opened; the ends that are left."""
        if not left:
            return list(ends)
        unexplained = []
        for end in ends:
            one = left.pop(end.addresses, None)
            if one is None:
                unexplained.append(end)
            else:
                joined.times[one.name] = end.at_us
        return unexplained

    def _explain_silent(self, joined: Joined, addresses: Addresses, one: Sighting, now_us: int, *, first: bool) -> None:
        """A TIME_WAIT for which no event is there."""
        told = self._briefs.pop(addresses, now_us)
        if told is not None:
            joined.same_as[one.name], joined.times[one.name] = told
        elif not first:
            self._unannounced.add(addresses, now_us)


def _end_reused(joined: Joined, moves: Moves) -> None:
    """A TIME_WAIT that gives way to a new connection with its addresses (net.ipv4.tcp_tw_reuse) ends without an event,
    at the latest when that connection ends in its turn. So does a request to connect that a dump saw in the moment in
    which it became a connection: it got a cookie of its own then, and the connection has another."""
    left = {
        addresses_of(one): one
        for one in moves.closed
        if (is_left(one) or _is_request(one)) and one.name not in joined.times
    }
    if not left:
        return
    later = [(addresses_of(one), joined.times[one.name]) for one in moves.opened if one.name in joined.times]
    later += [(end.addresses, end.at_us) for end in joined.brief]
    for addresses, at_us in later:
        one = left.get(addresses)
        if one is not None:
            joined.reused[one.name] = min(at_us, joined.reused.get(one.name, at_us))


class _Memory:
    """Things by key, each for some time, MOST_REMEMBERED at most; the oldest go first. What has had its time goes when
    something comes: most of it is never asked for, and would fill a long life's memory to the brim."""

    def __init__(self, lasts_us: int | None) -> None:
        self._lasts_us = lasts_us  # None: for ever, for a process may keep an ended socket as long as it likes
        # Since when, and what. Not a dict: to find the first of one that lost many takes as long as all that it lost.
        self._kept: OrderedDict[object, tuple[int, tuple[Name, int]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def add(self, key: object, now_us: int, what: tuple[Name, int] = (0, 0)) -> None:
        self._kept.pop(key, None)
        if len(self._kept) >= MOST_REMEMBERED:
            self._kept.popitem(last=False)
        self._forget(now_us)
        self._kept[key] = (now_us, what)

    def pop(self, key: object, now_us: int) -> tuple[Name, int] | None:
        found = self._kept.pop(key, None)
        if found is None or (self._lasts_us is not None and now_us - found[0] > self._lasts_us):
            return None
        return found[1]

    def _forget(self, now_us: int) -> None:
        if self._lasts_us is None:
            return
        while self._kept and now_us - next(iter(self._kept.values()))[0] > self._lasts_us:
            self._kept.popitem(last=False)


def is_left(one: Sighting) -> bool:
    """True for what the kernel keeps of a connection without its socket: such have no uid either."""
    return one.uid is None and one.inode == 0 and one.state in _LEFT_BY_ITS_SOCKET


def _is_request(one: Sighting) -> bool:
    """True for a connection that has no socket yet (TCP_NEW_SYN_RECV): it becomes one, or goes, without an event."""
    return one.state is State.SYN_RECV and one.inode == 0


def addresses_of(one: Sighting) -> Addresses:
    """What two connections of one namespace cannot share."""
    return one.local_address, one.local_port, one.remote_address, one.remote_port
