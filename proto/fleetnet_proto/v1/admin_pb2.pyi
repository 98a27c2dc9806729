from fleetnet_proto.v1 import people_pb2 as _people_pb2
from fleetnet_proto.v1 import query_pb2 as _query_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateTokenRequest(_message.Message):
    __slots__ = ("host", "ttl_s", "labels", "max_uses", "approve")
    HOST_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MAX_USES_FIELD_NUMBER: _ClassVar[int]
    APPROVE_FIELD_NUMBER: _ClassVar[int]
    host: str
    ttl_s: int
    labels: _containers.RepeatedCompositeFieldContainer[_query_pb2.Label]
    max_uses: int
    approve: bool
    def __init__(self, host: _Optional[str] = ..., ttl_s: _Optional[int] = ..., labels: _Optional[_Iterable[_Union[_query_pb2.Label, _Mapping]]] = ..., max_uses: _Optional[int] = ..., approve: _Optional[bool] = ...) -> None: ...

class CreateTokenResponse(_message.Message):
    __slots__ = ("token", "host", "expires_at_us", "labels", "max_uses", "approve")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_US_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MAX_USES_FIELD_NUMBER: _ClassVar[int]
    APPROVE_FIELD_NUMBER: _ClassVar[int]
    token: str
    host: str
    expires_at_us: int
    labels: _containers.RepeatedCompositeFieldContainer[_query_pb2.Label]
    max_uses: int
    approve: bool
    def __init__(self, token: _Optional[str] = ..., host: _Optional[str] = ..., expires_at_us: _Optional[int] = ..., labels: _Optional[_Iterable[_Union[_query_pb2.Label, _Mapping]]] = ..., max_uses: _Optional[int] = ..., approve: _Optional[bool] = ...) -> None: ...

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
    __slots__ = ("version", "at_us", "server_certificate_until_us", "ca_certificate_until_us", "refused", "held_back")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    SERVER_CERTIFICATE_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    CA_CERTIFICATE_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    HELD_BACK_FIELD_NUMBER: _ClassVar[int]
    version: str
    at_us: int
    server_certificate_until_us: int
    ca_certificate_until_us: int
    refused: _containers.RepeatedCompositeFieldContainer[RefusedReports]
    held_back: _containers.RepeatedCompositeFieldContainer[HeldBack]
    def __init__(self, version: _Optional[str] = ..., at_us: _Optional[int] = ..., server_certificate_until_us: _Optional[int] = ..., ca_certificate_until_us: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[RefusedReports, _Mapping]]] = ..., held_back: _Optional[_Iterable[_Union[HeldBack, _Mapping]]] = ...) -> None: ...

class HeldBack(_message.Message):
    __slots__ = ("host", "over", "held_s", "since_us", "last_at_us")
    HOST_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    HELD_S_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    LAST_AT_US_FIELD_NUMBER: _ClassVar[int]
    host: str
    over: str
    held_s: float
    since_us: int
    last_at_us: int
    def __init__(self, host: _Optional[str] = ..., over: _Optional[str] = ..., held_s: _Optional[float] = ..., since_us: _Optional[int] = ..., last_at_us: _Optional[int] = ...) -> None: ...

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

class RevokeHostsRequest(_message.Message):
    __slots__ = ("hosts",)
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hosts: _Optional[_Iterable[str]] = ...) -> None: ...

class RevokeHostsResponse(_message.Message):
    __slots__ = ("hosts",)
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedCompositeFieldContainer[HostStanding]
    def __init__(self, hosts: _Optional[_Iterable[_Union[HostStanding, _Mapping]]] = ...) -> None: ...

class ForgetHostsRequest(_message.Message):
    __slots__ = ("hosts",)
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hosts: _Optional[_Iterable[str]] = ...) -> None: ...

class ForgetHostsResponse(_message.Message):
    __slots__ = ("hosts",)
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedCompositeFieldContainer[HostStanding]
    def __init__(self, hosts: _Optional[_Iterable[_Union[HostStanding, _Mapping]]] = ...) -> None: ...

class HostStanding(_message.Message):
    __slots__ = ("host", "status", "changed")
    HOST_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    host: str
    status: _query_pb2.HostStatus
    changed: bool
    def __init__(self, host: _Optional[str] = ..., status: _Optional[_Union[_query_pb2.HostStatus, str]] = ..., changed: _Optional[bool] = ...) -> None: ...

class ApproveHostsRequest(_message.Message):
    __slots__ = ("hosts",)
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hosts: _Optional[_Iterable[str]] = ...) -> None: ...

class ApproveHostsResponse(_message.Message):
    __slots__ = ("hosts",)
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedCompositeFieldContainer[HostStanding]
    def __init__(self, hosts: _Optional[_Iterable[_Union[HostStanding, _Mapping]]] = ...) -> None: ...

class ListTokensRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTokensResponse(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[TokenItem]
    def __init__(self, tokens: _Optional[_Iterable[_Union[TokenItem, _Mapping]]] = ...) -> None: ...

class RevokeTokenRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RevokeTokenResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: TokenItem
    def __init__(self, token: _Optional[_Union[TokenItem, _Mapping]] = ...) -> None: ...

class TokenItem(_message.Message):
    __slots__ = ("id", "host", "person", "role", "labels", "max_uses", "uses", "approve", "made_by", "created_at_us", "expires_at_us", "used_at_us", "revoked_at_us")
    ID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MAX_USES_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    APPROVE_FIELD_NUMBER: _ClassVar[int]
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_US_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_US_FIELD_NUMBER: _ClassVar[int]
    USED_AT_US_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_US_FIELD_NUMBER: _ClassVar[int]
    id: str
    host: str
    person: str
    role: _people_pb2.Role
    labels: _containers.RepeatedCompositeFieldContainer[_query_pb2.Label]
    max_uses: int
    uses: int
    approve: bool
    made_by: str
    created_at_us: int
    expires_at_us: int
    used_at_us: int
    revoked_at_us: int
    def __init__(self, id: _Optional[str] = ..., host: _Optional[str] = ..., person: _Optional[str] = ..., role: _Optional[_Union[_people_pb2.Role, str]] = ..., labels: _Optional[_Iterable[_Union[_query_pb2.Label, _Mapping]]] = ..., max_uses: _Optional[int] = ..., uses: _Optional[int] = ..., approve: _Optional[bool] = ..., made_by: _Optional[str] = ..., created_at_us: _Optional[int] = ..., expires_at_us: _Optional[int] = ..., used_at_us: _Optional[int] = ..., revoked_at_us: _Optional[int] = ...) -> None: ...

class ListLogRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class ListLogResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[LogEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[LogEntry, _Mapping]]] = ...) -> None: ...

class LogEntry(_message.Message):
    __slots__ = ("number", "at_us", "who", "login", "peer", "action", "subject", "result", "hash")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    LOGIN_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    number: int
    at_us: int
    who: str
    login: str
    peer: str
    action: str
    subject: str
    result: str
    hash: bytes
    def __init__(self, number: _Optional[int] = ..., at_us: _Optional[int] = ..., who: _Optional[str] = ..., login: _Optional[str] = ..., peer: _Optional[str] = ..., action: _Optional[str] = ..., subject: _Optional[str] = ..., result: _Optional[str] = ..., hash: _Optional[bytes] = ...) -> None: ...
