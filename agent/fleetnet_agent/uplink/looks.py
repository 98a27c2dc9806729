"""From looks to batches: what is put into the window, and when.

    1. One look is made at once. Nothing is told before a stream is there: the first thing a collector hears is a
       snapshot.
    2. On every new stream: the difference up to a fresh look, then the whole table in parts.
    3. After that a difference per look that found one, and a beat when nothing was told for BEAT_S.
    4. Without a stream the differences go on, until the window is full. Then looking stops, and the next snapshot says
       from when to when nobody looked.
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
from collections.abc import Callable, Generator, Iterator
from typing import Final, Protocol, TypeVar

from fleetnet_agent import memory
from fleetnet_agent.log import Log
from fleetnet_agent.records import Difference, Gap, LiveItem, LiveWanted, Snapshot, SourceStatus
from fleetnet_agent.uplink.window import Entry, Kind, Window
from fleetnet_agent.uplink.worker import Worker
from fleetnet_agent.wire.batches import beat, begins_at, difference_batches, snapshot_batches

BEAT_S: Final = 60.0
LOOK_NOW_AT_MOST_EVERY_S: Final = 0.25
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
        self._wake = asyncio.Event()
        self._streams = 0  # how many there have been; each wants its own snapshot
        self._connected = False
        self._snapshot_due = False
        self._looking = False  # False before the first stream, and after an overflow
        self._whole = False  # the collector has a whole snapshot of this epoch
        self._past = 0  # counts up when the batches made so far were dropped
        self._gap: tuple[int, str] | None = None  # since when, and why; until the snapshot that tells it is stored
        self._told_gap: tuple[int, str] | None = None
        self._clock_gaps: list[Gap] = []  # until the snapshot that tells them is stored
        self._told_clock_gaps = 0
        self._blind: dict[str, SourceStatus] = {}
        self._poor: set[str] = set()  # sources that read less than all, and not for blindness
        self._blind_since_us: int | None = None
        self._blindness_told: tuple[int, tuple[str, ...]] | None = None
        self._last_look_us = 0
        self._first_told_us = 0  # look of the first snapshot of this epoch that was begun
        self._sockets_told = 0
        self._next_look_s = self._next_beat_s = 0.0
        self._last_extra_look_s = -math.inf

    # What a stream tells.

    def begin_stream(self, committed: int, credit: int) -> None:
        """A stream was welcomed. Raises ValueError where the collector's past is not this window's."""
        self._freed(self.window.begin_stream(committed, credit))
        if not self._whole:
            self._forget(FIRST_SNAPSHOT_LOST)
        self._streams += 1
        self._connected = self._snapshot_due = True
        self._stir()

    def end_stream(self) -> None:
        """The stream is gone."""
        self._connected = False
        self._stir()

    def acknowledge(self, sequence: int) -> None:
        """The collector stored everything up to here. Raises ValueError for what was never sent."""
        freed = self.window.acknowledge(sequence)
        self._freed(freed)
        if freed:
            self._stored()
        self._stir()

    def look_now(self) -> None:
        """Look at once, if the last such look was not just now."""
        now_s = time.monotonic()
        if now_s - self._last_extra_look_s >= LOOK_NOW_AT_MOST_EVERY_S:
            self._last_extra_look_s = now_s
            self._next_look_s = 0.0
            self._stir()

    def clock_was_set(self, between_us: tuple[int, int]) -> None:
        """The wall clock went from one of these to the other; what history says of the time between is not sure."""
        self._clock_gaps.append(Gap(min(between_us), max(between_us), CLOCK_SET))

    def restart(self, reason: str | None = None) -> None:
        """A new epoch: the collector will hear everything again. With a reason, what it has not stored of the old one
        becomes a gap."""
        lost, gap = self.window.oldest, self._gap
        self.window.restart()
        self._whole = False
        self._forget(None)
        if reason is not None:
            self._gap = gap
            if lost is not None:
                self._since(begins_at(lost.body), reason)

    # The loop.

    async def run(self) -> None:
        """Look until cancelled."""
        await self._look()
        self.looked.set()
        while True:
            wait_s = self._due_in_s()
            if wait_s > 0:
                await self._wait(wait_s)
            elif self._snapshot_due:
                await self._tell_snapshot()
            else:
                await self._tell_difference()

    def _due_in_s(self) -> float:
        if self._snapshot_due and self._connected:
            if not self.window.room:
                return math.inf
            return 0.0 if self._blind_since_us is None else self._next_look_in_s()
        if not self._looking:
            return math.inf
        wait_s = self._next_look_in_s()
        if self.window.room:
            return wait_s
        if not self._connected and wait_s == 0:
            self._overflow(self._last_look_us)
        return math.inf if self._connected or not self._looking else wait_s

    def _next_look_in_s(self) -> float:
        return max(0.0, self._next_look_s - time.monotonic())

    async def _tell_difference(self) -> None:
        before_us = self._last_look_us
        difference = await self._look()
        if self._blind_since_us is not None:
            await self._tell_blindness(difference)
        elif not self._looking:
            return  # all sources see again; the snapshot that is due tells everything
        elif not difference.empty:
            await self._put_difference(difference, before_us)
        elif self._connected and time.monotonic() >= self._next_beat_s:
            await self._put(Kind.DIFFERENCE, beat(difference.look_at_us, before_us), self._past)

    async def _tell_snapshot(self) -> None:
        stream, past, before_us = self._streams, self._past, self._last_look_us
        difference = await self._look()
        if self._blind_since_us is not None:
            await self._tell_blindness(difference)
            return
        if self._looking and not difference.empty and not await self._put_difference(difference, before_us):
            return
        del difference  # at the first look it is as large as the snapshot
        snapshot = await self._worker.run(self._watch.snapshot)
        self._first_told_us = self._first_told_us or snapshot.look_at_us
        self._told_gap, self._sockets_told = self._gap, len(snapshot.sockets)
        gaps = [Gap(self._gap[0], snapshot.look_at_us, self._gap[1])] if self._gap else []
        self._told_clock_gaps = len(self._clock_gaps)
        gaps += self._clock_gaps
        parts = snapshot_batches(snapshot, gaps)
        while (part := await self._next(parts)) is not None:
            body, last = part
            if not await self._put(Kind.LAST_PART if last else Kind.PART, body, past, stream):
                return
            if last:  # at once, for at the next await another stream may begin
                self._snapshot_due = False
                self._looking = True
                # Beats of a fleet that connected at one moment are spread over the minute.
                self._next_beat_s = time.monotonic() + random.uniform(0, self._beat_s)  # noqa: S311 - no secret

    async def _look(self) -> Difference:
        self._next_look_s = time.monotonic() + self._every_s
        difference = await self._worker.run(self._watch.look)
        self._note_sight(difference)
        self._last_look_us = difference.look_at_us
        return difference

    def _note_sight(self, difference: Difference) -> None:
        for source in difference.sources:
            self._blind.pop(source.name, None)
            if source.blind:
                self._blind[source.name] = source
            else:
                self._say_how_it_reads(source)
        if self._blind and self._blind_since_us is None:
            self._blind_since_us = self._last_look_us or difference.look_at_us
        elif not self._blind and self._blind_since_us is not None:
            self._since(self._blind_since_us, NOT_READ)
            self._blind_since_us = self._blindness_told = None
            # What the look found meanwhile may have ended at any time since: only a snapshot says so.
            self._looking = False
            self._snapshot_due = self._connected

    def _say_how_it_reads(self, source: SourceStatus) -> None:
        """One line for each change; that all is well only after something was not."""
        if not source.ok:
            self._poor.add(source.name)
            self._log.say(f"source {source.name}: {source.detail}")
        elif source.name in self._poor:
            self._poor.discard(source.name)
            self._log.say(f"source {source.name}: all is well again")

    async def _tell_blindness(self, difference: Difference) -> None:
        """That a source is blind, once and to each stream; as of the last look at which all could see."""
        if not self._connected or self._blindness_told == (self._streams, tuple(self._blind)):
            return
        self._blindness_told = (self._streams, tuple(self._blind))
        as_of_us = self._blind_since_us or difference.look_at_us
        told = Difference(as_of_us, as_of_us, sources=tuple(self._blind.values()))
        await self._put_difference(told, as_of_us)
        for source in self._blind.values():
            self._log.situation(f"source {source.name}", f"source {source.name} {source.detail}; trying again")

    # Into the window.

    async def _put_difference(self, difference: Difference, before_us: int) -> bool:
        past = self._past
        batches = difference_batches(difference)
        while (body := await self._next(batches)) is not None:
            if not await self._put(Kind.DIFFERENCE, body, past):
                if past == self._past:
                    self._overflow(before_us)
                return False
        return True

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
        self.window.put(kind, body)
        self._next_beat_s = time.monotonic() + self._beat_s
        self.to_send.set()
        return True

    async def _next(self, batches: Iterator[T]) -> T | None:
        """The next batch, encoded in the worker: 10,000 rows would hold up the stream for a tenth of a second."""
        step: Callable[[Iterator[T], None], T | None] = next
        return await self._worker.run(step, batches, None)

    def _overflow(self, last_known_us: int) -> None:
        self._looking = False
        self._since(last_known_us, QUEUE_FULL)
        self._log.situation("queue", "queue full, looking stops until the collector is back; history will show a gap")

    def _forget(self, reason: str | None) -> None:
        """Drop all batches. What was looked at since the first snapshot becomes a gap, if there is a reason to name."""
        if reason is None:
            self._gap = None
            self._first_told_us = 0
        elif self._first_told_us:
            self._since(self._first_told_us, reason)
        self.window.drop()
        self._looking = False
        self._past += 1

    def _since(self, from_us: int, reason: str) -> None:
        self._gap = (min(from_us, self._gap[0]) if self._gap else from_us, reason)

    def _freed(self, entries: list[Entry]) -> None:
        if any(entry.kind is Kind.LAST_PART for entry in entries):
            self._whole = True
            if self._gap is self._told_gap:
                self._gap = None
            del self._clock_gaps[: self._told_clock_gaps]
            self._told_clock_gaps = 0
            memory.give_back()
            memory.put_code_down()  # what connecting and a first snapshot took is not used again soon
            self._log.say(f"snapshot of {self._sockets_told} sockets acknowledged")

    def _stir(self) -> None:
        self._wake.set()
        self.to_send.set()

    async def _wait(self, wait_s: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(None if wait_s == math.inf else wait_s):
                await self._wake.wait()
        except TimeoutError:
            pass
