"""What every source of sockets has in common: the record it yields, its codec, and its errors.

Errors:
    SourceError             one reading failed; what was known stays as it was
    ├── RefusedError        this kernel or container does not do it at all: another way must be found
    ├── MalformedError      the bytes are not what the kernel's headers say
    └── InconsistentError   the kernel says that the table changed in a way that spoiled the dump: read again
"""

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple, Self
from typing import Protocol as Interface

from fleetnet_agent.records import Family, Protocol, SocketType, State
from fleetnet_agent.records.often import made_often


class SourceError(Exception):
    """A source could not be read; the text is one sentence for people."""


class RefusedError(SourceError):
    """The kernel or the container does not allow or does not have this."""


class MalformedError(SourceError):
    """Bytes that do not follow the format."""


class InconsistentError(SourceError):
    """A dump that the kernel marked as inconsistent."""


@made_often
@dataclass(frozen=True, slots=True)
class Sighting:
    """One socket as a source shows it: no owner, no names, only what was read.

    `name` names it within its source: the cookie; where there is none, the inode, or (psutil) addresses and ports (see
    SocketKey.four_tuple).
    """

    name: int | bytes
    protocol: Protocol
    family: Family
    state: State
    local_address: bytes
    local_port: int
    remote_address: bytes  # b"" without a peer
    remote_port: int
    interface: int  # index, 0 where it is bound to none
    v6only: bool | None
    recv_queue: int
    send_queue: int
    uid: int | None  # None where the kernel no longer knows, or the source does not say
    inode: int
    cgroup_id: int  # inode number of the cgroup2 directory, 0 where not known
    pid: int | None = None  # of the one owner that the source itself found, where it looks for owners
    type: SocketType | None = None  # UNIX and packet sockets
    path: bytes = b""  # UNIX: the name it is bound to; a zero byte leads an abstract one
    peer_inode: int = 0  # UNIX: of the socket at the other end, 0 where there is none


class End(NamedTuple):
    """A socket that the kernel destroyed, as it was left. A tuple, for there may be ten thousand of them a second."""

    at_us: int  # host's wall clock
    name: int | bytes  # as in Sighting
    protocol: Protocol
    family: Family
    local_address: bytes
    local_port: int
    remote_address: bytes
    remote_port: int
    interface: int

    @property
    def addresses(self) -> tuple[bytes, int, bytes, int]:
        """What two connections of one namespace cannot share."""
        return self[4:8]

    @property
    def socket(self) -> Sighting:
        """As a source would show it: in CLOSE, and without all that the kernel had taken from it."""
        return Sighting(
            name=self.name,
            protocol=self.protocol,
            family=self.family,
            state=State.CLOSE,
            local_address=self.local_address,
            local_port=self.local_port,
            remote_address=self.remote_address,
            remote_port=self.remote_port,
            interface=self.interface,
            v6only=None,
            recv_queue=0,
            send_queue=0,
            uid=None,
            inode=0,
            cgroup_id=0,
        )

    @classmethod
    def of(cls, at_us: int, one: Sighting) -> Self:
        """The end of a socket that a source has shown."""
        return cls(
            at_us,
            one.name,
            one.protocol,
            one.family,
            one.local_address,
            one.local_port,
            one.remote_address,
            one.remote_port,
            one.interface,
        )


class Part:
    """One part of a dump: inet_diag_msg, unix_diag_msg or packet_diag_msg structures with their attributes, and beside
    them their cookies."""

    __slots__ = ("_messages", "cookies", "last")

    def __init__(self, cookies: list[int], messages: list[bytes], last: bool) -> None:
        self.cookies = cookies
        self._messages = messages
        self.last = last

    @property
    def messages(self) -> list[bytes]:
        """One for each cookie."""
        return self._messages

    def news(self, known: Mapping[int, bytes]) -> dict[int, bytes]:
        """By cookie, the messages that are not the known ones."""
        differs = map(operator.ne, self.messages, map(known.get, self.cookies))
        return dict(compress(zip(self.cookies, self.messages, strict=True), differs))


@dataclass(frozen=True, slots=True)
class Columns:
    """What is read of many messages at once, without a bytecode for each: the first look has all there are."""

    inodes: Callable[[Collection[bytes]], list[int]]
    states: Callable[[Collection[bytes]], list[int]]  # unchecked
    unlike: Callable[[Collection[bytes]], Collection[bytes]]
    """Some of them: where `Codec.decode` takes these it takes all."""


@dataclass(frozen=True, slots=True)
class Codec:
    """What one kind of messages means: pure functions, so that one machinery follows all kinds.

    What must stay true: a message that `decode` or `differs_lastingly` took without an error raises none in the rest.
    """

    smallest_bytes: int  # of a message
    read_part: Callable[[memoryview], Part]  # one datagram of a dump
    cookie_of: Callable[[bytes], int]
    inode_of: Callable[[bytes], int]
    state_of: Callable[[bytes], int]  # unchecked
    queues_of: Callable[[bytes], tuple[int, int]]
    decode: Callable[[bytes, Protocol], Sighting]  # raises MalformedError
    differs_in_timers_only: Callable[[bytes, bytes], bool]  # or in other numbers that are never told
    differs_lastingly: Callable[[bytes, bytes], bool]  # in more than those and queues
    get_request: Callable[[bytes, Protocol, int, int], bytes] | None
    """The request for exactly the socket of a message, by its sequence number; None where the kernel answers none."""
    columns: Columns | None = None  # None where each message is to be read by itself


class Count(NamedTuple):
    """How many sockets there are in a network namespace, by another count of the kernel's than its table."""

    sockets: int  # TIME_WAIT among them; no requests to connect, which are SYN_RECV
    opened: int  # connections, since there is the namespace


class Source(Interface):
    """A kind of socket to read: adding one is a file here, a line in `sources/all.py` and a test."""

    protocol: Protocol
    codec: Codec
    listening: int  # mask of the states that make a listener
    sharing: int  # mask of the states in which several sockets may have the same addresses and ports

    def read(self, states: int) -> Iterator[Part]:
        """Every socket in one of these states (a mask of 1 << State), doubles included. Raises SourceError."""
