from fleetnet_proto.v1 import people_pb2 as _people_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class CreateTokenRequest(_message.Message):
    __slots__ = ("host", "ttl_s")
    HOST_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    host: str
    ttl_s: int
    def __init__(self, host: _Optional[str] = ..., ttl_s: _Optional[int] = ...) -> None: ...

class CreateTokenResponse(_message.Message):
    __slots__ = ("token", "host", "expires_at_us")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_US_FIELD_NUMBER: _ClassVar[int]
    token: str
    host: str
    expires_at_us: int
    def __init__(self, token: _Optional[str] = ..., host: _Optional[str] = ..., expires_at_us: _Optional[int] = ...) -> None: ...
