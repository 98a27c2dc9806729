"""Codec of unix_diag: bytes to records and back to requests. Pure: no socket, no clock.

Formats: unix_diag_req, unix_diag_msg and UNIX_DIAG_* in include/uapi/linux/unix_diag.h; what the kernel fills in is in
net/unix/diag.c; the frames around them in `sock_diag.py`. Host byte order. Messages are as long as their names.

A socket in the accept queue of a listener has no inode yet, and the kernel leaves it out.

What must stay true: whatever the bytes are, the only exceptions are those of `source.py`.
"""

import socket
import struct

from fleetnet_agent.records import Family, Protocol, SocketType, State
from fleetnet_agent.sources import sock_diag
from fleetnet_agent.sources.sock_diag import NLM_F_DUMP, SOCK_DIAG_BY_FAMILY, request
from fleetnet_agent.sources.source import Codec, MalformedError, Part, Sighting

# include/uapi/linux/unix_diag.h
UDIAG_SHOW_NAME, UDIAG_SHOW_PEER, UDIAG_SHOW_RQLEN, UDIAG_SHOW_UID = 0x01, 0x04, 0x10, 0x40
UNIX_DIAG_NAME, UNIX_DIAG_PEER, UNIX_DIAG_RQLEN, UNIX_DIAG_SHUTDOWN, UNIX_DIAG_UID = 0, 2, 4, 6, 7
PATH_BYTES = 108  # UNIX_PATH_MAX, include/uapi/linux/un.h

_SHOWN = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN | UDIAG_SHOW_UID  # uid from Linux 5.3 on, else ignored
_REQUEST = struct.Struct("=BBHIIIQ")  # unix_diag_req; udiag_cookie[2] written as one number
_MESSAGE = struct.Struct("=BBBBIQ")  # unix_diag_msg; udiag_cookie[2] read as one number
_COOKIE_AT = 8
_NUMBER = struct.Struct("=I")
_QUEUES = struct.Struct("=II")  # unix_diag_rqlen
_ANY_COOKIE = 2**64 - 1  # INET_DIAG_NOCOOKIE twice
_STATES = {int(state): state for state in (State.ESTABLISHED, State.SYN_SENT, State.CLOSE, State.LISTEN)}
_TYPES = {int(kind): kind for kind in SocketType}
_NOT_LASTING = frozenset({UNIX_DIAG_RQLEN, UNIX_DIAG_SHUTDOWN})


def dump_request(states: int, sequence: int) -> bytes:
    """Dump the UNIX sockets of the namespace."""
    body = _REQUEST.pack(socket.AF_UNIX, 0, 0, states, 0, _SHOWN, _ANY_COOKIE)
    return request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sequence, body)


def get_request(message: bytes, protocol: Protocol, sequence: int, extensions: int = 0) -> bytes:
    """Ask for exactly the socket that a unix_diag_msg once showed, by inode and cookie."""
    _, _, _, _, inode, cookie = _MESSAGE.unpack_from(message)
    body = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0, inode, _SHOWN, cookie)
    return request(SOCK_DIAG_BY_FAMILY, 0, sequence, body)


def read_part(data: memoryview) -> Part:
    """Take one datagram of a dump apart. Raises SourceError; RefusedError where the kernel has no such table."""
    return sock_diag.read_part(data, _MESSAGE.size, _COOKIE_AT)


def cookie_of(message: bytes) -> int:
    """The cookie of a unix_diag_msg."""
    return int(sock_diag.COOKIE.unpack_from(message, _COOKIE_AT)[0])


def inode_of(message: bytes) -> int:
    """udiag_ino of a unix_diag_msg."""
    return int(_NUMBER.unpack_from(message, 4)[0])


def state_of(message: bytes) -> int:
    """udiag_state of a unix_diag_msg, unchecked."""
    return message[2]


def queues_of(message: bytes) -> tuple[int, int]:
    """udiag_rqueue and udiag_wqueue: bytes; of a listener, connections that wait and the limit of its backlog."""
    return _queues(_attributes(message))


def differs_in_timers_only(before: bytes, after: bytes) -> bool:
    """True if two messages of one socket differ in nothing that is told, queues included."""
    was, now = _attributes(before), _attributes(after)
    was.pop(UNIX_DIAG_SHUTDOWN, None)
    now.pop(UNIX_DIAG_SHUTDOWN, None)
    return before[: _MESSAGE.size] == after[: _MESSAGE.size] and was == now


def differs_lastingly(before: bytes, after: bytes) -> bool:
    """True unless two messages of one socket differ in queues only. A listener's backlog limit is an attribute."""
    was, now = _attributes(before), _attributes(after)
    return (
        before[: _MESSAGE.size] != after[: _MESSAGE.size]
        or _lasting(was) != _lasting(now)
        or (state_of(after) == State.LISTEN and _queues(was)[1] != _queues(now)[1])
    )


def decode(message: bytes, protocol: Protocol) -> Sighting:
    """A unix_diag_msg with its attributes as a record. Raises MalformedError."""
    if len(message) < _MESSAGE.size:
        raise MalformedError(f"{len(message)} bytes are too few for a socket")
    family_number, type_number, state_number, _, inode, cookie = _MESSAGE.unpack_from(message)
    if family_number != socket.AF_UNIX or state_number not in _STATES:
        raise MalformedError(f"a UNIX socket of family {family_number} in state {state_number} is not known")
    found = _attributes(message)
    received, to_send = _queues(found)
    return Sighting(
        name=cookie,
        protocol=protocol,
        family=Family.UNIX,
        state=_STATES[state_number],
        local_address=b"",
        local_port=0,
        remote_address=b"",
        remote_port=0,
        interface=0,
        v6only=None,
        recv_queue=received,
        send_queue=to_send,
        uid=_number(found, UNIX_DIAG_UID),
        inode=inode,
        cgroup_id=0,
        type=_TYPES.get(type_number),
        path=_path(found.get(UNIX_DIAG_NAME, b"")),
        peer_inode=_number(found, UNIX_DIAG_PEER) or 0,
    )


def _attributes(message: bytes) -> dict[int, bytes]:
    return sock_diag.attributes(message, _MESSAGE.size)


def _lasting(found: dict[int, bytes]) -> dict[int, bytes]:
    return {kind: value for kind, value in found.items() if kind not in _NOT_LASTING}


def _queues(found: dict[int, bytes]) -> tuple[int, int]:
    value = found.get(UNIX_DIAG_RQLEN, b"")
    if len(value) != _QUEUES.size:
        return 0, 0
    received, to_send = _QUEUES.unpack(value)
    return int(received), int(to_send)


def _number(found: dict[int, bytes], kind: int) -> int | None:
    value = found.get(kind, b"")
    return int(_NUMBER.unpack(value)[0]) if len(value) == _NUMBER.size else None


def _path(name: bytes) -> bytes:
    """sun_path as it was bound: the kernel counts the zero byte that ends a pathname, but an abstract name is all its
    bytes, zeros included."""
    if name[:1] == b"\0":
        return name[:PATH_BYTES]
    return name.split(b"\0", 1)[0][:PATH_BYTES]


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
    get_request=get_request,
)
