from fleetnet_proto.v1 import live_pb2 as _live_pb2
from fleetnet_proto.v1 import network_pb2 as _network_pb2
from fleetnet_proto.v1 import sockets_pb2 as _sockets_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentMessage(_message.Message):
    __slots__ = ("hello", "batch", "live")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    batch: Batch
    live: _live_pb2.LivePart
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., live: _Optional[_Union[_live_pb2.LivePart, _Mapping]] = ...) -> None: ...

class CollectorMessage(_message.Message):
    __slots__ = ("welcome", "ack", "reconnect", "look_now", "resync", "renew_soon")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    LOOK_NOW_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    RENEW_SOON_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    ack: Ack
    reconnect: Reconnect
    look_now: LookNow
    resync: Resync
    renew_soon: RenewSoon
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., reconnect: _Optional[_Union[Reconnect, _Mapping]] = ..., look_now: _Optional[_Union[LookNow, _Mapping]] = ..., resync: _Optional[_Union[Resync, _Mapping]] = ..., renew_soon: _Optional[_Union[RenewSoon, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("agent_version", "boot_id", "epoch", "machine_id_hash", "wall_clock_us", "boottime_us", "facts", "interval_s", "netns_inode", "spool_bytes", "spool_oldest_us")
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MACHINE_ID_HASH_FIELD_NUMBER: _ClassVar[int]
    WALL_CLOCK_US_FIELD_NUMBER: _ClassVar[int]
    BOOTTIME_US_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    NETNS_INODE_FIELD_NUMBER: _ClassVar[int]
    SPOOL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPOOL_OLDEST_US_FIELD_NUMBER: _ClassVar[int]
    agent_version: str
    boot_id: bytes
    epoch: int
    machine_id_hash: bytes
    wall_clock_us: int
    boottime_us: int
    facts: HostFacts
    interval_s: float
    netns_inode: int
    spool_bytes: int
    spool_oldest_us: int
    def __init__(self, agent_version: _Optional[str] = ..., boot_id: _Optional[bytes] = ..., epoch: _Optional[int] = ..., machine_id_hash: _Optional[bytes] = ..., wall_clock_us: _Optional[int] = ..., boottime_us: _Optional[int] = ..., facts: _Optional[_Union[HostFacts, _Mapping]] = ..., interval_s: _Optional[float] = ..., netns_inode: _Optional[int] = ..., spool_bytes: _Optional[int] = ..., spool_oldest_us: _Optional[int] = ...) -> None: ...

class HostFacts(_message.Message):
    __slots__ = ("os", "kernel", "architecture", "cpu_count", "memory_bytes", "booted_at_us")
    OS_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    CPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    BOOTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    os: str
    kernel: str
    architecture: str
    cpu_count: int
    memory_bytes: int
    booted_at_us: int
    def __init__(self, os: _Optional[str] = ..., kernel: _Optional[str] = ..., architecture: _Optional[str] = ..., cpu_count: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., booted_at_us: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("boot_id", "epoch", "sequence", "look_at_us", "previous_look_at_us", "snapshot", "processes", "holders", "opened", "changed", "closed", "sources", "gaps", "namespaces", "namespaces_gone", "backlog", "digest", "look_boottime_us")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LOOK_AT_US_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_LOOK_AT_US_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_GONE_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LOOK_BOOTTIME_US_FIELD_NUMBER: _ClassVar[int]
    boot_id: bytes
    epoch: int
    sequence: int
    look_at_us: int
    previous_look_at_us: int
    snapshot: SnapshotPart
    processes: _containers.RepeatedCompositeFieldContainer[_sockets_pb2.Process]
    holders: _containers.RepeatedCompositeFieldContainer[_sockets_pb2.Holder]
    opened: _containers.RepeatedCompositeFieldContainer[_sockets_pb2.Socket]
    changed: _containers.RepeatedCompositeFieldContainer[_sockets_pb2.Socket]
    closed: _containers.RepeatedCompositeFieldContainer[_sockets_pb2.ClosedSocket]
    sources: _containers.RepeatedCompositeFieldContainer[SourceStatus]
    gaps: _containers.RepeatedCompositeFieldContainer[Gap]
    namespaces: _containers.RepeatedCompositeFieldContainer[_network_pb2.Namespace]
    namespaces_gone: _containers.RepeatedScalarFieldContainer[int]
    backlog: Backlog
    digest: Digest
    look_boottime_us: int
    def __init__(self, boot_id: _Optional[bytes] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., look_at_us: _Optional[int] = ..., previous_look_at_us: _Optional[int] = ..., snapshot: _Optional[_Union[SnapshotPart, _Mapping]] = ..., processes: _Optional[_Iterable[_Union[_sockets_pb2.Process, _Mapping]]] = ..., holders: _Optional[_Iterable[_Union[_sockets_pb2.Holder, _Mapping]]] = ..., opened: _Optional[_Iterable[_Union[_sockets_pb2.Socket, _Mapping]]] = ..., changed: _Optional[_Iterable[_Union[_sockets_pb2.Socket, _Mapping]]] = ..., closed: _Optional[_Iterable[_Union[_sockets_pb2.ClosedSocket, _Mapping]]] = ..., sources: _Optional[_Iterable[_Union[SourceStatus, _Mapping]]] = ..., gaps: _Optional[_Iterable[_Union[Gap, _Mapping]]] = ..., namespaces: _Optional[_Iterable[_Union[_network_pb2.Namespace, _Mapping]]] = ..., namespaces_gone: _Optional[_Iterable[int]] = ..., backlog: _Optional[_Union[Backlog, _Mapping]] = ..., digest: _Optional[_Union[Digest, _Mapping]] = ..., look_boottime_us: _Optional[int] = ...) -> None: ...

class Backlog(_message.Message):
    __slots__ = ("from_us", "to_us", "boot_id", "sockets", "ended", "last", "left_bytes")
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    LEFT_BYTES_FIELD_NUMBER: _ClassVar[int]
    from_us: int
    to_us: int
    boot_id: bytes
    sockets: _containers.RepeatedCompositeFieldContainer[PastSocket]
    ended: _containers.RepeatedCompositeFieldContainer[_sockets_pb2.ClosedSocket]
    last: bool
    left_bytes: int
    def __init__(self, from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., boot_id: _Optional[bytes] = ..., sockets: _Optional[_Iterable[_Union[PastSocket, _Mapping]]] = ..., ended: _Optional[_Iterable[_Union[_sockets_pb2.ClosedSocket, _Mapping]]] = ..., last: _Optional[bool] = ..., left_bytes: _Optional[int] = ...) -> None: ...

class PastSocket(_message.Message):
    __slots__ = ("socket", "closed_at_us", "closed_at_is")
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_US_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_IS_FIELD_NUMBER: _ClassVar[int]
    socket: _sockets_pb2.Socket
    closed_at_us: int
    closed_at_is: _sockets_pb2.ClosedAtIs
    def __init__(self, socket: _Optional[_Union[_sockets_pb2.Socket, _Mapping]] = ..., closed_at_us: _Optional[int] = ..., closed_at_is: _Optional[_Union[_sockets_pb2.ClosedAtIs, str]] = ...) -> None: ...

class Digest(_message.Message):
    __slots__ = ("sockets", "sum")
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    SUM_FIELD_NUMBER: _ClassVar[int]
    sockets: int
    sum: int
    def __init__(self, sockets: _Optional[int] = ..., sum: _Optional[int] = ...) -> None: ...

class SnapshotPart(_message.Message):
    __slots__ = ("part", "last")
    PART_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    part: int
    last: bool
    def __init__(self, part: _Optional[int] = ..., last: _Optional[bool] = ...) -> None: ...

class SourceStatus(_message.Message):
    __slots__ = ("name", "ok", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    ok: bool
    detail: str
    def __init__(self, name: _Optional[str] = ..., ok: _Optional[bool] = ..., detail: _Optional[str] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("from_us", "to_us", "reason", "kept")
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    from_us: int
    to_us: int
    reason: str
    kept: bool
    def __init__(self, from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., reason: _Optional[str] = ..., kept: _Optional[bool] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("committed_sequence", "credit", "wall_clock_us")
    COMMITTED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    WALL_CLOCK_US_FIELD_NUMBER: _ClassVar[int]
    committed_sequence: int
    credit: int
    wall_clock_us: int
    def __init__(self, committed_sequence: _Optional[int] = ..., credit: _Optional[int] = ..., wall_clock_us: _Optional[int] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class Reconnect(_message.Message):
    __slots__ = ("after_ms", "reason")
    AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    after_ms: int
    reason: str
    def __init__(self, after_ms: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Resync(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class RenewSoon(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LookNow(_message.Message):
    __slots__ = ("request", "wanted")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    request: int
    wanted: _live_pb2.LiveWanted
    def __init__(self, request: _Optional[int] = ..., wanted: _Optional[_Union[_live_pb2.LiveWanted, _Mapping]] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("csr",)
    CSR_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    def __init__(self, csr: _Optional[bytes] = ...) -> None: ...

class RenewResponse(_message.Message):
    __slots__ = ("certificate_pem", "ca_pem")
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    certificate_pem: bytes
    ca_pem: bytes
    def __init__(self, certificate_pem: _Optional[bytes] = ..., ca_pem: _Optional[bytes] = ...) -> None: ...
