"""Opens things inside other network namespaces, and the socket that hears of the ends of sockets in all of them.

What must stay true: a thread that entered another namespace is back in its own afterwards, or opens nothing any more;
whatever goes wrong, every descriptor that was opened here is closed here; what is lent has no right to change anything
(`capabilities.py` says why that matters). Standard library only.
"""

import ctypes
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from fleetnet_agent.helper.capabilities import CAP_NET_BROADCAST, without_all_but
from fleetnet_agent.helper.census import open_namespace
from fleetnet_agent.helper.requests import STATISTICS_FILES, TABLE_FILES, EventsOpened, Kind, Opened, OpenInside

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
# include/uapi/linux/netlink.h, sock_diag.h, asm-generic/socket.h
NETLINK_ROUTE, NETLINK_SOCK_DIAG = 0, 4
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_LISTEN_ALL_NSID = 270, 1, 8
DESTROY_GROUPS = (1, 2, 3, 4)  # SKNLGRP_INET_TCP_DESTROY to SKNLGRP_INET6_UDP_DESTROY
SO_RCVBUFFORCE = 33

_DIAG = (Kind.DIAG.value, NETLINK_SOCK_DIAG)
_SOCKETS = {Kind.DIAG: (_DIAG,), Kind.TABLES: (_DIAG,), Kind.ROUTE: ((Kind.ROUTE.value, NETLINK_ROUTE),)}
_FILES = {Kind.TABLES: TABLE_FILES, Kind.STATISTICS: STATISTICS_FILES}

Doors = Callable[[int], Iterable[str]]
"""Paths by which the namespace with an inode can be opened."""


class _LostError(Exception):
    """This thread is in a namespace that is not its own, and cannot leave it."""


def open_inside(request: OpenInside, doors: Doors) -> tuple[Opened, list[int]]:
    """Open what is asked for in each namespace; the descriptors, in the order of `Opened.descriptors`. Never raises for
    what one namespace does."""
    opened: list[tuple[int, str]] = []
    descriptors: list[int] = []
    refused: list[tuple[int, str]] = []
    try:
        with _way_back() as enter:
            for inode in request.inodes:
                try:
                    with _opened(open_namespace(inode, doors(inode))) as namespace:
                        enter(namespace)
                    with without_all_but():
                        found = _open(request.kind)
                    for name, descriptor in found:
                        opened.append((inode, name))
                        descriptors.append(descriptor)
                except OSError as error:
                    refused.append((inode, os.strerror(error.errno or 0)))
    except BaseException:
        close_all(descriptors)
        raise
    return Opened(tuple(opened), tuple(refused)), descriptors


def open_events(buffer_bytes: int) -> tuple[EventsOpened, int]:
    """A socket that hears of every namespace with a number. Raises OSError; PermissionError without
    CAP_NET_BROADCAST."""
    # The kernel asks at each event whether its opener may hear of other namespaces.
    with without_all_but(CAP_NET_BROADCAST):
        lent = _netlink(NETLINK_SOCK_DIAG)
    opened = _joined(lent, buffer_bytes, all_namespaces=True)
    granted = opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return EventsOpened(granted), opened.detach()


def join(buffer_bytes: int) -> socket.socket:
    """A socket that hears of the ends of TCP and UDP sockets in the own namespace. Raises OSError."""
    return _joined(_netlink(NETLINK_SOCK_DIAG), buffer_bytes, all_namespaces=False)


def _joined(opened: socket.socket, buffer_bytes: int, *, all_namespaces: bool) -> socket.socket:
    try:
        _set_buffer(opened, buffer_bytes)
        opened.bind((0, 0))
        if all_namespaces:
            opened.setsockopt(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1)
        for group in DESTROY_GROUPS:
            opened.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    except OSError:
        opened.close()
        raise
    return opened


def _netlink(family: int) -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)


def close_all(descriptors: Iterable[int]) -> None:
    """Close these, whatever happens."""
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)


def _set_buffer(opened: socket.socket, buffer_bytes: int) -> None:
    """By SO_RCVBUFFORCE where CAP_NET_ADMIN is there, which goes beyond rmem_max; else by SO_RCVBUF, cut to it."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)


@contextmanager
def _way_back() -> Iterator[Callable[[int], None]]:
    """Enter namespaces by their descriptors, and leave the last one in the end. Raises OSError."""
    setns = ctypes.CDLL(None, use_errno=True).setns  # os.setns is there from Python 3.12 on only

    def enter(descriptor: int) -> None:
        if setns(descriptor, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    with _opened(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)) as own:
        try:
            yield enter
        finally:
            try:
                enter(own)
            except OSError as error:
                if not _is_at_home(own):
                    raise _LostError from error  # ends this thread, whose only task is this request


def _is_at_home(own: int) -> bool:
    return os.stat("/proc/thread-self/ns/net").st_ino == os.fstat(own).st_ino


@contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(kind: Kind) -> list[tuple[str, int]]:
    """What is asked for, in the namespace that this thread is in; all of it or OSError."""
    found: list[tuple[str, int]] = []
    try:
        for name, family in _SOCKETS.get(kind, ()):
            found.append((name, _netlink(family).detach()))
        for name in _FILES.get(kind, ()):
            with suppress(FileNotFoundError):  # snmp6 and raw6 where there is no IPv6
                found.append((name, os.open(f"/proc/thread-self/net/{name}", os.O_RDONLY | os.O_CLOEXEC)))
    except OSError:
        close_all(descriptor for _, descriptor in found)
        raise
    return found
