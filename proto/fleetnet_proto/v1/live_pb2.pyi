from fleetnet_proto.v1 import sockets_pb2 as _sockets_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LiveWanted(_message.Message):
    __slots__ = ("sockets", "details", "interfaces", "statistics", "netns")
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    NETNS_FIELD_NUMBER: _ClassVar[int]
    sockets: bool
    details: bool
    interfaces: bool
    statistics: bool
    netns: int
    def __init__(self, sockets: _Optional[bool] = ..., details: _Optional[bool] = ..., interfaces: _Optional[bool] = ..., statistics: _Optional[bool] = ..., netns: _Optional[int] = ...) -> None: ...

class LivePart(_message.Message):
    __slots__ = ("request", "look_at_us", "processes", "holders", "sockets", "interfaces", "statistics", "last", "trouble", "refused", "retry_after_ms")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    LOOK_AT_US_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    request: int
    look_at_us: int
    processes: _containers.RepeatedCompositeFieldContainer[_sockets_pb2.Process]
    holders: _containers.RepeatedCompositeFieldContainer[_sockets_pb2.Holder]
    sockets: _containers.RepeatedCompositeFieldContainer[LiveSocket]
    interfaces: _containers.RepeatedCompositeFieldContainer[InterfaceCounters]
    statistics: _containers.RepeatedCompositeFieldContainer[Statistic]
    last: bool
    trouble: str
    refused: bool
    retry_after_ms: int
    def __init__(self, request: _Optional[int] = ..., look_at_us: _Optional[int] = ..., processes: _Optional[_Iterable[_Union[_sockets_pb2.Process, _Mapping]]] = ..., holders: _Optional[_Iterable[_Union[_sockets_pb2.Holder, _Mapping]]] = ..., sockets: _Optional[_Iterable[_Union[LiveSocket, _Mapping]]] = ..., interfaces: _Optional[_Iterable[_Union[InterfaceCounters, _Mapping]]] = ..., statistics: _Optional[_Iterable[_Union[Statistic, _Mapping]]] = ..., last: _Optional[bool] = ..., trouble: _Optional[str] = ..., refused: _Optional[bool] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class LiveSocket(_message.Message):
    __slots__ = ("socket", "timer", "tcp", "memory")
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    TIMER_FIELD_NUMBER: _ClassVar[int]
    TCP_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    socket: _sockets_pb2.Socket
    timer: Timer
    tcp: TcpInfo
    memory: SocketMemory
    def __init__(self, socket: _Optional[_Union[_sockets_pb2.Socket, _Mapping]] = ..., timer: _Optional[_Union[Timer, _Mapping]] = ..., tcp: _Optional[_Union[TcpInfo, _Mapping]] = ..., memory: _Optional[_Union[SocketMemory, _Mapping]] = ...) -> None: ...

class Timer(_message.Message):
    __slots__ = ("kind", "expires_ms", "retransmits")
    KIND_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    RETRANSMITS_FIELD_NUMBER: _ClassVar[int]
    kind: int
    expires_ms: int
    retransmits: int
    def __init__(self, kind: _Optional[int] = ..., expires_ms: _Optional[int] = ..., retransmits: _Optional[int] = ...) -> None: ...

class TcpInfo(_message.Message):
    __slots__ = ("rtt_us", "rtt_variation_us", "min_rtt_us", "congestion_window", "slow_start_threshold", "retransmitted_segments", "lost_segments", "acknowledged_bytes", "received_bytes", "sent_bytes", "sent_segments", "received_segments", "delivery_rate", "last_sent_ms", "last_received_ms", "send_mss", "retransmission_timeout_us", "congestion_control")
    RTT_US_FIELD_NUMBER: _ClassVar[int]
    RTT_VARIATION_US_FIELD_NUMBER: _ClassVar[int]
    MIN_RTT_US_FIELD_NUMBER: _ClassVar[int]
    CONGESTION_WINDOW_FIELD_NUMBER: _ClassVar[int]
    SLOW_START_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    RETRANSMITTED_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LOST_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_RATE_FIELD_NUMBER: _ClassVar[int]
    LAST_SENT_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIVED_MS_FIELD_NUMBER: _ClassVar[int]
    SEND_MSS_FIELD_NUMBER: _ClassVar[int]
    RETRANSMISSION_TIMEOUT_US_FIELD_NUMBER: _ClassVar[int]
    CONGESTION_CONTROL_FIELD_NUMBER: _ClassVar[int]
    rtt_us: int
    rtt_variation_us: int
    min_rtt_us: int
    congestion_window: int
    slow_start_threshold: int
    retransmitted_segments: int
    lost_segments: int
    acknowledged_bytes: int
    received_bytes: int
    sent_bytes: int
    sent_segments: int
    received_segments: int
    delivery_rate: int
    last_sent_ms: int
    last_received_ms: int
    send_mss: int
    retransmission_timeout_us: int
    congestion_control: str
    def __init__(self, rtt_us: _Optional[int] = ..., rtt_variation_us: _Optional[int] = ..., min_rtt_us: _Optional[int] = ..., congestion_window: _Optional[int] = ..., slow_start_threshold: _Optional[int] = ..., retransmitted_segments: _Optional[int] = ..., lost_segments: _Optional[int] = ..., acknowledged_bytes: _Optional[int] = ..., received_bytes: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., sent_segments: _Optional[int] = ..., received_segments: _Optional[int] = ..., delivery_rate: _Optional[int] = ..., last_sent_ms: _Optional[int] = ..., last_received_ms: _Optional[int] = ..., send_mss: _Optional[int] = ..., retransmission_timeout_us: _Optional[int] = ..., congestion_control: _Optional[str] = ...) -> None: ...

class SocketMemory(_message.Message):
    __slots__ = ("receive_allocated_bytes", "receive_buffer_bytes", "send_allocated_bytes", "send_buffer_bytes", "forward_allocated_bytes", "send_queued_bytes", "option_bytes", "backlog_bytes", "drops")
    RECEIVE_ALLOCATED_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_BUFFER_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEND_ALLOCATED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEND_BUFFER_BYTES_FIELD_NUMBER: _ClassVar[int]
    FORWARD_ALLOCATED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEND_QUEUED_BYTES_FIELD_NUMBER: _ClassVar[int]
    OPTION_BYTES_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    DROPS_FIELD_NUMBER: _ClassVar[int]
    receive_allocated_bytes: int
    receive_buffer_bytes: int
    send_allocated_bytes: int
    send_buffer_bytes: int
    forward_allocated_bytes: int
    send_queued_bytes: int
    option_bytes: int
    backlog_bytes: int
    drops: int
    def __init__(self, receive_allocated_bytes: _Optional[int] = ..., receive_buffer_bytes: _Optional[int] = ..., send_allocated_bytes: _Optional[int] = ..., send_buffer_bytes: _Optional[int] = ..., forward_allocated_bytes: _Optional[int] = ..., send_queued_bytes: _Optional[int] = ..., option_bytes: _Optional[int] = ..., backlog_bytes: _Optional[int] = ..., drops: _Optional[int] = ...) -> None: ...

class InterfaceCounters(_message.Message):
    __slots__ = ("netns", "name", "mtu", "flags", "received_bytes", "received_packets", "receive_errors", "receive_drops", "receive_overruns", "sent_bytes", "sent_packets", "send_errors", "send_drops", "send_overruns")
    NETNS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_PACKETS_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_ERRORS_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_DROPS_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_OVERRUNS_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_PACKETS_FIELD_NUMBER: _ClassVar[int]
    SEND_ERRORS_FIELD_NUMBER: _ClassVar[int]
    SEND_DROPS_FIELD_NUMBER: _ClassVar[int]
    SEND_OVERRUNS_FIELD_NUMBER: _ClassVar[int]
    netns: int
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
    def __init__(self, netns: _Optional[int] = ..., name: _Optional[str] = ..., mtu: _Optional[int] = ..., flags: _Optional[int] = ..., received_bytes: _Optional[int] = ..., received_packets: _Optional[int] = ..., receive_errors: _Optional[int] = ..., receive_drops: _Optional[int] = ..., receive_overruns: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., sent_packets: _Optional[int] = ..., send_errors: _Optional[int] = ..., send_drops: _Optional[int] = ..., send_overruns: _Optional[int] = ...) -> None: ...

class Statistic(_message.Message):
    __slots__ = ("netns", "group", "name", "value")
    NETNS_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    netns: int
    group: str
    name: str
    value: int
    def __init__(self, netns: _Optional[int] = ..., group: _Optional[str] = ..., name: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
