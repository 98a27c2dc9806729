"""Live looks to protobuf: what a live look shows, as parts for the report stream.

What must stay true: a part is smaller than the wire's 1 MiB whatever the host shows, stands alone, and is made when it
is asked for; all of them together carry every item exactly once; the last one says so, and only it tells of trouble.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from fleetnet_proto.v1 import live_pb2

from fleetnet_agent.bounded import DETAIL_BYTES, NAME_BYTES, bounded
from fleetnet_agent.records import (
    InterfaceCounters,
    LiveItem,
    LiveSocket,
    LiveWanted,
    SocketMemory,
    Statistic,
    TcpInfo,
    Timer,
    Trouble,
)
from fleetnet_agent.wire.sockets import FIELD_OVERHEAD_BYTES, Dictionary, socket_message

# Batches of the same stream wait behind a part, so it is smaller than it might be. A holder may take as much again as
# sockets.HOLDER_BYTES, and then the part is that of one socket.
MAX_PART_BYTES: Final = 256_000
_MOST_TROUBLES: Final = 16


def live_wanted(message: live_pb2.LiveWanted) -> LiveWanted:
    """What a collector wants."""
    netns = message.netns if message.HasField("netns") else None
    return LiveWanted(message.sockets, message.details, message.interfaces, message.statistics, netns)


def live_parts(request: int, items: Iterable[LiveItem], clock_us: Callable[[], int]) -> Iterator[bytes]:
    """Everything in parts, made one at a time; each tells by the clock when it was read."""
    filling = _Filling(request)
    troubles: list[str] = []
    for item in items:
        if isinstance(item, Trouble):
            troubles.append(item.sentence)
        elif not filling.add(item):
            yield filling.end(clock_us())
            filling = _Filling(request)
            filling.add(item)
    filling.part.last = True
    filling.part.trouble = bounded("; ".join(troubles[:_MOST_TROUBLES]), DETAIL_BYTES)
    yield filling.end(clock_us())


def live_end(request: int, at_us: int, trouble: str) -> bytes:
    """The last part of a look that is not made to its end."""
    return _end(request, at_us, trouble).SerializeToString()


def live_refusal(request: int, at_us: int, trouble: str, wait_s: float) -> bytes:
    """The only part of a look that is not made; `wait_s` seconds from now it would be, 0 where that is not known."""
    part = _end(request, at_us, trouble)
    part.refused, part.retry_after_ms = True, math.ceil(wait_s * 1000)
    return part.SerializeToString()


def _end(request: int, at_us: int, trouble: str) -> live_pb2.LivePart:
    return live_pb2.LivePart(request=request, look_at_us=at_us, last=True, trouble=bounded(trouble, DETAIL_BYTES))


class _Filling:
    """A part being filled, and its size so far."""

    def __init__(self, request: int) -> None:
        self.part = live_pb2.LivePart(request=request)
        self._dictionary = Dictionary(self.part)
        self._size_bytes = 0

    def add(self, item: LiveSocket | InterfaceCounters | Statistic) -> bool:
        """Take the item in; False, and nothing is taken, if the part would grow too large."""
        if isinstance(item, LiveSocket):
            return self._add_socket(item)
        if isinstance(item, InterfaceCounters):
            counters = _counters(item)
            if fits := self._has_room(counters.ByteSize()):
                self.part.interfaces.append(counters)
            return fits
        statistic = _statistic(item)
        if fits := self._has_room(statistic.ByteSize()):
            self.part.statistics.append(statistic)
        return fits

    def end(self, look_at_us: int) -> bytes:
        """The part as it goes on the wire."""
        self.part.look_at_us = look_at_us
        return self.part.SerializeToString()

    def _add_socket(self, item: LiveSocket) -> bool:
        position, new = self._dictionary.position_of(item.socket.holder)
        message = live_pb2.LiveSocket(
            socket=socket_message(item.socket, position),
            timer=_timer(item.timer) if item.timer else None,
            tcp=_tcp(item.tcp) if item.tcp else None,
            memory=_memory(item.memory) if item.memory else None,
        )
        if not self._has_room(message.ByteSize() + (new.cost_bytes if new else 0)):
            return False
        if new:
            self._dictionary.take(new)
        self.part.sockets.append(message)
        return True

    def _has_room(self, cost_bytes: int) -> bool:
        cost_bytes += FIELD_OVERHEAD_BYTES
        if self._size_bytes and self._size_bytes + cost_bytes > MAX_PART_BYTES:
            return False
        self._size_bytes += cost_bytes
        return True


def _timer(timer: Timer) -> live_pb2.Timer:
    return live_pb2.Timer(kind=timer.kind, expires_ms=timer.expires_ms, retransmits=timer.retransmits)


def _tcp(tcp: TcpInfo) -> live_pb2.TcpInfo:
    return live_pb2.TcpInfo(
        rtt_us=tcp.rtt_us,
        rtt_variation_us=tcp.rtt_variation_us,
        min_rtt_us=tcp.min_rtt_us,
        congestion_window=tcp.congestion_window,
        slow_start_threshold=tcp.slow_start_threshold,
        retransmitted_segments=tcp.retransmitted_segments,
        lost_segments=tcp.lost_segments,
        acknowledged_bytes=tcp.acknowledged_bytes,
        received_bytes=tcp.received_bytes,
        sent_bytes=tcp.sent_bytes,
        sent_segments=tcp.sent_segments,
        received_segments=tcp.received_segments,
        delivery_rate=tcp.delivery_rate,
        last_sent_ms=tcp.last_sent_ms,
        last_received_ms=tcp.last_received_ms,
        send_mss=tcp.send_mss,
        retransmission_timeout_us=tcp.retransmission_timeout_us,
        congestion_control=bounded(tcp.congestion_control, NAME_BYTES),
    )


def _memory(memory: SocketMemory) -> live_pb2.SocketMemory:
    return live_pb2.SocketMemory(
        receive_allocated_bytes=memory.receive_allocated_bytes,
        receive_buffer_bytes=memory.receive_buffer_bytes,
        send_allocated_bytes=memory.send_allocated_bytes,
        send_buffer_bytes=memory.send_buffer_bytes,
        forward_allocated_bytes=memory.forward_allocated_bytes,
        send_queued_bytes=memory.send_queued_bytes,
        option_bytes=memory.option_bytes,
        backlog_bytes=memory.backlog_bytes,
        drops=memory.drops,
    )


def _counters(counters: InterfaceCounters) -> live_pb2.InterfaceCounters:
    return live_pb2.InterfaceCounters(
        netns=counters.netns,
        name=bounded(counters.name, NAME_BYTES),
        mtu=counters.mtu,
        flags=counters.flags,
        received_bytes=counters.received_bytes,
        received_packets=counters.received_packets,
        receive_errors=counters.receive_errors,
        receive_drops=counters.receive_drops,
        receive_overruns=counters.receive_overruns,
        sent_bytes=counters.sent_bytes,
        sent_packets=counters.sent_packets,
        send_errors=counters.send_errors,
        send_drops=counters.send_drops,
        send_overruns=counters.send_overruns,
    )


def _statistic(statistic: Statistic) -> live_pb2.Statistic:
    return live_pb2.Statistic(
        netns=statistic.netns,
        group=bounded(statistic.group, NAME_BYTES),
        name=bounded(statistic.name, NAME_BYTES),
        value=statistic.value,
    )
