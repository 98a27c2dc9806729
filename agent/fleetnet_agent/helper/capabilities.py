"""Lays capabilities of the calling thread aside for a moment (capabilities(7)).

A descriptor remembers the capabilities of whoever opened it, and netlink obeys a change when both the opener and the
writer have the right to it. A program with privilege can be made to write to a descriptor that it was given, as its
standard output for one. So what is lent must be opened without any right to change something.

What must stay true: the thread has them back afterwards, or whatever it was to do fails. Standard library only.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

# include/uapi/linux/capability.h
_VERSION_3 = 0x20080522
CAP_NET_BROADCAST = 11

# Once: to load it takes longer than all the rest of what is done for one namespace.
_LIBC = ctypes.CDLL(None, use_errno=True)

_Six = ctypes.c_uint32 * 6
"""Effective, permitted and inheritable of the lower 32 capabilities, then of the upper."""


@contextmanager
def without_all_but(*kept: int) -> Iterator[None]:
    """Of what this thread may do, none but these are in effect in this block. Raises OSError."""
    before = _call("capget", _Six())
    mask = sum(1 << capability for capability in kept)
    _call("capset", _Six(before[0] & mask, before[1], before[2], before[3] & (mask >> 32), before[4], before[5]))
    try:
        yield
    finally:
        _call("capset", before)


def _call(name: str, sets: "ctypes.Array[ctypes.c_uint32]") -> "ctypes.Array[ctypes.c_uint32]":
    # The C library's are plain system calls, so that they concern one thread alone (0: the calling one).
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    if getattr(_LIBC, name)(header, sets) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return sets
