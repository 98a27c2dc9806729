"""The netlink socket to the kernel's socket diagnostics: sends a request, hands on what comes back.

Thin on purpose; what the bytes mean is the codecs'. The socket is kept from look to look, and thrown away after
any error, so that the rest of a broken dump is never taken for the next one.
"""

import errno
import fcntl
import itertools
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping

from fleetnet_agent.records import Protocol
from fleetnet_agent.sources import inet_diag, sock_diag
from fleetnet_agent.sources.source import Codec, MalformedError, Part, RefusedError, SourceError

NETLINK_SOCK_DIAG = 4  # include/uapi/linux/netlink.h
SO_NETNS_COOKIE = 71  # include/uapi/asm-generic/socket.h
SIOCGIFNAME = 0x8910  # include/uapi/linux/sockios.h
BUFFER_BYTES = 64 * 1024  # the kernel fills at most half of it with one part of a dump
ANSWER_WITHIN_S = 10
_USED_UP = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_COOKIE = struct.Struct("=Q")
_IFREQ = struct.Struct("@16si20x")  # struct ifreq, include/uapi/linux/if.h: name, and a union that holds the index
_LAST_SEQUENCE = 2**32 - 1  # nlmsg_seq of struct nlmsghdr, include/uapi/linux/netlink.h, has 32 bits
GETS_AT_ONCE = 50  # each answer takes about 1.3 kB of the socket's receive buffer, 208 kB by default


class DiagSocket:
    """A connection to the diagnostics of one network namespace: that of the process, or of what `opened` gives."""

    def __init__(self, opened: Callable[[], socket.socket] | None = None, buffer: bytearray | None = None) -> None:
        """`opened` raises SourceError. Such as are never used at the same time may share a buffer of BUFFER_BYTES."""
        self._opened = opened or _open
        self._socket: socket.socket | None = None
        self._buffer = buffer or bytearray(BUFFER_BYTES)
        self._sequence = 0

    def dump(self, request: Callable[[int], bytes], codec: Codec = inet_diag.CODEC) -> Iterator[Part]:
        """The parts that answer `request(sequence)`. Raises SourceError; the parts before it are then worth nothing."""
        sequence = self._next()
        connected = self._connected()
        whole = False
        try:
            connected.send(request(sequence))
            while not whole:
                data = self._receive(connected)
                if sock_diag.sequence_of(data) == sequence:
                    part = codec.read_part(data)
                    yield part
                    whole = part.last
        except RefusedError:  # the kernel's last word to this request; the socket is as good as before
            whole = True
            raise
        except OSError as error:
            raise _translated(error) from error
        finally:
            if not whole:
                self.close()

    def find(
        self,
        messages: Mapping[int, bytes],
        protocol: Protocol,
        codec: Codec = inet_diag.CODEC,
        extensions: int = 0,
    ) -> dict[int, bytes]:
        """Ask for each socket, by its cookie, exactly; the present messages of those that were found. Raises
        SourceError.

        The kernel looks one socket up by its addresses and compares the cookie then. So where several sockets may have
        the same addresses, not to be found does not mean to be gone. Where it answers no such question, none is found.
        """
        if codec.get_request is None:
            return {}
        found: dict[int, bytes] = {}
        left = iter(messages.items())
        while some := dict(itertools.islice(left, GETS_AT_ONCE)):
            found.update(self._find_some(some, protocol, codec, extensions))
        return found

    def _find_some(
        self, messages: dict[int, bytes], protocol: Protocol, codec: Codec, extensions: int
    ) -> dict[int, bytes]:
        assert codec.get_request is not None
        connected = self._connected()
        asked = {self._next(): cookie for cookie in messages}
        requests = [
            codec.get_request(messages[cookie], protocol, sequence, extensions) for sequence, cookie in asked.items()
        ]
        answers: dict[int, bytes | int] = {}
        try:
            connected.send(b"".join(requests))
            while not asked.keys() <= answers.keys():
                answers.update(sock_diag.read_answers(bytes(self._receive(connected)), codec.smallest_bytes))
            return {
                cookie: answer
                for sequence, cookie in asked.items()
                if (answer := _found(answers[sequence], cookie, codec)) is not None
            }
        except OSError as error:
            self.close()
            raise _translated(error) from error
        except SourceError:
            self.close()
            raise

    def _next(self) -> int:
        """The number of the next request. Not from itertools.cycle(), which keeps all that it ever gave out."""
        self._sequence = self._sequence % _LAST_SEQUENCE + 1
        return self._sequence

    def close(self) -> None:
        """Give the socket back; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = self._opened()
        return self._socket

    def lend(self, descriptor: int) -> None:
        """Use this one until `close`, which closes it. Raises SourceError, and has closed it then."""
        self.close()
        self._socket = taken(descriptor)

    def take_over(self, other: "DiagSocket") -> None:
        """Use the socket of another one, which has none then."""
        self.close()
        self._socket, other._socket = other._socket, None

    def namespace_cookie(self) -> int:
        """The kernel's name for the namespace of the present socket, which it never gives again; 0 where it has none
        (before Linux 5.14), or there is no socket."""
        if self._socket is None:
            return 0
        try:
            return int(_COOKIE.unpack(self._socket.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, _COOKIE.size))[0])
        except OSError:
            return 0

    def interface_name(self, index: int) -> str:
        """Name of an interface in the namespace of the present socket, by SIOCGIFNAME, which every kind of socket
        answers; "" where there is none, or no socket."""
        if self._socket is None:
            return ""
        try:
            answer = fcntl.ioctl(self._socket, SIOCGIFNAME, _IFREQ.pack(b"", index))
        except OSError:
            return ""
        return bytes(_IFREQ.unpack(answer)[0]).split(b"\0", 1)[0].decode(errors="replace")

    def _receive(self, connected: socket.socket) -> memoryview:
        size = connected.recv_into(self._buffer, 0, socket.MSG_TRUNC)  # tells the true size
        if size > BUFFER_BYTES:
            raise MalformedError(f"the kernel sent {size} bytes at once, more than fit")
        return memoryview(self._buffer)[:size]


def _open() -> socket.socket:
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
    except OSError as error:
        refused = f"a socket for the kernel's socket diagnostics is refused: {os.strerror(error.errno or 0)}"
        # What is used up today may be there again at the next look: no reason to read in another way for ever.
        raise (SourceError if error.errno in _USED_UP else RefusedError)(refused) from error
    return _prepared(opened)


def taken(descriptor: int) -> socket.socket:
    """A socket of NETLINK_SOCK_DIAG that somebody else has opened, ready for requests; ours from now on. Raises
    SourceError, and has closed it then."""
    try:
        return _prepared(socket.socket(fileno=descriptor))
    except OSError as error:
        os.close(descriptor)
        raise SourceError(f"no socket was passed: {os.strerror(error.errno or 0)}") from error


def _prepared(opened: socket.socket) -> socket.socket:
    try:
        opened.bind((0, 0))
        # Not settimeout(): that costs a poll() per part.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", ANSWER_WITHIN_S, 0))
    except OSError as error:
        opened.close()
        raise RefusedError(
            f"the kernel's socket diagnostics cannot be used: {os.strerror(error.errno or 0)}"
        ) from error
    return opened


def _translated(error: OSError) -> SourceError:
    if error.errno == errno.EAGAIN:
        return SourceError(f"the kernel did not answer within {ANSWER_WITHIN_S} s")
    if error.errno in (errno.EPERM, errno.EACCES, errno.ECONNREFUSED, errno.EOPNOTSUPP):
        return RefusedError(f"the kernel's socket diagnostics are refused: {os.strerror(error.errno or 0)}")
    return SourceError(f"the kernel's socket diagnostics failed: {os.strerror(error.errno or 0)}")


def _found(answer: bytes | int, cookie: int, codec: Codec) -> bytes | None:
    if isinstance(answer, bytes):
        return answer if codec.cookie_of(answer) == cookie else None
    if answer in (errno.ENOENT, errno.ESTALE):  # nothing at these addresses, or something with another cookie
        return None
    raise SourceError(f"the kernel did not look for a socket: {os.strerror(answer)}")
