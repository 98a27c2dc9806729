"""Deletes what ended longer ago than it is kept for, in steps that hold up nobody.

What must stay true: what is open stays. A step deletes some hundreds of rows, as a piece of the writer's work like any
other, and rests in proportion to what it took. Each is whole by itself: a collector may end between any two, and others
may do the same before the same database. What a step deletes, it notes as no longer kept (kept.py).

No host keeps another's from being deleted: they take turns with some thousands of rows each, what fails at one is
raised when the others are done, and one at which a round failed comes last in the next.

Each band of a host's history (bands.py) is walked from where its last walk ended; what was passed over, because it came
late, goes at the latest with the next band.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar, TypeVarTuple

import structlog

from fleetnet_server import metrics
from fleetnet_server.errors import StorageDamaged
from fleetnet_server.keep import Keep
from fleetnet_server.logs import failure
from fleetnet_server.services.bands import BEFORE_ALL_US, DAY_US, Times, times
from fleetnet_server.storage import hosts, kept, retention, sessions, unused_holders
from fleetnet_server.storage.database import Connection, Database
from fleetnet_server.storage.kept import Kind, Walked
from fleetnet_server.storage.retention import NO_KIND, Ended

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_HOUR_US = 3_600_000_000
# Found with one reading, and so held in memory until it is deleted.
_MOST_FOUND: Final = 5_000
# Walks that came upon nothing are noted together.
_WALKS_AT_ONCE: Final = 100
# Finding the holders that nothing names goes through all that is kept of a host: with each round of one in so many.
HOLDER_ROUNDS: Final = 24
# If a round fails at so many hosts at which the one before did not, that is not about them, and it ends.
MOST_FAILURES: Final = 3

_log = structlog.get_logger()


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


class _Clock(NamedTuple):
    """A host, and how its time is told."""

    host_id: int
    heard_us: int  # last, by our clock
    offset_us: int


@dataclass(frozen=True, slots=True)
class _Part:
    table: str
    rows: list[Ended]


@dataclass(frozen=True, slots=True)
class _Due:
    parts: list[_Part]
    walks: list[Walked]
    all: bool  # False if there may be more


class Retention:
    """One per collector."""

    def __init__(self, db: Database, keep: Keep, rest: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """`rest` is given seconds."""
        self._db = db
        self._keep = keep
        self._rest = rest
        self._pace = Pace()
        self._rounds = 0  # from the hour of the first on
        # Where to go on of hosts that have more holders than are looked at in one round.
        self._holders_after: dict[int, int] = {}
        self._walks: list[Walked] = []
        self._failed: set[int] = set()  # hosts at which this round did
        self._failure: Exception | None = None  # the first
        self._behind: set[int] = set()  # hosts at which the last round failed

    async def round(self, now_us: int) -> Counter[str]:
        """Delete all that is too old now; how many rows of what. Raises what failed first, StorageError or what it is:
        if it was about a host, when nothing is left of the others."""
        deleted: Counter[str] = Counter()
        self._walks, self._failed, self._failure = [], set(), None
        self._rounds = self._rounds or now_us // _HOUR_US
        of_hosts = await self._db.read(_clocks)

        async def clear(one: _Clock) -> bool:
            # A clock of ours that is ahead, as after a boot, does not age what hosts tell that are not heard by it.
            due = times(self._keep, min(now_us, one.heard_us + DAY_US))
            return await self._clear(one.host_id, due, one.offset_us, deleted)

        async def clear_holders(one: _Clock) -> bool:
            await self.clear_holders(one.host_id, deleted)
            return False

        await self._take_turns(of_hosts, clear)
        await self._note_walks()
        await self._take_turns([one for one in of_hosts if self._holders_are_due(one.host_id)], clear_holders)
        self._behind = self._failed
        self._rounds += 1
        for kind, reach in (await self._db.read(kept.reaches)).items():
            metrics.KEPT_SINCE.labels(Kind(kind).name.lower()).set(reach.since_us / 1e6)
        if self._failure is not None:
            raise self._failure
        metrics.RETENTION_ENDED.set_to_current_time()
        return deleted

    async def _take_turns(self, of_hosts: list[_Clock], turn: Callable[[_Clock], Awaitable[bool]]) -> None:
        """Each host again and again, until its turn says that nothing is left or fails; who failed the last time comes
        last. Raises what is not about one host."""
        waiting = deque(sorted(of_hosts, key=lambda one: one.host_id in self._behind))
        while waiting:
            one = waiting.popleft()
            try:
                if await turn(one):
                    waiting.append(one)
            except Exception as error:  # whatever it is, it is to keep no other host's from going
                self._failed.add(one.host_id)
                self._failure = self._failure or error
                if isinstance(error, StorageDamaged) or len(self._failed - self._behind) >= MOST_FAILURES:
                    self._behind |= self._failed
                    raise
                _log.warning("what is too old of a host was not deleted", host_id=one.host_id, **failure(error))

    def _holders_are_due(self, host_id: int) -> bool:
        """Of more than are looked at at once the rest come with the next round: a host may use up as many in a day."""
        its_turn = host_id % HOLDER_ROUNDS == self._rounds % HOLDER_ROUNDS
        return host_id not in self._failed and (its_turn or host_id in self._holders_after)

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

    async def _clear(self, host_id: int, due: Times, offset_us: int, deleted: Counter[str]) -> bool:
        """Some of what is too old of a host; whether there may be more."""
        found = await self._db.read(_look, host_id, due, offset_us)
        if found is None:
            await self._db.write(kept.begin, host_id)
            return True
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
        return not found.all and gone > 0

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


def _clocks(conn: Connection) -> list[_Clock]:
    """All hosts, each with when it was heard last by our clock, and by how much the clocks of some are ahead of ours:
    never more than nothing. A clock that is ahead may have been set a moment ago, by whoever owns the host, and what is
    deleted does not come back."""
    skewed = sessions.skewed(conn)
    return [_Clock(host_id, heard_us, min(skewed.get(host_id, 0), 0)) for host_id, heard_us in hosts.all_heard(conn)]


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
        begun_us = was_us if was_us <= before_us + DAY_US else BEFORE_ALL_US
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
