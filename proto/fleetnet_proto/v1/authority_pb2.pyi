from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RotationStep(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROTATION_STEP_UNSPECIFIED: _ClassVar[RotationStep]
    ROTATION_STEP_BEGIN: _ClassVar[RotationStep]
    ROTATION_STEP_FINISH: _ClassVar[RotationStep]
    ROTATION_STEP_RETIRE: _ClassVar[RotationStep]
    ROTATION_STEP_BACK: _ClassVar[RotationStep]
ROTATION_STEP_UNSPECIFIED: RotationStep
ROTATION_STEP_BEGIN: RotationStep
ROTATION_STEP_FINISH: RotationStep
ROTATION_STEP_RETIRE: RotationStep
ROTATION_STEP_BACK: RotationStep

class RotateRequest(_message.Message):
    __slots__ = ("step", "leave_behind")
    STEP_FIELD_NUMBER: _ClassVar[int]
    LEAVE_BEHIND_FIELD_NUMBER: _ClassVar[int]
    step: RotationStep
    leave_behind: bool
    def __init__(self, step: _Optional[_Union[RotationStep, str]] = ..., leave_behind: _Optional[bool] = ...) -> None: ...

class RotateResponse(_message.Message):
    __slots__ = ("done", "trusted", "left_behind")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TRUSTED_FIELD_NUMBER: _ClassVar[int]
    LEFT_BEHIND_FIELD_NUMBER: _ClassVar[int]
    done: bool
    trusted: _containers.RepeatedCompositeFieldContainer[TrustedAuthority]
    left_behind: _containers.RepeatedCompositeFieldContainer[LeftBehind]
    def __init__(self, done: _Optional[bool] = ..., trusted: _Optional[_Iterable[_Union[TrustedAuthority, _Mapping]]] = ..., left_behind: _Optional[_Iterable[_Union[LeftBehind, _Mapping]]] = ...) -> None: ...

class TrustedAuthority(_message.Message):
    __slots__ = ("standing", "fingerprint")
    STANDING_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    standing: str
    fingerprint: str
    def __init__(self, standing: _Optional[str] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class LeftBehind(_message.Message):
    __slots__ = ("kind", "name", "why")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    why: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...
