"""Codec of rtnetlink as such: requests for dumps, the messages that answer them, and their attributes. Pure.

Formats: struct nlmsghdr and nlattr in include/uapi/linux/netlink.h; message types in include/uapi/linux/rtnetlink.h.
Host byte order. What a link, an address or a route is made of is in `links.py` and `routes.py`.

What must stay true: whatever the bytes are, the only exceptions are those of `sources/source.py`.
"""

import errno
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fleetnet_agent.records import Family
from fleetnet_agent.sources.source import MalformedError, RefusedError, SourceError

# include/uapi/linux/netlink.h
NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE = 1, 2, 3
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x001, 0x300, 0x010
NLA_TYPE_MASK = 0x3FFF
# include/uapi/linux/rtnetlink.h
RTM_NEWLINK, RTM_GETLINK = 16, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWNEXTHOP, RTM_GETNEXTHOP = 104, 106
RTEXT_FILTER_SKIP_STATS = 1 << 3
IFLA_EXT_MASK = 29  # include/uapi/linux/if_link.h

AF_INET, AF_INET6 = 2, 10  # include/linux/socket.h
FAMILIES = {AF_INET: (Family.IPV4, 4), AF_INET6: (Family.IPV6, 16)}
"""Our name of a family, and the bytes of its addresses."""

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
_NUMBER = struct.Struct("=I")
_ERROR = struct.Struct("=i")
_REFUSED = frozenset({errno.EPERM, errno.EACCES, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask for, and the type of the messages that answer."""

    kind: int
    answer: int
    body: bytes

    def encode(self, sequence: int) -> bytes:
        """The bytes to send."""
        size = _HEADER.size + len(self.body)
        return _HEADER.pack(size, self.kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + self.body


@dataclass(frozen=True, slots=True)
class Part:
    """One datagram of a dump: what follows the header in each of its messages."""

    bodies: list[bytes]
    last: bool
    spoiled: bool  # the kernel says that the table changed meanwhile: the whole dump is worth nothing


# ifinfomsg and IFLA_EXT_MASK: counters would make every message another one each time.
LINKS = Request(
    RTM_GETLINK, RTM_NEWLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + struct.pack("=HHI", 8, IFLA_EXT_MASK, 8)
)
ADDRESSES = Request(RTM_GETADDR, RTM_NEWADDR, struct.pack("=BBBBI", 0, 0, 0, 0, 0))  # ifaddrmsg
NEXT_HOPS = Request(RTM_GETNEXTHOP, RTM_NEWNEXTHOP, struct.pack("=BBBBI", 0, 0, 0, 0, 0))  # nhmsg


def routes_of(family: int) -> Request:
    """Every route of AF_INET or AF_INET6, in all tables. A kernel without the family answers with another one's."""
    return Request(RTM_GETROUTE, RTM_NEWROUTE, struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0))  # rtmsg


def read_part(data: bytes, answer: int, sequence: int) -> Part:
    """Take one datagram of a dump apart; messages of another sequence are left out. Raises SourceError."""
    bodies: list[bytes] = []
    spoiled = False
    for kind, flags, number, body in _walk(data):
        if number != sequence:
            continue
        spoiled = spoiled or bool(flags & NLM_F_DUMP_INTR)
        if kind == NLMSG_DONE:
            _raise_for(_error_number(body) if body else 0)
            return Part(bodies, True, spoiled)
        if kind == NLMSG_ERROR:
            _raise_for(_error_number(body))
        elif kind == answer:
            bodies.append(body)
        elif kind != NLMSG_NOOP:
            raise MalformedError(f"a netlink message of type {kind} has no place in a dump of type {answer}")
    return Part(bodies, False, spoiled)


def attributes(body: bytes, at: int) -> dict[int, bytes]:
    """The attributes from a place on, by type; of equal ones the last. Raises MalformedError."""
    found: dict[int, bytes] = {}
    while len(body) - at >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(body, at)
        if not _ATTRIBUTE.size <= size <= len(body) - at:
            raise MalformedError(f"an attribute claims {size} bytes where {len(body) - at} are left")
        found[kind & NLA_TYPE_MASK] = body[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3  # NLA_ALIGN
    return found


def number_of(found: Mapping[int, bytes], kind: int, default: int = 0) -> int:
    """An attribute that is a 32-bit number. Raises MalformedError."""
    value = found.get(kind)
    if value is None:
        return default
    if len(value) != _NUMBER.size:
        raise MalformedError(f"an attribute of type {kind} has {len(value)} bytes where a number has 4")
    return int(_NUMBER.unpack(value)[0])


def address_of(found: Mapping[int, bytes], kind: int, width: int) -> bytes:
    """An attribute that is an address of `width` bytes; b"" where it is not there. Raises MalformedError."""
    value = found.get(kind, b"")
    if len(value) not in (0, width):
        raise MalformedError(f"an address of {len(value)} bytes where it takes {width}")
    return value


def text_of(found: Mapping[int, bytes], kind: int) -> str:
    """An attribute that is a name, ended by a zero byte; "" where it is not there."""
    return found.get(kind, b"").partition(b"\0")[0].decode("utf-8", "surrogateescape")


def fixed(body: bytes, layout: struct.Struct, what: str) -> tuple[int, ...]:
    """What every message of a kind begins with. Raises MalformedError."""
    if len(body) < layout.size:
        raise MalformedError(f"{len(body)} bytes are too few for {what}")
    return layout.unpack_from(body)


def _walk(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The netlink messages of a datagram: type, flags, sequence, body."""
    at = 0
    while at < len(data):
        left = len(data) - at
        if left < _HEADER.size:
            raise MalformedError(f"{left} bytes are too few for a netlink header")
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= size <= left:
            raise MalformedError(f"a netlink message claims {size} bytes where {left} are left")
        yield kind, flags, sequence, data[at + _HEADER.size : at + size]
        at += (size + 3) & ~3  # NLMSG_ALIGN


def _error_number(body: bytes) -> int:
    """The errno of NLMSG_ERROR or NLMSG_DONE, positive; 0 where all is well."""
    if len(body) < _ERROR.size:
        raise MalformedError("a netlink error without its number")
    return -int(_ERROR.unpack_from(body)[0])


def _raise_for(error: int) -> None:
    if error in _REFUSED:
        raise RefusedError(f"the kernel refuses to list its tables ({errno.errorcode[error]})")
    if error:
        raise SourceError(f"the kernel broke off the list of a table: {os.strerror(abs(error) & 0xFFFF)}")
