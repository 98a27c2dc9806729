"""Whether something grows: what a process has taken over time, and the slope of it. Pure, but for what reads /proc.

What a process has *taken* is its anonymous memory, swapped out or not: what malloc, Python and SQLite's caches hold,
stacks, and the pages of libraries that it has written to. Pages of files are not counted, as RSS and PSS count them:
they come in as code is used for the first time and go when the machine wants them, so they are the page cache's and no
leak. A leak is always anonymous.

What is taken for a question or a snapshot is given up again, within a minute at the latest, and is some MB of a
collector: where in that minute a sample falls tells nothing of what is kept. So growth is that of the *floor*, the
least of each minute. What is never given up raises the floor as it raises everything, by the same slope.

The slope is Theil's and Sen's: the median of the slopes between all pairs of samples. Less than 29 % of samples can lie
where they will, a peak or a moment of much work, and the slope stays; least squares would follow them. A step in the
middle of a series is a slope to it all the same, so whoever reads a slope wants to see the series too.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOUR_S = 3600.0
MB = 1e6
FLOOR_S = 60.0  # as often as a collector gives back what is free; an agent does so with each snapshot
_LEAST_FLOORS = 3
_KIB = 1024

Sample = tuple[float, float]
"""When, in seconds of any clock, and how much."""


def taken_bytes(pid: int) -> int:
    """What a process has taken. From smaps_rollup, proc(5)."""
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(fields[name].split()[0]) for name in ("Anonymous", "Swap")) * _KIB


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def slope_per_hour(samples: Sequence[Sample]) -> float:
    """By Theil and Sen; 0 of less than two samples."""
    pairs = itertools.combinations(samples, 2)
    slopes = [(later - earlier) / (to_s - from_s) for (from_s, earlier), (to_s, later) in pairs if to_s > from_s]
    return statistics.median(slopes) * HOUR_S if slopes else 0.0


def floor(samples: Sequence[Sample]) -> list[Sample]:
    """The least of each FLOOR_S, as long as there are samples for the whole of it."""
    if not samples:
        return []
    first_s, last_s = samples[0][0], samples[-1][0]
    lows: dict[int, Sample] = {}
    for at_s, value in samples:
        number = int((at_s - first_s) // FLOOR_S)
        if first_s + (number + 1) * FLOOR_S <= last_s and (number not in lows or value < lows[number][1]):
            lows[number] = (at_s, value)
    return list(lows.values())


@dataclass(slots=True)
class Series:
    """Samples of one process."""

    pid: int
    bytes: list[Sample] = field(default_factory=list)
    files: list[Sample] = field(default_factory=list)

    def sample(self, at_s: float) -> None:
        """What it has taken now."""
        self.bytes.append((at_s, taken_bytes(self.pid)))

    def count(self, at_s: float, files: int) -> None:
        """So many descriptors in a steady moment."""
        self.files.append((at_s, files))

    def mb_per_hour(self, from_s: float) -> float:
        """The slope of the floor from a moment on; not a number where the time is too short for one."""
        lows = floor(self._since(from_s))
        return slope_per_hour(lows) / MB if len(lows) >= _LEAST_FLOORS else math.nan

    def mb_per_hour_with_peaks(self, from_s: float) -> float:
        """The slope of all samples from a moment on."""
        return slope_per_hour(self._since(from_s)) / MB

    def files_differ(self, from_s: float) -> int:
        """The most descriptors less the fewest, of the steady moments from a moment on."""
        counts = [int(count) for at_s, count in self.files if at_s >= from_s]
        return max(counts) - min(counts) if counts else 0

    def _since(self, from_s: float) -> list[Sample]:
        return [sample for sample in self.bytes if sample[0] >= from_s]
