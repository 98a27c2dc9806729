"""The spool beside the streams: opened when it is needed, written in the looks' thread, and never in the way.

What must stay true: an agent whose collector takes its reports touches no disk; nothing that is wrong with the disk
ends the agent, or is told twice in its log; what could not be kept is a gap.

Looks are written once in WRITE_EVERY_S at most. What a kill costs is what came after the last of them, and the gap from
there to the first look of the next agent covers it.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from fleetnet_agent.log import Log
from fleetnet_agent.records import Difference, Gap, Look
from fleetnet_agent.spool import paths
from fleetnet_agent.spool.errors import SpoolDamagedError, SpoolError, SpoolUnavailableError
from fleetnet_agent.uplink.worker import Worker
from fleetnet_agent.wire.batches import look_told

if TYPE_CHECKING:  # SQLite is loaded when something is kept
    from fleetnet_agent.spool.parts import Part
    from fleetnet_agent.spool.spool import Spool

DEFAULT_BYTES: Final = 64 << 20
WRITE_EVERY_S: Final = 0.9
WRITE_NOW_BYTES: Final = 1 << 20
NOTE_LOOK_EVERY_S: Final = 60.0  # that nothing changed up to a look
TRY_EVERY_S: Final = 60.0
DAMAGED: Final = "what was kept on the host is damaged"
UNUSABLE: Final = "collector unreachable, and nothing can be kept on the host"

T = TypeVar("T")
Parts = Callable[[], Iterable[bytes]]
"""Makes a snapshot's parts; called in the looks' thread."""


class Keeper:
    """What one agent keeps. `keeping` says that a time without a collector has begun and is not yet told."""

    def __init__(
        self,
        directory: Path,
        most_bytes: int,
        boot: bytes,
        worker: Worker,
        log: Log,
        *,
        try_every_s: float = TRY_EVERY_S,
    ) -> None:
        self.is_on = most_bytes > 0
        self.keeping = False
        self.boot = boot
        self.file = 0  # counts up with each that is gone: parts of one say nothing of another
        self.lost: list[Gap] = []  # to be told: what was kept, and is lost
        self.withdrawn: list[Gap] = []  # to be told: of this nothing more will come
        self._directory = directory
        self._most_bytes = most_bytes
        self._worker = worker
        self._log = log
        self._try_every_s = try_every_s
        self._spool: Spool | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._unwritten: Look | None = None  # up to which more is known than is on the disk
        self._wrote_s = 0.0
        self._try_at_s = 0.0
        self._declared: Gap | None = None
        self._to_settle: Gap | None = None
        self._since_us = self._last_look_us = 0  # of the segment that is kept

    @property
    def has_news(self) -> bool:
        """True if there may be something to tell, or to tidy up."""
        return self._spool is not None and not (self.keeping and not self._spool.told)

    def try_in_s(self) -> float:
        """Seconds until something may be tried again that has failed."""
        return max(0.0, self._try_at_s - time.monotonic())

    async def find(self) -> int | None:
        """What an agent before this one has left; the last look of a time that it has not told, which then goes on."""
        if not (self.is_on and paths.is_there(self._directory)):
            return None
        try:
            changed_us = (self._directory / paths.NAME).stat().st_mtime_ns // 1000
            await self._do(lambda spool: None)
        except SpoolDamagedError:
            self.lost.append(Gap(changed_us, changed_us, DAMAGED))
            return None
        except (SpoolError, OSError):
            return None
        self.keeping = self._spool is not None and self._spool.since_us is not None
        return self._last_look_us if self.keeping else None

    async def begin(self, from_us: int, bodies: Sequence[bytes], parts: Parts, look: Difference) -> bool:
        """Keep from here on: these batches first. False if nothing can be kept."""

        def work(spool: "Spool") -> None:
            self._settle(spool)
            spool.begin(from_us, bodies, parts, look_of(look))

        return await self._begun(work)

    async def begin_again(self, parts: Parts, look: Difference, gaps: Sequence[Gap]) -> bool:
        """Keep from here on, after these times of which nothing is known. False if nothing can be kept."""

        waiting, unwritten = self._waiting, self._unwritten

        def work(spool: "Spool") -> None:
            self._settle(spool)
            if unwritten is not None and spool.since_us is not None:
                spool.keep(waiting, unwritten)
            spool.reconcile(parts, look_of(look), gaps)

        return await self._begun(work)

    def put(self, bodies: Iterable[bytes]) -> None:
        """These go before what is kept next."""
        for body in bodies:
            self._waiting.append(body)
            self._waiting_bytes += len(body)
            self._unwritten = look_told(body)

    async def keep(self, bodies: Iterable[bytes], look: Difference, *, now: bool = False) -> tuple[int, str] | None:
        """Keep what this look told; written soon, or `now`. Since when and why nothing is kept, if it cannot be."""
        self.put(bodies)
        self._unwritten = look_of(look)
        age_s = time.monotonic() - self._wrote_s
        due = self._waiting and (age_s >= WRITE_EVERY_S or self._waiting_bytes >= WRITE_NOW_BYTES)
        if not (now or due or age_s >= NOTE_LOOK_EVERY_S):
            return None
        waiting, self._waiting, self._waiting_bytes, self._unwritten = self._waiting, [], 0, None
        since_us, last_look_us = self._since_us, self._last_look_us
        try:
            await self._do(lambda spool: spool.keep(waiting, look_of(look)))
        except SpoolDamagedError:
            return since_us, DAMAGED
        except SpoolUnavailableError:
            return last_look_us, UNUSABLE
        self._wrote_s = time.monotonic()
        return None

    async def declare(self, look: Difference) -> list[Gap]:
        """What a snapshot of this look is to declare; also where the disk cannot be read now, for it may be later."""
        since_us, self._declared = self._since_us, None
        try:
            gaps = await self._do(lambda spool: spool.declare(look_of(look)))
        except SpoolDamagedError:
            return [Gap(since_us, look.look_at_us, DAMAGED)]
        except SpoolUnavailableError:
            gaps = [Gap(since_us, look.look_at_us, UNUSABLE, kept=True)]
        self._declared = gaps[0]
        return gaps

    def declared(self) -> None:
        """The snapshot that declared it is stored: a time without a collector is over."""
        self.keeping = False
        self._to_settle, self._declared = self._declared, None

    async def tidy(self) -> bool:
        """Do what is left to do before anything can be told; False if that cannot be done now."""
        if self._to_settle is None:
            return True
        return await self._tried(self._settle)

    async def part(self, after: "Part | None") -> "Part | None":
        """What to tell next."""
        try:
            return await self._do(lambda spool: spool.part(after))
        except SpoolError:
            return None

    async def taken(self, part: "Part") -> bool:
        """It is stored, and leaves."""
        return await self._tried(lambda spool: spool.taken(part))

    async def depth(self) -> tuple[int, int]:
        """Bytes that are kept, and since when, microseconds; 0 and 0 where nothing is."""
        if self._spool is None:
            return 0, 0
        try:
            return await self._do(lambda spool: (spool.waiting_bytes(), spool.oldest_us))
        except SpoolError:
            return 0, 0

    async def rest(self) -> None:
        """Nothing waits: leave no file behind."""
        if self._spool is not None and self._spool.is_empty and not self.keeping:
            spool, self._spool = self._spool, None
            self.file += 1
            await self._worker.run(spool.close)
            self._log.say("all that was kept while no collector answered has been told")

    async def close(self) -> None:
        """The agent ends: what waits is written, up to the look that it tells of."""
        waiting, unwritten = self._waiting, self._unwritten
        if self.keeping and unwritten is not None:
            await self._tried(lambda spool: spool.keep(waiting, unwritten))
        await self._worker.run(self._close)

    async def _begun(self, work: "Callable[[Spool], None]") -> bool:
        self._waiting, self._waiting_bytes, self._unwritten = [], 0, None
        if not await self._tried(work):
            return False
        self.keeping = True
        self._wrote_s = time.monotonic()
        return True

    async def _tried(self, work: "Callable[[Spool], None]") -> bool:
        try:
            await self._do(work)
        except SpoolError:
            return False
        return True

    async def _do(self, work: "Callable[[Spool], T]") -> T:
        try:
            return await self._worker.run(self._step, work)
        except SpoolUnavailableError as error:
            self._try_at_s = time.monotonic() + self._try_every_s
            self._log.situation("spool", f"the spool in {self._directory} cannot be used: {error}; trying again")
            raise
        except SpoolDamagedError as error:
            self.keeping = False
            self._to_settle = None
            self._log.say(f"the spool: {error}; it is set aside as {paths.DAMAGED}, and history will show a gap")
            raise

    def _step(self, work: "Callable[[Spool], T]") -> T:
        from fleetnet_agent.spool.spool import Spool

        try:
            if self._spool is None:
                self._spool = Spool(self._directory, self._most_bytes, self.boot)
            result = work(self._spool)
        except SpoolUnavailableError:
            raise
        except Exception as error:  # SpoolDamagedError, or whatever the code makes of rows that make no sense
            self._set_aside()
            if isinstance(error, SpoolDamagedError):
                raise
            raise SpoolDamagedError(f"it holds what makes no sense ({error!r})") from error
        self._since_us, self._last_look_us = self._spool.since_us or 0, self._spool.last_look_us
        return result

    def _close(self) -> None:
        if self._spool is not None:
            self._spool.close()

    def _set_aside(self) -> None:
        if self._spool is not None:
            self.lost += [Gap(from_us, to_us, DAMAGED) for from_us, to_us in self._spool.told]
            self.withdrawn += [Gap(from_us, to_us, DAMAGED) for from_us, to_us in self._spool.told]
            self._spool.let_go()
            self._spool = None
            self.file += 1
        paths.set_aside(self._directory)

    def _settle(self, spool: "Spool") -> None:
        if self._to_settle is not None:
            self.lost += spool.settle(self._to_settle)
            self._to_settle = None


def look_of(difference: Difference) -> Look:
    """When a look was."""
    return Look(difference.look_at_us, difference.look_boottime_us)
