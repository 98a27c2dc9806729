"""An agent of a recorded release before the collector of today: what it said, played over mutual TLS to a real process,
is answered as it was; and what an agent of a later release might say besides is passed over or refused, and never
misread."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleetnet_proto.v1 import live_pb2, network_pb2, report_pb2, sockets_pb2
from google.protobuf.message import Message
from recorded import newer, playing, streams
from recorded.releases import recorded_releases
from server.agents import ReportStream
from server.running import Running, ports_of

from server import messages

RELEASES = recorded_releases()
UNKNOWN = 300  # no enum has it, nor is it near to what one has

pytestmark = pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)


def said(release: Path) -> list[report_pb2.AgentMessage]:
    return streams.read(release / streams.AGENT, report_pb2.AgentMessage)


def kept(release: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((release / streams.ANSWERS).read_text())
    return found


def compare(found: dict[str, Any], release: Path) -> None:
    """Question by question, and item by item, for the whole is too much to read."""
    expected, present = kept(release), json.loads(playing.in_lines(found))
    for name, answer in present.items():
        assert answer["answer"] == expected[name]["answer"], name
        assert len(answer["items"]) == len(expected[name]["items"]), name
        for item, other in zip(answer["items"], expected[name]["items"], strict=True):
            assert item == other, name


def test_every_answer_is_as_it_was_kept(data: Path, release: Path) -> None:
    collector = Running(data)
    recording = said(release)
    with collector.channel(collector.join(playing.HOST)) as channel:
        played = playing.play(channel, recording)
        found = playing.answers(collector, played)
        assert found.keys() == kept(release).keys()
        compare(found, release)
        played.stream.close()
    assert collector.terminate() == 0
    assert "level=error" not in collector.log()
    # What no question answers yet: brief connections, and why the gap is there.
    brief = [told for m in recording for told in m.batch.opened if told.opened_at_is == 4]
    gaps = [(gap.from_us, gap.to_us, gap.reason) for m in recording for gap in m.batch.gaps]
    assert brief
    assert gaps
    with sqlite3.connect(f"file:{data}/fleetnet.db?mode=ro", uri=True) as db:
        stored = db.execute("SELECT count(*) FROM history WHERE opened_at_is = 4").fetchone()
        assert stored == (len(brief),)
        rows = db.execute("SELECT from_us, to_us, reason FROM gaps").fetchall()
    db.close()
    assert {(a - played.by_us, b - played.by_us, reason) for a, b, reason in rows} >= set(gaps)


def test_what_a_later_agent_says_in_fields_of_its_own_is_passed_over(data: Path, release: Path) -> None:
    collector = Running(data)
    try:
        with collector.channel(collector.join(playing.HOST)) as channel:
            played = playing.play(channel, said(release), newer.with_unknown_fields)
            compare(playing.answers_now(collector, played), release)
            name = "live sockets"
            compare({name: playing.look_live(collector, played, *playing.LIVE[name])}, release)
            played.stream.close()
    finally:
        collector.kill()


def test_what_a_later_agent_says_in_messages_of_its_own_is_passed_over(collector: Running, release: Path) -> None:
    with collector.channel(collector.join("newer-kinds")) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        for sequence in (1, 2, 3):
            stream.send(other=report_pb2.AgentMessage.FromString(newer.KIND))
            stream.send(other=report_pb2.AgentMessage())
            stream.send(batch=messages.batch(sequence, messages.listener(1000 + sequence), snapshot=sequence == 1))
            stream.await_ack(sequence)
        assert sorted(ports_of(collector, "newer-kinds")) == [1001, 1002, 1003]
        stream.close()


def _of_socket(name: str) -> Callable[[report_pb2.Batch], None]:
    def spoil(batch: report_pb2.Batch) -> None:
        batch.opened[0].opened_at_us = 1  # without it, how it is known is not asked
        batch.opened[0].opened_at_is = sockets_pb2.OPENED_AT_IS_SEEN
        setattr(batch.opened[0], name, UNKNOWN)

    return spoil


def _protocol(batch: report_pb2.Batch) -> None:
    batch.opened[0].key.protocol = UNKNOWN  # type: ignore[assignment]


def _owner_status(batch: report_pb2.Batch) -> None:
    batch.holders[0].owner_status = UNKNOWN  # type: ignore[assignment]


def _closed_at_is(batch: report_pb2.Batch) -> None:
    key = sockets_pb2.SocketKey(protocol=sockets_pb2.PROTOCOL_TCP, cookie=1)
    batch.closed.add(key=key, closed_at_us=1, closed_at_is=UNKNOWN)


def _duplex(batch: report_pb2.Batch) -> None:
    interface = network_pb2.Interface(index=1, name="lo", duplex=UNKNOWN)  # type: ignore[arg-type]
    batch.namespaces.add(interfaces=[interface])


def _route_family(batch: report_pb2.Batch) -> None:
    batch.namespaces.add(routes=[network_pb2.Route(family=UNKNOWN, destination=bytes(4))])  # type: ignore[arg-type]


SPOILS: dict[str, Callable[[report_pb2.Batch], None]] = {
    **{name: _of_socket(name) for name in ("family", "state", "source", "type", "opened_at_is")},
    "protocol": _protocol,
    "owner_status": _owner_status,
    "closed_at_is": _closed_at_is,
    "duplex": _duplex,
    "family of a route": _route_family,
}


def enums_below(message: type[Message]) -> set[str]:
    """Fields of an enum's type that a message can carry."""
    seen, found, waiting = set[str](), set[str](), [message.DESCRIPTOR]
    while waiting:
        descriptor = waiting.pop()
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            if field.enum_type:
                found.add(field.name)
            if field.message_type and field.message_type.full_name not in seen:
                waiting.append(field.message_type)
    return found


def test_every_enum_that_an_agent_tells_is_tried_below_and_a_collector_tells_none(release: Path) -> None:
    assert enums_below(report_pb2.AgentMessage) == {name.split()[0] for name in SPOILS}
    assert not enums_below(report_pb2.CollectorMessage)


@pytest.mark.parametrize("name", SPOILS)
def test_a_batch_with_an_enum_value_of_a_later_release_is_set_aside_whole_and_leaves_a_gap(
    collector: Running, name: str, release: Path
) -> None:
    host = f"newer-{name.replace(' ', '-').replace('_', '-')}"
    with collector.channel(collector.join(host)) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, messages.listener(1001), snapshot=True))
        stream.await_ack(1)
        spoilt = messages.batch(2, messages.listener(1002))
        SPOILS[name](spoilt)
        stream.send(batch=spoilt)
        heard = [stream.receive(), stream.receive()]
        assert {message.WhichOneof("message") for message in heard} == {"ack", "resync"}
        assert ports_of(collector, host) == [1001]
        stream.close()
    with sqlite3.connect(f"file:{collector.data}/fleetnet.db?mode=ro", uri=True) as db:
        here = "WHERE host_id = (SELECT host_id FROM hosts WHERE name = ?)"
        [(reason, message)] = db.execute(f"SELECT reason, message FROM quarantine {here}", (host,)).fetchall()
        [gaps] = db.execute(f"SELECT count(*) FROM gaps {here}", (host,)).fetchone()
    db.close()
    assert str(UNKNOWN) in reason
    assert message == spoilt.SerializeToString()
    assert gaps == 1


def test_a_live_look_with_an_enum_value_of_a_later_release_is_told_to_the_asker_and_reports_go_on(
    collector: Running, release: Path
) -> None:
    with collector.channel(collector.join("newer-live")) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, messages.listener(1001), snapshot=True))
        stream.await_ack(1)
        asker = playing.start(collector, "netstat", "newer-live", "-tan", "--live")
        part = live_pb2.LivePart(request=stream.receive().look_now.request, look_at_us=messages.now_us(), last=True)
        part.holders.append(messages.holder())
        part.processes.append(messages.process())
        part.sockets.add(socket=messages.listener(1001))
        part.sockets[0].socket.state = UNKNOWN  # type: ignore[assignment]
        stream.send(live=part)
        _, err = asker.communicate(timeout=30)
        assert asker.returncode not in (0, 1)
        assert "cannot be true" in err
        assert str(UNKNOWN) in err
        stream.send(batch=messages.batch(2, messages.listener(1002)))
        stream.await_ack(2)
        stream.close()
