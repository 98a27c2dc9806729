"""Live looks: a collector asks, the host is looked at as it is now, and the answer goes out beside the batches.

What must stay true, for a collector is not trusted to be kind:
- one live look at a time, LIVE_AT_LEAST_EVERY_S after the one before, and all of them together take LIVE_SHARE of the
  looks' thread at most. What is asked besides is refused at once, and not even that beyond MOST_REFUSALS at a time;
- a part is made when the one before it was taken, and looks and batches come in between;
- a look ends with its stream, and in any case after LIVE_WITHIN_S.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Final, NoReturn, Protocol

from fleetnet_agent.records import LiveItem, LiveWanted
from fleetnet_agent.uplink.worker import Worker
from fleetnet_agent.wire.live import live_end, live_parts, live_refusal

LIVE_AT_LEAST_EVERY_S: Final = 0.8  # a collector that waits for a second, as it counts, is not to be refused
LIVE_SHARE: Final = 0.2
LIVE_WITHIN_S: Final = 30.0
MOST_REFUSALS: Final = 16

UNDER_WAY: Final = "another live look at this host is under way; ask again when it has ended"
TOO_LONG: Final = f"the live look was cut off, for it took longer than {LIVE_WITHIN_S:g} s"

Write = Callable[[bytes], Awaitable[None]]
"""Writes an encoded LivePart to the stream."""


class LiveWatch(Protocol):
    """What is looked with; see fleetnet_agent.watch.Watch."""

    def live(self, wanted: LiveWanted) -> Generator[LiveItem, None, None]:
        """Everything at this moment."""


class LiveLooks:
    """The live looks of one agent, over one stream after the other."""

    def __init__(self, watch: LiveWatch, worker: Worker, clock_us: Callable[[], int]) -> None:
        self._watch = watch
        self._worker = worker
        self._clock_us = clock_us
        self._asked: tuple[int, LiveWanted] | None = None  # until it is answered
        self._refused: deque[tuple[int, str, float]] = deque()  # with the seconds to wait
        self._wake = asyncio.Event()
        self._free_at_s = -math.inf
        self._took_s = 0.0  # the present look, of the worker's time

    def ask(self, request: int, wanted: LiveWanted) -> None:
        """A collector asks. Answered by `answer`."""
        wait_s = self._free_at_s - time.monotonic()
        if self._asked is None and wait_s <= 0:
            self._asked = (request, wanted)
        elif len(self._refused) < MOST_REFUSALS:
            under_way = self._asked is not None
            self._refused.append((request, *((UNDER_WAY, 0.0) if under_way else (_too_soon(wait_s), wait_s))))
        self._wake.set()

    async def answer(self, write: Write) -> NoReturn:
        """Answer what is asked on one stream, until cancelled; then what was asked is forgotten."""
        try:
            while True:
                self._wake.clear()
                await self._refuse(write)
                if self._asked is not None:
                    await self._look(*self._asked, write)
                    self._asked = None
                else:
                    await self._wake.wait()
        finally:
            self._asked = None
            self._refused.clear()

    async def _refuse(self, write: Write) -> None:
        while self._refused:
            request, why, wait_s = self._refused.popleft()
            await write(live_refusal(request, self._clock_us(), why, wait_s))

    async def _look(self, request: int, wanted: LiveWanted, write: Write) -> None:
        items = self._watch.live(wanted)
        parts = live_parts(request, items, self._clock_us)
        until_s = time.monotonic() + LIVE_WITHIN_S
        self._took_s = 0.0
        try:
            while (part := await self._worker.run(self._step, parts)) is not None:
                await self._refuse(write)
                if time.monotonic() > until_s:
                    await write(live_end(request, self._clock_us(), TOO_LONG))
                    break
                await write(part)
        finally:
            # In the worker, for a step may still be running there.
            self._worker.post(items.close)
            pause_s = max(LIVE_AT_LEAST_EVERY_S, self._took_s * (1 / LIVE_SHARE - 1))
            self._free_at_s = time.monotonic() + pause_s

    def _step(self, parts: Iterator[bytes]) -> bytes | None:
        began_s = time.monotonic()
        try:
            return next(parts, None)
        finally:
            self._took_s += time.monotonic() - began_s


def _too_soon(wait_s: float) -> str:
    return f"this host was looked at live a moment ago; ask again in {math.ceil(wait_s)} s"
