"""The netlink socket to rtnetlink of one network namespace: sends a request, hands on what comes back.

Thin on purpose; what the bytes mean is in `rtnetlink.py`. No privilege is needed.
"""

import errno
import itertools
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

from fleetnet_agent.network.rtnetlink import Request, read_part
from fleetnet_agent.sources.source import InconsistentError, MalformedError, RefusedError, SourceError

# include/uapi/linux/netlink.h; SOL_NETLINK is in include/linux/socket.h
NETLINK_ROUTE, SOL_NETLINK, NETLINK_GET_STRICT_CHK = 0, 270, 12
BUFFER_BYTES = 64 * 1024  # the kernel fills at most half of it with one part of a dump
ANSWER_WITHIN_S = 10
_USED_UP = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def open_own() -> socket.socket:
    """A socket to rtnetlink of this process's namespace. Raises SourceError."""
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
    except OSError as error:
        refused = f"a socket for the kernel's interfaces and routes is refused: {os.strerror(error.errno or 0)}"
        raise (SourceError if error.errno in _USED_UP else RefusedError)(refused) from error


class Dumps:
    """Asks on a socket for one table after the other. The socket stays its owner's."""

    def __init__(self, route: socket.socket) -> None:
        """Raises SourceError."""
        self._socket = route
        self._sequences = itertools.count(1)
        try:
            route.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", ANSWER_WITHIN_S, 0))
        except OSError as error:
            raise _translated(error) from error
        # The kernel then leaves out of a dump of routes what it only remembers of paths (RTM_F_CLONED); one before 4.20
        # does not know the option.
        with suppress(OSError):
            route.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)

    def fileno(self) -> int:
        """The socket's, for what is asked by ioctl(2)."""
        return self._socket.fileno()

    def read(self, request: Request) -> Iterator[list[bytes]]:
        """What answers, part by part. Raises SourceError; the parts before it are then worth nothing. InconsistentError
        where the table changed meanwhile, at the end of the dump: the kernel begins no other before it."""
        sequence = next(self._sequences)
        last = spoiled = False
        try:
            self._socket.send(request.encode(sequence))
            while not last:
                data, _, flags, _ = self._socket.recvmsg(BUFFER_BYTES)
                if flags & socket.MSG_TRUNC:
                    raise MalformedError("the kernel sent more at once than fits")
                part = read_part(data, request.answer, sequence)
                last, spoiled = part.last, spoiled or part.spoiled
                if not spoiled:
                    yield part.bodies
        except OSError as error:
            raise _translated(error) from error
        if spoiled:
            raise InconsistentError("the kernel's table changed while it was read")


def _translated(error: OSError) -> SourceError:
    if error.errno == errno.EAGAIN:
        return SourceError(f"the kernel did not answer within {ANSWER_WITHIN_S} s")
    return SourceError(f"the kernel's interfaces and routes cannot be read: {os.strerror(error.errno or 0)}")
