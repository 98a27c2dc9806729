"""What all kinds of socket diagnostics share on the wire: netlink's frames, the errors in them, attributes. Pure.

Formats: struct nlmsghdr and nlattr in include/uapi/linux/netlink.h. Host byte order. What the messages inside say is in
`inet_diag.py`, `unix_diag.py` and `packet_diag.py`.

What must stay true: whatever the bytes are, the only exceptions are those of `source.py`.
"""

import errno
import os
import struct

from fleetnet_agent.sources.source import InconsistentError, MalformedError, Part, RefusedError, SourceError

# include/uapi/linux/netlink.h
NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 1, 2, 3, 4
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x001, 0x300, 0x010
# include/uapi/linux/inet_diag.h and sock_diag.h
TCPDIAG_GETSOCK, SOCK_DIAG_BY_FAMILY = 18, 20

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
_HEADER_BYTES = HEADER.size
COOKIE = struct.Struct("=Q")  # two numbers of 32 bits in all kinds of messages, read as one
_ERROR = struct.Struct("=i")
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
_SOCKETS = (TCPDIAG_GETSOCK, SOCK_DIAG_BY_FAMILY)
_NOT_SUPPORTED = frozenset(
    {errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EINVAL, errno.EPERM}
)


def request(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A request under its nlmsghdr."""
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, sequence, 0) + body


def sequence_of(data: bytes | memoryview) -> int:
    """The sequence number of a datagram's first message. Raises MalformedError."""
    if len(data) < HEADER.size:
        raise MalformedError(f"a netlink datagram of {len(data)} bytes has no header")
    return int(HEADER.unpack_from(data)[3])


def read_part(data: memoryview, smallest: int, cookie_at: int) -> Part:
    """Take one datagram of a dump apart, message by message: each has at least `smallest` bytes, and its cookie at
    `cookie_at`. Raises SourceError; RefusedError where the kernel has no such table.

    An error may come inside NLMSG_DONE (a missing handler does): it is not an empty table.
    """
    raw = bytes(data)
    cookies: list[int] = []
    messages: list[bytes] = []
    at, end, least = 0, len(raw), HEADER.size + smallest
    while at < end:
        # This runs for every UNIX socket at every look, so what is there as a rule is asked for first, and in line.
        if end - at >= least:
            size, kind, flags, _, _ = HEADER.unpack_from(raw, at)
            if kind in _SOCKETS and least <= size <= end - at and not flags & NLM_F_DUMP_INTR:
                messages.append(raw[at + _HEADER_BYTES : at + size])
                cookies.append(COOKIE.unpack_from(raw, at + _HEADER_BYTES + cookie_at)[0])
                at += (size + 3) & ~3  # NLMSG_ALIGN
                continue
        size, done = _read_other(raw, at, smallest)
        if done:
            return Part(cookies, messages, last=True)
        at += (size + 3) & ~3
    return Part(cookies, messages, last=False)


def _read_other(raw: bytes, at: int, smallest: int) -> tuple[int, bool]:
    """A message that is no whole socket: its length, and whether it ends the dump. Raises SourceError."""
    size, kind, flags = _framed(raw, at, len(raw))
    body = raw[at + HEADER.size : at + size]
    if flags & NLM_F_DUMP_INTR:
        raise InconsistentError("the kernel marked its dump of sockets as inconsistent")
    if kind in _SOCKETS:
        raise MalformedError(f"{len(body)} bytes are too few for a socket, of which the least has {smallest}")
    if kind == NLMSG_ERROR or (kind == NLMSG_DONE and body):
        _raise_for(_error_number(body))
    elif kind not in (NLMSG_NOOP, NLMSG_DONE):
        raise _misplaced(kind)
    return size, kind == NLMSG_DONE


def read_answers(data: bytes, smallest: int) -> dict[int, bytes | int]:
    """Answers to exact requests by sequence number: a message, or the errno instead. Raises MalformedError."""
    answers: dict[int, bytes | int] = {}
    at, end = 0, len(data)
    while at < end:
        size, kind, _ = _framed(data, at, end)
        sequence = int(HEADER.unpack_from(data, at)[3])
        body = data[at + HEADER.size : at + size]
        if kind == NLMSG_ERROR:
            answers[sequence] = _error_number(body)
        elif kind not in _SOCKETS:
            raise _misplaced(kind)
        elif len(body) < smallest:
            raise MalformedError(f"{len(body)} bytes are too few for a socket")
        else:
            answers[sequence] = body
        at += (size + 3) & ~3  # NLMSG_ALIGN
    return answers


def attributes(message: bytes, at: int) -> dict[int, bytes]:
    """The attributes of a message by type, which begin at `at`; of a type that comes twice, the last. Raises
    MalformedError."""
    found: dict[int, bytes] = {}
    end = len(message)
    while end - at >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(message, at)
        if not _ATTRIBUTE.size <= size <= end - at:
            raise MalformedError(f"an attribute claims {size} bytes where {end - at} are left")
        found[kind] = message[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3  # NLA_ALIGN
    return found


def _framed(raw: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Length, type and flags of the message at `at`, which is there whole."""
    if end - at < HEADER.size:
        raise MalformedError(f"{end - at} bytes are too few for a netlink header")
    size, kind, flags, _, _ = HEADER.unpack_from(raw, at)
    if not HEADER.size <= size <= end - at:
        raise MalformedError(f"a netlink message claims {size} bytes where {end - at} are left")
    return size, kind, flags


def _misplaced(kind: int) -> MalformedError:
    return MalformedError(f"a netlink message of type {kind} has no place in a dump of sockets")


def _error_number(body: bytes) -> int:
    """The errno of NLMSG_ERROR or NLMSG_DONE, positive; 0 where all is well."""
    if len(body) < _ERROR.size:
        raise MalformedError("a netlink error without its number")
    return -int(_ERROR.unpack_from(body)[0])


def _raise_for(error: int) -> None:
    if error in _NOT_SUPPORTED:
        raise RefusedError(f"the kernel has no such socket diagnostics ({errno.errorcode[error]})")
    if error:
        raise SourceError(f"the kernel broke off its dump of sockets: {os.strerror(abs(error) & 0xFFFF)}")
