from fleetnet_proto.v1 import live_pb2 as _live_pb2
from fleetnet_proto.v1 import network_pb2 as _network_pb2
from fleetnet_proto.v1 import sockets_pb2 as _sockets_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kept(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEPT_UNSPECIFIED: _ClassVar[Kept]
    KEPT_LISTENERS: _ClassVar[Kept]
    KEPT_SOCKETS: _ClassVar[Kept]
    KEPT_BRIEF: _ClassVar[Kept]
    KEPT_NETWORK: _ClassVar[Kept]

class AddressScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADDRESS_SCOPE_UNSPECIFIED: _ClassVar[AddressScope]
    ADDRESS_SCOPE_LOOPBACK: _ClassVar[AddressScope]
    ADDRESS_SCOPE_LINK_LOCAL: _ClassVar[AddressScope]
    ADDRESS_SCOPE_PRIVATE: _ClassVar[AddressScope]
    ADDRESS_SCOPE_PUBLIC: _ClassVar[AddressScope]
    ADDRESS_SCOPE_ANY: _ClassVar[AddressScope]

class Exposure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPOSURE_UNSPECIFIED: _ClassVar[Exposure]
    EXPOSURE_YES: _ClassVar[Exposure]
    EXPOSURE_NO: _ClassVar[Exposure]
    EXPOSURE_UNKNOWN: _ClassVar[Exposure]

class HostStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOST_STATUS_UNSPECIFIED: _ClassVar[HostStatus]
    HOST_STATUS_ACTIVE: _ClassVar[HostStatus]
    HOST_STATUS_PENDING: _ClassVar[HostStatus]
    HOST_STATUS_REVOKED: _ClassVar[HostStatus]
    HOST_STATUS_RETIRED: _ClassVar[HostStatus]
    HOST_STATUS_PENDING_RENEWAL: _ClassVar[HostStatus]
KEPT_UNSPECIFIED: Kept
KEPT_LISTENERS: Kept
KEPT_SOCKETS: Kept
KEPT_BRIEF: Kept
KEPT_NETWORK: Kept
ADDRESS_SCOPE_UNSPECIFIED: AddressScope
ADDRESS_SCOPE_LOOPBACK: AddressScope
ADDRESS_SCOPE_LINK_LOCAL: AddressScope
ADDRESS_SCOPE_PRIVATE: AddressScope
ADDRESS_SCOPE_PUBLIC: AddressScope
ADDRESS_SCOPE_ANY: AddressScope
EXPOSURE_UNSPECIFIED: Exposure
EXPOSURE_YES: Exposure
EXPOSURE_NO: Exposure
EXPOSURE_UNKNOWN: Exposure
HOST_STATUS_UNSPECIFIED: HostStatus
HOST_STATUS_ACTIVE: HostStatus
HOST_STATUS_PENDING: HostStatus
HOST_STATUS_REVOKED: HostStatus
HOST_STATUS_RETIRED: HostStatus
HOST_STATUS_PENDING_RENEWAL: HostStatus

class PortRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class Selection(_message.Message):
    __slots__ = ("host_glob", "host", "at_us", "max_age_ms", "limit")
    HOST_GLOB_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    host_glob: str
    host: str
    at_us: int
    max_age_ms: int
    limit: int
    def __init__(self, host_glob: _Optional[str] = ..., host: _Optional[str] = ..., at_us: _Optional[int] = ..., max_age_ms: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListSocketsRequest(_message.Message):
    __slots__ = ("selection", "states", "protocols", "local_ports", "listeners_only", "exposed_only", "process", "unit", "user")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PROTOCOLS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_PORTS_FIELD_NUMBER: _ClassVar[int]
    LISTENERS_ONLY_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_ONLY_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    selection: Selection
    states: _containers.RepeatedScalarFieldContainer[_sockets_pb2.State]
    protocols: _containers.RepeatedScalarFieldContainer[_sockets_pb2.Protocol]
    local_ports: _containers.RepeatedCompositeFieldContainer[PortRange]
    listeners_only: bool
    exposed_only: bool
    process: str
    unit: str
    user: str
    def __init__(self, selection: _Optional[_Union[Selection, _Mapping]] = ..., states: _Optional[_Iterable[_Union[_sockets_pb2.State, str]]] = ..., protocols: _Optional[_Iterable[_Union[_sockets_pb2.Protocol, str]]] = ..., local_ports: _Optional[_Iterable[_Union[PortRange, _Mapping]]] = ..., listeners_only: _Optional[bool] = ..., exposed_only: _Optional[bool] = ..., process: _Optional[str] = ..., unit: _Optional[str] = ..., user: _Optional[str] = ...) -> None: ...

class Net(_message.Message):
    __slots__ = ("address", "prefix_bits")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_BITS_FIELD_NUMBER: _ClassVar[int]
    address: bytes
    prefix_bits: int
    def __init__(self, address: _Optional[bytes] = ..., prefix_bits: _Optional[int] = ...) -> None: ...

class FindSocketsRequest(_message.Message):
    __slots__ = ("sockets", "remote", "remote_port", "opened_since_us")
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    REMOTE_FIELD_NUMBER: _ClassVar[int]
    REMOTE_PORT_FIELD_NUMBER: _ClassVar[int]
    OPENED_SINCE_US_FIELD_NUMBER: _ClassVar[int]
    sockets: ListSocketsRequest
    remote: Net
    remote_port: int
    opened_since_us: int
    def __init__(self, sockets: _Optional[_Union[ListSocketsRequest, _Mapping]] = ..., remote: _Optional[_Union[Net, _Mapping]] = ..., remote_port: _Optional[int] = ..., opened_since_us: _Optional[int] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class SeekSocketsRequest(_message.Message):
    __slots__ = ("sockets", "host_globs", "opened_since_us", "remotes", "remote_ports", "local", "container", "labels")
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    HOST_GLOBS_FIELD_NUMBER: _ClassVar[int]
    OPENED_SINCE_US_FIELD_NUMBER: _ClassVar[int]
    REMOTES_FIELD_NUMBER: _ClassVar[int]
    REMOTE_PORTS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    sockets: ListSocketsRequest
    host_globs: _containers.RepeatedScalarFieldContainer[str]
    opened_since_us: int
    remotes: _containers.RepeatedCompositeFieldContainer[Net]
    remote_ports: _containers.RepeatedCompositeFieldContainer[PortRange]
    local: Net
    container: str
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    def __init__(self, sockets: _Optional[_Union[ListSocketsRequest, _Mapping]] = ..., host_globs: _Optional[_Iterable[str]] = ..., opened_since_us: _Optional[int] = ..., remotes: _Optional[_Iterable[_Union[Net, _Mapping]]] = ..., remote_ports: _Optional[_Iterable[_Union[PortRange, _Mapping]]] = ..., local: _Optional[_Union[Net, _Mapping]] = ..., container: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...

class ListSocketsResponse(_message.Message):
    __slots__ = ("coverage", "page", "end")
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    coverage: Coverage
    page: SocketPage
    end: End
    def __init__(self, coverage: _Optional[_Union[Coverage, _Mapping]] = ..., page: _Optional[_Union[SocketPage, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ...) -> None: ...

class WatchSocketsRequest(_message.Message):
    __slots__ = ("sockets",)
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    sockets: SeekSocketsRequest
    def __init__(self, sockets: _Optional[_Union[SeekSocketsRequest, _Mapping]] = ...) -> None: ...

class WatchSocketsResponse(_message.Message):
    __slots__ = ("at_us", "coverage", "there", "came", "went", "mark")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    THERE_FIELD_NUMBER: _ClassVar[int]
    CAME_FIELD_NUMBER: _ClassVar[int]
    WENT_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    coverage: Coverage
    there: SocketPage
    came: SocketPage
    went: SocketPage
    mark: Mark
    def __init__(self, at_us: _Optional[int] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ..., there: _Optional[_Union[SocketPage, _Mapping]] = ..., came: _Optional[_Union[SocketPage, _Mapping]] = ..., went: _Optional[_Union[SocketPage, _Mapping]] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ...) -> None: ...

class Mark(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Coverage(_message.Message):
    __slots__ = ("as_of_us", "hosts_asked", "hosts_fresh", "hosts_stale", "gaps", "not_kept", "unseen_holders", "unmatched_globs", "unmatched_labels")
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    HOSTS_ASKED_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FRESH_FIELD_NUMBER: _ClassVar[int]
    HOSTS_STALE_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    NOT_KEPT_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_HOLDERS_FIELD_NUMBER: _ClassVar[int]
    UNMATCHED_GLOBS_FIELD_NUMBER: _ClassVar[int]
    UNMATCHED_LABELS_FIELD_NUMBER: _ClassVar[int]
    as_of_us: int
    hosts_asked: int
    hosts_fresh: int
    hosts_stale: _containers.RepeatedCompositeFieldContainer[StaleHost]
    gaps: int
    not_kept: _containers.RepeatedCompositeFieldContainer[NotKept]
    unseen_holders: int
    unmatched_globs: _containers.RepeatedScalarFieldContainer[str]
    unmatched_labels: _containers.RepeatedCompositeFieldContainer[Label]
    def __init__(self, as_of_us: _Optional[int] = ..., hosts_asked: _Optional[int] = ..., hosts_fresh: _Optional[int] = ..., hosts_stale: _Optional[_Iterable[_Union[StaleHost, _Mapping]]] = ..., gaps: _Optional[int] = ..., not_kept: _Optional[_Iterable[_Union[NotKept, _Mapping]]] = ..., unseen_holders: _Optional[int] = ..., unmatched_globs: _Optional[_Iterable[str]] = ..., unmatched_labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...

class NotKept(_message.Message):
    __slots__ = ("kind", "since_us")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    kind: Kept
    since_us: int
    def __init__(self, kind: _Optional[_Union[Kept, str]] = ..., since_us: _Optional[int] = ...) -> None: ...

class StaleHost(_message.Message):
    __slots__ = ("host", "last_seen_us")
    HOST_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    host: str
    last_seen_us: int
    def __init__(self, host: _Optional[str] = ..., last_seen_us: _Optional[int] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("items", "truncated")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    items: int
    truncated: bool
    def __init__(self, items: _Optional[int] = ..., truncated: _Optional[bool] = ...) -> None: ...

class SocketPage(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SocketItem]
    def __init__(self, items: _Optional[_Iterable[_Union[SocketItem, _Mapping]]] = ...) -> None: ...

class OwnerItem(_message.Message):
    __slots__ = ("pid", "name", "exe", "started_at_us", "program")
    PID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    pid: int
    name: str
    exe: str
    started_at_us: int
    program: str
    def __init__(self, pid: _Optional[int] = ..., name: _Optional[str] = ..., exe: _Optional[str] = ..., started_at_us: _Optional[int] = ..., program: _Optional[str] = ...) -> None: ...

class SocketItem(_message.Message):
    __slots__ = ("host", "netns", "protocol", "family", "state", "interface", "v6only", "local_address", "local_port", "remote_address", "remote_port", "recv_queue", "send_queue", "uid", "user", "inode", "unit", "container", "owners", "owner_status", "scope", "exposure", "opened_at_us", "opened_at_is", "closed_at_us", "closed_at_is", "last_seen_us", "cookie", "source", "runtime", "type", "path", "peer_inode", "netns_inode")
    HOST_FIELD_NUMBER: _ClassVar[int]
    NETNS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    V6ONLY_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_PORT_FIELD_NUMBER: _ClassVar[int]
    REMOTE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REMOTE_PORT_FIELD_NUMBER: _ClassVar[int]
    RECV_QUEUE_FIELD_NUMBER: _ClassVar[int]
    SEND_QUEUE_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    INODE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    OWNERS_FIELD_NUMBER: _ClassVar[int]
    OWNER_STATUS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EXPOSURE_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_US_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_IS_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_US_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_IS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    COOKIE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PEER_INODE_FIELD_NUMBER: _ClassVar[int]
    NETNS_INODE_FIELD_NUMBER: _ClassVar[int]
    host: str
    netns: str
    protocol: _sockets_pb2.Protocol
    family: _sockets_pb2.Family
    state: _sockets_pb2.State
    interface: str
    v6only: bool
    local_address: bytes
    local_port: int
    remote_address: bytes
    remote_port: int
    recv_queue: int
    send_queue: int
    uid: int
    user: str
    inode: int
    unit: str
    container: str
    owners: _containers.RepeatedCompositeFieldContainer[OwnerItem]
    owner_status: _sockets_pb2.OwnerStatus
    scope: AddressScope
    exposure: Exposure
    opened_at_us: int
    opened_at_is: _sockets_pb2.OpenedAtIs
    closed_at_us: int
    closed_at_is: _sockets_pb2.ClosedAtIs
    last_seen_us: int
    cookie: int
    source: _sockets_pb2.Source
    runtime: str
    type: _sockets_pb2.SocketType
    path: bytes
    peer_inode: int
    netns_inode: int
    def __init__(self, host: _Optional[str] = ..., netns: _Optional[str] = ..., protocol: _Optional[_Union[_sockets_pb2.Protocol, str]] = ..., family: _Optional[_Union[_sockets_pb2.Family, str]] = ..., state: _Optional[_Union[_sockets_pb2.State, str]] = ..., interface: _Optional[str] = ..., v6only: _Optional[bool] = ..., local_address: _Optional[bytes] = ..., local_port: _Optional[int] = ..., remote_address: _Optional[bytes] = ..., remote_port: _Optional[int] = ..., recv_queue: _Optional[int] = ..., send_queue: _Optional[int] = ..., uid: _Optional[int] = ..., user: _Optional[str] = ..., inode: _Optional[int] = ..., unit: _Optional[str] = ..., container: _Optional[str] = ..., owners: _Optional[_Iterable[_Union[OwnerItem, _Mapping]]] = ..., owner_status: _Optional[_Union[_sockets_pb2.OwnerStatus, str]] = ..., scope: _Optional[_Union[AddressScope, str]] = ..., exposure: _Optional[_Union[Exposure, str]] = ..., opened_at_us: _Optional[int] = ..., opened_at_is: _Optional[_Union[_sockets_pb2.OpenedAtIs, str]] = ..., closed_at_us: _Optional[int] = ..., closed_at_is: _Optional[_Union[_sockets_pb2.ClosedAtIs, str]] = ..., last_seen_us: _Optional[int] = ..., cookie: _Optional[int] = ..., source: _Optional[_Union[_sockets_pb2.Source, str]] = ..., runtime: _Optional[str] = ..., type: _Optional[_Union[_sockets_pb2.SocketType, str]] = ..., path: _Optional[bytes] = ..., peer_inode: _Optional[int] = ..., netns_inode: _Optional[int] = ...) -> None: ...

class ListHostsRequest(_message.Message):
    __slots__ = ("selection",)
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    selection: Selection
    def __init__(self, selection: _Optional[_Union[Selection, _Mapping]] = ...) -> None: ...

class SeekHostsRequest(_message.Message):
    __slots__ = ("hosts", "host_globs", "labels")
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    HOST_GLOBS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    hosts: ListHostsRequest
    host_globs: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    def __init__(self, hosts: _Optional[_Union[ListHostsRequest, _Mapping]] = ..., host_globs: _Optional[_Iterable[str]] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...

class ListHostsResponse(_message.Message):
    __slots__ = ("coverage", "page", "end")
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    coverage: Coverage
    page: HostPage
    end: End
    def __init__(self, coverage: _Optional[_Union[Coverage, _Mapping]] = ..., page: _Optional[_Union[HostPage, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ...) -> None: ...

class HostPage(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[HostItem]
    def __init__(self, items: _Optional[_Iterable[_Union[HostItem, _Mapping]]] = ...) -> None: ...

class HostItem(_message.Message):
    __slots__ = ("host", "fresh", "connected", "last_seen_us", "enrolled_at_us", "sockets", "listeners", "agent_version", "os", "kernel", "architecture", "booted_at_us", "clock_offset_us", "degraded", "gaps", "labels", "status")
    HOST_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    ENROLLED_AT_US_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    LISTENERS_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    OS_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    BOOTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    CLOCK_OFFSET_US_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    host: str
    fresh: bool
    connected: bool
    last_seen_us: int
    enrolled_at_us: int
    sockets: int
    listeners: int
    agent_version: str
    os: str
    kernel: str
    architecture: str
    booted_at_us: int
    clock_offset_us: int
    degraded: _containers.RepeatedScalarFieldContainer[str]
    gaps: int
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    status: HostStatus
    def __init__(self, host: _Optional[str] = ..., fresh: _Optional[bool] = ..., connected: _Optional[bool] = ..., last_seen_us: _Optional[int] = ..., enrolled_at_us: _Optional[int] = ..., sockets: _Optional[int] = ..., listeners: _Optional[int] = ..., agent_version: _Optional[str] = ..., os: _Optional[str] = ..., kernel: _Optional[str] = ..., architecture: _Optional[str] = ..., booted_at_us: _Optional[int] = ..., clock_offset_us: _Optional[int] = ..., degraded: _Optional[_Iterable[str]] = ..., gaps: _Optional[int] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., status: _Optional[_Union[HostStatus, str]] = ...) -> None: ...

class ListNamespacesRequest(_message.Message):
    __slots__ = ("selection", "own_only", "without_interfaces", "without_routes")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    OWN_ONLY_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_INTERFACES_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_ROUTES_FIELD_NUMBER: _ClassVar[int]
    selection: Selection
    own_only: bool
    without_interfaces: bool
    without_routes: bool
    def __init__(self, selection: _Optional[_Union[Selection, _Mapping]] = ..., own_only: _Optional[bool] = ..., without_interfaces: _Optional[bool] = ..., without_routes: _Optional[bool] = ...) -> None: ...

class ListNamespacesResponse(_message.Message):
    __slots__ = ("coverage", "page", "end")
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    coverage: Coverage
    page: NamespacePage
    end: End
    def __init__(self, coverage: _Optional[_Union[Coverage, _Mapping]] = ..., page: _Optional[_Union[NamespacePage, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ...) -> None: ...

class NamespacePage(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[NamespaceItem]
    def __init__(self, items: _Optional[_Iterable[_Union[NamespaceItem, _Mapping]]] = ...) -> None: ...

class NamespaceItem(_message.Message):
    __slots__ = ("host", "netns", "namespace", "opened_at_us", "interfaces_since_us", "routes_since_us", "last_seen_us")
    HOST_FIELD_NUMBER: _ClassVar[int]
    NETNS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_US_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_SINCE_US_FIELD_NUMBER: _ClassVar[int]
    ROUTES_SINCE_US_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    host: str
    netns: str
    namespace: _network_pb2.Namespace
    opened_at_us: int
    interfaces_since_us: _containers.RepeatedScalarFieldContainer[int]
    routes_since_us: _containers.RepeatedScalarFieldContainer[int]
    last_seen_us: int
    def __init__(self, host: _Optional[str] = ..., netns: _Optional[str] = ..., namespace: _Optional[_Union[_network_pb2.Namespace, _Mapping]] = ..., opened_at_us: _Optional[int] = ..., interfaces_since_us: _Optional[_Iterable[int]] = ..., routes_since_us: _Optional[_Iterable[int]] = ..., last_seen_us: _Optional[int] = ...) -> None: ...

class ListLivesRequest(_message.Message):
    __slots__ = ("sockets", "since_us", "without_sockets", "container", "local")
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_SOCKETS_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    sockets: ListSocketsRequest
    since_us: int
    without_sockets: bool
    container: str
    local: Net
    def __init__(self, sockets: _Optional[_Union[ListSocketsRequest, _Mapping]] = ..., since_us: _Optional[int] = ..., without_sockets: _Optional[bool] = ..., container: _Optional[str] = ..., local: _Optional[_Union[Net, _Mapping]] = ...) -> None: ...

class ListLivesResponse(_message.Message):
    __slots__ = ("coverage", "page", "end")
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    coverage: Coverage
    page: LivesPage
    end: End
    def __init__(self, coverage: _Optional[_Union[Coverage, _Mapping]] = ..., page: _Optional[_Union[LivesPage, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ...) -> None: ...

class LivesPage(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[LifeItem]
    def __init__(self, items: _Optional[_Iterable[_Union[LifeItem, _Mapping]]] = ...) -> None: ...

class LifeItem(_message.Message):
    __slots__ = ("socket", "gap", "agent_start")
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    AGENT_START_FIELD_NUMBER: _ClassVar[int]
    socket: SocketItem
    gap: GapItem
    agent_start: AgentStart
    def __init__(self, socket: _Optional[_Union[SocketItem, _Mapping]] = ..., gap: _Optional[_Union[GapItem, _Mapping]] = ..., agent_start: _Optional[_Union[AgentStart, _Mapping]] = ...) -> None: ...

class GapItem(_message.Message):
    __slots__ = ("from_us", "to_us", "reason")
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    from_us: int
    to_us: int
    reason: str
    def __init__(self, from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class AgentStart(_message.Message):
    __slots__ = ("at_us", "booted", "agent_version", "kernel", "booted_at_us")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    BOOTED_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    BOOTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    booted: bool
    agent_version: str
    kernel: str
    booted_at_us: int
    def __init__(self, at_us: _Optional[int] = ..., booted: _Optional[bool] = ..., agent_version: _Optional[str] = ..., kernel: _Optional[str] = ..., booted_at_us: _Optional[int] = ...) -> None: ...

class LiveRequest(_message.Message):
    __slots__ = ("host", "wanted")
    HOST_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    host: str
    wanted: _live_pb2.LiveWanted
    def __init__(self, host: _Optional[str] = ..., wanted: _Optional[_Union[_live_pb2.LiveWanted, _Mapping]] = ...) -> None: ...

class LiveResponse(_message.Message):
    __slots__ = ("coverage", "page", "end")
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    coverage: Coverage
    page: LivePage
    end: End
    def __init__(self, coverage: _Optional[_Union[Coverage, _Mapping]] = ..., page: _Optional[_Union[LivePage, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ...) -> None: ...

class LivePage(_message.Message):
    __slots__ = ("sockets", "interfaces", "statistics", "trouble")
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    sockets: _containers.RepeatedCompositeFieldContainer[LiveItem]
    interfaces: _containers.RepeatedCompositeFieldContainer[_live_pb2.InterfaceCounters]
    statistics: _containers.RepeatedCompositeFieldContainer[_live_pb2.Statistic]
    trouble: str
    def __init__(self, sockets: _Optional[_Iterable[_Union[LiveItem, _Mapping]]] = ..., interfaces: _Optional[_Iterable[_Union[_live_pb2.InterfaceCounters, _Mapping]]] = ..., statistics: _Optional[_Iterable[_Union[_live_pb2.Statistic, _Mapping]]] = ..., trouble: _Optional[str] = ...) -> None: ...

class LiveItem(_message.Message):
    __slots__ = ("socket", "timer", "tcp", "memory")
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    TIMER_FIELD_NUMBER: _ClassVar[int]
    TCP_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    socket: SocketItem
    timer: _live_pb2.Timer
    tcp: _live_pb2.TcpInfo
    memory: _live_pb2.SocketMemory
    def __init__(self, socket: _Optional[_Union[SocketItem, _Mapping]] = ..., timer: _Optional[_Union[_live_pb2.Timer, _Mapping]] = ..., tcp: _Optional[_Union[_live_pb2.TcpInfo, _Mapping]] = ..., memory: _Optional[_Union[_live_pb2.SocketMemory, _Mapping]] = ...) -> None: ...
