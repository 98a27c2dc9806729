"""Numbers (nsid) that a network namespace has for others: asked for, given, and news of those that come and go.

A namespace has a number only after it was given one, by a veth pair between the two or by RTM_NEWNSID; without one its
events are not passed on. The kernel takes the number back at once when the namespace ends, and so a number that is
gone confirms the end. It is given again soon. Formats: struct rtgenmsg in include/uapi/linux/rtnetlink.h and NETNSA_*
in include/uapi/linux/net_namespace.h. Standard library only: the privileged helper uses it.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

# include/uapi/linux/netlink.h
NETLINK_ROUTE, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 0, 270, 1
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x001, 0x004, 0x300
# include/uapi/linux/rtnetlink.h and net_namespace.h
RTM_NEWNSID, RTM_DELNSID, RTM_GETNSID = 88, 89, 90
RTNLGRP_NSID = 28
NETNSA_NSID, NETNSA_FD = 1, 3
NOT_GIVEN = -1  # NETNSA_NSID_NOT_ASSIGNED

BUFFER_BYTES = 64 * 1024
ANSWER_WITHIN_S = 5
_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_ATTRIBUTE = struct.Struct("=HH")
_RTGENMSG_BYTES = 4  # one of family, aligned
_INT = struct.Struct("=i")


class MalformedError(ValueError):
    """Bytes that do not follow the format."""


class Told(NamedTuple):
    """One message about numbers."""

    kind: int  # RTM_NEWNSID, RTM_DELNSID, or NLMSG_ERROR and NLMSG_DONE
    sequence: int
    number: int  # the number, or the errno (positive, 0 where all is well)


class Numbers:
    """Asks the kernel for the numbers that the present network namespace has for others. Not thread-safe."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._socket = _open(groups=())
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", ANSWER_WITHIN_S, 0))
        self._sequence = 0

    def of(self, descriptor: int) -> int | None:
        """The number of the namespace that is open as this descriptor; None where it has none. Raises OSError."""
        for told in self._ask(RTM_GETNSID, 0, _attribute(NETNSA_FD, descriptor)):
            return None if told.number == NOT_GIVEN else told.number
        return None

    def give(self, descriptor: int) -> None:
        """Give that namespace a number. Raises OSError; PermissionError without CAP_NET_ADMIN."""
        body = _attribute(NETNSA_FD, descriptor) + _attribute(NETNSA_NSID, NOT_GIVEN)
        try:
            list(self._ask(RTM_NEWNSID, NLM_F_ACK, body))
        except FileExistsError:
            return  # somebody else gave it one meanwhile

    def all(self) -> frozenset[int]:
        """All that are given at this moment. Raises OSError."""
        return frozenset(told.number for told in self._ask(RTM_GETNSID, NLM_F_DUMP, b""))

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _ask(self, kind: int, flags: int, attributes: bytes) -> Iterator[Told]:
        """What the kernel tells in answer to one request."""
        self._sequence = self._sequence % (2**32 - 1) + 1
        size = _HEADER.size + _RTGENMSG_BYTES + len(attributes)
        header = _HEADER.pack(size, kind, NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(header + bytes(_RTGENMSG_BYTES) + attributes)
        while True:
            for told in read(self._socket.recv(BUFFER_BYTES)):
                if told.sequence != self._sequence:
                    continue
                if told.kind in (NLMSG_ERROR, NLMSG_DONE):
                    if told.number:
                        raise OSError(told.number, os.strerror(told.number))
                    return
                yield told
                if not flags:
                    return


class NumberNews:
    """Hears of numbers that are given and taken back in the present network namespace. Any user may. Never blocks."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._socket = _open(groups=(RTNLGRP_NSID,))
        self._socket.setblocking(False)

    def take(self) -> list[tuple[int, bool]] | None:
        """Numbers in the order in which they were given (True) and taken back (False) since the last time; None where
        some of the news were lost."""
        news: list[tuple[int, bool]] | None = []
        while True:
            try:
                told = read(self._socket.recv(BUFFER_BYTES))
            except BlockingIOError:
                return news
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    return None
                news = None
            except MalformedError:
                news = None
            else:
                if news is not None:
                    news += [(one.number, one.kind == RTM_NEWNSID) for one in told]

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


def read(data: bytes) -> list[Told]:
    """The messages of a datagram. Raises MalformedError. Pure."""
    found = []
    at = 0
    while at < len(data):
        left = len(data) - at
        if left < _HEADER.size:
            raise MalformedError(f"{left} bytes are too few for a netlink header")
        size, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= size <= left:
            raise MalformedError(f"a netlink message claims {size} bytes where {left} are left")
        found.append(Told(kind, sequence, _number(kind, data[at + _HEADER.size : at + size])))
        at += (size + 3) & ~3  # NLMSG_ALIGN
    return found


def _number(kind: int, body: bytes) -> int:
    if kind in (NLMSG_ERROR, NLMSG_DONE):
        return -_int_at(body, 0) if kind == NLMSG_ERROR or len(body) >= _INT.size else 0
    if kind not in (RTM_NEWNSID, RTM_DELNSID):
        raise MalformedError(f"a netlink message of type {kind} is not about the number of a namespace")
    at = _RTGENMSG_BYTES
    while len(body) - at >= _ATTRIBUTE.size:
        size, attribute = _ATTRIBUTE.unpack_from(body, at)
        if not _ATTRIBUTE.size <= size <= len(body) - at:
            raise MalformedError(f"an attribute claims {size} bytes where {len(body) - at} are left")
        if attribute == NETNSA_NSID:
            return _int_at(body[at : at + size], _ATTRIBUTE.size)
        at += (size + 3) & ~3  # NLA_ALIGN
    raise MalformedError("a message about the number of a namespace without that number")


def _int_at(data: bytes, at: int) -> int:
    if len(data) < at + _INT.size:
        raise MalformedError("a number that is cut off")
    return int(_INT.unpack_from(data, at)[0])


def _attribute(kind: int, value: int) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + _INT.size, kind) + _INT.pack(value)


def _open(groups: tuple[int, ...]) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
    try:
        opened.bind((0, 0))
        for group in groups:
            opened.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    except OSError:
        opened.close()
        raise
    return opened
