"""Live looks, from the question to a host's stream and back; the host is played message by message."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from fleetnet_proto.v1 import live_pb2, query_pb2, query_pb2_grpc, report_pb2, sockets_pb2
from fleetnet_server.errors import AgentAway
from fleetnet_server.rpc.asked import MOST_HELD_BYTES, Asked, Asking
from fleetnet_server.rpc.live import PAUSE_S
from server.agents import DEADLINE_S, ReportStream
from server.running import Running, ports_of, wait_for

from server import messages

EVERYTHING = live_pb2.LiveWanted(sockets=True, details=True, interfaces=True, statistics=True)


@dataclass
class Host:
    """A host that is connected, and those who ask about it."""

    name: str
    stream: ReportStream
    queries: query_pb2_grpc.QueryServiceStub

    def ask(self, wanted: live_pb2.LiveWanted = EVERYTHING) -> "Answer":
        return Answer(self.queries.Live(query_pb2.LiveRequest(host=self.name, wanted=wanted), timeout=DEADLINE_S))

    def asked(self) -> report_pb2.LookNow:
        while (message := self.stream.receive()).WhichOneof("message") == "ack":
            pass
        assert message.WhichOneof("message") == "look_now", message
        return message.look_now

    def question(self, within_s: float) -> report_pb2.LookNow | None:
        try:
            return self.stream.receive(within_s).look_now
        except TimeoutError:
            return None

    def answer(self, *sockets: live_pb2.LiveSocket, **more: object) -> None:
        """Answer the next question with one part."""
        self.stream.send(live=part(self.asked().request, *sockets, **more))

    def still_reports(self, sequence: int = 2) -> None:
        self.stream.send(batch=messages.batch(sequence))
        while self.stream.receive().ack.sequence != sequence:
            pass  # a question


class Answer:
    """An answer on its way, read in a thread."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self._parts: list[query_pb2.LiveResponse] = []
        self._error: grpc.RpcError | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for part in self.call:
                self._parts.append(part)
        except grpc.RpcError as error:
            self._error = error

    def parts(self) -> list[query_pb2.LiveResponse]:
        self._thread.join(DEADLINE_S)
        assert self._error is None, self._error
        return self._parts

    def items(self) -> list[query_pb2.LiveItem]:
        return [item for part in self.parts() for item in part.page.sockets]

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    @property
    def failed(self) -> bool:
        return self.done and self._error is not None

    def refusal(self) -> tuple[grpc.StatusCode, str]:
        self._thread.join(DEADLINE_S)
        assert isinstance(self._error, grpc.Call)
        return self._error.code(), self._error.details() or ""


def part(request: int, *sockets: live_pb2.LiveSocket, **more: object) -> live_pb2.LivePart:
    whole = {
        "request": request,
        "look_at_us": messages.now_us(),
        "processes": [messages.process()] if sockets else [],
        "holders": [messages.holder()] if sockets else [],
        "sockets": sockets,
        "last": True,
        **more,
    }
    return live_pb2.LivePart(**whole)  # type: ignore[arg-type]  # fields by their names


def live(port: int) -> live_pb2.LiveSocket:
    socket = messages.listener(port)
    socket.recv_queue = 7
    return live_pb2.LiveSocket(
        socket=socket,
        timer=live_pb2.Timer(kind=2, expires_ms=1_500, retransmits=1),
        tcp=live_pb2.TcpInfo(rtt_us=40, congestion_control="cubic"),
        memory=live_pb2.SocketMemory(drops=3),
    )


@pytest.fixture
def host(collector: Running, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host of its own for each test; history has its listener on port 443."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.lower()).strip("-")
    with collector.channel(collector.join(name)) as channel, collector.admin() as admin:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
        stream.await_ack(1)
        yield Host(name, stream, collector.queries(admin))
        stream.close()


def test_the_agent_is_asked_and_its_parts_become_the_answer(host: Host) -> None:
    answer = host.ask()
    asked = host.asked()
    assert asked.request != 0
    assert asked.wanted == EVERYTHING
    counters = live_pb2.InterfaceCounters(name="eth0", received_bytes=2**40)
    host.stream.send(live=part(asked.request, live(443), live(80), last=False))
    host.stream.send(live=part(asked.request, interfaces=[counters], trouble="udp was not read"))
    parts = answer.parts()
    assert [each.WhichOneof("part") for each in parts] == ["coverage", "page", "page", "end"]
    assert (parts[0].coverage.hosts_asked, parts[0].coverage.hosts_fresh) == (1, 1)
    assert abs(parts[0].coverage.as_of_us - messages.now_us()) < 10_000_000
    assert list(parts[2].page.interfaces) == [counters]
    assert parts[2].page.trouble == "udp was not read"
    assert parts[3].end == query_pb2.End(items=3)
    known, new = answer.items()
    assert (known.timer, known.tcp, known.memory) == (live(443).timer, live(443).tcp, live(443).memory)
    item = known.socket
    assert (item.host, item.netns, item.local_port, item.recv_queue, item.unit) == (
        host.name, "host", 443, 7, "nginx.service",
    )  # fmt: skip
    assert [(owner.pid, owner.name) for owner in item.owners] == [(812, "nginx")]
    assert (item.scope, item.exposure) == (query_pb2.ADDRESS_SCOPE_ANY, query_pb2.EXPOSURE_YES)
    assert item.opened_at_us > 0
    assert item.opened_at_is == sockets_pb2.OPENED_AT_IS_SEEN
    assert (new.socket.local_port, new.socket.opened_at_us) == (80, 0), "history has not seen it yet"


def test_a_live_look_is_not_stored_and_not_acknowledged(collector: Running, host: Host) -> None:
    answer = host.ask()
    host.answer(live(80))
    assert len(answer.items()) == 1
    assert ports_of(collector, host.name) == [443]
    host.still_reports()


def test_a_host_that_nobody_knows_is_not_found(host: Host) -> None:
    host.name = "nobody"
    code, sentence = host.ask().refusal()
    assert code is grpc.StatusCode.NOT_FOUND
    assert '"nobody"' in sentence


def test_a_question_that_wants_nothing_is_refused(host: Host) -> None:
    assert host.ask(live_pb2.LiveWanted(details=True)).refusal()[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_a_host_that_is_not_connected_is_unavailable(collector: Running, host: Host) -> None:
    collector.join("away")
    host.name = "away"
    code, sentence = host.ask().refusal()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "agent of away is not connected" in sentence


@pytest.mark.slow
def test_an_agent_that_never_answers_is_taken_to_be_old(host: Host) -> None:
    code, sentence = host.ask().refusal()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert sentence == f"the agent of {host.name} does not answer a live look; is it of an older version?"
    host.still_reports()


def test_who_asks_again_within_a_second_waits_until_it_is_over(host: Host) -> None:
    answer = host.ask()
    host.answer()
    answer.parts()
    answered_s = time.monotonic()
    again = host.ask()
    host.answer(live(80))
    assert time.monotonic() - answered_s > 0.9 * PAUSE_S
    assert len(again.items()) == 1


def test_an_agent_that_says_when_to_ask_again_is_asked_then(host: Host) -> None:
    answer = host.ask()
    first = host.asked()
    host.stream.send(live=part(first.request, refused=True, trouble="too soon", retry_after_ms=300))
    refused_s = time.monotonic()
    second = host.asked()
    assert time.monotonic() - refused_s > 0.29
    assert second.request != first.request
    host.stream.send(live=part(second.request, live(80)))
    assert len(answer.items()) == 1


@pytest.mark.parametrize("wait_ms", [0, 11_000, 2**32 - 1])
def test_who_would_wait_for_long_is_told_so_at_once(host: Host, wait_ms: int) -> None:
    answer = host.ask()
    host.answer(refused=True, trouble="ask again later", retry_after_ms=wait_ms)
    code, sentence = answer.refusal()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert sentence.endswith("makes no live look now: ask again later")


@pytest.mark.slow
def test_an_agent_that_refuses_again_and_again_does_not_hold_the_asker(host: Host) -> None:
    answer = host.ask()
    for _ in range(2):  # the second is past the patience
        host.answer(refused=True, trouble="not now", retry_after_ms=6_000)
    assert answer.refusal()[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_the_agent_refuses_is_told_to_the_asker_and_escaped(host: Host) -> None:
    answer = host.ask()
    host.answer(refused=True, trouble="another is under way\x1b[2J")
    code, sentence = answer.refusal()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert sentence == f"the agent of {host.name} makes no live look now: another is under way\\x1b[2J"


def test_those_who_ask_at_once_are_answered_one_after_the_other_and_a_fifth_is_not(host: Host) -> None:
    answers = [host.ask() for _ in range(6)]
    first = host.asked()
    wait_for(lambda: True if sum(answer.failed for answer in answers) == 2 else None, "refusal of two")
    assert {answer.refusal()[0] for answer in answers if answer.failed} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    host.stream.send(live=part(first.request, live(80)))
    second = host.asked()
    assert second.request != first.request
    host.stream.send(live=part(second.request, live(81)))
    wait_for(lambda: True if sum(answer.done for answer in answers) == 4 else None, "answers to two")
    waiting = [answer for answer in answers if not answer.done]
    shown = [
        item.socket.local_port for answer in answers if answer.done and not answer.failed for item in answer.items()
    ]
    assert sorted(shown) == [80, 81]
    for answer in waiting:
        answer.call.cancel()


def _no_holder(part: live_pb2.LivePart) -> None:
    part.sockets[0].socket.holder = 9


def _no_address(part: live_pb2.LivePart) -> None:
    part.sockets[0].socket.local_address = b"\1"


def _no_time(part: live_pb2.LivePart) -> None:
    part.look_at_us = 0


def _long_name(part: live_pb2.LivePart) -> None:
    part.sockets[0].tcp.congestion_control = "x" * 65


def _same_twice(part: live_pb2.LivePart) -> None:
    part.sockets.append(part.sockets[0])


def _long_interface(part: live_pb2.LivePart) -> None:
    part.interfaces.add(name="x" * 100_000)


@pytest.mark.parametrize("harm", [_no_holder, _no_address, _no_time, _long_name, _same_twice, _long_interface])
def test_what_cannot_be_true_is_told_to_the_asker_and_reports_go_on(host: Host, harm: object) -> None:
    assert callable(harm)
    answer = host.ask()
    harmful = part(host.asked().request, live(80))
    harm(harmful)
    host.stream.send(live=harmful)
    code, sentence = answer.refusal()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert f"what the agent of {host.name} answered cannot be true" in sentence
    host.still_reports()


def test_parts_that_nobody_asked_for_are_passed_over(host: Host) -> None:
    for request in (0, 1, 2**64 - 1):
        host.stream.send(live=part(request, live(80)))
    answer = host.ask()
    asked = host.asked()
    host.stream.send(live=part(asked.request + 1, live(81)))
    host.stream.send(live=part(asked.request, live(82)))
    host.stream.send(live=part(asked.request, live(83)))
    assert [item.socket.local_port for item in answer.items()] == [82]
    host.still_reports()


def test_an_agent_that_goes_in_the_middle_ends_the_answer_without_an_end(host: Host) -> None:
    answer = host.ask()
    host.stream.send(live=part(host.asked().request, live(80), last=False))
    host.stream.close()
    code, sentence = answer.refusal()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "ended before it had answered" in sentence


def test_an_asker_that_is_gone_is_forgotten(host: Host) -> None:
    answer = host.ask()
    asked = host.asked()
    answer.call.cancel()
    host.stream.send(live=part(asked.request, live(80), last=False))
    host.stream.send(live=part(asked.request, live(81)))
    host.still_reports()
    again = host.ask()
    host.answer(live(82))
    assert [item.socket.local_port for item in again.items()] == [82]


def test_an_asker_that_does_not_read_holds_up_no_report_and_is_dropped(host: Host) -> None:
    large = live_pb2.Statistic(group="Tcp", name="x" * 60, value=1)
    call = host.queries.Live(query_pb2.LiveRequest(host=host.name, wanted=EVERYTHING), timeout=DEADLINE_S)
    request = host.asked().request
    for _ in range(40):
        host.stream.send(live=part(request, statistics=[large] * 12_000, last=False))
    host.still_reports()
    with pytest.raises(grpc.RpcError) as dropped:
        for _ in call:
            pass
    assert isinstance(dropped.value, grpc.Call)
    assert dropped.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "not read as fast as it came" in (dropped.value.details() or "")


def test_no_more_waits_for_an_asker_than_is_allowed() -> None:
    async def scenario() -> None:
        asking = Asking(bytes(16), lambda: None)
        asked = Asked(7, EVERYTHING)
        asking.ask(asked)
        for _ in range(MOST_HELD_BYTES // 1_000_000):
            asking.hand_over(live_pb2.LivePart(request=7), 1_000_000)
        assert (await asked.take(1)).request == 7
        for _ in range(3):
            asking.hand_over(live_pb2.LivePart(request=7), 1_000_000)
        assert not asked._parts
        with pytest.raises(AgentAway):
            await asked.take(1)

    asyncio.run(scenario())


def test_parts_with_nothing_in_them_are_no_way_to_fill_memory() -> None:
    async def scenario() -> None:
        asked = Asked(7, EVERYTHING)
        for _ in range(MOST_HELD_BYTES // 1024 + 1):
            asked.hand_over(live_pb2.LivePart(request=7), 2)
        with pytest.raises(AgentAway, match="not read as fast"):
            await asked.take(1)

    asyncio.run(scenario())


def test_an_answer_without_an_end_ends_when_its_time_is_up() -> None:
    async def scenario() -> None:
        asked = Asked(7, EVERYTHING)
        asked.hand_over(live_pb2.LivePart(request=7), 2)
        with pytest.raises(TimeoutError):
            await asked.take(-1.0)

    asyncio.run(scenario())


def test_a_question_that_is_forgotten_before_it_is_written_is_never_written() -> None:
    async def scenario() -> None:
        asking = Asking(bytes(16), lambda: None)
        first, second = Asked(1, EVERYTHING), Asked(2, EVERYTHING)
        asking.ask(first)
        asking.ask(second)
        asking.forget(first)
        question = asking.next_question()
        assert question is not None
        assert question.request == 2
        assert asking.next_question() is None
        asking.end()
        with pytest.raises(AgentAway):
            await second.take(1)
        asking.ask(late := Asked(3, EVERYTHING))
        with pytest.raises(AgentAway):
            await late.take(1)

    asyncio.run(scenario())
