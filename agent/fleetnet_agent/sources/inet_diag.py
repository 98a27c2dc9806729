"""Codec of inet_diag over netlink: bytes to records and back to requests. Pure: no socket, no clock.

Formats: inet_diag_req, inet_diag_req_v2, inet_diag_sockid and inet_diag_msg in include/uapi/linux/inet_diag.h;
TCPDIAG_GETSOCK and its siblings likewise; the frames around them in `sock_diag.py`. Host byte order, but for addresses
and ports.

What must stay true: whatever the bytes are, the only exceptions are those of `source.py`.
"""

import socket
import struct
from collections.abc import Collection, Mapping
from functools import lru_cache
from itertools import chain, repeat
from operator import itemgetter

from fleetnet_agent.records import Family, Protocol, State
from fleetnet_agent.sources import sock_diag
from fleetnet_agent.sources.sock_diag import (
    HEADER,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    SOCK_DIAG_BY_FAMILY,
    TCPDIAG_GETSOCK,
    request,
)
from fleetnet_agent.sources.source import Codec, Columns, MalformedError, Part, Sighting

# include/uapi/linux/inet_diag.h
INET_DIAG_SKV6ONLY, INET_DIAG_PEERS, INET_DIAG_CGROUP_ID = 11, 13, 21
TIME_WAIT_TIMER = 3  # idiag_timer of an inet_timewait_sock, net/ipv4/inet_diag.c: inet_twsk_diag_fill()

ALL_STATES = sum(1 << state for state in range(1, 13))
"""TCP_ESTABLISHED to TCP_NEW_SYN_RECV (include/net/tcp_states.h); not TCP_BOUND_INACTIVE, which ss and netstat do not
show either."""

_COOKIE = struct.Struct("=Q")
_INODE = struct.Struct("=I")
_QUEUES = struct.Struct("=II")
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
_MESSAGE = struct.Struct("=BBBB2s2s16s16sIQIIIII")  # inet_diag_msg; idiag_cookie[2] read as one number
_INODE_AT = 68  # of idiag_inode, from the beginning of inet_diag_msg
_SOCKID = slice(4, 52)  # inet_diag_sockid within inet_diag_msg
_SMALLEST = HEADER.size + _MESSAGE.size
_COOKIE_AT = 60  # of idiag_cookie, from the beginning of the nlmsghdr
FAMILIES = {int(socket.AF_INET): (Family.IPV4, 4), int(socket.AF_INET6): (Family.IPV6, 16)}
_STATES = {int(state): state for state in State}
_SWAPPED = (Protocol.UDP, Protocol.UDPLITE)


def tcp_dump_request(states: int, sequence: int, extensions: int = 0) -> bytes:
    """Dump TCP of both families in one walk over the kernel's table (the older request; the newer takes two).

    `extensions` is a mask of 1 << (INET_DIAG_* - 1), for attributes that do not come by themselves.
    """
    # inet_diag_req: family, src_len, dst_len, ext, 48 bytes of inet_diag_sockid, states, dbs
    return request(TCPDIAG_GETSOCK, NLM_F_DUMP, sequence, struct.pack("=BBBB48xII", 0, 0, 0, extensions, states, 0))


def dump_request(family: int, protocol: Protocol, states: int, sequence: int, extensions: int = 0) -> bytes:
    """Dump one family of one protocol; `extensions` as above."""
    body = struct.pack("=BBBBI48x", family, protocol, extensions, 0, states)
    return request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sequence, body)


def get_request(message: bytes, protocol: Protocol, sequence: int, extensions: int = 0) -> bytes:
    """Ask for exactly the socket that an inet_diag_msg once showed, by addresses and cookie."""
    sport, dport, source, destination, rest = struct.unpack("=2s2s16s16s12s", message[_SOCKID])
    if protocol in _SWAPPED:  # net/ipv4/udp_diag.c: udp_dump_one() takes them swapped, for historical reasons
        sport, dport, source, destination = dport, sport, destination, source
    body = struct.pack("=BBBBI", message[0], protocol, extensions, 0, ALL_STATES)
    return request(SOCK_DIAG_BY_FAMILY, 0, sequence, body + sport + dport + source + destination + rest)


def read_part(data: memoryview) -> Part:
    """Take one datagram of a dump apart. Raises SourceError; RefusedError where the kernel has no such table.

    An error may come inside NLMSG_DONE (a missing handler does): it is not an empty table.
    """
    return _read_equal(data) or sock_diag.read_part(data, _MESSAGE.size, _COOKIE_AT - HEADER.size)


class EqualPart(Part):
    """Socket messages of one length, `size` with their headers. They are taken apart when somebody asks for them."""

    __slots__ = ("_data", "_size")

    def __init__(self, cookies: list[int], data: bytes, size: int) -> None:
        super().__init__(cookies, [], last=False)
        self._data = data
        self._size = size

    @property
    def messages(self) -> list[bytes]:
        """See `Part`."""
        if not self._messages:
            bodies = struct.iter_unpack(f"={HEADER.size}x{self._size - HEADER.size}s", self._data)
            self._messages = list(chain.from_iterable(bodies))
        return self._messages

    def news(self, known: Mapping[int, bytes]) -> dict[int, bytes]:
        """See `Part`. Put together, the known messages and the new ones are as a rule what the kernel has sent, for its
        headers are all the same. To compare that whole costs half of what it costs to take it apart."""
        expected = [*map(known.get, self.cookies)]
        if not any(expected):
            return dict(zip(self.cookies, self.messages, strict=True))
        data, size = self._data, self._size
        new = {}
        if not all(expected):
            for at in [at for at, message in enumerate(expected) if message is None]:
                new[self.cookies[at]] = expected[at] = data[at * size + HEADER.size : (at + 1) * size]
        header = data[: HEADER.size]
        put_together = header + header.join(expected)  # type: ignore[arg-type]  # none of them is None by now
        return new if put_together == data else super().news(known)


def _read_equal(data: memoryview) -> EqualPart | None:
    """The fast way, where all messages are socket messages of one length; None where they are not.

    Lengths, types and cookies are then columns, and a column of a memoryview becomes a list without a bytecode per
    message. At 50,000 sockets this costs half of what walking costs.
    """
    if len(data) < _SMALLEST:
        return None
    size, kind, flags, _, _ = HEADER.unpack_from(data)
    if size < _SMALLEST or size % 4 or len(data) % size or kind not in (TCPDIAG_GETSOCK, SOCK_DIAG_BY_FAMILY):
        return None
    count, stride = len(data) // size, size // 4
    words = data.cast("I")
    if flags & NLM_F_DUMP_INTR or words[::stride].tolist().count(size) != count:
        return None
    kinds = words[1::stride].tolist()
    if kinds.count(kinds[0]) != count:
        return None
    return EqualPart(_cookie_column(data, size), bytes(data), size)


def _cookie_column(data: memoryview, size: int) -> list[int]:
    """The cookies of messages of `size` bytes each.

    A view of 8-byte numbers steps by 8 bytes. Where size is an odd multiple of 4, the cookies of every other message
    lie in the view that begins at 4, and those of the rest in the view that begins at 0.
    """
    after_first_word = data[4 : 4 + (len(data) - 4) // 8 * 8].cast("Q")
    if size % 8 == 0:
        return after_first_word[(_COOKIE_AT - 4) // 8 :: size // 8].tolist()
    from_start = data[: len(data) // 8 * 8].cast("Q")
    cookies = [0] * (len(data) // size)
    cookies[0::2] = after_first_word[(_COOKIE_AT - 4) // 8 :: size // 4].tolist()
    cookies[1::2] = from_start[(_COOKIE_AT + size) // 8 :: size // 4].tolist()
    return cookies


def cookie_of(message: bytes) -> int:
    """The cookie of an inet_diag_msg, which names the socket as long as the host runs."""
    return int(_COOKIE.unpack_from(message, _COOKIE_AT - HEADER.size)[0])


def inode_of(message: bytes) -> int:
    """idiag_inode of an inet_diag_msg."""
    return int(_INODE.unpack_from(message, _INODE_AT)[0])


def state_of(message: bytes) -> int:
    """idiag_state of an inet_diag_msg, unchecked."""
    return message[1]


def queues_of(message: bytes) -> tuple[int, int]:
    """idiag_rqueue and idiag_wqueue of an inet_diag_msg."""
    received, to_send = _QUEUES.unpack_from(message, 56)
    return int(received), int(to_send)


def is_association(message: bytes) -> bool:
    """True for an SCTP association, which alone has the addresses of a peer as an attribute. Raises MalformedError."""
    return INET_DIAG_PEERS in sock_diag.attributes(message, _MESSAGE.size)


def differs_in_timers_only(before: bytes, after: bytes) -> bool:
    """True if two inet_diag_msg of one socket differ in idiag_timer, idiag_retrans and idiag_expires at most."""
    return before[56:] == after[56:] and before[_SOCKID] == after[_SOCKID] and before[:2] == after[:2]


def differs_lastingly(before: bytes, after: bytes) -> bool:
    """True unless two inet_diag_msg of one socket differ in timers and queues only.

    A listener's idiag_wqueue is the limit of its backlog, an attribute.
    """
    return (
        before[:2] != after[:2]
        or before[64:] != after[64:]
        or before[_SOCKID] != after[_SOCKID]
        or (after[1] == State.LISTEN and before[60:64] != after[60:64])
    )


_CALM = (State.ESTABLISHED, State.CLOSE_WAIT)


def is_calm(message: bytes) -> bool:
    """True if the kernel's counters of TCP move whenever this socket of TCP changes: it is no connection on its way in
    or out, or left by its process; it was accepted; and nothing is in its queues (a listener's: waits for accept())."""
    received, to_send = _QUEUES.unpack_from(message, 56)
    if message[1] == State.LISTEN:
        return not received
    return message[1] in _CALM and not received and not to_send and _INODE.unpack_from(message, 68)[0] != 0


def decode(message: bytes, protocol: Protocol) -> Sighting:
    """An inet_diag_msg with its attributes as a record. Raises MalformedError."""
    if len(message) < _MESSAGE.size:
        raise MalformedError(f"{len(message)} bytes are too few for a socket")
    (
        family_number,
        state_number,
        timer,
        _,
        sport,
        dport,
        source,
        destination,
        interface,
        cookie,
        _,
        received,
        to_send,
        uid,
        inode,
    ) = _MESSAGE.unpack_from(message)
    if family_number not in FAMILIES or state_number not in _STATES:
        raise MalformedError(f"a socket of family {family_number} in state {state_number} is not known")
    family, width = FAMILIES[family_number]
    state = _STATES[state_number]
    raw = message[_MESSAGE.size :]
    v6only, cgroup_id = _remembered(raw) if len(raw) <= _ORDINARY_BYTES else _attributes(raw)
    has_peer = dport != b"\0\0" or any(destination[:width])
    # Neither what is left of a connection in TIME_WAIT nor one not yet made remembers a uid: both are filled with 0.
    has_uid = timer != TIME_WAIT_TIMER and not (state is State.SYN_RECV and inode == 0)
    return Sighting(
        name=cookie,
        protocol=protocol,
        family=family,
        state=state,
        local_address=source[:width],
        local_port=int.from_bytes(sport, "big"),
        remote_address=destination[:width] if has_peer else b"",
        remote_port=int.from_bytes(dport, "big"),
        interface=interface,
        v6only=v6only,
        recv_queue=received,
        send_queue=to_send,
        uid=uid if has_uid else None,
        inode=inode,
        cgroup_id=cgroup_id,
    )


def _attributes(raw: bytes) -> tuple[bool | None, int]:
    """IPV6_V6ONLY and the cgroup's id, as far as they are there."""
    v6only: bool | None = None
    cgroup_id = 0
    at = 0
    while len(raw) - at >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(raw, at)
        if not _ATTRIBUTE.size <= size <= len(raw) - at:
            raise MalformedError(f"an attribute claims {size} bytes where {len(raw) - at} are left")
        if kind == INET_DIAG_SKV6ONLY and size == 5:
            v6only = raw[at + 4] != 0
        elif kind == INET_DIAG_CGROUP_ID and size == 12:
            cgroup_id = int(_COOKIE.unpack_from(raw, at + 4)[0])
        at += (size + 3) & ~3  # NLA_ALIGN
    return v6only, cgroup_id


_remembered = lru_cache(maxsize=1024)(_attributes)  # the sockets of a control group have the same attributes
_ORDINARY_BYTES = 64  # of attributes; what has more was asked for details, and no two sockets have the same of these


def inodes_of(messages: Collection[bytes]) -> list[int]:
    """idiag_inode of each inet_diag_msg."""
    return list(chain.from_iterable(map(_INODE.unpack_from, messages, repeat(_INODE_AT))))


def states_of(messages: Collection[bytes]) -> list[int]:
    """idiag_state of each inet_diag_msg, unchecked."""
    return list(map(itemgetter(1), messages))


def unlike(messages: Collection[bytes]) -> Collection[bytes]:
    """Of each kind of inet_diag_msg one: their family, state and attributes are all that `decode` may refuse."""
    by_attributes = dict(zip(map(itemgetter(slice(_MESSAGE.size, None)), messages), messages, strict=True))
    by_state = dict(zip(map(itemgetter(slice(0, 2)), messages), messages, strict=True))
    return [*by_attributes.values(), *by_state.values()]


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
    columns=Columns(inodes_of, states_of, unlike),
)
