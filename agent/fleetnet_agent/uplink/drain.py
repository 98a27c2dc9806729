"""What was kept goes to the collector, behind the present.

What must stay true: nothing of it goes before the snapshot that declares it is stored; IN_FLIGHT_AT_MOST parts wait for
their acknowledgement, so a difference waits for no more than these; at most RATE bytes in a second; a part leaves the
disk when it is acknowledged, and what a stream took with it is told again on the next.
"""

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from fleetnet_agent.records import Gap
from fleetnet_agent.uplink.keeping import Keeper

if TYPE_CHECKING:
    from fleetnet_agent.spool.parts import Part

RATE: Final = 1 << 20  # bytes in a second
IN_FLIGHT_AT_MOST: Final = 2
LOOK_AGAIN_S: Final = 5.0


class Present(Protocol):
    """What goes first; see fleetnet_agent.uplink.looks.Looks."""

    stirred: asyncio.Event

    @property
    def leaves_room(self) -> bool:
        """True if something else may be sent now."""

    def put_backlog(self, body: bytes) -> None:
        """Send it, as a batch that lacks its look."""


class Drain:
    """The way of parts from the spool to the collector, over one stream after the other."""

    def __init__(self, keeper: Keeper, rate: float = RATE) -> None:
        self._keeper = keeper
        self._rate = rate
        self._flying: deque[Part | None] = deque()  # None for one of a file that is gone
        self._taken: deque[Part] = deque()  # acknowledged, and still on the disk
        self._last: Part | None = None
        self._streams = 0
        self._file = keeper.file

    def acknowledged(self) -> None:
        """The first of the parts on their way is stored."""
        if self._flying and (part := self._flying.popleft()):
            self._taken.append(part)

    def begin_again(self) -> None:
        """What is on its way is lost."""
        self._flying.clear()
        self._last = self._taken[-1] if self._taken else None
        self._streams += 1

    def refused(self, reason: str) -> list[Gap]:
        """The first of the parts on their way will never be stored: it leaves, and becomes a gap."""
        part = self._flying.popleft() if self._flying else None
        if part is None:
            return []
        self._taken.append(part)
        return [Gap(part.from_us, part.to_us, reason)]

    async def run(self, present: Present) -> None:
        """Tell what is kept, whenever that may be, until cancelled."""
        while True:
            present.stirred.clear()
            told_bytes = await self._step(present)
            if told_bytes:
                await asyncio.sleep(told_bytes / self._rate)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await present.stirred.wait()

    async def _step(self, present: Present) -> int:
        """Tell one part, if there is one and it may go: its bytes, or 0."""
        if self._file != self._keeper.file:
            self._file = self._keeper.file
            self._taken.clear()
            self._last = None
            self._flying = deque(None for _ in self._flying)
        if not self._keeper.has_news or self._keeper.try_in_s() or not await self._keeper.tidy():
            return 0
        while self._taken:
            if not await self._keeper.taken(self._taken[0]):
                return 0
            self._taken.popleft()
        if not present.leaves_room or len(self._flying) >= IN_FLIGHT_AT_MOST:
            return 0
        streams = self._streams
        part = await self._keeper.part(self._last)
        if part is None:
            if not self._flying:
                await self._keeper.rest()
            return 0
        if streams != self._streams or not present.leaves_room:
            return 0
        self._flying.append(part)
        self._last = part
        present.put_backlog(part.body)
        return len(part.body)
