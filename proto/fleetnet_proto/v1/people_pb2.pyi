from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_VIEWER: _ClassVar[Role]
    ROLE_OPERATOR: _ClassVar[Role]
ROLE_UNSPECIFIED: Role
ROLE_VIEWER: Role
ROLE_OPERATOR: Role

class RenewPersonRequest(_message.Message):
    __slots__ = ("csr",)
    CSR_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    def __init__(self, csr: _Optional[bytes] = ...) -> None: ...

class RenewPersonResponse(_message.Message):
    __slots__ = ("certificate_pem", "ca_pem")
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    certificate_pem: bytes
    ca_pem: bytes
    def __init__(self, certificate_pem: _Optional[bytes] = ..., ca_pem: _Optional[bytes] = ...) -> None: ...

class CreatePersonTokenRequest(_message.Message):
    __slots__ = ("person", "role", "ttl_s")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    person: str
    role: Role
    ttl_s: int
    def __init__(self, person: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., ttl_s: _Optional[int] = ...) -> None: ...

class CreatePersonTokenResponse(_message.Message):
    __slots__ = ("token", "person", "role", "expires_at_us")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_US_FIELD_NUMBER: _ClassVar[int]
    token: str
    person: str
    role: Role
    expires_at_us: int
    def __init__(self, token: _Optional[str] = ..., person: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., expires_at_us: _Optional[int] = ...) -> None: ...

class ListPeopleRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPeopleResponse(_message.Message):
    __slots__ = ("people",)
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    people: _containers.RepeatedCompositeFieldContainer[PersonItem]
    def __init__(self, people: _Optional[_Iterable[_Union[PersonItem, _Mapping]]] = ...) -> None: ...

class PersonItem(_message.Message):
    __slots__ = ("person", "role", "revoked", "joined_at_us", "certificate_until_us")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    JOINED_AT_US_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    person: str
    role: Role
    revoked: bool
    joined_at_us: int
    certificate_until_us: int
    def __init__(self, person: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., revoked: _Optional[bool] = ..., joined_at_us: _Optional[int] = ..., certificate_until_us: _Optional[int] = ...) -> None: ...

class ChangeRoleRequest(_message.Message):
    __slots__ = ("person", "role")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    person: str
    role: Role
    def __init__(self, person: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ...) -> None: ...

class ChangeRoleResponse(_message.Message):
    __slots__ = ("person",)
    PERSON_FIELD_NUMBER: _ClassVar[int]
    person: PersonItem
    def __init__(self, person: _Optional[_Union[PersonItem, _Mapping]] = ...) -> None: ...

class RevokePersonRequest(_message.Message):
    __slots__ = ("person",)
    PERSON_FIELD_NUMBER: _ClassVar[int]
    person: str
    def __init__(self, person: _Optional[str] = ...) -> None: ...

class RevokePersonResponse(_message.Message):
    __slots__ = ("person",)
    PERSON_FIELD_NUMBER: _ClassVar[int]
    person: PersonItem
    def __init__(self, person: _Optional[_Union[PersonItem, _Mapping]] = ...) -> None: ...
