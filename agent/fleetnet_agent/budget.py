"""How much of the host this agent may use, and what it does less of when that is not enough. Pure.

Two ladders, one for CPU and one for memory. What is on each step is in STEPS_FOR_CPU and STEPS_FOR_MEMORY, in the order
in which it is given up; docs/budget.md explains it to operators. Listeners are looked at and the kernel's events of
closed sockets are read on every step: what these tell cannot be made up for later.

What must stay true:
- the CPU is that of the last minute, or since the step was taken if that is less: a step is judged by its own cost;
- a step down follows only on a minute so calm that twice the use would still be within the ceiling, and each return
  that proves too early doubles the wait for the next, so that a status does not come and go;
- the status is a new one only when the step is another one, for each new status is a report.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from fleetnet_agent.records import Protocol, SourceStatus

NAME: Final = "budget"
MIB: Final = 1024 * 1024
WINDOW_US: Final = 60_000_000
NEAR: Final = 0.9  # of a ceiling: from here on a step is taken
CALM_CPU: Final = 0.4  # of the ceiling: looks twice as often cost at most twice as much
CALM_MEMORY: Final = 0.75  # of the ceiling
MEMORY_SETTLES_US: Final = 10_000_000  # after a step, for what was dropped to be given back
TRIM_EVERY_US: Final = 60_000_000
TOO_EARLY: Final = 4  # a return was, if the ceiling is near again within so many times the wait before it
LONGEST_PATIENCE_US: Final = 3_600_000_000
LONGEST_INTERVAL_S: Final = 30.0
"""Between full looks: with a beat a minute a host's news stays younger than the two minutes that count as fresh."""

LOCAL: Final = frozenset({Protocol.UNIX, Protocol.PACKET})  # the first sockets to do without: no other host sees them


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What may be used; 0 is no ceiling."""

    cpu_percent: float = 0.0  # of one core, averaged over a minute
    memory_bytes: int = 0  # resident


NO_CEILINGS: Final = Ceilings()


@dataclass(frozen=True, slots=True)
class Usage:
    """What this process has used at a moment."""

    at_us: int  # CLOCK_BOOTTIME
    cpu_us: int  # user and system, since it was started
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be done on a step."""

    look_factor: int = 1  # the interval between full looks, times this
    owners_factor: int = 1  # the time between scans of all processes, times this
    events_divisor: int = 1  # the most events that wait, divided by this
    keeps_caches: bool = True
    reads_local: bool = True  # UNIX and packet sockets


STEPS_FOR_CPU: Final = (
    Allowance(),
    Allowance(look_factor=2),
    Allowance(look_factor=4),
    Allowance(look_factor=8),
    Allowance(look_factor=8, owners_factor=4),
    Allowance(look_factor=8, owners_factor=4, reads_local=False),
)
STEPS_FOR_MEMORY: Final = (
    Allowance(),
    Allowance(keeps_caches=False),
    Allowance(keeps_caches=False, events_divisor=4),
)


class Ladder:
    """A step from 0 to `top`, and how long the next step down must wait."""

    def __init__(self, top: int) -> None:
        self.step = 0
        self._top = top
        self._patience_us = WINDOW_US
        self._calm_since_us: int | None = None
        self._returned_at_us: int | None = None

    def up(self, now_us: int) -> bool:
        """Take a step up; False at the top."""
        self._calm_since_us = None
        if self.step == self._top:
            return False
        if self._returned_at_us is not None and now_us - self._returned_at_us < TOO_EARLY * self._patience_us:
            self._patience_us = min(2 * self._patience_us, LONGEST_PATIENCE_US)
        self._returned_at_us = None
        self.step += 1
        return True

    def down_if_calm(self, calm_from_us: int | None, now_us: int) -> bool:
        """Take a step down if it has been calm for long enough, now at least since `calm_from_us` (None: it is not);
        whether it was taken."""
        if calm_from_us is None:
            self._calm_since_us = None
            return False
        if self._calm_since_us is None:
            self._calm_since_us = calm_from_us
        if now_us - self._calm_since_us < self._patience_us:
            return False
        self._calm_since_us = None
        if self.step == 0:
            self._patience_us, self._returned_at_us = WINDOW_US, None
            return False
        self.step -= 1
        self._returned_at_us = now_us
        return True


class Budget:
    """Judges what is used, and says what may be done."""

    def __init__(self, ceilings: Ceilings) -> None:
        self._ceilings = ceilings
        self._cpu = Ladder(len(STEPS_FOR_CPU) - 1)
        self._memory = Ladder(len(STEPS_FOR_MEMORY) - 1)
        self._used: deque[Usage] = deque()  # of the last minute on this step, oldest first
        self._memory_rests_until_us = 0
        self._trimmed_at_us = 0
        self._over_cpu = self._over_memory = ""  # what was over when the present step was taken
        self.status: SourceStatus | None = None if ceilings == NO_CEILINGS else SourceStatus(NAME, ok=True, detail="")
        self.allowance = Allowance()

    def judge(self, usage: Usage, interval_s: float) -> bool:
        """Take in what is used; whether memory is to be given back now. `interval_s` is what the size of the table
        asks for, for the status."""
        moved = self._judge_cpu(usage) | self._judge_memory(usage)
        if moved:
            self.allowance = _both(STEPS_FOR_CPU[self._cpu.step], STEPS_FOR_MEMORY[self._memory.step])
            self._used = deque([usage])
            self.status = self._new_status(interval_s)
        if self.allowance.keeps_caches or usage.at_us - self._trimmed_at_us < (0 if moved else TRIM_EVERY_US):
            return False
        self._trimmed_at_us = usage.at_us
        return True

    def stretched_s(self, interval_s: float) -> float:
        """The interval between full looks that is within the budget."""
        if self.allowance.look_factor == 1:
            return interval_s
        return min(interval_s * self.allowance.look_factor, max(interval_s, LONGEST_INTERVAL_S))

    def _judge_cpu(self, usage: Usage) -> bool:
        if not self._ceilings.cpu_percent:
            return False
        while len(self._used) > 1 and self._used[1].at_us <= usage.at_us - WINDOW_US:
            self._used.popleft()
        self._used.append(usage)
        used_us = usage.cpu_us - self._used[0].cpu_us
        elapsed_us = usage.at_us - self._used[0].at_us
        allowed_us = self._ceilings.cpu_percent / 100 * WINDOW_US
        # Once a minute's CPU is used up, the average of that minute is known before it ends.
        if used_us >= NEAR * allowed_us:
            self._over_cpu = _cpu_words(used_us, elapsed_us, self._ceilings.cpu_percent)
            return self._cpu.up(usage.at_us)
        calm = elapsed_us >= WINDOW_US and used_us <= CALM_CPU * allowed_us
        return self._cpu.down_if_calm(usage.at_us - WINDOW_US if calm else None, usage.at_us)

    def _judge_memory(self, usage: Usage) -> bool:
        ceiling_bytes = self._ceilings.memory_bytes
        if not ceiling_bytes or usage.at_us < self._memory_rests_until_us:
            return False
        if usage.resident_bytes >= NEAR * ceiling_bytes:
            self._over_memory = _memory_words(usage.resident_bytes, ceiling_bytes)
            self._memory_rests_until_us = usage.at_us + MEMORY_SETTLES_US
            return self._memory.up(usage.at_us)
        calm = usage.resident_bytes <= CALM_MEMORY * ceiling_bytes
        return self._memory.down_if_calm(usage.at_us if calm else None, usage.at_us)

    def _new_status(self, interval_s: float) -> SourceStatus:
        over = [
            words
            for words, ladder in ((self._over_cpu, self._cpu), (self._over_memory, self._memory))
            if words and ladder.step
        ]
        if not over:
            return SourceStatus(NAME, ok=True, detail="")
        less = _less(self.allowance, interval_s, self.stretched_s(interval_s))
        return SourceStatus(NAME, ok=False, detail=f"{' and '.join(over)}: {', '.join(less)}")


def _both(one: Allowance, other: Allowance) -> Allowance:
    return Allowance(
        max(one.look_factor, other.look_factor),
        max(one.owners_factor, other.owners_factor),
        max(one.events_divisor, other.events_divisor),
        one.keeps_caches and other.keeps_caches,
        one.reads_local and other.reads_local,
    )


def _cpu_words(used_us: int, elapsed_us: int, percent: float) -> str:
    rate = 100 * used_us / max(elapsed_us, 1)
    within = "" if elapsed_us >= WINDOW_US else f" for {elapsed_us / 1_000_000:.0f} s"
    return f"used {rate:.1f} % of a core{within} where {percent:g} % over a minute are allowed"


def _memory_words(resident_bytes: int, ceiling_bytes: int) -> str:
    return f"used {resident_bytes / MIB:.0f} MiB of memory where {ceiling_bytes / MIB:g} are allowed"


def _less(allowance: Allowance, interval_s: float, stretched_s: float) -> list[str]:
    """What is done less, in the order in which it was given up."""
    less = []
    if allowance.look_factor > 1:
        less.append(f"looks at everything every {stretched_s:.3g} s instead of {interval_s:.3g} s")
    if allowance.owners_factor > 1:
        less.append(f"looks through all processes {allowance.owners_factor} times more rarely")
    if not allowance.keeps_caches:
        less.append("keeps no caches")
    if allowance.events_divisor > 1:
        less.append(f"keeps {allowance.events_divisor} times fewer events of closed sockets for the next look")
    if not allowance.reads_local:
        less.append("does not read UNIX and packet sockets (they are shown as they were)")
    return less
