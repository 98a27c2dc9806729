"""What a recording holds, and that its times can be moved."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleetnet_proto.v1 import report_pb2, sockets_pb2
from google.protobuf.descriptor import FieldDescriptor
from recorded import streams
from recorded.releases import recorded_releases

RELEASES = recorded_releases()


def said(release: Path) -> list[report_pb2.AgentMessage]:
    return streams.read(release / streams.AGENT, report_pb2.AgentMessage)


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_recording_has_something_of_everything_that_an_agent_tells(release: Path) -> None:
    messages = said(release)
    batches = [message.batch for message in messages if message.HasField("batch")]
    kinds = {told.key.protocol for batch in batches for told in batch.opened}
    assert messages[0].HasField("hello")
    assert kinds >= {6, 17, sockets_pb2.PROTOCOL_RAW, sockets_pb2.PROTOCOL_UNIX, sockets_pb2.PROTOCOL_PACKET}
    assert batches[0].HasField("snapshot")
    for what in ("opened", "changed", "closed", "namespaces", "namespaces_gone", "digest"):
        assert any(getattr(batch, what) for batch in batches if not batch.HasField("snapshot")), what
    for what in ("gaps", "sources", "processes", "holders"):
        assert any(getattr(batch, what) for batch in batches), what
    assert all(gap.to_us > gap.from_us for batch in batches for gap in batch.gaps)
    brief = [told for batch in batches for told in batch.opened if told.opened_at_is == 4]
    assert {told.key.netns == 0 for told in brief} == {True, False}, "in both namespaces"
    for what in ("sockets", "interfaces", "statistics"):
        assert any(getattr(message.live, what) for message in messages), what
    assert any(row.HasField("tcp") for message in messages for row in message.live.sockets)
    answered = streams.read(release / streams.COLLECTOR, report_pb2.CollectorMessage)
    assert {message.WhichOneof("message") for message in answered} == {"welcome", "ack", "look_now", "reconnect"}


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_recording_is_small(release: Path) -> None:
    assert sum(path.stat().st_size for path in release.glob("*.stream")) < 100_000


def _below(descriptor: Any, seen: set[str]) -> Iterator[FieldDescriptor]:
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        yield field
        if field.message_type and field.message_type.full_name not in seen:
            yield from _below(field.message_type, seen)


def test_of_every_signed_number_that_an_agent_tells_it_is_known_by_which_clock_it_is_a_time() -> None:
    # All that is not a time has no sign.
    told = {f.name for f in _below(report_pb2.AgentMessage.DESCRIPTOR, set()) if f.type == FieldDescriptor.TYPE_INT64}
    assert told == streams.WALL_CLOCK | streams.BOOT_CLOCK


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_moved_times_keep_their_distances_and_no_time_stays_none(release: Path) -> None:
    before = said(release)
    by_us = 1_000_000_007
    after = streams.moved(before, by_us, before[0].hello.wall_clock_us + by_us + 5)
    assert after[0].hello.boottime_us == before[0].hello.boottime_us + 5
    assert after[0].hello.wall_clock_us - after[0].hello.boottime_us == (
        before[0].hello.wall_clock_us - before[0].hello.boottime_us + by_us
    )
    for old, new in zip(before[1:], after[1:], strict=True):
        assert new != old
        streams.change(new, streams.WALL_CLOCK, lambda us: us - by_us)
        assert new == old


def test_what_todays_classes_do_not_know_is_kept(tmp_path: Path) -> None:
    newer = report_pb2.AgentMessage.FromString(b"\x9a\x06\x03new")  # field 99, three bytes
    streams.write(tmp_path / "stream", [newer, newer])
    assert [m.SerializeToString() for m in streams.read(tmp_path / "stream", report_pb2.AgentMessage)] == [
        b"\x9a\x06\x03new"
    ] * 2
