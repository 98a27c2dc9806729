"""What a recording is rid of before it is kept: all that is of the machine it was made on and not of the scenario.

Addresses, ports, cookies and inodes stay, for the digest is made of them; they are those of namespaces that are gone.
"""

import uuid
from typing import Final

from fleetnet_proto.v1 import report_pb2
from google.protobuf.message import Message
from recorded.streams import BOOT_CLOCK, WALL_CLOCK, change, fields_of

BOOT_ID: Final = uuid.UUID("00010203-0405-0607-0809-0a0b0c0d0e0f").bytes
EPOCH: Final = 0x0123456789ABCDEF
FROM_US: Final = 1_735_689_600_000_000
"""Hello is said on 2025-01-01 at 00:00 UTC."""
BOOTED_BEFORE_US: Final = 3_600_000_000
_PROGRAMS: Final = ("fleetnet-server", "fleetnet-agent", "fleetnet-helper")


def stripped(messages: list[report_pb2.AgentMessage]) -> list[report_pb2.AgentMessage]:
    """The same session as another machine would have told it."""
    hello = messages[0].hello
    by_us, boot_by_us = FROM_US - hello.wall_clock_us, BOOTED_BEFORE_US - hello.boottime_us
    told = []
    for message in messages:
        other = report_pb2.AgentMessage()
        other.CopyFrom(message)
        change(other, WALL_CLOCK, lambda us: us + by_us)
        change(other, BOOT_CLOCK, lambda us: us + boot_by_us)
        if other.HasField("hello"):
            _plain_hello(other.hello)
        if other.HasField("batch"):
            other.batch.boot_id, other.batch.epoch = BOOT_ID, EPOCH
        _plain_texts(other)
        told.append(other)
    return told


def _plain_hello(hello: report_pb2.Hello) -> None:
    hello.boot_id, hello.epoch, hello.machine_id_hash = BOOT_ID, EPOCH, bytes(32)
    hello.facts.CopyFrom(
        report_pb2.HostFacts(
            os="Debian GNU/Linux 12 (bookworm)",
            kernel="6.1.0-30-amd64",
            architecture="x86_64",
            cpu_count=2,
            memory_bytes=4 << 30,
            booted_at_us=FROM_US - BOOTED_BEFORE_US,
        )
    )


def _plain_texts(message: Message) -> None:
    for owner, field, value in list(fields_of(message)):
        if field.name == "exe":
            known = next((name for name in _PROGRAMS if name in str(value)), "python3")
            owner.exe = f"/usr/bin/{known}"  # type: ignore[attr-defined]
        elif field.name == "unit":
            owner.unit = "recorded.service"  # type: ignore[attr-defined]
        elif field.name == "container":
            owner.container = "0123456789abcdef" * 4  # type: ignore[attr-defined]
        elif field.name == "path" and not bytes(value).startswith(b"\0"):  # type: ignore[call-overload]
            owner.path = b"/run/recorded/" + bytes(value).rpartition(b"/")[2]  # type: ignore[attr-defined,call-overload]
