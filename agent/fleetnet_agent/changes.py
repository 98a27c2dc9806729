"""What changed between two dumps of one source: last look and this look → opened, changed, closed.

The table is kept as the raw messages of the last dump by cookie. Messages are compared as bytes, at C speed; only those
that differ are decoded, and they count as a change only if something other than timers and queues differs.

What must stay true:
- a dump under churn shows sockets twice or not at all, so the cookie alone decides which socket a message is about,
  nothing is closed before an exact request by its cookie has said that it is gone, and the first look at many, which
  knows of none that it could miss, reads them twice, unless another count of the kernel's says that they are all;
- a look that fails half-way changes nothing here: the next one tells what it would have told;
- what the moves have told, applied from the first on, is what `sightings` gives;
- queues make a change only as `queues.py` says.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import compress, filterfalse
from typing import Protocol as Interface

from fleetnet_agent.late import Anew, LateSightings
from fleetnet_agent.queues import Queues, Unsettled
from fleetnet_agent.records import State
from fleetnet_agent.sources.inet_diag import ALL_STATES
from fleetnet_agent.sources.source import Count, InconsistentError, Sighting, Source

Find = Callable[[Mapping[int, bytes]], Mapping[int, bytes]]
"""Asks for sockets exactly, each by its last message; what it finds."""

MANY = 128  # sockets: up to here the kernel tells them in one piece, and hardly ever misses one
_READ_AGAIN_AT_MOST = 2  # times, where the kernel marks dumps as inconsistent


@dataclass(frozen=True, slots=True)
class Change:
    """One socket, as it was told last and as it is."""

    before: Sighting
    after: Sighting


@dataclass(frozen=True, slots=True)
class Moves:
    """What one look found."""

    opened: Sequence[Sighting]
    changed: list[Change]
    closed: list[Sighting]  # as they were told last


class Table(Interface):
    """Sockets of one kind, followed from look to look."""

    def look(self) -> Moves:
        """Read everything; what changed since the last time. Raises SourceError, and then nothing has happened."""

    def listeners_moved(self) -> bool:
        """Read the listeners alone: True if a full look would find some of them opened, changed or closed. Raises
        SourceError."""

    def sightings(self) -> Sequence[Sighting]:
        """Everything as the moves have told it; stays so whatever looks come."""

    def holding(self, inodes: Collection[int]) -> list[Sighting]:
        """Those of the sockets that have one of these inodes, as the moves have told them."""

    def named(self, names: Collection[int | bytes]) -> list[Sighting]:
        """Those of the sockets that have one of these names, as the moves have told them."""

    def listeners(self) -> list[Sighting]:
        """Those of the sockets that are listeners, as the moves have told them."""

    def still_there(self, names: Collection[int | bytes]) -> set[int | bytes]:
        """Those of these sockets that exist at this moment with the inode they had. Raises SourceError."""

    def __len__(self) -> int: ...


class DiagTable:
    """A table read by the kernel's socket diagnostics."""

    def __init__(self, source: Source, find: Find, count: Callable[[], Count | None] = lambda: None) -> None:
        """`count` is how many sockets of the source there are by another count, where there is one."""
        self._count = count
        self._source = source
        self._codec = source.codec
        self._find = find
        self._known: dict[int, bytes] = {}
        self._unsettled = Unsettled()
        self._listening: set[int] = set()  # cookies of the known listeners

    def __len__(self) -> int:
        return len(self._known)

    def look(self) -> Moves:
        """See `Table`."""
        counted = None if self._known else self._count()
        different, seen = self._read(ALL_STATES)
        if not self._known and len(seen) > MANY:
            return self._look_first(different, counted)
        gone = self._confirm_gone(list(filterfalse(seen.__contains__, self._known)), different)
        is_idle = self._codec.differs_in_timers_only
        news = {
            cookie: message
            for cookie, message in different.items()
            if cookie not in self._known or not is_idle(self._known[cookie], message)
        }
        moves = self._moves(news, gone)  # decodes, so it may raise; from here on nothing does
        self._commit(news, gone, moves)
        self._known.update(different)
        return moves

    def _look_first(self, messages: dict[int, bytes], counted: Count | None) -> Moves:
        """At many: what a dump missed nobody could ask for, so there is another, unless these are all by what was
        `counted` before."""
        self._known = messages  # so that the second reading is the difference to the first
        try:
            if counted is None or not self._are_all(messages, counted):
                messages |= self._read(ALL_STATES)[0]
            codec, protocol = self._codec, self._source.protocol
            opened = LateSightings(dict(messages), codec, protocol) if codec.columns else None
            moves = Moves(opened or [codec.decode(message, protocol) for message in messages.values()], [], [])
        except BaseException:
            self._known = {}
            raise
        self._listening = self._among(messages, self._source.listening)
        return moves

    def _are_all(self, messages: Mapping[int, bytes], counted: Count) -> bool:
        """True if nothing came or went while these were read, and there are as many as there should be: a dump misses
        only what another one that goes makes it miss. Requests to connect are in a dump and in no count."""
        if len(messages) != counted.sockets or self._count() != counted:
            return False
        return not self._among(messages, 1 << State.SYN_RECV)

    def listeners_moved(self) -> bool:
        """See `Table`."""
        different, seen = self._read(self._source.listening)
        if any(
            cookie not in self._known or self._codec.differs_lastingly(self._known[cookie], message)
            for cookie, message in different.items()
        ):
            return True
        return not self._listening <= seen

    def sightings(self) -> Sequence[Sighting]:
        """See `Table`."""
        known, protocol, decode = dict(self._known), self._source.protocol, self._codec.decode
        queues = {cookie: self._unsettled.told(cookie) for cookie in self._unsettled}
        return Anew(
            len(known),
            lambda: (_as_told(decode(message, protocol), queues.get(cookie)) for cookie, message in known.items()),
        )

    def holding(self, inodes: Collection[int]) -> list[Sighting]:
        """See `Table`."""
        if not inodes:
            return []
        columns, messages = self._codec.columns, self._known.values()
        all_inodes = columns.inodes(messages) if columns else map(self._codec.inode_of, messages)
        return list(map(self._told, compress(self._known, map(inodes.__contains__, all_inodes))))

    def named(self, names: Collection[int | bytes]) -> list[Sighting]:
        """See `Table`."""
        return [self._told(cookie) for cookie in self._known.keys() & names]

    def listeners(self) -> list[Sighting]:
        """See `Table`."""
        return [self._told(cookie) for cookie in self._listening]

    def besides(self, cookies: Collection[int]) -> dict[int, bytes]:
        """The last messages of the sockets that have none of these cookies."""
        return {cookie: message for cookie, message in self._known.items() if cookie not in cookies}

    def is_settled(self, calm: Callable[[bytes], bool]) -> bool:
        """True if `calm` says so of the last message of each socket, and no length of a queue waits to be told."""
        return not self._unsettled and all(map(calm, self._known.values()))

    def still_there(self, names: Collection[int | bytes]) -> set[int | bytes]:
        """See `Table`."""
        asked = {name: self._known[name] for name in names if isinstance(name, int) and name in self._known}
        now, inode_of = self._exactly(asked), self._codec.inode_of
        return {cookie for cookie, message in now.items() if inode_of(message) == inode_of(asked[cookie])}

    def _read(self, states: int) -> tuple[dict[int, bytes], set[int]]:
        """One dump: messages that differ from the known ones, and all cookies."""
        for _ in range(_READ_AGAIN_AT_MOST):
            with suppress(InconsistentError):
                return self._read_once(states)
        return self._read_once(states)

    def _read_once(self, states: int) -> tuple[dict[int, bytes], set[int]]:
        different: dict[int, bytes] = {}
        seen: set[int] = set()
        for part in self._source.read(states):
            seen.update(part.cookies)
            different.update(part.news(self._known))
        return different, seen

    def _confirm_gone(self, missing: Collection[int], different: dict[int, bytes]) -> list[int]:
        """Which of the missing are gone; those that the dump only missed go where they belong."""
        if not missing:
            return []
        there = self._exactly({cookie: self._known[cookie] for cookie in missing})
        for cookie, message in there.items():
            if message != self._known[cookie]:
                different[cookie] = message
        return [cookie for cookie in missing if cookie not in there]

    def _exactly(self, asked: Mapping[int, bytes]) -> dict[int, bytes]:
        """What is there now of these sockets.

        An exact question finds one of the sockets that share their addresses (SO_REUSEPORT, UDP) and denies the
        others, so for those one more look at all that can share decides. Likewise where the kernel answers none.
        """
        if not asked:
            return {}
        there = dict(self._find(asked))
        sharing, state_of = self._source.sharing, self._codec.state_of
        denied = {
            cookie for cookie, message in asked.items() if cookie not in there and 1 << state_of(message) & sharing
        }
        if denied:
            for part in self._source.read(sharing):
                shown = zip(part.cookies, part.messages, strict=True)
                there.update((cookie, message) for cookie, message in shown if cookie in denied)
        return there

    def _moves(self, news: Mapping[int, bytes], gone: Collection[int]) -> Moves:
        opened: list[Sighting] = []
        changed: list[Change] = []
        decode, protocol = self._codec.decode, self._source.protocol
        for cookie, message in news.items():
            known = self._known.get(cookie)
            if known is None:
                opened.append(decode(message, protocol))
            elif self._codec.differs_lastingly(known, message):
                change = Change(self._told(cookie), decode(message, protocol))
                if _is_lasting(change):
                    changed.append(change)
        return Moves(opened, changed, [self._told(cookie) for cookie in gone])

    def _commit(self, news: dict[int, bytes], gone: Collection[int], moves: Moves) -> None:
        for cookie in gone:
            del self._known[cookie]
        queues_of = self._codec.queues_of
        self._listening.difference_update(gone, news)
        self._listening |= self._among(news, self._source.listening)
        moved = {
            cookie: (queues_of(self._known[cookie]), queues_of(news[cookie]))
            for cookie in news.keys() & self._known.keys()
        }
        self._known.update(news)
        told = {name for change in moves.changed if isinstance(name := change.after.name, int)}
        self._unsettled.forget({*gone, *told})
        followed = set(self._unsettled)
        for cookie in followed:
            was = self._told(cookie)
            if self._unsettled.is_worth_telling(cookie, queues_of(self._known[cookie])):
                moves.changed.append(Change(was, self._told(cookie)))
        for cookie, (was_queues, now_queues) in moved.items():
            if was_queues != now_queues and cookie not in followed and cookie not in told:
                self._unsettled.begin(cookie, was_queues, now_queues)

    def _among(self, messages: Mapping[int, bytes], mask: int) -> set[int]:
        """Cookies of those in one of these states."""
        columns = self._codec.columns
        states = columns.states(messages.values()) if columns else map(self._codec.state_of, messages.values())
        wanted = [bool(1 << state & mask) for state in range(256)]
        return set(compress(messages, map(wanted.__getitem__, states)))

    def _told(self, cookie: int) -> Sighting:
        """A socket as the moves have told it."""
        return _as_told(self._codec.decode(self._known[cookie], self._source.protocol), self._unsettled.told(cookie))


def _as_told(sighting: Sighting, queues: Queues | None) -> Sighting:
    return sighting if queues is None else replace(sighting, recv_queue=queues[0], send_queue=queues[1])


def _is_lasting(change: Change) -> bool:
    """True if something that is told differs, queues apart: attributes that are not decoded differ as well."""
    before, after = change.before, change.after
    backlog = after.send_queue if after.state is State.LISTEN else before.send_queue
    return replace(after, recv_queue=before.recv_queue, send_queue=backlog) != before
