from fleetnet_proto.v1 import people_pb2 as _people_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnrollRequest(_message.Message):
    __slots__ = ("secret", "csr", "hostname")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    secret: bytes
    csr: bytes
    hostname: str
    def __init__(self, secret: _Optional[bytes] = ..., csr: _Optional[bytes] = ..., hostname: _Optional[str] = ...) -> None: ...

class EnrollResponse(_message.Message):
    __slots__ = ("host", "certificate_pem", "ca_pem", "report_addresses", "report_port", "pending")
    HOST_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    REPORT_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    REPORT_PORT_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    host: str
    certificate_pem: bytes
    ca_pem: bytes
    report_addresses: _containers.RepeatedScalarFieldContainer[str]
    report_port: int
    pending: bool
    def __init__(self, host: _Optional[str] = ..., certificate_pem: _Optional[bytes] = ..., ca_pem: _Optional[bytes] = ..., report_addresses: _Optional[_Iterable[str]] = ..., report_port: _Optional[int] = ..., pending: _Optional[bool] = ...) -> None: ...

class EnrollPersonRequest(_message.Message):
    __slots__ = ("secret", "csr")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    secret: bytes
    csr: bytes
    def __init__(self, secret: _Optional[bytes] = ..., csr: _Optional[bytes] = ...) -> None: ...

class EnrollPersonResponse(_message.Message):
    __slots__ = ("person", "role", "certificate_pem", "ca_pem", "question_addresses", "question_port")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    QUESTION_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    QUESTION_PORT_FIELD_NUMBER: _ClassVar[int]
    person: str
    role: _people_pb2.Role
    certificate_pem: bytes
    ca_pem: bytes
    question_addresses: _containers.RepeatedScalarFieldContainer[str]
    question_port: int
    def __init__(self, person: _Optional[str] = ..., role: _Optional[_Union[_people_pb2.Role, str]] = ..., certificate_pem: _Optional[bytes] = ..., ca_pem: _Optional[bytes] = ..., question_addresses: _Optional[_Iterable[str]] = ..., question_port: _Optional[int] = ...) -> None: ...

class ChallengeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChallengeResponse(_message.Message):
    __slots__ = ("challenge",)
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    challenge: bytes
    def __init__(self, challenge: _Optional[bytes] = ...) -> None: ...

class ReadmitRequest(_message.Message):
    __slots__ = ("certificate", "csr", "challenge", "signature")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    csr: bytes
    challenge: bytes
    signature: bytes
    def __init__(self, certificate: _Optional[bytes] = ..., csr: _Optional[bytes] = ..., challenge: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class ReadmitResponse(_message.Message):
    __slots__ = ("certificate_pem", "ca_pem", "again_after_s")
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    AGAIN_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    certificate_pem: bytes
    ca_pem: bytes
    again_after_s: int
    def __init__(self, certificate_pem: _Optional[bytes] = ..., ca_pem: _Optional[bytes] = ..., again_after_s: _Optional[int] = ...) -> None: ...
