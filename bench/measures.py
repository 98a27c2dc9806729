"""What a process has cost so far, and bars to hold it against."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

_CPUCLOCK_SCHED = 2  # include/linux/posix-timers.h: of all threads of a process, those that have ended included


@dataclass(frozen=True, slots=True)
class Bar:
    """Something measured, and what it may be at most (or at least)."""

    what: str
    limit: float
    measured: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """True if it holds."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def line(self) -> str:
        """For people."""
        sign = "≥" if self.at_least else "≤"
        verdict = "met" if self.met else "NOT met"
        return f"  {self.what:<66} {sign} {self.limit:>6g} {self.unit:<9} {self.measured:>9.4g}  {verdict}"


def cpu_s(pid: int) -> float:
    """User and system seconds of a process since it began, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def resident_mib(pid: int) -> tuple[float, float]:
    """RSS and PSS, proc(5)."""
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    rss, pss = (int(fields[name].split()[0]) / 1024 for name in ("Rss", "Pss"))
    return rss, pss


def children(pid: int) -> list[int]:
    """The processes that its first thread has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def hand_over(bars: Iterable[Bar]) -> None:
    """Tell the process that started this one, through the file that it named."""
    with Path(os.environ[RESULTS]).open("a") as results:
        results.writelines(json.dumps(asdict(bar)) + "\n" for bar in bars)


def handed_over(results: Path) -> list[Bar]:
    """What parts have told."""
    return [Bar(**json.loads(line)) for line in results.read_text().splitlines()]


RESULTS = "FLEETNET_BENCH_RESULTS"
