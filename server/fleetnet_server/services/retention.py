"""Deletes what ended longer ago than it is kept for, in steps that hold up nobody.

What must stay true: what is open stays. A step deletes some hundreds of rows, as a piece of the writer's work like any
other, and rests in proportion to what it took. Each is whole by itself: a collector may end between any two, and others
may do the same before the same database. What a step deletes, it notes as no longer kept (kept.py).

History lies in bands of time, of a host: what is older than the longest time goes whatever it is, what is older than
the next only where it is not of the kind that is kept longest, and so on. Each band is walked from where its last walk
ended; what was passed over, because it came late, goes at the latest with the next band.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, TypeVarTuple

from fleetnet_server import metrics
from fleetnet_server.keep import Keep
from fleetnet_server.storage import hosts, kept, retention, sessions, unused_holders
from fleetnet_server.storage.database import Connection, Database
from fleetnet_server.storage.kept import Kind, Walked
from fleetnet_server.storage.retention import NETWORK, NO_KIND, Ended

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_BEFORE_ALL_US = -(1 << 62)
# Found with one reading, and so held in memory until it is deleted.
_MOST_FOUND: Final = 5_000
# Walks that came upon nothing are noted together.
_WALKS_AT_ONCE: Final = 100
# Finding the holders that nothing names goes through all that is kept of a host: with each round of one in so many.
HOLDER_ROUNDS: Final = 24


class Pace:
    """How much a step does, and how long it rests after it, by what the one before took."""

    ROWS = range(50, 2_001)
    STEP_S = 0.010  # by so much what shares its commit is held up
    SHARE = 0.15  # of the writer's time

    def __init__(self) -> None:
        self.rows = 200

    def rest_s(self, rows: int, took_s: float) -> float:
        """After a step with so many rows."""
        # Of a small step that was quick, most was not for its rows.
        if rows >= self.rows or took_s > self.STEP_S:
            wanted = rows * self.STEP_S / max(took_s, 1e-6)
            # By halves, for one step may have waited for the machine or for another collector.
            self.rows = min(max(round((self.rows + wanted) / 2), self.ROWS[0]), self.ROWS[-1])
        return took_s * (1 / self.SHARE - 1)


@dataclass(frozen=True, slots=True)
class Band:
    """A time of history in which what is of one of these kinds goes; by the collector's clock."""

    kind: Kind  # the one whose time begins with it
    kinds: frozenset[Kind]
    from_us: int
    before_us: int

    @property
    def whole(self) -> bool:
        """Whether all in it goes, so that no walk has passed over anything."""
        return self.kinds == kept.SOCKETS


@dataclass(frozen=True, slots=True)
class Times:
    """What is too old at one time."""

    bands: tuple[Band, ...]  # the oldest first, each of which begins where the one before ends
    others: tuple[tuple[str, int], ...]  # tables beside history, and what goes: all that ended before
    streams_us: int | None  # those that ended before; None: they stay


@dataclass(frozen=True, slots=True)
class _Part:
    table: str
    rows: list[Ended]


@dataclass(frozen=True, slots=True)
class _Due:
    parts: list[_Part]
    walks: list[Walked]
    all: bool  # False if there may be more


def days(keep: Keep) -> dict[Kind, int | None]:
    """For how long each kind of socket is kept; None for ever."""
    return {
        Kind.LISTENERS: keep.keep_listeners_days,
        Kind.SOCKETS: keep.keep_sockets_days,
        Kind.BRIEF: keep.keep_brief_days,
    }


def times(keep: Keep, now_us: int) -> Times:
    """What is too old now."""
    bounded = sorted(((many, kind) for kind, many in days(keep).items() if many is not None), reverse=True)
    bands: list[Band] = []
    for place, (many, kind) in enumerate(bounded):
        kinds = frozenset(other for _, other in bounded[place:])
        from_us = bands[-1].before_us if bands else _BEFORE_ALL_US
        bands.append(Band(kind, kinds, from_us, now_us - many * _DAY_US))
    longest_us = None if keep.longest_days is None else now_us - keep.longest_days * _DAY_US
    # Answers about sockets show the names of their namespaces.
    others = [] if longest_us is None else [(table, longest_us) for table in ("gaps", *NETWORK)]
    if keep.keep_sockets_days is not None:
        others.append(("trends", now_us - keep.keep_sockets_days * _DAY_US))
    return Times(tuple(bands), tuple(others), longest_us)


class Retention:
    """One per collector."""

    def __init__(self, db: Database, keep: Keep, rest: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """`rest` is given seconds."""
        self._db = db
        self._keep = keep
        self._rest = rest
        self._pace = Pace()
        self._rounds: int | None = None
        # Where to go on of hosts that have more holders than are looked at in one round.
        self._holders_after: dict[int, int] = {}
        self._walks: list[Walked] = []
        self._at = 0  # the host that a round has come to

    async def round(self, now_us: int) -> Counter[str]:
        """Delete all that is too old now; how many rows of what. Raises StorageError, and then goes on another time."""
        deleted: Counter[str] = Counter()
        self._walks = []
        heard, offsets_us = await self._db.read(_clocks)
        # One that failed begins again with the host that it failed at.
        for host_id, heard_us in sorted(heard, key=lambda one: one[0] < self._at):
            self._at = host_id
            # A clock of ours that is ahead, as after a boot, does not age what hosts tell that are not heard by it.
            due = times(self._keep, min(now_us, heard_us + _DAY_US))
            await self._clear(host_id, due, offsets_us.get(host_id, 0), deleted)
        self._at = 0
        await self._note_walks()
        self._rounds = now_us // _HOUR_US if self._rounds is None else self._rounds + 1
        for host_id, _ in heard:
            # Of more than are looked at at once the rest come with the next round: a host may use up as many in a day.
            if host_id % HOLDER_ROUNDS == self._rounds % HOLDER_ROUNDS or host_id in self._holders_after:
                await self.clear_holders(host_id, deleted)
        for kind, reach in (await self._db.read(kept.reaches)).items():
            metrics.KEPT_SINCE.labels(Kind(kind).name.lower()).set(reach.since_us / 1e6)
        metrics.RETENTION_ENDED.set_to_current_time()
        return deleted

    async def clear_holders(self, host_id: int, deleted: Counter[str]) -> None:
        """Delete the holders of a host that nothing names, and their processes: unused_holders.py has the steps."""
        asked = await self._db.read(unused_holders.after, host_id, self._holders_after.pop(host_id, None))
        if len(asked) == unused_holders.MOST_AT_ONCE:
            self._holders_after[host_id] = asked[-1]
        marks: dict[int, int] = {}
        for some in self._portions(await self._db.read(unused_holders.unnamed, host_id, asked)):
            marks |= await self._step(len(some), unused_holders.doubt, host_id, some)
        found = await self._db.read(unused_holders.unnamed, host_id, tuple(marks)) if marks else []
        for some in self._portions(found):
            still = {holder_id: marks[holder_id] for holder_id in some}
            counts = await self._step(len(some), unused_holders.remove, host_id, still)
            for what, count in zip(("holders", "processes"), counts, strict=True):
                _count(deleted, what, count)

    async def _clear(self, host_id: int, due: Times, offset_us: int, deleted: Counter[str]) -> None:
        while True:
            found = await self._db.read(_look, host_id, due, offset_us)
            if found is None:
                await self._db.write(kept.begin, host_id)
                continue
            gone = 0
            for part in found.parts:
                for some in self._portions(part.rows):
                    count = await self._step(len(some), _delete, host_id, part.table, some)
                    _count_rows(deleted, part.table, some, count)
                    gone += count
            self._walks += found.walks
            if not found.all or len(self._walks) >= _WALKS_AT_ONCE:
                await self._note_walks()
            # What was found and was not there to be deleted has changed, or somebody else deletes it.
            if found.all or not gone:
                return

    async def _note_walks(self) -> None:
        walks, self._walks = self._walks, []
        if walks:
            await self._step(len(walks), kept.note_walked, walks)

    def _portions(self, rows: Sequence[T]) -> Iterator[Sequence[T]]:
        at = 0
        while at < len(rows):
            size = self._pace.rows
            yield rows[at : at + size]
            at += size

    async def _step(self, rows: int, fn: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """Do it in its turn, and rest."""
        result, took_s = await self._db.write(_timed, fn, args, rows=rows)
        await self._rest(self._pace.rest_s(rows, took_s))
        return result


def _timed(conn: Connection, fn: Callable[[Connection, *Ts], T], args: tuple[*Ts]) -> tuple[T, float]:
    began_s = time.perf_counter()
    result = fn(conn, *args)
    return result, time.perf_counter() - began_s


def _clocks(conn: Connection) -> tuple[list[tuple[int, int]], dict[int, int]]:
    """All hosts, each with when it was heard last by our clock, and by how much the clocks of some are ahead of ours:
    never more than nothing. A clock that is ahead may have been set a moment ago, by whoever owns the host, and what is
    deleted does not come back."""
    return hosts.all_heard(conn), {host_id: min(us, 0) for host_id, us in sessions.skewed(conn).items()}


def _look(conn: Connection, host_id: int, due: Times, offset_us: int) -> _Due | None:
    """What of a host is too old by its own clock; None if it has never been walked."""
    walked = kept.walked(conn, host_id)
    if len(walked) < len(Kind):
        return None
    parts: list[_Part] = []
    walks: list[Walked] = []
    left = _MOST_FOUND
    for band in due.bands:
        was_us, before_us = walked[band.kind], band.before_us + offset_us
        # A walk that has come much further was by a clock that was wrong, or while less was kept: it goes back.
        begun_us = was_us if was_us <= before_us + _DAY_US else _BEFORE_ALL_US
        # What came late into an older band than its own goes with that.
        from_us = band.from_us if band.whole else max(begun_us, band.from_us + offset_us)
        some = retention.sockets(conn, host_id, band.kinds, from_us, before_us, left)
        parts.append(_Part("history", some.rows))
        walks.append(Walked(host_id, band.kind, was_us, max(begun_us, some.up_to_us)))
        left -= len(some.rows)
        if not left:
            return _Due(parts, walks, all=False)
        rows = retention.handed_over(conn, host_id, band.kind, before_us, left)
        parts.append(_Part("former_holders", rows))
        left -= len(rows)
        if not left:
            return _Due(parts, walks, all=False)
    for table, until_us in due.others:
        # Trends are of the collector's clock.
        before_us = until_us if table == "trends" else until_us + offset_us
        if table == "gaps":
            # A stream that stays answers for a time before that, which would be whole without its gaps.
            before_us = min(before_us, retention.begun_us(conn, host_id, until_us))
        rows = retention.beside(conn, table, host_id, before_us, left)
        parts.append(_Part(table, rows))
        left -= len(rows)
        if not left:
            return _Due(parts, walks, all=False)
    if due.streams_us is not None:
        rows = retention.streams(conn, host_id, due.streams_us, left)
        parts.append(_Part("sessions", rows))
        left -= len(rows)
    return _Due(parts, walks, all=left > 0)


def _delete(conn: Connection, host_id: int, table: str, rows: Sequence[Ended]) -> int:
    latest: dict[int, int] = {}
    for row in rows:
        if row.kind != NO_KIND:
            latest[row.kind] = max(latest.get(row.kind, 0), row.ended_us)
    count = retention.remove(conn, table, rows)
    kept.note_deleted(conn, host_id, latest)
    return count


def _count_rows(deleted: Counter[str], table: str, rows: Sequence[Ended], count: int) -> None:
    """Rows of history by their kind, others by their table. What somebody else has deleted is not known of each."""
    kinds = Counter(Kind(row.kind).name.lower() if table == "history" else table for row in rows)
    for what, many in kinds.most_common():
        _count(deleted, what, min(many, count))
        count -= min(many, count)


def _count(deleted: Counter[str], what: str, count: int) -> None:
    if count:
        deleted[what] += count
        metrics.DELETED.labels(what).inc(count)
