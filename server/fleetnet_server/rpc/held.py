"""The memory of reports that have come and are not stored yet: of all streams together, the writer's queue included.

What must stay true: whatever the database does, no more is held than the bound. A report is weighed when it has come
and waits, in the order of arrival, until there is room for it; while one waits nothing more is read. Streams that were
reading just then may bring one report each: a quarter of the bound is for these, and when that is full too, a stream is
sent away. Its report was not acknowledged, so the host still has it. As it came a report takes about half of what it
takes when it has been taken in, and is weighed as that.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from fleetnet_proto.v1 import report_pb2

from fleetnet_server.rpc import translate_report
from fleetnet_server.services.load import Load

# What a row, process, holder or part of a namespace takes in memory, in a message and as a record: measured (150 to 220
# and 350 to 400), rounded up.
_PART_OF_MESSAGE_BYTES = 250
_PART_OF_RECORD_BYTES = 550
# A message with nothing in it, and the tasks that follow it.
_MESSAGE_BYTES = 4_096


class Weight(NamedTuple):
    """Bytes of memory that a report takes."""

    waiting: int  # as a message
    taken: int  # from then on until it is stored: as records, and as the bytes that it came as


class FullError(Exception):
    """There is no room for what has come; known inside this room only."""


class Held:
    """One per collector, on its event loop."""

    def __init__(self, most_bytes: int, load: Load) -> None:
        self._line_bytes = most_bytes // 4
        self._taken_bytes = most_bytes - self._line_bytes
        self._load = load
        self._taken = 0
        self._waiting_bytes = 0
        self._waiting: deque[tuple[asyncio.Future[None], Weight]] = deque()
        self._nobody_waits = asyncio.Event()
        self._nobody_waits.set()

    async def readable(self) -> None:
        """Wait until more may be read."""
        await self._nobody_waits.wait()

    async def take(self, weight: Weight) -> int:
        """Wait for room; how much is to be given back. Raises FullError."""
        # One that is heavier than all there is passes when nothing else is held.
        weight = Weight(min(weight.waiting, self._line_bytes), min(weight.taken, self._taken_bytes))
        if not self._waiting and self._fits(weight):
            self._taken += weight.taken
            self._load.hold(weight.taken)
            return weight.taken
        if self._waiting and self._waiting_bytes + weight.waiting > self._line_bytes:
            self._load.sent_away += 1
            raise FullError
        await self._wait(weight)
        return weight.taken

    def give_back(self, weight: int) -> None:
        """What was taken is stored, or will not be."""
        self._taken -= weight
        self._load.hold(-weight)
        self._move_up()

    async def _wait(self, weight: Weight) -> None:
        place = (asyncio.get_running_loop().create_future(), weight)
        self._waiting.append(place)
        self._waiting_bytes += weight.waiting
        self._load.hold(weight.waiting)
        self._nobody_waits.clear()
        try:
            await place[0]
        except asyncio.CancelledError:
            if place in self._waiting:
                self._leave_line(place)
                self._move_up()
            else:
                self.give_back(weight.taken)
            raise

    def _fits(self, weight: Weight) -> bool:
        return self._taken + weight.taken <= self._taken_bytes

    def _leave_line(self, place: tuple[asyncio.Future[None], Weight]) -> None:
        self._waiting.remove(place)
        self._waiting_bytes -= place[1].waiting
        self._load.hold(-place[1].waiting)

    def _move_up(self) -> None:
        while self._waiting and self._fits(self._waiting[0][1]):
            place = self._waiting[0]
            self._leave_line(place)
            self._taken += place[1].taken
            self._load.hold(place[1].taken)
            if not place[0].done():
                place[0].set_result(None)
        if not self._waiting:
            self._nobody_waits.set()


def weigh(message: report_pb2.Batch, size_bytes: int) -> Weight:
    """What a batch takes until it is stored."""
    parts = translate_report.parts(message)
    return Weight(
        _MESSAGE_BYTES + 2 * size_bytes + _PART_OF_MESSAGE_BYTES * parts,
        _MESSAGE_BYTES + 2 * size_bytes + _PART_OF_RECORD_BYTES * parts,
    )
