"""The wire of every recorded release is read by the present one as it was meant; and what would not be is found."""

import copy
from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from typing import Final

import hypothesis
import pytest
from fleetnet_proto.v1 import live_pb2
from google.protobuf import descriptor_pb2
from hypothesis import strategies
from recorded import shape
from recorded.differences import Wire, breaks
from recorded.releases import present_release, recorded_releases, wire_of

Field = descriptor_pb2.FieldDescriptorProto
Message = descriptor_pb2.DescriptorProto
Enum = descriptor_pb2.EnumDescriptorProto
Files = descriptor_pb2.FileDescriptorSet

PROTO: Final = Path(__file__).resolve().parents[2] / "proto/fleetnet_proto/v1"
PRESENT: Final = shape.files()
RELEASES: Final = recorded_releases()


ALONE: Final = [Files(file=[file]) for file in PRESENT.file]


def found(changed: Files, was: Files = PRESENT) -> list[str]:
    return breaks(Wire.of(shape.lines(was)), Wire.of(shape.lines(changed)))


def test_every_proto_file_is_looked_at() -> None:
    assert {Path(file.name).name for file in PRESENT.file} == {path.name for path in PROTO.glob("*.proto")}


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_nothing_of_a_recorded_release_was_renumbered_retyped_removed_or_used_again(release: Path) -> None:
    assert not breaks(Wire.of(wire_of(release)), Wire.of(shape.lines(PRESENT)))


def test_what_is_new_is_recorded() -> None:
    assert RELEASES[-1] == present_release(), "a new release: run `make wire-record`"
    recorded, present = set(wire_of(RELEASES[-1])), set(shape.lines(PRESENT))
    assert present == recorded, f"not as recorded, run `make wire-record`: {sorted(present ^ recorded)}"


# The test of the test: each change that breaks the other side, done to each place where it can be done.


def messages(files: Files) -> Iterator[Message]:
    def below(message: Message) -> Iterator[Message]:
        yield message
        for nested in message.nested_type:
            yield from below(nested)

    return (found for file in files.file for message in file.message_type for found in below(message))


def fields(files: Files) -> list[tuple[Message, Field]]:
    return [(message, field) for message in messages(files) for field in message.field]


def values(files: Files) -> list[tuple[Enum, descriptor_pb2.EnumValueDescriptorProto]]:
    return [(enum, value) for file in files.file for enum in file.enum_type for value in enum.value]


def places(of: Callable[[Files], Sized]) -> list[tuple[Files, int]]:
    """Each of them, by its file and its position there."""
    return [(file, number) for file in ALONE for number in range(len(of(file)))]


def renumbered(message: Message, field: Field) -> None:
    field.number = max(other.number for other in message.field) + 1


def swapped_with_its_neighbour(message: Message, field: Field) -> None:
    other = message.field[0] if field is not message.field[0] else message.field[-1]
    if other is field or other.number == field.number:
        renumbered(message, field)
    else:
        field.number, other.number = other.number, field.number


def retyped(message: Message, field: Field) -> None:
    field.ClearField("type_name")
    # Among these are those with the same bytes on the wire: they do not mean the same.
    field.type = Field.TYPE_UINT64 if field.type != Field.TYPE_UINT64 else Field.TYPE_INT64


def of_another_message(message: Message, field: Field) -> None:
    field.type, field.type_name = Field.TYPE_MESSAGE, ".fleetnet.v1.Timer" + "2" * (field.type_name.endswith("Timer"))


def removed(message: Message, field: Field) -> None:
    message.field.remove(field)


def removed_with_its_number_reserved_alone(message: Message, field: Field) -> None:
    message.reserved_range.add(start=field.number, end=field.number + 1)
    message.field.remove(field)


def removed_with_its_name_reserved_alone(message: Message, field: Field) -> None:
    message.reserved_name.append(field.name)
    message.field.remove(field)


def replaced_by_another_with_its_number(message: Message, field: Field) -> None:
    field.name += "_anew"


def replaced_and_its_name_reserved(message: Message, field: Field) -> None:
    message.reserved_name.append(field.name)
    field.name += "_anew"


def repeated_or_no_longer(message: Message, field: Field) -> None:
    field.label = Field.LABEL_OPTIONAL if field.label == Field.LABEL_REPEATED else Field.LABEL_REPEATED


def optional_or_no_longer(message: Message, field: Field) -> None:
    field.label = Field.LABEL_OPTIONAL
    if field.proto3_optional or field.HasField("oneof_index"):
        field.proto3_optional = False
        field.ClearField("oneof_index")
    else:
        message.oneof_decl.add(name=f"_{field.name}")
        field.proto3_optional, field.oneof_index = True, len(message.oneof_decl) - 1


def moved_into_a_oneof(message: Message, field: Field) -> None:
    message.oneof_decl.add(name="anything")
    field.label = Field.LABEL_OPTIONAL
    field.proto3_optional, field.oneof_index = False, len(message.oneof_decl) - 1


OF_A_FIELD: Final[list[Callable[[Message, Field], None]]] = [
    renumbered,
    swapped_with_its_neighbour,
    retyped,
    of_another_message,
    removed,
    removed_with_its_number_reserved_alone,
    removed_with_its_name_reserved_alone,
    replaced_by_another_with_its_number,
    replaced_and_its_name_reserved,
    repeated_or_no_longer,
    optional_or_no_longer,
    moved_into_a_oneof,
]


@pytest.mark.parametrize("change", OF_A_FIELD, ids=lambda change: change.__name__)
def test_a_field_changed_so_is_found_wherever_it_is(change: Callable[[Message, Field], None]) -> None:
    for file, number in places(fields):
        changed = copy.deepcopy(file)
        message, field = fields(changed)[number]
        name = f"{message.name}.{field.name}"
        change(message, field)
        assert any(name in sentence for sentence in found(changed, file)), name


def value_renumbered(enum: Enum, value: descriptor_pb2.EnumValueDescriptorProto) -> None:
    value.number = max(other.number for other in enum.value) + 1


def value_removed(enum: Enum, value: descriptor_pb2.EnumValueDescriptorProto) -> None:
    enum.value.remove(value)


def value_renamed(enum: Enum, value: descriptor_pb2.EnumValueDescriptorProto) -> None:
    value.name += "_ANEW"


def value_replaced(enum: Enum, value: descriptor_pb2.EnumValueDescriptorProto) -> None:
    enum.reserved_name.append(value.name)
    value.name += "_ANEW"


@pytest.mark.parametrize("change", [value_renumbered, value_removed, value_renamed, value_replaced])
def test_an_enum_value_changed_so_is_found_wherever_it_is(
    change: Callable[[Enum, descriptor_pb2.EnumValueDescriptorProto], None],
) -> None:
    for file, number in places(values):
        changed = copy.deepcopy(file)
        enum, value = values(changed)[number]
        name = value.name
        change(enum, value)
        assert any(name in sentence for sentence in found(changed, file)), name


def test_a_method_changed_is_found_whatever_is_changed() -> None:
    changes: list[Callable[[descriptor_pb2.ServiceDescriptorProto, descriptor_pb2.MethodDescriptorProto], None]] = [
        lambda service, method: service.method.remove(method),
        lambda service, method: setattr(method, "name", method.name + "Anew"),
        lambda service, method: setattr(method, "input_type", ".fleetnet.v1.Timer"),
        lambda service, method: setattr(method, "output_type", ".fleetnet.v1.Timer"),
        lambda service, method: setattr(method, "client_streaming", not method.client_streaming),
        lambda service, method: setattr(method, "server_streaming", not method.server_streaming),
    ]
    services = [(f, s, m) for f, file in enumerate(PRESENT.file) for s, service in enumerate(file.service)
                for m in range(len(service.method))]  # fmt: skip
    assert services
    for f, s, m in services:
        for change in changes:
            changed = copy.deepcopy(PRESENT)
            service = changed.file[f].service[s]
            name = f"{service.name}.{service.method[m].name}"
            change(service, service.method[m])
            assert any(name in sentence for sentence in found(changed)), name


@pytest.mark.parametrize("kind", ["message_type", "enum_type", "service"])
def test_what_was_declared_and_is_gone_or_renamed_is_found(kind: str) -> None:
    for number, file in enumerate(PRESENT.file):
        for place, declared in enumerate(getattr(file, kind)):
            gone, renamed = copy.deepcopy(PRESENT), copy.deepcopy(PRESENT)
            del getattr(gone.file[number], kind)[place]
            getattr(renamed.file[number], kind)[place].name += "Anew"
            for changed in (gone, renamed):
                assert any(declared.name in sentence for sentence in found(changed)), declared.name


def test_what_was_reserved_stays_reserved() -> None:
    before, after = copy.deepcopy(PRESENT), copy.deepcopy(PRESENT)
    for message in messages(before):
        message.reserved_range.add(start=500, end=503)
        message.reserved_name.append("of_old")
    for message in messages(after):
        # Ranges that lie side by side are one.
        message.reserved_range.add(start=502, end=600)
        message.reserved_range.add(start=500, end=502)
        message.reserved_name.append("of_old")
    then = Wire.of(shape.lines(before))
    assert not breaks(then, Wire.of(shape.lines(after)))
    for message in messages(after):
        message.reserved_range[0].start = 503
    assert len(breaks(then, Wire.of(shape.lines(after)))) == len(list(messages(after)))
    assert len(breaks(then, Wire.of(shape.lines(PRESENT)))) == 2 * len(list(messages(after)))


NEW_NAMES: Final = strategies.from_regex(r"[a-z]{3,9}_anew", fullmatch=True)


@hypothesis.given(strategies.data())
def test_what_is_added_breaks_nothing(data: strategies.DataObject) -> None:
    changed = copy.deepcopy(PRESENT)
    message = data.draw(strategies.sampled_from(list(messages(changed))))
    number = max((field.number for field in message.field), default=0) + data.draw(strategies.integers(1, 1000))
    field = message.field.add(
        name=data.draw(NEW_NAMES), number=number, label=data.draw(strategies.sampled_from([1, 3]))
    )
    field.type = Field.TYPE_SINT32
    if message.oneof_decl and field.label == Field.LABEL_OPTIONAL and data.draw(strategies.booleans()):
        field.oneof_index = 0
    enum, _ = data.draw(strategies.sampled_from(values(changed)))
    enum.value.add(name="ANEW", number=max(value.number for value in enum.value) + 1)
    changed.file[0].message_type.add(name="Anew").field.add(name="anew", number=1, type=Field.TYPE_BOOL, label=1)
    service = next(file.service[0] for file in changed.file if file.service)
    service.method.add(name="Anew", input_type=".fleetnet.v1.Anew", output_type=".fleetnet.v1.Anew")
    assert not found(changed)
    assert set(shape.lines(changed)) - set(shape.lines(PRESENT)), "and it is seen, so that it is recorded"


def test_a_field_may_go_if_number_and_name_are_reserved() -> None:
    for file, number in places(fields):
        changed = copy.deepcopy(file)
        message, field = fields(changed)[number]
        message.reserved_name.append(field.name)
        removed_with_its_number_reserved_alone(message, field)
        assert not found(changed, file)


def test_each_presence_has_its_word() -> None:
    told = [line for line in shape.lines(PRESENT) if line.startswith("field ")]
    assert "field fleetnet.v1.LiveWanted.netns = 5 uint64 optional" in told
    assert "field fleetnet.v1.AgentMessage.batch = 2 fleetnet.v1.Batch oneof message" in told
    assert "field fleetnet.v1.LivePart.sockets = 5 fleetnet.v1.LiveSocket repeated" in told
    assert "field fleetnet.v1.LivePart.last = 8 bool singular" in told
    named = [line for line in told if line.startswith("field fleetnet.v1.LivePart.")]
    assert len(named) == len(live_pb2.LivePart.DESCRIPTOR.fields)


@pytest.mark.parametrize("line", ["", "field x", "message y = 1", "reserved z", "something else = 1"])
def test_what_is_no_fact_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a fact"):
        Wire.of([line])
