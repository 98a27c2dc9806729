"""A time without a collector, from a full window (or a start without one) to the snapshot that declares it.

    1. The window is full and no stream is there: what it holds is kept, and each look after that.
    2. On a stream: the look is kept, and the snapshot declares all of it as a gap that is kept.
    3. From then on differences go into the window again. Only when that snapshot is acknowledged is the time over; if
       its stream breaks before that, they go where the others went.

What must stay true: each difference is in the window, or kept, or in a declared gap; what is kept is in order.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from fleetnet_agent.log import Log
from fleetnet_agent.records import Difference, Gap, Snapshot
from fleetnet_agent.uplink.gaps import Gaps
from fleetnet_agent.uplink.keeping import Keeper
from fleetnet_agent.uplink.window import Window
from fleetnet_agent.uplink.worker import Worker
from fleetnet_agent.wire.batches import begins_at, difference_batches, snapshot_batches

KEEP_AFTER_S: Final = 30.0
RESTARTED: Final = "agent restarted"


class HasSnapshot(Protocol):
    """See fleetnet_agent.watch.Watch."""

    def snapshot(self) -> Snapshot:
        """Everything that was open at the last look."""


class Outage:
    """What happens to looks while no collector takes them."""

    def __init__(
        self,
        keeper: Keeper,
        watch: HasSnapshot,
        worker: Worker,
        window: Window,
        gaps: Gaps,
        log: Log,
        keep_after_s: float = KEEP_AFTER_S,
    ) -> None:
        self._keeper = keeper
        self._watch = watch
        self._worker = worker
        self._window = window
        self._gaps = gaps
        self._log = log
        self._keep_after_s = keep_after_s
        self.stored_look_us = 0  # the last that a collector has acknowledged
        self._begin_at_s = math.inf
        self._declared_on = 0  # the stream whose snapshot has declared it, and has been put whole
        self._is_declared = False  # by a snapshot whose fate is not known

    @property
    def takes_looks(self) -> bool:
        """True if what looks tell is kept, and not for the window."""
        return self._keeper.keeping and not self._is_declared

    @property
    def can_keep(self) -> bool:
        """True if there is a disk to keep it on, as far as is known."""
        return self._keeper.is_on and self._keeper.try_in_s() == 0

    def is_to_be_declared(self, stream: int) -> bool:
        """True if the next snapshot on this stream is to declare it."""
        return self._keeper.keeping and self._declared_on != stream

    def due_in_s(self) -> float:
        """Seconds until it makes sense to keep what comes, where nothing is kept for now."""
        if not self._keeper.is_on:
            return math.inf
        return max(0.0, self._begin_at_s - time.monotonic(), self._keeper.try_in_s())

    def looking_stopped(self) -> None:
        """Nothing is kept from now on; if that lasts, there is another beginning."""
        self._begin_at_s = 0.0 if self._keeper.keeping else time.monotonic() + self._keep_after_s

    async def find(self) -> None:
        """The agent has begun: go on with what the one before it kept, if it did not tell it."""
        last_look_us = await self._keeper.find()
        self.looking_stopped()
        if last_look_us is not None:
            self._gaps.since(last_look_us, RESTARTED)

    async def overflow(self, rest: Sequence[bytes], look: Difference, is_away: Callable[[], bool]) -> bool:
        """The window is full, and there is no room for the rest of this look: keep it all. False if that is not
        possible."""
        if self._keeper.keeping:
            self.take_back(self._window.differences(behind_snapshot=True))
            self._keeper.put(rest)
            self._window.move_out(behind_snapshot=True)
            return True
        if not self.can_keep:
            return False
        bodies = [*self._window.differences(), *rest]
        from_us = begins_at(bodies[0]) if bodies else look.look_at_us
        if self.stored_look_us:  # looks between that one and the first of these found nothing
            from_us = min(from_us, self.stored_look_us)
        if not await self._keeper.begin(from_us, bodies, self._parts, look):
            self._begin_at_s = 0.0
            return False
        if is_away():  # else all of it is on its way, and once more among what is kept
            self._window.move_out()
        self._log.situation("queue", "queue full, keeping on disk until the collector is back")
        return True

    async def keep(self, difference: Difference, *, now: bool = False) -> bool:
        """Keep what this look told. False if that failed: then a gap has begun."""
        bodies: list[bytes] = []
        if not difference.empty:
            bodies = await self._worker.run(lambda: list(difference_batches(difference)))
        trouble = await self._keeper.keep(bodies, difference, now=now)
        if trouble is None:
            return True
        self._gaps.since(*trouble)
        self._begin_at_s = 0.0
        return False

    async def begin_again(self, look: Difference) -> bool:
        """Keep from this look on; what is not known before it becomes gaps of what is kept."""
        if not self.can_keep or not await self._keeper.begin_again(self._parts, look, self._gaps.tell(look.look_at_us)):
            return False
        self._gaps.stored()
        self._log.situation("queue", "no collector answers, keeping on disk until one does")
        return True

    async def declare(self, look: Difference) -> list[Gap]:
        """The gaps that a snapshot of this look is to declare."""
        return await self._keeper.declare(look) if self._keeper.keeping else []

    def told(self, stream: int) -> None:
        """A snapshot was put whole."""
        if self.is_to_be_declared(stream):
            self._declared_on = stream
            self._is_declared = True

    def stored(self) -> None:
        """A snapshot is stored."""
        if self._is_declared:
            self._is_declared = False
            self._keeper.declared()

    def take_back(self, bodies: Iterable[bytes]) -> None:
        """The snapshot was lost, and these came behind it."""
        if self._is_declared:
            self._keeper.put(bodies)
        self._is_declared = False

    def put(self, bodies: Iterable[bytes]) -> None:
        """The rest of a look whose beginning was taken back."""
        self._keeper.put(bodies)

    def _parts(self) -> Iterable[bytes]:
        """In the looks' thread."""
        return (body for body, _ in snapshot_batches(self._watch.snapshot()))
