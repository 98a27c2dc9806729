"""A collector of a recorded release before the agent of today: what it said, played by a scripted server over mutual
TLS, is done as it was meant; and what a collector of a later release might say besides is passed over.

Acknowledgements are played for what today's agent has sent, one for each recorded one; their numbers are its own, for
today's agent need not tell the same in as many batches.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from agent.authority import Authority
from agent.conftest import Loop
from agent.scripted_watch import ScriptedWatch, tcp
from agent.uplinks import QUICK, Running, eventually, running
from fleetnet_agent.uplink import live
from fleetnet_agent.uplink.run import Pace
from fleetnet_proto.v1 import report_pb2
from grpc import aio
from recorded import newer, streams
from recorded.releases import recorded_releases

Enrolled = Callable[..., Path]
Answer = report_pb2.CollectorMessage
SERVICE, METHOD = "fleetnet.v1.ReportService", "Report"

pytestmark = pytest.mark.parametrize("release", recorded_releases(), ids=lambda path: path.name)


def answered(release: Path) -> list[Answer]:
    return streams.read(release / streams.COLLECTOR, Answer)


class Conversation:
    """One stream, as the script of a test has it: messages go out as bytes, also those that no class knows."""

    def __init__(self, requests: AsyncIterator[bytes], context: Any) -> None:
        self._requests, self._context = requests, context
        self.batches: list[report_pb2.Batch] = []
        self.live: list[report_pb2.AgentMessage] = []

    async def say(self, message: Answer | bytes) -> None:
        await self._context.write(message if isinstance(message, bytes) else message.SerializeToString())

    async def hear(self) -> report_pb2.AgentMessage:
        heard = report_pb2.AgentMessage.FromString(await anext(self._requests))
        if heard.HasField("batch"):
            self.batches.append(heard.batch)
        elif heard.HasField("live"):
            self.live.append(heard)
        return heard

    async def hear_until(self, true: Callable[[report_pb2.AgentMessage], bool]) -> report_pb2.AgentMessage:
        while not true(heard := await self.hear()):
            pass
        return heard

    async def acknowledge(self, message: Answer | None = None) -> None:
        """What was heard so far, in this message."""
        ack = Answer(ack=report_pb2.Ack()) if message is None else message
        ack.ack.sequence = self.batches[-1].sequence
        await self.say(ack)


Script = Callable[[Conversation], Awaitable[None]]


class Scripted:
    """A server whose streams follow scripts, one after the other; the last one counts for all that follow."""

    def __init__(self, authority: Authority, *scripts: Script) -> None:
        self.streams = 0
        self.port = 0
        self.failed: list[BaseException] = []
        self._authority, self._scripts = authority, scripts
        self._server: aio.Server | None = None

    async def start(self) -> None:
        key, certificate = self._authority.server("127.0.0.1")
        credentials = grpc.ssl_server_credentials([(key, certificate)], self._authority.pem, require_client_auth=True)
        self._server = aio.server(options=[("grpc.so_reuseport", 0)])
        handler: Any = grpc.stream_stream_rpc_method_handler(self._report)
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})])
        self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        await self._server.start()

    async def stop(self) -> None:
        if self._server:
            await self._server.stop(0)

    async def _report(self, requests: AsyncIterator[bytes], context: Any) -> None:
        script = self._scripts[min(self.streams, len(self._scripts) - 1)]
        self.streams += 1
        try:
            await script(Conversation(requests, context))
        except AssertionError as error:
            self.failed.append(error)
            raise


async def hold(conversation: Conversation) -> None:
    """A collector without surprises."""
    await conversation.hear()
    await conversation.say(Answer(welcome=report_pb2.Welcome(credit=32)))
    while True:
        await conversation.hear_until(lambda heard: heard.HasField("batch"))
        await conversation.acknowledge()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between live looks."""
    monkeypatch.setattr(live, "LIVE_AT_LEAST_EVERY_S", 0.0)
    monkeypatch.setattr(live, "LIVE_SHARE", 1.0)


def tell(
    loop: Loop,
    authority: Authority,
    enrolled: Enrolled,
    scripts: list[Script],
    until: Callable[[Scripted, Running], bool],
    pace: Pace = QUICK,
) -> list[str]:
    """Let an agent live through the scripts; its log."""

    async def story() -> list[str]:
        server = Scripted(authority, *scripts)
        await server.start()
        try:
            watch = ScriptedWatch(tcp(1), tcp(2))
            async with running(enrolled(f"127.0.0.1:{server.port}"), watch, pace) as agent:
                await eventually(lambda: bool(server.failed) or until(server, agent))
                return agent.log
        finally:
            await server.stop()
            assert not server.failed, server.failed

    return loop.run(story())


async def look_live(conversation: Conversation, message: Answer) -> None:
    """Ask until it is answered: the end of one look reaches us a moment before the agent is free for the next."""
    last = None
    while last is None or last.live.refused:
        await conversation.say(message)
        last = await conversation.hear_until(
            lambda heard: heard.live.request == message.look_now.request and heard.live.last
        )


def play(release: Path, heard: list[Conversation], changed: Callable[[Answer], None]) -> Script:
    """The recorded messages, in their order; each is followed by what it asks for."""

    async def script(conversation: Conversation) -> None:
        heard.append(conversation)
        await conversation.hear()
        for message in answered(release):
            changed(message)
            if message.HasField("ack"):
                if message.ack.sequence == 1:
                    await conversation.hear_until(lambda heard: heard.batch.snapshot.last)
                await conversation.acknowledge(message)
            elif message.HasField("look_now"):
                await look_live(conversation, message)
            else:
                await conversation.say(message)

    return script


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("changed", [lambda message: None, newer.with_unknown_fields], ids=["as it was", "with fields"])
def test_the_recorded_session_is_lived_through_and_the_farewell_is_heeded(
    loop: Loop, authority: Authority, enrolled: Enrolled, release: Path, changed: Callable[[Answer], None]
) -> None:
    heard: list[Conversation] = []
    scripts = [play(release, heard, changed), hold]
    log = tell(
        loop, authority, enrolled, scripts, lambda server, agent: sum("acknowledged" in line for line in agent.log) == 2
    )
    [conversation] = heard
    [reconnect] = [message.reconnect for message in answered(release) if message.HasField("reconnect")]
    asked = [message.look_now for message in answered(release) if message.HasField("look_now")]
    ends = [message.live.request for message in conversation.live if message.live.last and not message.live.refused]
    assert ends == [look_now.request for look_now in asked]
    shown = {message.live.request for message in conversation.live if message.live.sockets}
    assert shown == {look_now.request for look_now in asked if look_now.wanted.sockets}
    assert conversation.batches[0].snapshot.last
    assert any(f"asks to come back after {reconnect.after_ms / 1000:g} s: {reconnect.reason}" in line for line in log)
    assert not [line for line in log if "nonsense" in line or "refuses" in line]


def test_a_recorded_welcome_with_a_wish_for_everything_anew_brings_another_snapshot(
    loop: Loop, authority: Authority, enrolled: Enrolled, release: Path
) -> None:
    # A collector of 0.1.0 knows to say it, and has not had to in the recording.
    snapshots: list[int] = []

    async def script(conversation: Conversation) -> None:
        await conversation.hear()
        await conversation.say(next(message for message in answered(release) if message.HasField("welcome")))
        for _ in range(2):
            last = await conversation.hear_until(lambda heard: heard.batch.snapshot.last)
            snapshots.append(last.batch.sequence)
            await conversation.acknowledge()
            await conversation.say(Answer(resync=report_pb2.Resync(reason="as of then")))

    pace = Pace(look_every_s=0.005, snapshot_at_most_every_s=0.0)
    log = tell(loop, authority, enrolled, [script], lambda server, agent: len(snapshots) >= 2, pace)
    assert snapshots[1] > snapshots[0]
    assert "the collector asks to be told everything anew: as of then" in log


def test_messages_that_only_a_later_collector_has_are_passed_over(
    loop: Loop, authority: Authority, enrolled: Enrolled, release: Path
) -> None:
    acknowledged: list[int] = []

    async def script(conversation: Conversation) -> None:
        await conversation.hear()
        await conversation.say(Answer(welcome=report_pb2.Welcome(credit=32)))
        await conversation.hear_until(lambda heard: heard.batch.snapshot.last)
        for said in (newer.KIND, b"", newer.FIELDS):
            await conversation.say(said)
        await conversation.acknowledge()
        # An early look is still an early look, and what is wanted besides is for a later agent.
        wanted = Answer(look_now=report_pb2.LookNow(request=9))
        wanted.look_now.wanted.MergeFromString(newer.FIELDS)
        await conversation.say(wanted)
        answer = await conversation.hear_until(lambda heard: heard.live.request == 9)
        assert answer.live.last
        assert not answer.live.sockets
        acknowledged.append(conversation.batches[-1].sequence)
        await conversation.hear()

    log = tell(loop, authority, enrolled, [script], lambda server, agent: bool(acknowledged))
    assert any("snapshot of 2 sockets acknowledged" in line for line in log)
    assert not [line for line in log if "trying again" in line]


def test_what_stands_in_the_place_of_a_welcome_and_is_none_is_said_and_tried_again(
    loop: Loop, authority: Authority, enrolled: Enrolled, release: Path
) -> None:
    async def later(conversation: Conversation) -> None:
        await conversation.hear()
        await conversation.say(newer.KIND)
        await asyncio.Event().wait()

    log = tell(
        loop,
        authority,
        enrolled,
        [later, hold],
        lambda server, agent: any("acknowledged" in line for line in agent.log),
    )
    assert any("no welcome but something else; is it a collector of another version?" in line for line in log)
