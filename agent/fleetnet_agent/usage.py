"""What this process costs, as the kernel counts it, and giving memory back. What follows from it is in `budget.py`."""

import ctypes
import gc
import os
import time
from collections.abc import Callable

from fleetnet_agent.budget import Usage

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def usage_now(clock_us: Callable[[], int]) -> Usage:
    """What this process has used up to now. Memory is 0 where /proc does not tell it."""
    return Usage(clock_us(), time.process_time_ns() // 1000, _resident_bytes())


def give_back() -> None:
    """Return what is free in this process to the kernel."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if trim is not None:
        trim(0)


def _resident_bytes() -> int:
    # Always the real /proc: this is about the process that looks, and not about the host that is looked at.
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return int(file.read(128).split()[1]) * _PAGE_BYTES  # proc(5): the second number is RSS
    except (OSError, IndexError, ValueError):
        return 0
