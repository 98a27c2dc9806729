"""How the process treats its own memory: little of it, and little time spent on it.

Measured among 10,000 sockets on glibc 2.36 and Python 3.11. Where the C library has none of this, nothing happens.
Standard library only: the helper uses it.
"""

import ctypes
import gc
from collections.abc import Iterable, Iterator

# <malloc.h>
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
MADV_DONTNEED = 4  # <sys/mman.h>

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


def sweep() -> None:
    """Collect garbage now. To be called when something large has ended that refers to itself, such as a stream: what it
    holds of gRPC and TLS, some 100 kB, is not what Python goes by, which would wait for hundreds of them."""
    gc.collect()


def give_back() -> None:
    """Give free pages back to the kernel, after something large. Takes about a millisecond."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


def put_code_down() -> None:
    """Let go of the pages of programs and libraries that this process has used so far; a page that is used again comes
    back from the page cache. To be called when what it did up to now is not what it will do: most of it was for
    starting, importing and connecting. Takes a few milliseconds now and one later. See docs/decisions/0022.

    What must stay true: only pages that are the file's own are let go, those that the process has changed (by the
    linker's hand, or a debugger's) would be lost.
    """
    if not hasattr(_libc, "madvise"):
        return
    try:
        with open("/proc/self/smaps", encoding="utf-8", errors="replace") as smaps:
            unchanged = list(unchanged_mappings(smaps))
    except OSError:
        return
    for start, size in unchanged:
        _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), MADV_DONTNEED)


def unchanged_mappings(smaps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Address and bytes of each private mapping of a file that cannot be written to and has no page of the process's
    own, from the lines of /proc/PID/smaps (proc(5)). Pure."""
    start = size = 0
    for line in smaps:
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            permissions, _, _, inode = rest.split(None, 4)[:4]
            first, last = (int(address, 16) for address in name.split("-"))
            is_code = permissions in ("r-xp", "r--p") and inode != "0"
            start, size = (first, last - first) if is_code else (0, 0)
        elif name == "Anonymous:" and size and rest.split() == ["0", "kB"]:
            yield start, size
