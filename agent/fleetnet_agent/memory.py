"""How the process treats its own memory: little of it, and little time spent on it.

Measured among 10,000 sockets on glibc 2.36 and Python 3.11. Where the C library has none of this, nothing happens.
"""

import ctypes
import gc

# <malloc.h>
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8

_LARGE_BYTES = 512 * 1024  # below, to map and unmap costs more time than it saves memory
_YOUNG = 20_000  # objects between two collections of the youngest; a busy look makes 100,000 tuples

_libc = ctypes.CDLL(None)


def be_frugal() -> None:
    """To be called before other threads start. One arena for all of them, and what is large goes back when it is freed:
    else each thread keeps what its largest batch once needed."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(M_ARENA_MAX, 1)
        _libc.mallopt(M_MMAP_THRESHOLD, _LARGE_BYTES)


def settle() -> None:
    """To be called when all is imported: what is there now stays, so no collection need look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)


def give_back() -> None:
    """Give free pages back to the kernel, after something large. Takes about a millisecond."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
