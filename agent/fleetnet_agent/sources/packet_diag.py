"""Codec of packet_diag: bytes to records and back to requests. Pure: no socket, no clock.

Formats: packet_diag_req, packet_diag_msg, packet_diag_info and PACKET_DIAG_* in include/uapi/linux/packet_diag.h; what
the kernel fills in is in net/packet/diag.c; the frames around them in `sock_diag.py`. Host byte order. The kernel
answers no question for exactly one of these sockets.

What must stay true: whatever the bytes are, the only exceptions are those of `source.py`.
"""

import socket
import struct

from fleetnet_agent.records import Family, Protocol, SocketType, State
from fleetnet_agent.sources import sock_diag
from fleetnet_agent.sources.sock_diag import NLM_F_DUMP, SOCK_DIAG_BY_FAMILY, request
from fleetnet_agent.sources.source import Codec, MalformedError, Part, Sighting

# include/uapi/linux/packet_diag.h
PACKET_SHOW_INFO, PACKET_SHOW_MEMINFO = 0x01, 0x10
PACKET_DIAG_INFO, PACKET_DIAG_UID, PACKET_DIAG_MEMINFO = 0, 5, 6

_REQUEST = struct.Struct("=BBHIIQ")  # packet_diag_req; pdiag_cookie[2] written as one number
_MESSAGE = struct.Struct("=BBHIQ")  # packet_diag_msg; pdiag_cookie[2] read as one number
_COOKIE_AT = 8
_NUMBER = struct.Struct("=I")
_TYPES = {int(kind): kind for kind in SocketType}


def dump_request(sequence: int) -> bytes:
    """Dump the packet sockets of the namespace."""
    body = _REQUEST.pack(socket.AF_PACKET, 0, 0, 0, PACKET_SHOW_INFO | PACKET_SHOW_MEMINFO, 0)
    return request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sequence, body)


def read_part(data: memoryview) -> Part:
    """Take one datagram of a dump apart. Raises SourceError; RefusedError where the kernel has no such table."""
    return sock_diag.read_part(data, _MESSAGE.size, _COOKIE_AT)


def cookie_of(message: bytes) -> int:
    """The cookie of a packet_diag_msg."""
    return int(sock_diag.COOKIE.unpack_from(message, _COOKIE_AT)[0])


def inode_of(message: bytes) -> int:
    """pdiag_ino of a packet_diag_msg."""
    return int(_NUMBER.unpack_from(message, 4)[0])


def state_of(message: bytes) -> int:
    """Packet sockets have no peer, and so one state only."""
    return State.CLOSE


def queues_of(message: bytes) -> tuple[int, int]:
    """Memory of what is not read yet, as ss(8) shows it, and nothing to send."""
    return _received(_attributes(message)), 0


def differs_in_timers_only(before: bytes, after: bytes) -> bool:
    """True if two messages of one socket differ in numbers of its memory at most that are not told."""
    was, now = _attributes(before), _attributes(after)
    return _received(was) == _received(now) and not _differ(before, was, after, now)


def differs_lastingly(before: bytes, after: bytes) -> bool:
    """True unless two messages of one socket differ in its memory only."""
    return _differ(before, _attributes(before), after, _attributes(after))


def decode(message: bytes, protocol: Protocol) -> Sighting:
    """A packet_diag_msg with its attributes as a record. Raises MalformedError."""
    if len(message) < _MESSAGE.size:
        raise MalformedError(f"{len(message)} bytes are too few for a socket")
    family_number, type_number, ether_type, inode, cookie = _MESSAGE.unpack_from(message)
    if family_number != socket.AF_PACKET:
        raise MalformedError(f"a packet socket of family {family_number} is not known")
    found = _attributes(message)
    return Sighting(
        name=cookie,
        protocol=protocol,
        family=Family.PACKET,
        state=State.CLOSE,
        local_address=b"",
        local_port=ether_type,
        remote_address=b"",
        remote_port=0,
        interface=_first_number(found, PACKET_DIAG_INFO) or 0,  # pdi_index
        v6only=None,
        recv_queue=_received(found),
        send_queue=0,
        uid=_first_number(found, PACKET_DIAG_UID),
        inode=inode,
        cgroup_id=0,
        type=_TYPES.get(type_number),
    )


def _attributes(message: bytes) -> dict[int, bytes]:
    return sock_diag.attributes(message, _MESSAGE.size)


def _received(found: dict[int, bytes]) -> int:
    """SK_MEMINFO_RMEM_ALLOC, include/uapi/linux/sock_diag.h."""
    return _first_number(found, PACKET_DIAG_MEMINFO) or 0


def _first_number(found: dict[int, bytes], kind: int) -> int | None:
    value = found.get(kind, b"")
    return int(_NUMBER.unpack_from(value)[0]) if len(value) >= _NUMBER.size else None


def _differ(before: bytes, was: dict[int, bytes], after: bytes, now: dict[int, bytes]) -> bool:
    kinds = (was.keys() | now.keys()) - {PACKET_DIAG_MEMINFO}
    return before[: _MESSAGE.size] != after[: _MESSAGE.size] or any(was.get(kind) != now.get(kind) for kind in kinds)


CODEC = Codec(
    smallest_bytes=_MESSAGE.size,
    read_part=read_part,
    cookie_of=cookie_of,
    inode_of=inode_of,
    state_of=state_of,
    queues_of=queues_of,
    decode=decode,
    differs_in_timers_only=differs_in_timers_only,
    differs_lastingly=differs_lastingly,
    get_request=None,
)
