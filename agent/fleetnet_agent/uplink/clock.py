"""Notices when the host's wall clock is set.

A collector converts a host's times with the offset that Hello told, so an offset that is no longer true makes answers
about the past wrong. A clock that is merely steered drifts slowly and is noticed once it has gone as far.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from fleetnet_agent.host import Host

SET_US: Final = 1_000_000
"""As far as the wall clock may move against CLOCK_BOOTTIME before it counts as set, microseconds."""
_READINGS: Final = 10


class WallClock:
    """The host's wall clock against CLOCK_BOOTTIME, which nothing sets and which counts sleep."""

    def __init__(self, host: Host, was_set: Callable[[tuple[int, int]], None]) -> None:
        """`was_set` is called with the least and the most that the wall clock can have shown since the last check."""
        self._host = host
        self._was_set = was_set
        self._checked_us, self._lead_us = self._now()

    def check(self) -> None:
        """Say so if it was set since the last time. After every look: a clock that was set and set back between two
        checks would leave the times of what was looked at meanwhile, and nothing that says so."""
        (before_us, old_us), (now_us, new_us) = (self._checked_us, self._lead_us), self._now()
        self._checked_us = now_us
        if abs(new_us - old_us) >= SET_US:
            self._lead_us = new_us
            # When it was set between the two checks is not known.
            self._was_set((before_us + min(old_us, new_us), now_us + max(old_us, new_us)))

    async def watch(self, every_s: float) -> None:
        """Check for ever."""
        while True:
            await asyncio.sleep(every_s)
            self.check()

    def _now(self) -> tuple[int, int]:
        """CLOCK_BOOTTIME, and by how much the wall clock is ahead of it.

        Read again where a moment passed in between (a busy machine, a guest that was paused): else the two would seem
        to have moved apart by it.
        """
        for _ in range(_READINGS):
            before_us, wall_us, after_us = (
                self._host.boottime_us(),
                self._host.wall_clock_us(),
                self._host.boottime_us(),
            )
            if after_us - before_us < SET_US // 10:
                break
        return before_us, wall_us - before_us
