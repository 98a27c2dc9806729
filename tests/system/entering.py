"""Work done by this process inside the network namespace of another host."""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from demo.fabric import Host

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h

T = TypeVar("T")


def enter(host: Host, work: Callable[[], T]) -> T:
    """See `inside`."""
    return inside(host.namespace, work)


def inside(namespace: str, work: Callable[[], T]) -> T:
    """Do the work in a thread of its own that is in the namespace of ip-netns(8) with this name; what it gives. Sockets
    stay where they were opened; /proc/thread-self/net shows the namespace."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_inside, namespace, work).result()


def _inside(namespace: str, work: Callable[[], T]) -> T:
    descriptor = os.open(Path("/run/netns", namespace), os.O_RDONLY)
    try:
        # Python 3.11 has no os.setns().
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(descriptor)
    return work()
