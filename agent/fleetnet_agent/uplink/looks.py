"""From looks to batches: what is put into the window, and when.

    1. One look is made at once. Nothing is told before a stream is there: the first thing a collector hears is a
       snapshot.
    2. On every new stream: the difference up to a fresh look, then the whole table in parts.
    3. After that a difference per look that found one, and a beat when nothing was told for BEAT_S.
    4. Without a stream the differences go on, until the window is full. Then they are kept on disk (outage.py). Where
       they cannot, looking stops, and the next snapshot says from when to when nobody looked.
    5. With a stream whose collector is slow, a full window only makes looks rarer: the next difference spans more time.
    6. A look at which a source was blind is not told, but for the fact itself: the host is to grow stale, for what is
       open is not known. When all can see again, a snapshot says from when to when they could not.

What must stay true: every change between two looks is in a batch, or in a snapshot after a declared gap. Differences
that build on a first snapshot which never arrived whole are dropped, and that time is declared a gap as well. So is
what a collector refuses for good: sent again, it would be refused again, for ever.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from fleetnet_agent import failpoints, memory
from fleetnet_agent.digest import Digest, digest_of
from fleetnet_agent.log import Log
from fleetnet_agent.records import Difference, Gap, LiveItem, LiveWanted, Snapshot
from fleetnet_agent.uplink.blindness import Blindness
from fleetnet_agent.uplink.drain import Drain
from fleetnet_agent.uplink.gaps import Gaps
from fleetnet_agent.uplink.keeping import Keeper
from fleetnet_agent.uplink.outage import KEEP_AFTER_S, Outage
from fleetnet_agent.uplink.seldom import (
    DIGEST_EVERY_S,
    LOOK_NOW_AT_MOST_EVERY_S,
    SNAPSHOT_AT_MOST_EVERY_S,
    Phase,
    Seldom,
)
from fleetnet_agent.uplink.window import Entry, Kind, Window
from fleetnet_agent.uplink.worker import Worker
from fleetnet_agent.wire.batches import as_of, begins_at, difference_batches, snapshot_batches, withdrawal

BEAT_S: Final = 60.0
QUEUE_FULL: Final = "collector unreachable, queue full"
NOT_READ: Final = "a source could not be read"
REPORT_NOT_TAKEN: Final = "the collector refused a report"
FIRST_SNAPSHOT_LOST: Final = "connection lost during the first snapshot"
CLOCK_SET: Final = "the host's clock was set"

T = TypeVar("T")


class Looker(Protocol):
    """What is looked with; see fleetnet_agent.watch.Watch."""

    def look(self) -> Difference:
        """What changed since the look before."""

    def snapshot(self) -> Snapshot:
        """Everything that was open at the last look."""

    def live(self, wanted: LiveWanted) -> Generator[LiveItem, None, None]:
        """Everything at this moment."""


class Looks:
    """Looks while the agent runs, and keeps the window filled."""

    def __init__(
        self,
        watch: Looker,
        worker: Worker,
        window: Window,
        log: Log,
        *,
        every_s: float,
        beat_s: float,
        stored: Callable[[], None],
        have_looked: Callable[[], None] = lambda: None,
        draw: random.Random,
        keeper: Keeper,
        drain: Drain,
        keep_after_s: float = KEEP_AFTER_S,
        digest_every_s: float = DIGEST_EVERY_S,
        snapshot_at_most_every_s: float = SNAPSHOT_AT_MOST_EVERY_S,
    ) -> None:
        self.window = window
        self.to_send = asyncio.Event()  # something was put, or freed
        self.looked = asyncio.Event()  # once at least
        self._watch = watch
        self._worker = worker
        self._log = log
        self._every_s = every_s
        self._beat_s = beat_s
        self._stored = stored
        self._have_looked = have_looked
        self._wake = asyncio.Event()
        self._streams = 0  # how many there have been; each wants its own snapshot
        self._connected = False
        self._snapshot_due = False
        self._looking = False  # False before the first stream, and after an overflow
        self._whole = False  # the collector has a whole snapshot of this epoch
        self._past = 0  # counts up when the batches made so far were dropped
        self._settled = False  # the snapshot of this stream is stored
        self._gaps = Gaps()
        self._keeper = keeper
        self._drain = drain
        self._outage = Outage(keeper, watch, worker, window, self._gaps, log, keep_after_s)
        self.stirred = asyncio.Event()
        self._blindness = Blindness(log)
        self._last: Difference | None = None
        self._first_told_us = 0  # look of the first snapshot of this epoch that was begun
        self._sockets_told = 0
        self._next_look_s = self._next_beat_s = 0.0
        self._look_now = Seldom(LOOK_NOW_AT_MOST_EVERY_S)
        self._resync = Seldom(snapshot_at_most_every_s)
        self._digests = Phase(digest_every_s, draw)
        self._draw = draw

    # What a stream tells.

    def begin_stream(self, committed: int, credit: int) -> None:
        """A stream was welcomed. Raises ValueError where the collector's past is not this window's."""
        self._freed(self.window.begin_stream(committed, credit))
        self._drain.begin_again()
        if self._keeper.keeping:
            self._outage.take_back(self.window.take_back())
            self._past += 1
        elif not self._whole:
            self._forget(FIRST_SNAPSHOT_LOST)
        self._streams += 1
        self._connected = self._snapshot_due = True
        self._settled = False
        self._stir()

    def end_stream(self) -> None:
        """The stream is gone."""
        self.window.end_stream()
        self._connected = self._snapshot_due = False
        self._stir()

    def acknowledge(self, sequence: int) -> None:
        """The collector stored everything up to here. Raises ValueError for what was never sent."""
        freed = self.window.acknowledge(sequence)
        self._freed(freed)
        if freed:
            self._stored()
        self._stir()

    def look_now(self) -> None:
        """Look at once, or if the last such look was just now, a moment later."""
        self._look_now.want()
        self._stir()

    def resync(self, reason: str) -> None:
        """The collector wants a snapshot on this stream."""
        if self._connected and self._resync.want():
            self._log.say(f"the collector asks to be told everything anew: {reason}")
            self._stir()

    def clock_was_set(self, between_us: tuple[int, int]) -> None:
        """The wall clock went from one of these to the other; what history says of the time between is not sure."""
        self._gaps.add([Gap(min(between_us), max(between_us), CLOCK_SET)])

    def restart(self, reason: str | None = None) -> None:
        """A new epoch: the collector will hear everything again. With a reason, what it has not stored of the old one
        becomes a gap."""
        lost, goes_on = self.window.oldest, self._looking and self._keeper.keeping
        self._outage.take_back(self.window.differences(behind_snapshot=True))
        self.window.restart()
        self._whole = False
        self._forget(None)
        self._looking = goes_on
        self._gaps.begin_anew(keep=reason is not None)
        if reason is not None and lost is not None:
            if lost.kind is Kind.BACKLOG:
                self._gaps.add(self._drain.refused(reason))
            else:
                self._gaps.since(begins_at(lost.body), reason)
        self._drain.begin_again()

    # The loop.

    async def run(self) -> None:
        """Look until cancelled."""
        await self._look()
        self.looked.set()
        await self._outage.find()
        while True:
            wait_s = self._due_in_s()
            if wait_s > 0:
                await self._wait(wait_s)
            elif self._snapshot_due:
                await self._tell_snapshot()
            elif not self._looking:
                await self._begin_again()
            elif not (self.window.room or self._connected or self._outage.takes_looks):
                await self._overflow(self._last_look_us)
            else:
                await self._tell_difference()

    async def close(self) -> None:
        """Write what is kept and not yet written. After `run` has ended."""
        await self._keeper.close()

    def _due_in_s(self) -> float:
        if self._connected and self._settled and self._resync.due_in_s() == 0:
            self._snapshot_due = True
        if self._snapshot_due:
            if not self.window.room:
                return math.inf
            return self._next_look_in_s() if self._blindness.is_there else 0.0
        wait_s = self._next_look_in_s()
        if not self._looking:
            return math.inf if self._connected else max(wait_s, self._outage.due_in_s())
        if self._connected:
            return min(wait_s, self._resync.due_in_s()) if self.window.room else math.inf
        return wait_s

    def _next_look_in_s(self) -> float:
        return max(0.0, min(self._next_look_s - time.monotonic(), self._look_now.due_in_s()))

    @property
    def _last_look_us(self) -> int:
        return self._last.look_at_us if self._last else 0

    async def _tell_difference(self) -> None:
        before_us = self._last_look_us
        difference = await self._look()
        if self._blindness.is_there:
            await self._tell_blindness()
        elif not self._looking:
            return  # all sources see again; the snapshot that is due tells everything
        elif self._outage.takes_looks:
            self._looking = await self._outage.keep(difference)
        else:
            await self._tell_lost()
            digest = await self._digest_if_due()
            beats = self._connected and time.monotonic() >= self._next_beat_s
            if digest or beats or not difference.empty:
                # An empty one tells of the same look again, and of nothing between.
                told = replace(difference, previous_look_at_us=before_us) if difference.empty else difference
                await self._put_difference(told, before_us, digest)

    async def _digest_if_due(self) -> Digest | None:
        """Of what is open at the last look, as the differences up to it have told it. Not while a stored snapshot is
        wanting: then the collector does not hold what it was told."""
        if not (self._connected and self._settled and self._digests.due):
            return None
        self._digests.done()
        return await self._worker.run(lambda: digest_of(self._watch.snapshot().sockets))

    async def _begin_again(self) -> None:
        """Nothing was kept for a while, and no collector is there: keep what comes."""
        difference = await self._look()
        if not (self._blindness.is_there or self._connected):
            self._looking = await self._outage.begin_again(difference)

    async def _tell_lost(self) -> None:
        """Times that were kept and are lost."""
        lost, self._keeper.lost = self._keeper.lost, []
        withdrawn, self._keeper.withdrawn = self._keeper.withdrawn, []
        if lost and self._last:
            told = replace(self._last, previous_look_at_us=self._last_look_us, gaps=tuple(lost))
            await self._put_difference(told, self._last_look_us)
        for gap in withdrawn:
            self.put_backlog(withdrawal(gap, self._keeper.boot), Kind.DIFFERENCE)

    async def _tell_snapshot(self) -> None:
        stream, past, before_us = self._streams, self._past, self._last_look_us
        difference = await self._look()
        if self._blindness.is_there:
            await self._tell_blindness()
            return
        self._resync.done()
        gaps: list[Gap] = []
        if self._outage.is_to_be_declared(stream):
            self._looking = await self._keep_up_to(difference)
            gaps = await self._outage.declare(difference)
        elif self._looking and not difference.empty and not await self._put_difference(difference, before_us):
            return
        del difference  # at the first look it is as large as the snapshot
        snapshot = await self._worker.run(self._watch.snapshot)
        self._first_told_us = self._first_told_us or snapshot.look_at_us
        self._sockets_told = len(snapshot.sockets)
        parts = snapshot_batches(snapshot, [*gaps, *self._gaps.tell(snapshot.look_at_us)])
        while (part := await self._next(parts)) is not None:
            body, last = part
            if not await self._put(Kind.LAST_PART if last else Kind.PART, body, past, stream):
                return
            if last:  # at once, for at the next await another stream may begin
                self._snapshot_due = False
                self._looking = True
                self._outage.told(stream)
                # Beats of a fleet that connected at one moment are spread over the minute.
                self._next_beat_s = time.monotonic() + self._draw.uniform(0, self._beat_s)
                self._digests.begin()

    async def _keep_up_to(self, difference: Difference) -> bool:
        """What is kept reaches up to this look, before it is declared."""
        if self._looking:
            return await self._outage.keep(difference, now=True)
        return await self._outage.begin_again(difference)

    async def _look(self) -> Difference:
        self._next_look_s = time.monotonic() + self._every_s
        if self._look_now.due_in_s() == 0:
            self._look_now.done()
        difference = await self._worker.run(self._watch.look)
        failpoints.reached("after-look", difference.look_at_us)
        self._have_looked()
        self._note_sight(difference)
        self._last = Difference(difference.look_at_us, 0, look_boottime_us=difference.look_boottime_us)
        return difference

    def _note_sight(self, difference: Difference) -> None:
        since_us = self._blindness.note(difference, self._last)
        if since_us is not None:
            self._gaps.since(since_us, NOT_READ)
            # What the look found meanwhile may have ended at any time since: only a snapshot says so.
            self._looking = False
            self._outage.looking_stopped()
            self._snapshot_due = self._connected

    async def _tell_blindness(self) -> None:
        if self._connected and (told := self._blindness.news(self._streams)):
            await self._put_difference(told, told.look_at_us)

    # Into the window.

    async def _put_difference(self, difference: Difference, before_us: int, digest: Digest | None = None) -> bool:
        past = self._past
        batches = difference_batches(difference, digest)
        rest: list[bytes] = []
        while (body := await self._next(batches)) is not None:
            if rest or not await self._put(Kind.DIFFERENCE, body, past):
                rest.append(body)
        if rest and past == self._past:
            await self._overflow(before_us, rest)
        elif rest and self._outage.takes_looks:
            self._outage.put(rest)
        return not rest

    async def _put(self, kind: Kind, body: bytes, past: int, stream: int | None = None) -> bool:
        """Wait for room and take it. False if that became senseless: no stream and a full window, a dropped past, or
        (for a part of a snapshot) another stream than the one it was made for."""
        while True:
            if past != self._past or (stream is not None and (stream != self._streams or not self._connected)):
                return False
            if self.window.room:
                break
            if not self._connected:
                return False
            await self._wait(math.inf)
        self.window.put(kind, body, self._last_look_us)
        self._next_beat_s = time.monotonic() + self._beat_s
        self.to_send.set()
        return True

    async def _next(self, batches: Iterator[T]) -> T | None:
        """The next batch, encoded in the worker: 10,000 rows would hold up the stream for a tenth of a second."""
        step: Callable[[Iterator[T], None], T | None] = next
        return await self._worker.run(step, batches, None)

    @property
    def leaves_room(self) -> bool:
        """True if what was kept may be told: the collector knows the present, and nothing of it waits."""
        return self._connected and self._settled and not self._snapshot_due and self.window.all_sent

    def put_backlog(self, body: bytes, kind: Kind = Kind.BACKLOG) -> None:
        """Something of the past, as of the last look."""
        assert self._last is not None
        self.window.put(kind, as_of(self._last, body), self._last_look_us)
        self.to_send.set()

    async def _overflow(self, last_known_us: int, rest: Sequence[bytes] = ()) -> None:
        assert self._last is not None
        if self._outage.can_keep and not self._whole and not self._keeper.keeping:
            # Whether the collector has the snapshot on which the differences build is not known.
            self._gaps.since(self._first_told_us or last_known_us, FIRST_SNAPSHOT_LOST)
            self.window.move_out()
            self._past += 1
            self._looking = False
            self._outage.looking_stopped()
        elif not await self._outage.overflow(rest, self._last, lambda: not self._connected):
            self._looking = False
            self._gaps.since(last_known_us, QUEUE_FULL)
            self._log.situation(
                "queue", "queue full, looking stops until the collector is back; history will show a gap"
            )

    def _forget(self, reason: str | None) -> None:
        """Drop all batches. What was looked at since the first snapshot becomes a gap, if there is a reason to name."""
        if reason is None:
            self._first_told_us = 0
        elif self._first_told_us:
            self._gaps.since(self._first_told_us, reason)
        self.window.drop()
        self._looking = False
        self._outage.looking_stopped()
        self._past += 1

    def _freed(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.BACKLOG:
                self._drain.acknowledged()
            self._outage.stored_look_us = entry.look_us
        if any(entry.kind is Kind.LAST_PART for entry in entries):
            self._whole = self._settled = True
            self._gaps.stored()
            self._outage.stored()
            memory.give_back()
            memory.put_code_down()  # what connecting and a first snapshot took is not used again soon
            self._log.say(f"snapshot of {self._sockets_told} sockets acknowledged")

    def _stir(self) -> None:
        self._wake.set()
        self.to_send.set()
        self.stirred.set()

    async def _wait(self, wait_s: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(None if wait_s == math.inf else wait_s):
                await self._wake.wait()
        except TimeoutError:
            pass
