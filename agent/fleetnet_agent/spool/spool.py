"""The spool as a whole: segments of time without a collector, kept, declared by a snapshot, and told.

A segment has its way:
    1. it begins, with what waited in memory, or with a look after which nothing was told (`begin`, `reconcile`);
    2. each look adds to it (`keep`);
    3. a snapshot declares it up to a look (`declare`), as often as it takes until one is stored (`settle`);
    4. what it holds is told part by part (`part`), and leaves as it is acknowledged (`taken`).
One at most is not yet settled, the last; while the ones before it are told, it may grow.

What must stay true: each of these is on the disk whole, or has not happened; every interval is in a part, or a gap says
what is not; the file keeps to its bound by merging first, and by dropping the oldest only then.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from fleetnet_agent.records import Gap, Look
from fleetnet_agent.spool.chunks import NO_ROOM, WORTH_MERGING, Chunks, add_gap
from fleetnet_agent.spool.errors import SpoolUnavailableError
from fleetnet_agent.spool.file import SpoolFile
from fleetnet_agent.spool.intervals import Intervals
from fleetnet_agent.spool.parts import Part, Parts

DAY_US: Final = 86_400_000_000
MOST_KEPT_US: Final = 7 * DAY_US
NOT_KEPT: Final = "nothing was kept"
KEPT: Final = "collector unreachable; kept on the host"
_LONGEST_STEP_US: Final = 3_600_000_000  # between two looks: what is longer was no looking


class Spool:
    """An open spool. Every method may raise SpoolDamagedError or SpoolUnavailableError, and then has done nothing."""

    def __init__(self, directory: Path, most_bytes: int, boot: bytes, most_kept_us: int = MOST_KEPT_US) -> None:
        self._file = SpoolFile(directory, most_bytes)
        self._chunks = Chunks(self._file)
        self._parts = Parts(self._file, self._chunks)
        self._boot = boot
        self._most_bytes = most_bytes
        self._most_kept_us = most_kept_us
        self.since_us: int | None = None  # where the segment that is not settled begins
        self.last_look_us = 0
        self.told: list[tuple[int, int]] = []  # gaps that snapshots have declared as kept
        self.oldest_us = 0
        self._gaps_told: list[tuple[int, int, int, str]] = []  # rows of `gap`
        self._refresh()

    @property
    def is_empty(self) -> bool:
        """True if nothing is kept, nor to be kept."""
        return self.since_us is None and not self.oldest_us

    def begin(self, from_us: int, bodies: Sequence[bytes], parts: Callable[[], Iterable[bytes]], look: Look) -> None:
        """A segment begins with these batches of differences; `parts` is the snapshot after the last of them."""

        def work() -> None:
            intervals = self._intervals(self._new_segment(from_us), self._boot)
            for body in bodies:
                intervals.take(body)
            intervals.know(parts())
            intervals.flush()
            self._stand(look)

        self._fitting(work)

    def keep(self, bodies: Sequence[bytes], look: Look) -> None:
        """The segment goes on with these, up to this look."""

        def work() -> None:
            intervals = self._intervals(self._segment(), self._boot)
            for body in bodies:
                intervals.take(body)
            intervals.flush()
            self._stand(look)
            self._make_room(self._most_bytes // 8 * 7)

        self._fitting(work)

    def reconcile(self, parts: Callable[[], Iterable[bytes]], look: Look, gaps: Sequence[Gap]) -> None:
        """The segment goes on after `gaps`, times of which nothing is known; or one begins with what is open now, of
        which nothing was told. `parts` is the snapshot of this look."""

        def work() -> None:
            for gap in gaps:
                add_gap(self._file, gap.from_us, gap.to_us, gap.reason)
            [(boot, before_us)] = self._file.run("SELECT boot, look_us FROM standing")
            if self.since_us is None:
                segment = self._new_segment(look.at_us)
            else:
                segment = self._segment()
                if not any(gap.from_us <= before_us for gap in gaps):
                    add_gap(self._file, before_us, look.at_us, NOT_KEPT)
            if boot != self._boot and boot is not None:
                old = self._intervals(segment, boot)
                old.end_all(look.at_us)
                old.flush()
            intervals = self._intervals(segment, self._boot)
            intervals.reconcile(parts())
            intervals.flush()
            self._stand(look)

        self._fitting(work)

    def declare(self, look: Look) -> list[Gap]:
        """The gaps that a snapshot of this look is to declare: the segment first, then what is not known of it. Where
        that it was declared cannot be written, it is none the less, and `settle` writes it."""
        assert self.since_us is not None
        self._gaps_told = []
        self._gaps_told = rows = self._file.run("SELECT id, from_us, to_us, reason FROM gap ORDER BY id")
        from_us, to_us = sorted((self.since_us, look.at_us))
        declared = Gap(from_us, to_us, KEPT, kept=True)
        with contextlib.suppress(SpoolUnavailableError), self._file.transaction():
            self._note_declared(self._segment(), declared)
        self._refresh()
        return [declared, *(Gap(*row[1:]) for row in rows)]

    def settle(self, declared: Gap) -> list[Gap]:
        """The snapshot that declared this is stored. What it did not tell of what is not known, since it came later.

        What was open at the last look that is kept is told without an end, also where the snapshot is of a later one,
        for the disk took nothing: it went on if that snapshot found it, and else ended in the gap that it declared.
        """
        rest: list[Gap] = []

        def work() -> None:
            segment = self._segment()
            [(boot,)] = self._file.run("SELECT boot FROM standing")  # not ours, if nothing was kept since we began
            intervals = self._intervals(segment, boot)
            intervals.settle()
            intervals.flush()
            self._file.many("DELETE FROM gap WHERE (id, from_us, to_us, reason) = (?, ?, ?, ?)", self._gaps_told)
            self._note_declared(segment, declared)
            self._file.run(
                "UPDATE segment SET from_us = ?, to_us = ? WHERE id = ?", declared.from_us, declared.to_us, segment
            )
            rest[:] = [Gap(*row) for row in self._file.run("DELETE FROM gap RETURNING from_us, to_us, reason")]

        self._fitting(work)
        return rest

    def waiting_bytes(self) -> int:
        """Bytes of all that is kept. Reads every row's length."""
        return self._parts.waiting_bytes()

    def part(self, after: Part | None) -> Part | None:
        """What to tell next; None if nothing waits behind `after`."""
        return self._parts.next(after)

    def taken(self, part: Part) -> None:
        """This part, and all before it, is stored: it leaves."""
        with self._file.transaction():
            self._parts.drop(part)
        self._refresh()

    def close(self) -> None:
        """Let go of it; where nothing is kept, leave nothing."""
        if self.is_empty:
            self._file.remove()
        else:
            self._file.close()

    def let_go(self) -> None:
        """Close it, whatever it holds."""
        self._file.close()

    def _fitting(self, work: Callable[[], None]) -> None:
        """Do it in one transaction; where that would not fit, make room and try once more."""
        try:
            with self._file.transaction():
                work()
        except SpoolUnavailableError:
            self._chunks.discard()
            with self._file.transaction():
                if not self._make_room(min(self._most_bytes, self._file.used_bytes()) // 2):
                    raise
            with self._file.transaction():
                work()
        finally:
            self._chunks.discard()
            self._refresh()

    def _make_room(self, most_bytes: int) -> bool:
        """Keep to the bounds; False if nothing was to be done for it."""
        [(kept_us,)] = self._file.run("SELECT kept_us FROM standing")
        self._chunks.drop_older(kept_us - self._most_kept_us)
        if self._file.used_bytes() <= most_bytes:
            return False
        self._chunks.merge(at_least=WORTH_MERGING)
        dropped = False
        while self._file.used_bytes() > most_bytes and self._chunks.drop_oldest(NO_ROOM):
            dropped = True
        return dropped

    def _intervals(self, segment: int, boot: bytes) -> Intervals:
        [(kept_us,)] = self._file.run("SELECT kept_us FROM standing")
        return Intervals(self._file, self._chunks, segment, boot, kept_us)

    def _note_declared(self, segment: int, gap: Gap) -> None:
        row = (segment, gap.from_us, gap.to_us)
        if not self._file.run("SELECT 1 FROM declared WHERE (segment, from_us, to_us) = (?, ?, ?)", *row):
            self._file.run("INSERT INTO declared VALUES (NULL, ?, ?, ?)", *row)

    def _new_segment(self, from_us: int) -> int:
        [(number,)] = self._file.run("INSERT INTO segment VALUES (NULL, ?, NULL) RETURNING id", from_us)
        return int(number)

    def _segment(self) -> int:
        [(number,)] = self._file.run("SELECT id FROM segment WHERE to_us IS NULL ORDER BY id DESC LIMIT 1")
        return int(number)

    def _stand(self, look: Look) -> None:
        [(boot, boottime_us)] = self._file.run("SELECT boot, look_boottime_us FROM standing")
        step_us = look.boottime_us - boottime_us if boot == self._boot else 0
        self._file.run(
            "UPDATE standing SET boot = ?, look_us = ?, look_boottime_us = ?, kept_us = kept_us + ?",
            self._boot,
            look.at_us,
            look.boottime_us,
            min(max(0, step_us), _LONGEST_STEP_US),
        )

    def _refresh(self) -> None:
        """What is known without asking again."""
        current = self._file.run("SELECT from_us FROM segment WHERE to_us IS NULL")
        self.since_us = current[0][0] if current else None
        [(self.last_look_us,)] = self._file.run("SELECT look_us FROM standing")
        self.told = self._file.run("SELECT from_us, to_us FROM declared ORDER BY id")
        [(oldest_us,)] = self._file.run("SELECT min(from_us) FROM segment")
        self.oldest_us = oldest_us or 0
