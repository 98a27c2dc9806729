"""What the agent knows of sockets: the values that pass between its rooms.

Plain frozen values, no behaviour, no protobuf, no file descriptors. Numbers that the kernel defines keep the
kernel's values; the enumerations equal those of fleetnet_proto/v1/sockets.proto (a test compares them).
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self


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


@dataclass(frozen=True, slots=True)
class SocketKey:
    """What names a socket within one boot of one host.

    (netns, protocol, cookie); without a cookie (netns, protocol, inode); with neither, the four-tuple.
    """

    netns: int  # 0: the agent's own namespace, else the namespace's inode number
    protocol: Protocol
    cookie: int
    inode: int = 0  # only where cookie is 0
    four_tuple: bytes = b""  # only where cookie and inode are 0


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
class SourceStatus:
    """How one source is doing; `detail` is one sentence, "" when all is well."""

    name: str
    ok: bool
    detail: str
    blind: bool = False  # it could not be read at all, so nothing is known of its sockets since the last reading


@dataclass(frozen=True, slots=True)
class Gap:
    """A time about which the agent knows that it does not know; host's wall clock."""

    from_us: int
    to_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A socket that is gone."""

    key: SocketKey
    at_us: int | None = None  # when it ended, where the kernel said so; else the look found it gone


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


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of an interface."""

    address: bytes  # 4 or 16 bytes
    prefix_length: int
    peer: bytes = b""  # the other end of a point-to-point link
    scope: int = 0  # RT_SCOPE_*


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface without its counters; numbers are the kernel's, each explained in network.proto."""

    index: int
    name: str
    hardware_type: int
    hardware_address: bytes
    mtu: int
    flags: int
    operstate: int
    kind: str  # "" unless virtual
    master: int  # index, 0 where none
    addresses: tuple[InterfaceAddress, ...]
    speed_mbps: int = 0  # 0 where not known
    duplex: int = 0  # 0 not known, 1 half, 2 full
    link: bool | None = None
    driver: str = ""


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a route leads."""

    gateway: bytes  # b"" where the destination is on the link
    interface: str
    weight: int
    flags: int


@dataclass(frozen=True, slots=True)
class Route:
    """A route; numbers are the kernel's, each explained in network.proto."""

    family: Family
    destination: bytes
    prefix_length: int
    table: int
    type: int
    protocol: int
    scope: int
    metric: int
    preferred_source: bytes
    next_hops: tuple[NextHop, ...]
    flags: int = 0
    tos: int = 0
    advmss: int = 0
    window: int = 0
    rtt: int = 0
    mtu: int = 0


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace beside its sockets, whole."""

    netns: int  # as in SocketKey
    name: str = ""
    container: str = ""
    runtime: str = ""
    unit: str = ""
    interfaces: tuple[Interface, ...] = ()  # ascending by index
    routes: tuple[Route, ...] = ()  # of all tables but the local one, in the kernel's order
    unread: bool = False  # interfaces or routes could not be read: what was known of them stays
    routes_left_out: int = 0


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """What an interface has counted since it was made; for a live look, never kept. See live.proto."""

    netns: int  # as in SocketKey
    name: str
    mtu: int
    flags: int
    received_bytes: int
    received_packets: int
    receive_errors: int
    receive_drops: int
    receive_overruns: int
    sent_bytes: int
    sent_packets: int
    send_errors: int
    send_drops: int
    send_overruns: int


@dataclass(frozen=True, slots=True)
class Statistic:
    """A counter of the kernel's protocols; for a live look, never kept."""

    netns: int  # as in SocketKey
    group: str  # "Ip", "Tcp", "TcpExt", "Ip6", as the kernel's files have it
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed between two looks. Applied to the sockets of the look before, it gives those of this look."""

    look_at_us: int  # when this look ended, host's wall clock
    previous_look_at_us: int  # 0 at the first look
    opened: Sequence[Socket] = ()
    changed: tuple[Socket, ...] = ()  # whole, as they are now
    closed: tuple[Closed, ...] = ()  # each confirmed gone
    brief: tuple[Brief, ...] = ()
    entered_at_us: Mapping[SocketKey, int] = field(default_factory=dict)
    """When those of `opened` and `changed` entered their state of which the kernel said so; of the rest, this look
    was the first to see it."""
    sources: tuple[SourceStatus, ...] = ()  # those whose standing changed
    gaps: tuple[Gap, ...] = ()
    namespaces: tuple[Namespace, ...] = ()  # new, or with something changed; each whole
    namespaces_gone: tuple[int, ...] = ()

    @property
    def empty(self) -> bool:
        """True if there is nothing to tell."""
        return not (
            self.opened
            or self.changed
            or self.closed
            or self.brief
            or self.sources
            or self.gaps
            or self.namespaces
            or self.namespaces_gone
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that was open at one look."""

    look_at_us: int
    sockets: Sequence[Socket]  # maybe made only as they are asked for, each time anew
    sources: tuple[SourceStatus, ...]  # all of them
    namespaces: tuple[Namespace, ...] = ()  # all of them, the agent's own first


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the host is; changes rarely."""

    os: str
    kernel: str
    architecture: str
    cpu_count: int
    memory_bytes: int
    booted_at_us: int


@dataclass(frozen=True, slots=True)
class LiveWanted:
    """What is wanted of a live look."""

    sockets: bool = False
    details: bool = False  # tcp_info and memory of the sockets, too
    interfaces: bool = False  # their counters
    statistics: bool = False


@dataclass(frozen=True, slots=True)
class Timer:
    """A running timer of a socket."""

    kind: int  # 1 retransmission, 2 keepalive, 3 TIME_WAIT, 4 zero window probe
    expires_ms: int
    retransmits: int  # how often it has fired


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """Some of struct tcp_info, each explained in live.proto; 0 where this kernel does not tell it."""

    rtt_us: int = 0
    rtt_variation_us: int = 0
    min_rtt_us: int = 0
    congestion_window: int = 0
    slow_start_threshold: int = 0
    retransmitted_segments: int = 0
    lost_segments: int = 0
    acknowledged_bytes: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    sent_segments: int = 0
    received_segments: int = 0
    delivery_rate: int = 0
    last_sent_ms: int = 0
    last_received_ms: int = 0
    send_mss: int = 0
    retransmission_timeout_us: int = 0
    congestion_control: str = ""


@dataclass(frozen=True, slots=True)
class SocketMemory:
    """SK_MEMINFO_*, each explained in live.proto; 0 where this kernel does not tell it."""

    receive_allocated_bytes: int = 0
    receive_buffer_bytes: int = 0
    send_allocated_bytes: int = 0
    send_buffer_bytes: int = 0
    forward_allocated_bytes: int = 0
    send_queued_bytes: int = 0
    option_bytes: int = 0
    backlog_bytes: int = 0
    drops: int = 0


@dataclass(frozen=True, slots=True)
class LiveSocket:
    """A socket with the numbers that change all the time; its queues are those of this moment."""

    socket: Socket
    timer: Timer | None = None  # None where none runs
    tcp: TcpInfo | None = None  # None where not wanted or not told
    memory: SocketMemory | None = None  # likewise


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a live look is not whole, one sentence."""

    sentence: str


LiveItem = LiveSocket | InterfaceCounters | Statistic | Trouble
"""What a live look consists of."""
