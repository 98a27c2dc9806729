from fleetnet_proto.v1 import people_pb2 as _people_pb2
from fleetnet_proto.v1 import query_pb2 as _query_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateTokenRequest(_message.Message):
    __slots__ = ("host", "ttl_s", "labels")
    HOST_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    host: str
    ttl_s: int
    labels: _containers.RepeatedCompositeFieldContainer[_query_pb2.Label]
    def __init__(self, host: _Optional[str] = ..., ttl_s: _Optional[int] = ..., labels: _Optional[_Iterable[_Union[_query_pb2.Label, _Mapping]]] = ...) -> None: ...

class CreateTokenResponse(_message.Message):
    __slots__ = ("token", "host", "expires_at_us", "labels")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_US_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    token: str
    host: str
    expires_at_us: int
    labels: _containers.RepeatedCompositeFieldContainer[_query_pb2.Label]
    def __init__(self, token: _Optional[str] = ..., host: _Optional[str] = ..., expires_at_us: _Optional[int] = ..., labels: _Optional[_Iterable[_Union[_query_pb2.Label, _Mapping]]] = ...) -> None: ...

class LabelHostsRequest(_message.Message):
    __slots__ = ("hosts", "host_globs", "set", "remove")
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    HOST_GLOBS_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedScalarFieldContainer[str]
    host_globs: _containers.RepeatedScalarFieldContainer[str]
    set: _containers.RepeatedCompositeFieldContainer[_query_pb2.Label]
    remove: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hosts: _Optional[_Iterable[str]] = ..., host_globs: _Optional[_Iterable[str]] = ..., set: _Optional[_Iterable[_Union[_query_pb2.Label, _Mapping]]] = ..., remove: _Optional[_Iterable[str]] = ...) -> None: ...

class LabelHostsResponse(_message.Message):
    __slots__ = ("hosts", "unmatched_globs")
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    UNMATCHED_GLOBS_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedCompositeFieldContainer[LabelledHost]
    unmatched_globs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hosts: _Optional[_Iterable[_Union[LabelledHost, _Mapping]]] = ..., unmatched_globs: _Optional[_Iterable[str]] = ...) -> None: ...

class LabelledHost(_message.Message):
    __slots__ = ("host", "labels", "changed")
    HOST_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    host: str
    labels: _containers.RepeatedCompositeFieldContainer[_query_pb2.Label]
    changed: bool
    def __init__(self, host: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[_query_pb2.Label, _Mapping]]] = ..., changed: _Optional[bool] = ...) -> None: ...

class DescribeCollectorRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeCollectorResponse(_message.Message):
    __slots__ = ("version", "at_us", "server_certificate_until_us", "ca_certificate_until_us", "refused")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    SERVER_CERTIFICATE_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    CA_CERTIFICATE_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    version: str
    at_us: int
    server_certificate_until_us: int
    ca_certificate_until_us: int
    refused: _containers.RepeatedCompositeFieldContainer[RefusedReports]
    def __init__(self, version: _Optional[str] = ..., at_us: _Optional[int] = ..., server_certificate_until_us: _Optional[int] = ..., ca_certificate_until_us: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[RefusedReports, _Mapping]]] = ...) -> None: ...

class RefusedReports(_message.Message):
    __slots__ = ("host", "reports", "last_at_us", "reason")
    HOST_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    LAST_AT_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    host: str
    reports: int
    last_at_us: int
    reason: str
    def __init__(self, host: _Optional[str] = ..., reports: _Optional[int] = ..., last_at_us: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...
