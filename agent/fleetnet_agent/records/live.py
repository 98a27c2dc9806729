"""A live look: what may be wanted of it, and the numbers that change all the time, which no other look tells."""

from dataclasses import dataclass

from fleetnet_agent.records.network import InterfaceCounters, Statistic
from fleetnet_agent.records.sockets import Socket


@dataclass(frozen=True, slots=True)
class LiveWanted:
    """What is wanted of a live look."""

    sockets: bool = False
    details: bool = False  # tcp_info and memory of the sockets, too
    interfaces: bool = False  # their counters
    statistics: bool = False
    netns: int | None = None  # only of this network namespace, as in SocketKey; None: of all


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
