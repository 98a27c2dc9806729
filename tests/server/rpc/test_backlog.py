"""What a host kept, told over a real stream; and the snapshot that it is asked for when the two sides have drifted."""

from collections.abc import Callable, Iterator

import pytest
from fleetnet_proto.v1 import query_pb2, report_pb2, sockets_pb2
from server.agents import DEADLINE_S, ReportStream
from server.running import Running, ports_of

from server import messages

MINUTE_US = 60_000_000


@pytest.fixture
def host(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    return "".join(c if c.isalnum() else "-" for c in name.lower())[:200].strip("-")


@pytest.fixture
def connect(collector: Running, host: str) -> Iterator[Callable[[], ReportStream]]:
    """Opens streams of a host of its own for each test."""
    with collector.channel(collector.join(host)) as channel:
        streams: list[ReportStream] = []

        def new() -> ReportStream:
            streams.append(ReportStream(channel))
            streams[-1].open(messages.hello())
            return streams[-1]

        yield new
        for stream in streams:
            stream.close()


def at(collector: Running, host: str, at_us: int) -> list[query_pb2.ListSocketsResponse]:
    with collector.admin() as channel:
        question = query_pb2.ListSocketsRequest(selection=query_pb2.Selection(host=host, at_us=at_us))
        return list(collector.queries(channel).ListSockets(question, timeout=DEADLINE_S))


def ports_in(answer: list[query_pb2.ListSocketsResponse]) -> list[int]:
    return [item.local_port for message in answer for item in message.page.items]


def told_in_the_past(connect: Callable[[], ReportStream]) -> tuple[ReportStream, report_pb2.Gap]:
    """A stream that is back after an hour, of which its host kept what happened."""
    stream = connect()
    before = messages.batch(1, messages.listener(443), snapshot=True)
    before.look_at_us -= 60 * MINUTE_US
    before.previous_look_at_us = before.look_at_us
    stream.send(batch=before)
    stream.await_ack(1)
    stream = connect()
    snapshot = messages.batch(2, messages.listener(80), snapshot=True)
    gap = report_pb2.Gap(
        from_us=before.look_at_us, to_us=snapshot.look_at_us, reason="collector unreachable", kept=True
    )
    snapshot.gaps.append(gap)
    stream.send(batch=snapshot)
    stream.await_ack(2)
    return stream, gap


def test_the_present_is_answered_before_the_past_is_told_and_then_the_past(
    collector: Running, connect: Callable[[], ReportStream], host: str
) -> None:
    stream, gap = told_in_the_past(connect)
    middle_us = gap.from_us + 30 * MINUTE_US
    assert ports_of(collector, host) == [80]
    waiting = at(collector, host, middle_us)
    assert (waiting[0].coverage.gaps, waiting[0].coverage.hosts_fresh) == (1, 0)
    brief = messages.past(messages.listener(8080), middle_us - 5, middle_us + 5)
    stayed = messages.past(messages.listener(80), middle_us - 9)
    stream.send(batch=messages.backlog(3, gap, brief))
    last = messages.backlog(4, gap, stayed, last=True)
    last.backlog.ended.add(
        key=messages.listener(443).key,
        closed_at_us=middle_us - 100,
        closed_at_is=sockets_pb2.CLOSED_AT_IS_EXACT,
    )
    stream.send(batch=last)
    stream.await_ack(4)
    told = at(collector, host, middle_us)
    assert ports_in(told) == [80, 8080]
    assert (told[0].coverage.gaps, told[0].coverage.hosts_fresh) == (0, 1)
    assert ports_in(at(collector, host, middle_us - 200)) == [443]
    assert ports_of(collector, host) == [80]


def test_a_backlog_that_tells_of_the_present_besides_is_set_aside(
    collector: Running, connect: Callable[[], ReportStream]
) -> None:
    stream, gap = told_in_the_past(connect)
    told = messages.backlog(3, gap)
    told.opened.append(messages.listener(81))
    stream.send(batch=told)
    stream.await_ack(3)
    assert "besides" in collector.await_log("report set aside")


def test_a_host_whose_digest_differs_is_asked_for_a_snapshot_once_a_minute(
    collector: Running, connect: Callable[[], ReportStream]
) -> None:
    stream = connect()
    stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
    stream.await_ack(1)
    differs = messages.batch(2)
    differs.digest.sockets, differs.digest.sum = 1, 4711
    stream.send(batch=differs)
    got = [stream.receive()]
    while got[-1].ack.sequence < 2:
        got.append(stream.receive())
    assert [message.WhichOneof("message") for message in got] == ["resync", "ack"]
    assert f"theirs={4711:016x}" in collector.await_log("history has drifted")
    # The agent tells all again, and still reckons otherwise: it is not asked twice in a minute.
    again = messages.batch(3, messages.listener(443), snapshot=True)
    again.digest.sockets, again.digest.sum = 1, 4711
    stream.send(batch=again)
    stream.await_ack(3)
