"""Sockets, who holds them, and how they end.

Numbers that the kernel defines keep the kernel's values; the enumerations equal those of
fleetnet_proto/v1/sockets.proto (a test compares them).
"""

import enum
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from fleetnet_agent.records.often import made_often

OWN_NAMESPACE: Final = 0
"""The agent's own network namespace, where others have the number of their inode."""


class Protocol(enum.IntEnum):
    """Kind of socket: IANA number of the transport protocol, or one beyond its range."""

    TCP = 6
    UDP = 17
    SCTP = 132
    UDPLITE = 136
    RAW = 255  # of IPv4 and IPv6; the local port is the number of the protocol it is for
    UNIX = 256
    PACKET = 257  # the local port is the Ethernet protocol's number


class Family(enum.IntEnum):
    """Address family of the socket: 4 or 6, not AF_INET and AF_INET6; AF_UNIX and AF_PACKET as they are."""

    UNIX = 1
    IPV4 = 4
    IPV6 = 6
    PACKET = 17


class SocketType(enum.IntEnum):
    """Type as in include/linux/net.h, where the protocol does not say it."""

    STREAM = 1
    DGRAM = 2
    RAW = 3
    SEQPACKET = 5


class State(enum.IntEnum):
    """Socket state as in include/net/tcp_states.h; all but TCP and SCTP are CLOSE, ESTABLISHED or (UNIX) LISTEN."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11


class OwnerStatus(enum.IntEnum):
    """What is known about who holds a socket; each is explained in sockets.proto."""

    KNOWN = 1
    INFERRED = 2
    NO_HELPER = 3
    PERMISSION = 4
    KERNEL = 5
    UNACCEPTED = 6
    GONE = 7
    RACED = 8


class Source(enum.IntEnum):
    """Where a socket was read."""

    DIAG = 1
    PSUTIL = 2
    PROC = 3


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it was when looked at; (pid, started_at_us) names it."""

    pid: int
    started_at_us: int  # host's wall clock
    name: str  # /proc/PID/comm
    exe: str  # "" where unreadable
    program: str  # as netstat(8) shows it, "PID/" and it at most 19 characters


@dataclass(frozen=True, slots=True)
class Holder:
    """Who and what holds a socket."""

    uid: int | None  # None where the kernel no longer knows (TIME_WAIT)
    user: str  # "" where the uid has no name
    unit: str  # systemd unit, "" where none
    container: str  # container id, "" where none
    owner_status: OwnerStatus
    owners: tuple[Process, ...]  # ascending by pid; empty unless KNOWN or INFERRED
    runtime: str = ""  # what runs the container, "" where not known


@made_often
@dataclass(frozen=True, slots=True)
class SocketKey:
    """What names a socket within one boot of one host.

    (netns, protocol, cookie); without a cookie (netns, protocol, inode); with neither, the four-tuple.
    """

    netns: int  # 0: the agent's own namespace, else the namespace's inode number, or another; see sockets.proto
    protocol: Protocol
    cookie: int
    inode: int = 0  # only where cookie is 0
    four_tuple: bytes = b""  # only where cookie and inode are 0


@made_often
@dataclass(frozen=True, slots=True)
class Socket:
    """One socket in one state."""

    key: SocketKey
    family: Family
    state: State
    local_address: bytes  # 4 or 16 bytes, network order
    local_port: int
    remote_address: bytes  # b"" without a peer
    remote_port: int  # 0 without a peer
    interface: str  # name of the interface it is bound to, "" where none
    v6only: bool | None  # None where the kernel does not say
    recv_queue: int  # bytes; for a listener, connections waiting
    send_queue: int  # bytes; for a listener, the limit of its backlog
    inode: int  # 0 where no process holds it
    source: Source
    holder: Holder
    type: SocketType | None = None  # UNIX and packet sockets
    path: bytes = b""  # UNIX: the name it is bound to; a zero byte leads an abstract one
    peer_inode: int = 0  # UNIX: of the socket at the other end, 0 where there is none


@dataclass(frozen=True, slots=True)
class Closed:
    """A socket that is gone."""

    key: SocketKey
    at_us: int | None = None  # when it ended, where the kernel said so; else the look found it gone
    before_us: int | None = None  # or it was gone by then already, for another one had its addresses


class Brief(NamedTuple):
    """A socket that opened and closed between two looks, known by its end alone. No snapshot ever has it.

    Flat, and a tuple, for there may be ten thousand of them in a second.
    """

    at_us: int  # when it ended
    netns: int  # as in SocketKey
    protocol: Protocol
    cookie: int
    family: Family
    local_address: bytes
    local_port: int
    remote_address: bytes
    remote_port: int
    interface: str
    holder: Holder

    @property
    def socket(self) -> Socket:
        """The same as any other socket is told."""
        return Socket(
            key=SocketKey(self.netns, self.protocol, self.cookie),
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
            inode=0,
            source=Source.DIAG,
            holder=self.holder,
        )

    @classmethod
    def of(cls, socket: Socket, at_us: int) -> Self:
        """The end of a socket, with what of it an end can tell."""
        return cls(
            at_us,
            socket.key.netns,
            socket.key.protocol,
            socket.key.cookie,
            socket.family,
            socket.local_address,
            socket.local_port,
            socket.remote_address,
            socket.remote_port,
            socket.interface,
            socket.holder,
        )
