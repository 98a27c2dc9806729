"""Opens things inside other network namespaces, and the socket that hears of the ends of sockets in all of them.

What must stay true: whatever goes wrong, every descriptor that was opened here is closed here; what is lent has no
right to change anything (`capabilities.py` says why that matters). Standard library only.
"""

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress

from fleetnet_agent.helper.capabilities import CAP_NET_BROADCAST, without_all_but
from fleetnet_agent.helper.census import open_namespace
from fleetnet_agent.helper.home import Home, opened, way_back
from fleetnet_agent.helper.requests import STATISTICS_FILES, TABLE_FILES, EventsOpened, Kind, Opened, OpenInside

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


def open_inside(request: OpenInside, doors: Doors) -> tuple[Opened, list[int]]:
    """Open what is asked for in each namespace; the descriptors, in the order of `Opened.descriptors`. Never raises for
    what one namespace does."""
    found_in: list[tuple[int, str]] = []
    descriptors: list[int] = []
    refused: list[tuple[int, str]] = []
    try:
        with way_back() as enter:
            for inode in request.inodes:
                try:
                    with opened(open_namespace(inode, doors(inode))) as namespace:
                        enter(namespace)
                    with without_all_but():
                        found = _open(request.kind)
                    for name, descriptor in found:
                        found_in.append((inode, name))
                        descriptors.append(descriptor)
                except OSError as error:
                    refused.append((inode, os.strerror(error.errno or 0)))
    except BaseException:
        close_all(descriptors)
        raise
    return Opened(tuple(found_in), tuple(refused)), descriptors


def open_events(buffer_bytes: int, home: Home) -> tuple[EventsOpened, int]:
    """A socket that hears of every namespace with a number. Raises OSError; PermissionError without
    CAP_NET_BROADCAST."""
    # The kernel asks at each event whether its opener may hear of other namespaces.
    with home.entered(), without_all_but(CAP_NET_BROADCAST):
        lent = _netlink(NETLINK_SOCK_DIAG)
    joined = _joined(lent, buffer_bytes, all_namespaces=True)
    granted = joined.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return EventsOpened(granted), joined.detach()


def join(buffer_bytes: int) -> socket.socket:
    """A socket that hears of the ends of TCP and UDP sockets in the own namespace. Raises OSError."""
    return _joined(_netlink(NETLINK_SOCK_DIAG), buffer_bytes, all_namespaces=False)


def _joined(unbound: socket.socket, buffer_bytes: int, *, all_namespaces: bool) -> socket.socket:
    try:
        _set_buffer(unbound, buffer_bytes)
        unbound.bind((0, 0))
        if all_namespaces:
            unbound.setsockopt(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1)
        for group in DESTROY_GROUPS:
            unbound.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    except OSError:
        unbound.close()
        raise
    return unbound


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
