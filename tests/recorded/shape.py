"""The wire as lines of text: every message, field, enum value and method, one fact a line, sorted.

    field fleetnet.v1.Hello.epoch = 3 fixed64 singular
    value fleetnet.v1.Protocol.PROTOCOL_TCP = 6
    rpc fleetnet.v1.ReportService.Report = stream fleetnet.v1.AgentMessage -> stream fleetnet.v1.CollectorMessage
    reserved fleetnet.v1.Hello = 12 to 12
    reserved fleetnet.v1.Hello.gone = name

The last word of a field is its presence: singular, optional, repeated, or `oneof NAME`. What must stay true: two wires
with the same lines are read alike by both sides. So file names, order and comments are not in it, names are.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from fleetnet_proto.v1 import (
    admin_pb2,
    authority_pb2,
    enroll_pb2,
    live_pb2,
    network_pb2,
    people_pb2,
    query_pb2,
    report_pb2,
    sockets_pb2,
)
from google.protobuf import descriptor_pb2

Field = descriptor_pb2.FieldDescriptorProto

MODULES: Final = (
    admin_pb2,
    authority_pb2,
    enroll_pb2,
    live_pb2,
    network_pb2,
    people_pb2,
    query_pb2,
    report_pb2,
    sockets_pb2,
)


def files() -> descriptor_pb2.FileDescriptorSet:
    """All .proto files as the generated code has them, without what they import from elsewhere."""
    told = descriptor_pb2.FileDescriptorSet()
    for module in MODULES:
        module.DESCRIPTOR.CopyToProto(told.file.add())
    return told


def lines(told: descriptor_pb2.FileDescriptorSet) -> list[str]:
    """Its facts, sorted."""
    return sorted(line for file in told.file for line in _file(file))


def _file(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    for message in file.message_type:
        yield from _message(f"{file.package}.{message.name}", message)
    for enum in file.enum_type:
        yield from _enum(f"{file.package}.{enum.name}", enum)
    for service in file.service:
        name = f"{file.package}.{service.name}"
        yield f"service {name}"
        for method in service.method:
            asks = f"{'stream ' * method.client_streaming}{method.input_type[1:]}"
            answers = f"{'stream ' * method.server_streaming}{method.output_type[1:]}"
            yield f"rpc {name}.{method.name} = {asks} -> {answers}"


def _message(name: str, message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
    yield f"message {name}"
    for field in message.field:
        yield f"field {name}.{field.name} = {field.number} {_type(field)} {_presence(field, message)}"
    # The end of a message's range is behind its last number.
    yield from _reserved(name, message.reserved_name, ((r.start, r.end - 1) for r in message.reserved_range))
    for nested in message.nested_type:
        yield from _message(f"{name}.{nested.name}", nested)
    for enum in message.enum_type:
        yield from _enum(f"{name}.{enum.name}", enum)


def _enum(name: str, enum: descriptor_pb2.EnumDescriptorProto) -> Iterator[str]:
    yield f"enum {name}"
    for value in enum.value:
        yield f"value {name}.{value.name} = {value.number}"
    yield from _reserved(name, enum.reserved_name, ((r.start, r.end) for r in enum.reserved_range))


def _reserved(name: str, names: Iterable[str], ranges: Iterable[tuple[int, int]]) -> Iterator[str]:
    for reserved in names:
        yield f"reserved {name}.{reserved} = name"
    for first, last in ranges:
        yield f"reserved {name} = {first} to {last}"


def _type(field: Field) -> str:
    return field.type_name[1:] if field.type_name else Field.Type.Name(field.type).removeprefix("TYPE_").lower()


def _presence(field: Field, message: descriptor_pb2.DescriptorProto) -> str:
    if field.label == Field.LABEL_REPEATED:
        return "repeated"
    if field.proto3_optional:  # its oneof is made up by the compiler
        return "optional"
    if field.HasField("oneof_index"):
        return f"oneof {message.oneof_decl[field.oneof_index].name}"
    return "singular"
