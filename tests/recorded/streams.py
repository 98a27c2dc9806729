"""Recorded streams: length-delimited messages in a file; and times moved, so that what was recorded can be told today.

What must stay true: a message that is read and written again keeps what today's classes do not know. All times of one
recording move by the same distance, so intervals keep their lengths and order. Which numbers are times is said here
once, and a test asks it of every field.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from fleetnet_proto.v1 import report_pb2
from google.protobuf import proto
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

AGENT: Final = "agent.stream"  # AgentMessages, from Hello on
COLLECTOR: Final = "collector.stream"  # CollectorMessages of the same session
ANSWERS: Final = "answers.json"

WALL_CLOCK: Final = frozenset(
    {
        "wall_clock_us",
        "booted_at_us",
        "look_at_us",
        "previous_look_at_us",
        "started_at_us",
        "opened_at_us",
        "closed_at_us",
        "from_us",
        "to_us",
        "spool_oldest_us",
    }
)
"""Fields that hold a time by the host's wall clock. 0 is no time in any of them."""
BOOT_CLOCK: Final = frozenset({"boottime_us", "look_boottime_us"})
"""Those by CLOCK_BOOTTIME. A recording is told as of the boot it was made in, so they move only with Hello."""

M = TypeVar("M", bound=Message)


def read(path: Path, kind: type[M]) -> list[M]:
    """All messages of a file."""
    data = io.BytesIO(path.read_bytes())
    found = []
    while (message := proto.parse_length_prefixed(kind, data)) is not None:
        found.append(message)
    return found


def write(path: Path, messages: Iterable[Message]) -> None:
    """All of them, in order."""
    data = io.BytesIO()
    for message in messages:
        proto.serialize_length_prefixed(message, data)
    path.write_bytes(data.getvalue())


def fields_of(message: Message) -> Iterator[tuple[Message, FieldDescriptor, object]]:
    """Every field that is set, here and in all that it holds."""
    for field, value in message.ListFields():
        yield message, field, value
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from fields_of(inner)


def change(message: Message, names: Iterable[str], to: Callable[[int], int]) -> None:
    """Change numbers wherever a field of one of these names is set."""
    wanted = frozenset(names)
    for owner, field, value in list(fields_of(message)):
        if field.name in wanted and not field.is_repeated:
            assert isinstance(value, int)
            setattr(owner, field.name, to(value))


def last_look_us(messages: Iterable[report_pb2.AgentMessage]) -> int:
    """The latest time that they tell of."""
    return max(max(m.batch.look_at_us, m.live.look_at_us, m.hello.wall_clock_us) for m in messages)


def moved(messages: Iterable[report_pb2.AgentMessage], by_us: int, now_us: int) -> list[report_pb2.AgentMessage]:
    """The same, `by_us` later; and Hello as it would be said now, by an agent that has kept all that follows.

    Hello's two clocks move on together: they say what the host's offset is, and it is none.
    """
    told = []
    for message in messages:
        later = report_pb2.AgentMessage()
        later.CopyFrom(message)
        change(later, WALL_CLOCK, lambda us: us + by_us)
        if later.HasField("hello"):
            later.hello.boottime_us += now_us - later.hello.wall_clock_us
            later.hello.wall_clock_us = now_us
        told.append(later)
    return told
