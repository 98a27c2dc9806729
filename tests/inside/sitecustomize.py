"""For a process whose PYTHONPATH begins with this folder: at SIGUSR1 it collects its garbage and counts what it holds,
into the file that INSIDE names."""

import collections
import ctypes
import gc
import json
import os
import signal
import sys
from pathlib import Path

# fmt: off
_FIELDS = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)
# fmt: on


class _Mallinfo(ctypes.Structure):
    """struct mallinfo2 of <malloc.h>."""

    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS]


def _malloced() -> int:
    """Bytes that malloc has given out, mapped ones included. 0 where it does not say so (glibc does, from 2.33 on)."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return 0
    libc.mallinfo2.restype = _Mallinfo
    told = libc.mallinfo2()
    return int(told.uordblks + told.hblkhd)


def _count(*_: object) -> None:
    gc.collect()
    blocks, malloced = sys.getallocatedblocks(), _malloced()
    types = collections.Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    told = Path(os.environ["INSIDE"])
    fresh = told.with_suffix(".new")
    fresh.write_text(json.dumps({"blocks": blocks, "bytes": malloced, "types": types}))
    fresh.rename(told)


signal.signal(signal.SIGUSR1, _count)
