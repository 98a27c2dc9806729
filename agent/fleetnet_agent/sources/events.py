"""The netlink socket on which the kernel tells of every TCP and UDP socket that it destroys, of one network namespace.

Thin on purpose; what the bytes mean is in `inet_event.py`. No privilege is needed to join the groups. Datagrams are
read many at a time by recvmmsg(2), which Python does not have: it is called through ctypes, and costs a third of a
recv() for each.

What must stay true: the number lost is the kernel's own count. When the socket's buffer is full the kernel drops
events, says so once (ENOBUFS), and goes on dropping until all that waits has been read; so after ENOBUFS everything is
read before the count is asked for.
"""

import ctypes
import errno
import os
import socket
from pathlib import Path

from fleetnet_agent.sources.diag import NETLINK_SOCK_DIAG
from fleetnet_agent.sources.source import RefusedError, SourceError

# include/uapi/linux/netlink.h, sock_diag.h, asm-generic/socket.h
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET_UDP_DESTROY, SKNLGRP_INET6_TCP_DESTROY, SKNLGRP_INET6_UDP_DESTROY = 1, 2, 3, 4
SO_RCVBUFFORCE = 33

BUFFER_BYTES = 32 * 1024 * 1024  # an event takes about 1.3 kB of it; without privilege the kernel gives rmem_max
AT_ONCE = 256
_KEPT_BYTES = 96  # of each datagram: an event of TCP has some 300 more, of tcp_info, that is not read


class _Piece(ctypes.Structure):  # struct iovec, <bits/types/struct_iovec.h>
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):  # struct msghdr, <bits/socket.h>
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("pieces", ctypes.POINTER(_Piece)),
        ("piece_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):  # struct mmsghdr, <bits/socket.h>
    _fields_ = (("header", _Header), ("received", ctypes.c_uint))


class EventSocket:
    """Joined to the destroy groups. Never blocks. Not thread-safe."""

    def __init__(self, proc: Path, buffer_bytes: int = BUFFER_BYTES) -> None:
        """Raises RefusedError where the kernel or the container does not let the groups be joined."""
        self._listing = proc / "net/netlink"
        self._recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._space = ctypes.create_string_buffer(AT_ONCE * _KEPT_BYTES)
        self._pieces = (_Piece * AT_ONCE)(
            *(_Piece(ctypes.addressof(self._space) + n * _KEPT_BYTES, _KEPT_BYTES) for n in range(AT_ONCE))
        )
        self._messages = (_Message * AT_ONCE)(
            *(_Message(_Header(pieces=ctypes.pointer(piece), piece_count=1)) for piece in self._pieces)
        )
        # The lengths received, as a column: a field of a structure in an array costs more than the rest of a datagram.
        words = memoryview(self._messages).cast("B").cast("I")
        self._lengths = words[_Message.received.offset // 4 :: ctypes.sizeof(_Message) // 4]
        self._dropped = 0  # as of the last count
        self._socket = _join(buffer_bytes)

    def fileno(self) -> int:
        """To wait on."""
        return self._socket.fileno()

    @property
    def buffer_bytes(self) -> int:
        """What the kernel grants: up to rmem_max, or with CAP_NET_ADMIN all that was asked for."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # socket(7): it is told doubled

    def receive(self) -> list[bytes]:
        """The next events, each cut to what is read of it; empty when none waits. Raises OSError, with ENOBUFS when
        some were lost before those that come next."""
        count = self._recvmmsg(self._socket.fileno(), self._messages, AT_ONCE, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(number, os.strerror(number))
        data = ctypes.string_at(self._space, count * _KEPT_BYTES)
        starts = range(0, count * _KEPT_BYTES, _KEPT_BYTES)
        return [data[at : at + length] for at, length in zip(starts, self._lengths[:count].tolist(), strict=True)]

    def newly_lost(self) -> int:
        """How many events the kernel has dropped since the last time this was asked. Raises SourceError."""
        inode = str(os.fstat(self._socket.fileno()).st_ino)
        try:
            lines = self._listing.read_text().splitlines()
        except OSError as error:
            raise SourceError(f"{self._listing} cannot be read: {error.strerror}") from error
        for fields in map(str.split, lines[1:]):
            if fields[-1] == inode:
                dropped, self._dropped = self._dropped, int(fields[-2])  # net/netlink/af_netlink.c: Drops, Inode
                return self._dropped - dropped
        raise SourceError(f"{self._listing} does not list the socket of events")

    def close(self) -> None:
        """Leave the groups."""
        self._socket.close()


def _join(buffer_bytes: int) -> socket.socket:
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
    except OSError as error:
        raise RefusedError(f"a socket for the kernel's events is refused: {error.strerror}") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, _buffer_option(opened), buffer_bytes)
        opened.bind((0, 0))
        for group in (
            SKNLGRP_INET_TCP_DESTROY,
            SKNLGRP_INET_UDP_DESTROY,
            SKNLGRP_INET6_TCP_DESTROY,
            SKNLGRP_INET6_UDP_DESTROY,
        ):
            opened.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    except OSError as error:
        opened.close()
        raise RefusedError(f"the kernel's events of closed sockets are refused: {error.strerror}") from error
    return opened


def _buffer_option(opened: socket.socket) -> int:
    """SO_RCVBUFFORCE where CAP_NET_ADMIN is there, which goes beyond rmem_max; else SO_RCVBUF, which is cut to it."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    except PermissionError:
        return socket.SO_RCVBUF
    return SO_RCVBUFFORCE
