"""Codec of what inet_diag tells of a socket on demand: timers, tcp_info, memory. Bytes to records; pure.

Formats: idiag_timer, idiag_retrans, idiag_expires and the INET_DIAG_* attributes in include/uapi/linux/inet_diag.h;
struct tcp_info in include/uapi/linux/tcp.h; SK_MEMINFO_* in include/uapi/linux/sock_diag.h.

What must stay true: tcp_info and memory have grown from kernel to kernel, so what is missing at the end is 0 and what
comes after what is known here is not read; whatever the bytes are, the only exception is MalformedError.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from fleetnet_agent.records import Protocol, SocketMemory, TcpInfo, Timer
from fleetnet_agent.sources.source import MalformedError

# include/uapi/linux/inet_diag.h
INET_DIAG_INFO, INET_DIAG_CONG, INET_DIAG_SKMEMINFO = 2, 4, 7
DETAILS = sum(1 << (kind - 1) for kind in (INET_DIAG_INFO, INET_DIAG_CONG, INET_DIAG_SKMEMINFO))
"""Mask of the attributes to ask for (idiag_ext)."""

_MESSAGE_BYTES = 72  # sizeof(struct inet_diag_msg)
_TIMER = struct.Struct("=2xBB48xI")  # idiag_timer, idiag_retrans, idiag_expires
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
# Of struct tcp_info: rto, snd_mss · lost · last_data_sent, last_data_recv · rtt, rttvar, snd_ssthresh, snd_cwnd ·
# total_retrans · bytes_acked, bytes_received, segs_out, segs_in · min_rtt · delivery_rate · bytes_sent
_TCP_INFO = struct.Struct("=8xI4xI12xI8xI4xI8x4xIIII16xI16xQQII4xI8xQ32xQ")
_NO_MIN_RTT = 0xFFFFFFFF  # net/ipv4/tcp.c: no round trip was measured yet
_CA_NAME_BYTES = 16  # TCP_CA_NAME_MAX of include/net/tcp.h
_MEMORY = struct.Struct("=9I")  # SK_MEMINFO_RMEM_ALLOC to SK_MEMINFO_DROPS


@dataclass(frozen=True, slots=True)
class Details:
    """What one message tells beside the socket itself; None for what it does not."""

    timer: Timer | None
    tcp: TcpInfo | None
    memory: SocketMemory | None


def decode_details(message: bytes, protocol: Protocol) -> Details:
    """The details in an inet_diag_msg with its attributes. Raises MalformedError."""
    timer = decode_timer(message)
    info: bytes | None = None
    memory: bytes | None = None
    congestion = b""
    for kind, value in _attributes(message):
        if kind == INET_DIAG_INFO and protocol is Protocol.TCP:  # other protocols have structures of their own there
            info = value
        elif kind == INET_DIAG_CONG:
            congestion = value
        elif kind == INET_DIAG_SKMEMINFO:
            memory = value
    return Details(
        timer=timer,
        tcp=None if info is None else _tcp_info(info, congestion),
        memory=None if memory is None else SocketMemory(*_MEMORY.unpack(_fitting(memory, _MEMORY.size))),
    )


def decode_timer(message: bytes) -> Timer | None:
    """The timer in an inet_diag_msg; None where none runs. Raises MalformedError."""
    if len(message) < _MESSAGE_BYTES:
        raise MalformedError(f"{len(message)} bytes are too few for a socket")
    kind, retransmits, expires_ms = _TIMER.unpack_from(message)
    return Timer(kind, expires_ms, retransmits) if kind else None


def _tcp_info(info: bytes, congestion: bytes) -> TcpInfo:
    (
        retransmission_timeout_us,
        send_mss,
        lost_segments,
        last_sent_ms,
        last_received_ms,
        rtt_us,
        rtt_variation_us,
        slow_start_threshold,
        congestion_window,
        retransmitted_segments,
        acknowledged_bytes,
        received_bytes,
        sent_segments,
        received_segments,
        min_rtt_us,
        delivery_rate,
        sent_bytes,
    ) = _TCP_INFO.unpack(_fitting(info, _TCP_INFO.size))
    return TcpInfo(
        rtt_us=rtt_us,
        rtt_variation_us=rtt_variation_us,
        min_rtt_us=0 if min_rtt_us == _NO_MIN_RTT else min_rtt_us,
        congestion_window=congestion_window,
        slow_start_threshold=slow_start_threshold,
        retransmitted_segments=retransmitted_segments,
        lost_segments=lost_segments,
        acknowledged_bytes=acknowledged_bytes,
        received_bytes=received_bytes,
        sent_bytes=sent_bytes,
        sent_segments=sent_segments,
        received_segments=received_segments,
        delivery_rate=delivery_rate,
        last_sent_ms=last_sent_ms,
        last_received_ms=last_received_ms,
        send_mss=send_mss,
        retransmission_timeout_us=retransmission_timeout_us,
        congestion_control=congestion[:_CA_NAME_BYTES].partition(b"\0")[0].decode(errors="replace"),
    )


def _fitting(value: bytes, size: int) -> bytes:
    return value[:size].ljust(size, b"\0")


def _attributes(message: bytes) -> Iterator[tuple[int, bytes]]:
    at = _MESSAGE_BYTES
    while len(message) - at >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(message, at)
        if not _ATTRIBUTE.size <= size <= len(message) - at:
            raise MalformedError(f"an attribute claims {size} bytes where {len(message) - at} are left")
        yield kind, message[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3  # NLA_ALIGN
