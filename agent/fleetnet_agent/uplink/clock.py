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


async def watch_clock(host: Host, every_s: float, was_set: Callable[[tuple[int, int]], None]) -> None:
    """Call `was_set` with what the wall clock would show now and with what it shows, whenever it was set; for ever."""
    lead_us = _lead_us(host)
    while True:
        await asyncio.sleep(every_s)
        now_us = _lead_us(host)
        if abs(now_us - lead_us) >= SET_US:
            boottime_us = host.boottime_us()
            was_set((boottime_us + lead_us, boottime_us + now_us))
            lead_us = now_us


def _lead_us(host: Host) -> int:
    """By how much the wall clock is ahead of CLOCK_BOOTTIME, which nothing sets and which counts sleep."""
    return host.wall_clock_us() - host.boottime_us()
