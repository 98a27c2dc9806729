"""The netlink socket on which the kernel tells of every TCP and UDP socket that it destroys, in one network namespace
or in all that have a number.

Thin on purpose; what the bytes mean is in `inet_event.py`. To join the groups of the own namespace needs no privilege;
the socket for all comes from the helper. Datagrams are read many at a time by recvmmsg(2), which Python does not have:
it is called through ctypes, and costs a third of a recv() for each.

What must stay true: the number lost is the kernel's own count. When the socket's buffer is full the kernel drops
events, says so once (ENOBUFS), and goes on dropping until all that waits has been read; so after ENOBUFS everything is
read before the count is asked for.
"""

import ctypes
import errno
import os
import socket
import struct
from pathlib import Path

from fleetnet_agent.helper.entering import SOL_NETLINK, join
from fleetnet_agent.sources.source import RefusedError, SourceError

NETLINK_LISTEN_ALL_NSID = 8  # include/uapi/linux/netlink.h; also the type of the ancillary data with the number

BUFFER_BYTES = 32 * 1024 * 1024  # an event takes about 1.3 kB of it; without privilege the kernel gives rmem_max
AT_ONCE = 256
OWN = -1  # the place of a number where there is none: the namespace that the socket was opened in
_CONTROL_BYTES = socket.CMSG_SPACE(4)  # of a struct cmsghdr, <bits/socket.h>: length, level, type, and one int
_LEVEL = struct.calcsize("@N") // 4  # in words of an int
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

    def __init__(self, proc: Path, buffer_bytes: int = BUFFER_BYTES, passed: socket.socket | None = None) -> None:
        """A socket that was `passed` hears of all namespaces and is closed here; else one for the own namespace is
        opened. Raises RefusedError where the kernel or the container does not let the groups be joined."""
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
        self._socket = passed or _join(buffer_bytes)
        self._control = _Control(self._messages) if passed else None
        self._count = 0  # of the datagrams received last

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
        if self._control:
            self._control.reset()
        self._count = 0
        count = self._recvmmsg(self._socket.fileno(), self._messages, AT_ONCE, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(number, os.strerror(number))
        self._count = count
        data = ctypes.string_at(self._space, count * _KEPT_BYTES)
        starts = range(0, count * _KEPT_BYTES, _KEPT_BYTES)
        return [data[at : at + length] for at, length in zip(starts, self._lengths[:count].tolist(), strict=True)]

    def numbers(self) -> list[int] | None:
        """The number (nsid) of the namespace that each of the events received last came from, OWN where it came from
        that of the socket; None where all did."""
        return self._control.numbers(self._count) if self._control else None

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


class _Control:
    """Room for the ancillary data of a batch: the number of a namespace beside each datagram, or nothing."""

    def __init__(self, messages: "ctypes.Array[_Message]") -> None:
        self._messages = messages
        self._space = ctypes.create_string_buffer(AT_ONCE * _CONTROL_BYTES)
        for n, message in enumerate(messages):
            message.header.control = ctypes.addressof(self._space) + n * _CONTROL_BYTES
            message.header.control_length = _CONTROL_BYTES
        self._fresh = bytes(messages)
        words = memoryview(self._space).cast("B").cast("i")
        width = _CONTROL_BYTES // words.itemsize
        self._levels, self._types, self._numbers = (words[at::width] for at in range(_LEVEL, _LEVEL + 3))

    def reset(self) -> None:
        """Ready for the next batch: the kernel has written lengths over the room there is."""
        ctypes.memmove(self._messages, self._fresh, len(self._fresh))
        ctypes.memset(self._space, 0, len(self._space))

    def numbers(self, count: int) -> list[int] | None:
        """Of the first so many."""
        levels = self._levels[:count].tolist()
        if not any(levels):
            return None
        types, numbers = self._types[:count].tolist(), self._numbers[:count].tolist()
        return [
            number if (level, kind) == (SOL_NETLINK, NETLINK_LISTEN_ALL_NSID) else OWN
            for level, kind, number in zip(levels, types, numbers, strict=True)
        ]


def _join(buffer_bytes: int) -> socket.socket:
    try:
        return join(buffer_bytes)
    except OSError as error:
        raise RefusedError(f"the kernel's events of closed sockets are refused: {error.strerror}") from error
