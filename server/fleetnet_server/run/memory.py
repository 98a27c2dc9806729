"""What is free of the process's memory goes back to the kernel, now and then, and what is garbage becomes free.

malloc keeps what was freed between what is in use, in each of its arenas. After a burst (150 hosts that told all they
could for 40 s) a collector had 300 MB, of which a give-back returned 36. What stays lies in pages that are in use
elsewhere, or in those of Python's own allocator.
Measured on glibc 2.36; where the C library has none of this, nothing happens.

Python looks for cycles among its objects after every 700 that are new, and among all of them whenever a quarter has
been added to those that it found alive. Rows that wait for the database hold no cycles and are gone within moments, but
while they wait they are found alive: of what the collector did under load, a third was looking at them. So the young
are looked at seldom, and all only here.
"""

import asyncio
import ctypes
import gc
from typing import Final, NoReturn

# A give-back goes through all that is free. Most of that is used again soon, so more often would be in vain.
EVERY_S: Final = 60.0

# The objects of some 250 batches of forty rows, which wait together at most for moments; and what is 20 times as many.
_YOUNG: Final = (50_000, 20)
_NEVER: Final = 2**31 - 1
# A stream that broke leaves about a thousand behind.
_WORTH_LOOKING: Final = 5_000

_libc = ctypes.CDLL(None)


def search_garbage_seldom() -> None:
    """From now on, and never among what there is already: modules and tables, which stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_YOUNG, _NEVER)


def collect() -> None:
    """Look among all objects if there are many that have not been looked at. The interpreter stands still for it: some
    25 ms for each thousand hosts."""
    new, some, more = gc.get_count()
    if new + _YOUNG[0] * (some + _YOUNG[1] * more) >= _WORTH_LOOKING:
        gc.collect()


def give_back() -> None:
    """Now. Whoever allocates may wait for it: 13 ms where half of 200 MB are free in small pieces, 100 ms of 1 GB;
    where little was freed since, 2 and 15 ms."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


async def keep_giving_back() -> NoReturn:
    """Until cancelled. In a thread: the interpreter goes on meanwhile."""
    while True:
        await asyncio.sleep(EVERY_S)
        await asyncio.to_thread(collect)
        await asyncio.to_thread(give_back)
