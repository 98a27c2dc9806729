"""The network namespace that the helper answers for, and ways into others that lead back.

Home is the namespace of the socket that the helper listens on. Mostly the helper is in it; its unit may keep it in
another, from which nothing can be reached (PrivateNetwork=), while the service manager made the socket. Numbers of
namespaces and what is heard of them count from home.

What must stay true: a thread that entered another namespace is back where it was afterwards, or opens nothing any more.
Standard library only.
"""

import ctypes
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
SIOCGSKNS = 0x894C  # include/uapi/linux/sockios.h


class _LostError(Exception):
    """This thread is in a namespace that is not its own, and cannot leave it."""


class Home:
    """The namespace to answer for."""

    def __init__(self, listener: socket.socket | None = None, proc: Path = Path("/proc")) -> None:
        """That of this socket; the one that this process is in where there is none, or where that may not be told
        (CAP_NET_ADMIN)."""
        self.inode = os.stat(proc / "self/ns/net").st_ino
        self._descriptor: int | None = None  # None where this process is in it
        try:
            found = fcntl.ioctl(listener, SIOCGSKNS) if listener else None
        except OSError:
            return
        if found is not None and os.fstat(found).st_ino != self.inode:
            self.inode = os.fstat(found).st_ino
            self._descriptor = found
        elif found is not None:
            os.close(found)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is at home in this block. Raises OSError; PermissionError without CAP_SYS_ADMIN where the process
        is not at home."""
        if self._descriptor is None:
            yield
            return
        with way_back() as enter:
            enter(self._descriptor)
            yield


@contextmanager
def way_back() -> Iterator[Callable[[int], None]]:
    """Enter namespaces by their descriptors, and leave the last one in the end. Raises OSError."""
    setns = ctypes.CDLL(None, use_errno=True).setns  # os.setns is there from Python 3.12 on only

    def enter(descriptor: int) -> None:
        if setns(descriptor, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    with opened(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)) as own:
        try:
            yield enter
        finally:
            try:
                enter(own)
            except OSError as error:
                if not _is_back(own):
                    raise _LostError from error  # ends this thread, whose only task is this request


def _is_back(own: int) -> bool:
    return os.stat("/proc/thread-self/ns/net").st_ino == os.fstat(own).st_ino


@contextmanager
def opened(descriptor: int) -> Iterator[int]:
    """Closed after this block."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)
