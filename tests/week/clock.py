"""Clocks that skip what nobody waits for: the machine's own, ahead by the time that was skipped.

    clock = Clock(begin_us)         # what the wall clock shows now
    clock.rule()                    # time.monotonic, and so every event loop made from here on
    clock.skip(7 * DAY_US)          # from now on, until so much was skipped: then they go on as clocks do

What must stay true: nothing is skipped while something runs (`busy` counts that), so however slow the machine is, the
same happens at the same moment of the simulated time; what is skipped is the wait for the next timer and no more.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any

_monotonic = time.monotonic


class Clock:
    """Wall clock and monotonic clock of a simulated host."""

    def __init__(self, begin_us: int) -> None:
        self.busy = 0  # how much runs in other threads
        self._begin_us, self._began_s = begin_us, _monotonic()
        self._skipped_us = self._left_us = 0
        self._done: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        """Seconds since something."""
        return _monotonic() + self._skipped_us / 1e6

    def wall_clock_us(self) -> int:
        """Microseconds since 1970."""
        return self._begin_us + int((self.monotonic() - self._began_s) * 1e6)

    def at_s(self, wall_clock_us: int) -> float:
        """When the monotonic clock shows that, seconds."""
        return self._began_s + (wall_clock_us - self._begin_us) / 1e6

    def rule(self) -> None:
        """Be the clock of this process, but for what the kernel and C libraries ask."""
        time.monotonic = self.monotonic

    def skip(self, most_us: int, done: Callable[[], object] = lambda: None) -> None:
        """Skip what nobody waits for until it was so much; then `done` is called."""
        assert most_us > 0
        self._left_us, self._done = most_us, done

    @property
    def skips(self) -> bool:
        """True while there is more to skip."""
        return self._left_us > 0

    def go(self, seconds: float) -> None:
        """Skip that, or what is left to skip."""
        step_us = min(int(seconds * 1e6) + 1, self._left_us)
        self._skipped_us += step_us
        self._left_us -= step_us
        if not self._left_us:
            self._done()

    def loop(self) -> asyncio.AbstractEventLoop:
        """An event loop that goes by this clock."""
        return asyncio.SelectorEventLoop(_Skipping(self))


class _Skipping(selectors.EpollSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        if not self._clock.skips or self._clock.busy or timeout is None:
            return super().select(timeout)
        ready = super().select(0)
        if not ready and timeout > 0:
            self._clock.go(timeout)
        return ready
