"""The wire is documented where it is declared, and its numbers are the kernel's where the kernel has them."""

import re
import socket
from pathlib import Path

import pytest
from fleetnet_proto.v1 import report_pb2, sockets_pb2

PROTO_FILES = sorted((Path(__file__).resolve().parents[2] / "proto/fleetnet_proto/v1").glob("*.proto"))
DECLARATION = re.compile(r"^\s*(message|enum|service|rpc)\b|^\s*(repeated |optional )?[\w.]+ \w+ = \d+;")
KERNEL_STATE = re.compile(r"^\s*STATE_[A-Z0-9_]+ = [1-9]")  # the kernel's own names: the enum's comment speaks for all


@pytest.mark.parametrize("path", PROTO_FILES, ids=lambda p: p.name)
def test_every_message_service_and_field_has_its_sentence(path: Path) -> None:
    lines = path.read_text().splitlines()
    bare = [
        f"{path.name}:{number + 1}: {line.strip()}"
        for number, line in enumerate(lines)
        if (DECLARATION.match(line) or re.match(r"^\s*[A-Z][A-Z0-9_]+ = \d+;", line))
        and not KERNEL_STATE.match(line)
        and not lines[number - 1].strip().startswith("//")
    ]
    assert not bare


def test_protocol_numbers_are_those_of_iana() -> None:
    assert sockets_pb2.PROTOCOL_TCP == socket.IPPROTO_TCP
    assert sockets_pb2.PROTOCOL_UDP == socket.IPPROTO_UDP


def test_no_message_of_the_report_stream_names_the_sender() -> None:
    for name, message in report_pb2.DESCRIPTOR.message_types_by_name.items():
        named = {field.name for field in message.fields} & {"host", "hostname", "host_name", "host_id", "identity"}
        assert not named, f"{name} carries {named}"
