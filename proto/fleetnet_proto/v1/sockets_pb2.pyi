from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Protocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROTOCOL_UNSPECIFIED: _ClassVar[Protocol]
    PROTOCOL_TCP: _ClassVar[Protocol]
    PROTOCOL_UDP: _ClassVar[Protocol]
    PROTOCOL_SCTP: _ClassVar[Protocol]
    PROTOCOL_UDPLITE: _ClassVar[Protocol]
    PROTOCOL_RAW: _ClassVar[Protocol]
    PROTOCOL_UNIX: _ClassVar[Protocol]
    PROTOCOL_PACKET: _ClassVar[Protocol]

class Family(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAMILY_UNSPECIFIED: _ClassVar[Family]
    FAMILY_UNIX: _ClassVar[Family]
    FAMILY_IPV4: _ClassVar[Family]
    FAMILY_IPV6: _ClassVar[Family]
    FAMILY_PACKET: _ClassVar[Family]

class SocketType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOCKET_TYPE_UNSPECIFIED: _ClassVar[SocketType]
    SOCKET_TYPE_STREAM: _ClassVar[SocketType]
    SOCKET_TYPE_DGRAM: _ClassVar[SocketType]
    SOCKET_TYPE_RAW: _ClassVar[SocketType]
    SOCKET_TYPE_SEQPACKET: _ClassVar[SocketType]

class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_UNSPECIFIED: _ClassVar[State]
    STATE_ESTABLISHED: _ClassVar[State]
    STATE_SYN_SENT: _ClassVar[State]
    STATE_SYN_RECV: _ClassVar[State]
    STATE_FIN_WAIT1: _ClassVar[State]
    STATE_FIN_WAIT2: _ClassVar[State]
    STATE_TIME_WAIT: _ClassVar[State]
    STATE_CLOSE: _ClassVar[State]
    STATE_CLOSE_WAIT: _ClassVar[State]
    STATE_LAST_ACK: _ClassVar[State]
    STATE_LISTEN: _ClassVar[State]
    STATE_CLOSING: _ClassVar[State]

class OwnerStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OWNER_STATUS_UNSPECIFIED: _ClassVar[OwnerStatus]
    OWNER_STATUS_KNOWN: _ClassVar[OwnerStatus]
    OWNER_STATUS_INFERRED: _ClassVar[OwnerStatus]
    OWNER_STATUS_NO_HELPER: _ClassVar[OwnerStatus]
    OWNER_STATUS_PERMISSION: _ClassVar[OwnerStatus]
    OWNER_STATUS_KERNEL: _ClassVar[OwnerStatus]
    OWNER_STATUS_UNACCEPTED: _ClassVar[OwnerStatus]
    OWNER_STATUS_GONE: _ClassVar[OwnerStatus]
    OWNER_STATUS_RACED: _ClassVar[OwnerStatus]

class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_UNSPECIFIED: _ClassVar[Source]
    SOURCE_DIAG: _ClassVar[Source]
    SOURCE_PSUTIL: _ClassVar[Source]
    SOURCE_PROC: _ClassVar[Source]

class OpenedAtIs(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPENED_AT_IS_UNSPECIFIED: _ClassVar[OpenedAtIs]
    OPENED_AT_IS_EXACT: _ClassVar[OpenedAtIs]
    OPENED_AT_IS_SEEN: _ClassVar[OpenedAtIs]
    OPENED_AT_IS_BEFORE: _ClassVar[OpenedAtIs]
    OPENED_AT_IS_UNSEEN: _ClassVar[OpenedAtIs]

class ClosedAtIs(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLOSED_AT_IS_UNSPECIFIED: _ClassVar[ClosedAtIs]
    CLOSED_AT_IS_EXACT: _ClassVar[ClosedAtIs]
    CLOSED_AT_IS_SEEN: _ClassVar[ClosedAtIs]
    CLOSED_AT_IS_GAP: _ClassVar[ClosedAtIs]
PROTOCOL_UNSPECIFIED: Protocol
PROTOCOL_TCP: Protocol
PROTOCOL_UDP: Protocol
PROTOCOL_SCTP: Protocol
PROTOCOL_UDPLITE: Protocol
PROTOCOL_RAW: Protocol
PROTOCOL_UNIX: Protocol
PROTOCOL_PACKET: Protocol
FAMILY_UNSPECIFIED: Family
FAMILY_UNIX: Family
FAMILY_IPV4: Family
FAMILY_IPV6: Family
FAMILY_PACKET: Family
SOCKET_TYPE_UNSPECIFIED: SocketType
SOCKET_TYPE_STREAM: SocketType
SOCKET_TYPE_DGRAM: SocketType
SOCKET_TYPE_RAW: SocketType
SOCKET_TYPE_SEQPACKET: SocketType
STATE_UNSPECIFIED: State
STATE_ESTABLISHED: State
STATE_SYN_SENT: State
STATE_SYN_RECV: State
STATE_FIN_WAIT1: State
STATE_FIN_WAIT2: State
STATE_TIME_WAIT: State
STATE_CLOSE: State
STATE_CLOSE_WAIT: State
STATE_LAST_ACK: State
STATE_LISTEN: State
STATE_CLOSING: State
OWNER_STATUS_UNSPECIFIED: OwnerStatus
OWNER_STATUS_KNOWN: OwnerStatus
OWNER_STATUS_INFERRED: OwnerStatus
OWNER_STATUS_NO_HELPER: OwnerStatus
OWNER_STATUS_PERMISSION: OwnerStatus
OWNER_STATUS_KERNEL: OwnerStatus
OWNER_STATUS_UNACCEPTED: OwnerStatus
OWNER_STATUS_GONE: OwnerStatus
OWNER_STATUS_RACED: OwnerStatus
SOURCE_UNSPECIFIED: Source
SOURCE_DIAG: Source
SOURCE_PSUTIL: Source
SOURCE_PROC: Source
OPENED_AT_IS_UNSPECIFIED: OpenedAtIs
OPENED_AT_IS_EXACT: OpenedAtIs
OPENED_AT_IS_SEEN: OpenedAtIs
OPENED_AT_IS_BEFORE: OpenedAtIs
OPENED_AT_IS_UNSEEN: OpenedAtIs
CLOSED_AT_IS_UNSPECIFIED: ClosedAtIs
CLOSED_AT_IS_EXACT: ClosedAtIs
CLOSED_AT_IS_SEEN: ClosedAtIs
CLOSED_AT_IS_GAP: ClosedAtIs

class Process(_message.Message):
    __slots__ = ("pid", "started_at_us", "name", "exe", "program")
    PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXE_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    pid: int
    started_at_us: int
    name: str
    exe: str
    program: str
    def __init__(self, pid: _Optional[int] = ..., started_at_us: _Optional[int] = ..., name: _Optional[str] = ..., exe: _Optional[str] = ..., program: _Optional[str] = ...) -> None: ...

class Holder(_message.Message):
    __slots__ = ("uid", "user", "unit", "container", "owner_status", "owners", "runtime")
    UID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    OWNER_STATUS_FIELD_NUMBER: _ClassVar[int]
    OWNERS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    uid: int
    user: str
    unit: str
    container: str
    owner_status: OwnerStatus
    owners: _containers.RepeatedScalarFieldContainer[int]
    runtime: str
    def __init__(self, uid: _Optional[int] = ..., user: _Optional[str] = ..., unit: _Optional[str] = ..., container: _Optional[str] = ..., owner_status: _Optional[_Union[OwnerStatus, str]] = ..., owners: _Optional[_Iterable[int]] = ..., runtime: _Optional[str] = ...) -> None: ...

class SocketKey(_message.Message):
    __slots__ = ("netns", "protocol", "cookie", "inode", "four_tuple")
    NETNS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    COOKIE_FIELD_NUMBER: _ClassVar[int]
    INODE_FIELD_NUMBER: _ClassVar[int]
    FOUR_TUPLE_FIELD_NUMBER: _ClassVar[int]
    netns: int
    protocol: Protocol
    cookie: int
    inode: int
    four_tuple: bytes
    def __init__(self, netns: _Optional[int] = ..., protocol: _Optional[_Union[Protocol, str]] = ..., cookie: _Optional[int] = ..., inode: _Optional[int] = ..., four_tuple: _Optional[bytes] = ...) -> None: ...

class Socket(_message.Message):
    __slots__ = ("key", "family", "state", "local_address", "local_port", "remote_address", "remote_port", "interface", "v6only", "recv_queue", "send_queue", "holder", "source", "opened_at_us", "opened_at_is", "inode", "type", "path", "peer_inode")
    KEY_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_PORT_FIELD_NUMBER: _ClassVar[int]
    REMOTE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REMOTE_PORT_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    V6ONLY_FIELD_NUMBER: _ClassVar[int]
    RECV_QUEUE_FIELD_NUMBER: _ClassVar[int]
    SEND_QUEUE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_US_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_IS_FIELD_NUMBER: _ClassVar[int]
    INODE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PEER_INODE_FIELD_NUMBER: _ClassVar[int]
    key: SocketKey
    family: Family
    state: State
    local_address: bytes
    local_port: int
    remote_address: bytes
    remote_port: int
    interface: str
    v6only: bool
    recv_queue: int
    send_queue: int
    holder: int
    source: Source
    opened_at_us: int
    opened_at_is: OpenedAtIs
    inode: int
    type: SocketType
    path: bytes
    peer_inode: int
    def __init__(self, key: _Optional[_Union[SocketKey, _Mapping]] = ..., family: _Optional[_Union[Family, str]] = ..., state: _Optional[_Union[State, str]] = ..., local_address: _Optional[bytes] = ..., local_port: _Optional[int] = ..., remote_address: _Optional[bytes] = ..., remote_port: _Optional[int] = ..., interface: _Optional[str] = ..., v6only: _Optional[bool] = ..., recv_queue: _Optional[int] = ..., send_queue: _Optional[int] = ..., holder: _Optional[int] = ..., source: _Optional[_Union[Source, str]] = ..., opened_at_us: _Optional[int] = ..., opened_at_is: _Optional[_Union[OpenedAtIs, str]] = ..., inode: _Optional[int] = ..., type: _Optional[_Union[SocketType, str]] = ..., path: _Optional[bytes] = ..., peer_inode: _Optional[int] = ...) -> None: ...

class ClosedSocket(_message.Message):
    __slots__ = ("key", "closed_at_us", "closed_at_is")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_US_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_IS_FIELD_NUMBER: _ClassVar[int]
    key: SocketKey
    closed_at_us: int
    closed_at_is: ClosedAtIs
    def __init__(self, key: _Optional[_Union[SocketKey, _Mapping]] = ..., closed_at_us: _Optional[int] = ..., closed_at_is: _Optional[_Union[ClosedAtIs, str]] = ...) -> None: ...
