from fleetnet_proto.v1 import sockets_pb2 as _sockets_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Duplex(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DUPLEX_UNSPECIFIED: _ClassVar[Duplex]
    DUPLEX_HALF: _ClassVar[Duplex]
    DUPLEX_FULL: _ClassVar[Duplex]
DUPLEX_UNSPECIFIED: Duplex
DUPLEX_HALF: Duplex
DUPLEX_FULL: Duplex

class Namespace(_message.Message):
    __slots__ = ("netns", "name", "container", "runtime", "unit", "interfaces", "routes", "unread", "routes_left_out")
    NETNS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    ROUTES_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    netns: int
    name: str
    container: str
    runtime: str
    unit: str
    interfaces: _containers.RepeatedCompositeFieldContainer[Interface]
    routes: _containers.RepeatedCompositeFieldContainer[Route]
    unread: bool
    routes_left_out: int
    def __init__(self, netns: _Optional[int] = ..., name: _Optional[str] = ..., container: _Optional[str] = ..., runtime: _Optional[str] = ..., unit: _Optional[str] = ..., interfaces: _Optional[_Iterable[_Union[Interface, _Mapping]]] = ..., routes: _Optional[_Iterable[_Union[Route, _Mapping]]] = ..., unread: _Optional[bool] = ..., routes_left_out: _Optional[int] = ...) -> None: ...

class Interface(_message.Message):
    __slots__ = ("index", "name", "hardware_type", "hardware_address", "mtu", "flags", "operstate", "kind", "master", "addresses", "speed_mbps", "duplex", "link", "driver")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_TYPE_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    OPERSTATE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MASTER_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    SPEED_MBPS_FIELD_NUMBER: _ClassVar[int]
    DUPLEX_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    index: int
    name: str
    hardware_type: int
    hardware_address: bytes
    mtu: int
    flags: int
    operstate: int
    kind: str
    master: int
    addresses: _containers.RepeatedCompositeFieldContainer[InterfaceAddress]
    speed_mbps: int
    duplex: Duplex
    link: bool
    driver: str
    def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ..., hardware_type: _Optional[int] = ..., hardware_address: _Optional[bytes] = ..., mtu: _Optional[int] = ..., flags: _Optional[int] = ..., operstate: _Optional[int] = ..., kind: _Optional[str] = ..., master: _Optional[int] = ..., addresses: _Optional[_Iterable[_Union[InterfaceAddress, _Mapping]]] = ..., speed_mbps: _Optional[int] = ..., duplex: _Optional[_Union[Duplex, str]] = ..., link: _Optional[bool] = ..., driver: _Optional[str] = ...) -> None: ...

class InterfaceAddress(_message.Message):
    __slots__ = ("address", "prefix_length", "peer", "scope")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    address: bytes
    prefix_length: int
    peer: bytes
    scope: int
    def __init__(self, address: _Optional[bytes] = ..., prefix_length: _Optional[int] = ..., peer: _Optional[bytes] = ..., scope: _Optional[int] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("family", "destination", "prefix_length", "table", "type", "protocol", "scope", "metric", "preferred_source", "next_hops", "flags", "tos", "advmss", "window", "rtt", "mtu")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    PREFIX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_SOURCE_FIELD_NUMBER: _ClassVar[int]
    NEXT_HOPS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    TOS_FIELD_NUMBER: _ClassVar[int]
    ADVMSS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    RTT_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    family: _sockets_pb2.Family
    destination: bytes
    prefix_length: int
    table: int
    type: int
    protocol: int
    scope: int
    metric: int
    preferred_source: bytes
    next_hops: _containers.RepeatedCompositeFieldContainer[NextHop]
    flags: int
    tos: int
    advmss: int
    window: int
    rtt: int
    mtu: int
    def __init__(self, family: _Optional[_Union[_sockets_pb2.Family, str]] = ..., destination: _Optional[bytes] = ..., prefix_length: _Optional[int] = ..., table: _Optional[int] = ..., type: _Optional[int] = ..., protocol: _Optional[int] = ..., scope: _Optional[int] = ..., metric: _Optional[int] = ..., preferred_source: _Optional[bytes] = ..., next_hops: _Optional[_Iterable[_Union[NextHop, _Mapping]]] = ..., flags: _Optional[int] = ..., tos: _Optional[int] = ..., advmss: _Optional[int] = ..., window: _Optional[int] = ..., rtt: _Optional[int] = ..., mtu: _Optional[int] = ...) -> None: ...

class NextHop(_message.Message):
    __slots__ = ("gateway", "interface", "weight", "flags")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    gateway: bytes
    interface: str
    weight: int
    flags: int
    def __init__(self, gateway: _Optional[bytes] = ..., interface: _Optional[str] = ..., weight: _Optional[int] = ..., flags: _Optional[int] = ...) -> None: ...
