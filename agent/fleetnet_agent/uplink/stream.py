"""One report stream, from Hello to its end.

What must stay true: a finished write means only that gRPC took the message, so nothing but an Ack frees a batch; every
way a stream can end comes back as an Ending, and status codes go no further than this module.
"""

import asyncio
import contextlib
import enum
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

import grpc
from fleetnet_proto.v1 import report_pb2, report_pb2_grpc
from grpc import aio

from fleetnet_agent import failpoints
from fleetnet_agent.uplink.live import LiveLooks
from fleetnet_agent.uplink.looks import Looks
from fleetnet_agent.uplink.verdict import Call, Verdict
from fleetnet_agent.wire.live import live_wanted

WELCOME_TIMEOUT_S: Final = 20.0
ACK_TIMEOUT_S: Final = 120.0  # a collector that stores nothing for this long is left for another
DRAIN_TIMEOUT_S: Final = 0.8  # at the end of the agent
GOODBYE_TIMEOUT_S: Final = 0.2
LAST_WORDS_TIMEOUT_S: Final = 0.3

# What gRPC puts before what really happened: "failed to connect to all addresses; last error: UNKNOWN: ipv4:…: ".
WRAPPING: Final = re.compile(r"^.*last error: |\b[A-Z_]+: (?=ipv)|ipv[46]:\S+: (Failed to connect to remote host: )?")

# What it says of a handshake that failed, and what that means to an operator; the first that fits counts.
HANDSHAKES: Final = (
    (
        "certificate has expired",
        "the collector's certificate is not valid now; check this host's clock, then the collector's",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "it is not the collector that this host trusts (its certificate comes from another CA), so it is told nothing; "
        "check the address, or enroll this host there with --force and a new token",
    ),
    ("handshake failed", "it does not speak TLS as a collector does; check the address"),
)


class End(enum.Enum):
    """Why a stream ended, as far as what to do next is concerned."""

    AWAY = enum.auto()  # not reached, or lost
    REFUSED = enum.auto()  # reached, and it does not want this host
    SENT_AWAY = enum.auto()  # it said when to come back
    NOT_TAKEN = enum.auto()  # it will never take what it was sent
    TAKEN_OVER = enum.auto()  # another agent reports as this host
    OTHER_PAST = enum.auto()  # it does not have what it acknowledged
    LEFT = enum.auto()  # this side wanted it


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a stream; `words` continue "connection to HOST:PORT: "."""

    why: End
    words: str = ""
    floor_s: float = 0.0  # wait at least this long


class Stream:
    """A report stream over one channel."""

    def __init__(
        self,
        channel: aio.Channel,
        looks: Looks,
        live: LiveLooks,
        leave: asyncio.Event,
        *,
        boot_id: bytes,
        epoch: int,
        ack_timeout_s: float,
        welcomed: Callable[[], None],
        renewal_wanted: asyncio.Event,
    ) -> None:
        self._welcomed = welcomed
        self._renewal_wanted = renewal_wanted
        self._channel = channel
        self._looks = looks
        self._live = live
        self._leave = leave
        self._boot_id = boot_id
        self._epoch = epoch
        self._ack_timeout_s = ack_timeout_s
        self._last_ack_s = time.monotonic()
        self._acks = asyncio.Event()
        self._writing = asyncio.Lock()

    async def run(self, hello: report_pb2.Hello) -> Ending:
        """Report until it ends."""
        stub: report_pb2_grpc.ReportServiceAsyncStub = report_pb2_grpc.ReportServiceStub(self._channel)
        call = stub.Report()
        verdict = Verdict(call)
        try:
            return await self._open(call, hello) or await self._report(call) or _ending(*await verdict.status())
        except (aio.AioRpcError, asyncio.InvalidStateError):  # the latter from a write on a call that has just ended
            return _ending(*await verdict.status())
        finally:
            call.cancel()

    async def _open(self, call: Call, hello: report_pb2.Hello) -> Ending | None:
        """Greet; None if this side is welcome."""
        answered = asyncio.create_task(_greet(call, hello))
        left = asyncio.create_task(self._leave.wait())
        try:
            await asyncio.wait((answered, left), timeout=WELCOME_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                return self._welcome(answered.result())
            return Ending(End.LEFT) if left.done() else Ending(End.AWAY, f"no welcome within {WELCOME_TIMEOUT_S:g} s")
        finally:
            answered.cancel()
            left.cancel()
            await asyncio.gather(answered, left, return_exceptions=True)

    def _welcome(self, message: object) -> Ending | None:
        if not isinstance(message, report_pb2.CollectorMessage):
            return Ending(End.AWAY, "closed before a welcome")
        if message.HasField("reconnect"):
            return _sent_away(message.reconnect)
        if not message.HasField("welcome"):
            return Ending(End.AWAY, "no welcome but something else; is it a collector of another version?")
        try:
            self._looks.begin_stream(message.welcome.committed_sequence, message.welcome.credit)
        except ValueError as error:
            return Ending(End.OTHER_PAST, str(error))
        failpoints.reached("welcomed", self._epoch, message.welcome.committed_sequence)
        self._welcomed()
        return None

    async def _report(self, call: Call) -> Ending | None:
        """Read and write until it ends; None if only the call's status tells how."""
        self._last_ack_s = time.monotonic()
        works = (self._read(call), self._write(call), self._answer(call), self._notice(call))
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if (
                tasks[1].done() or tasks[2].done()
            ):  # a write failed: what the collector said before that is still to be read
                await asyncio.wait(tasks[:1], timeout=LAST_WORDS_TIMEOUT_S)
            ending = next(task for task in tasks if task.done()).result()
            return Ending(End.LEFT) if self._leave.is_set() else ending
        finally:
            self._looks.end_stream()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            tasks.clear()  # else they and what one of them raised would keep one another, and the whole call

    async def _read(self, call: Call) -> Ending | None:
        while True:
            message = await call.read()
            if not isinstance(message, report_pb2.CollectorMessage):
                return None
            if message.HasField("reconnect"):
                return _sent_away(message.reconnect)
            if message.HasField("ack"):
                try:
                    self._looks.acknowledge(message.ack.sequence)
                except ValueError as error:
                    return Ending(End.AWAY, f"nonsense from the collector: {error}")
                failpoints.reached("acknowledged", self._epoch, message.ack.sequence)
                self._last_ack_s = time.monotonic()
                self._acks.set()
            elif message.HasField("look_now"):
                self._look_now(message.look_now)
            elif message.HasField("resync"):
                self._looks.resync(message.resync.reason)
            elif message.HasField("renew_soon"):
                self._renewal_wanted.set()

    def _look_now(self, message: report_pb2.LookNow) -> None:
        if message.request:
            self._live.ask(message.request, live_wanted(message.wanted))
        else:
            self._looks.look_now()

    async def _write(self, call: Call) -> NoReturn:
        while True:
            self._looks.to_send.clear()
            while (entry := self._looks.window.next_unsent()) is not None:
                message = report_pb2.AgentMessage()
                message.batch.MergeFromString(entry.body)
                message.batch.boot_id = self._boot_id
                message.batch.epoch = self._epoch
                message.batch.sequence = entry.sequence
                if self._looks.window.in_flight == 1:
                    self._last_ack_s = time.monotonic()
                failpoints.reached("before-write", entry.sequence)
                async with self._writing:
                    await call.write(message)
                failpoints.reached("after-write-before-ack", entry.sequence)
            await self._looks.to_send.wait()

    async def _answer(self, call: Call) -> NoReturn:
        async def write(part: bytes) -> None:
            message = report_pb2.AgentMessage()
            message.live.MergeFromString(part)
            async with self._writing:
                await call.write(message)

        await self._live.answer(write)

    async def _notice(self, call: Call) -> Ending:
        """End the stream when the agent wants to leave, or when the collector has stopped storing."""
        while not self._leave.is_set():
            try:
                async with asyncio.timeout(self._ack_timeout_s / 4):
                    await self._leave.wait()
            except TimeoutError:
                silent_s = time.monotonic() - self._last_ack_s
                if self._looks.window.in_flight and silent_s > self._ack_timeout_s:
                    return Ending(End.AWAY, f"nothing was acknowledged for {silent_s:.0f} s")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while len(self._looks.window):
                    self._acks.clear()
                    await self._acks.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_TIMEOUT_S), self._writing:
                await call.done_writing()
                await asyncio.Event().wait()  # until the collector's end of stream reaches _read
        return Ending(End.LEFT)


async def _greet(call: Call, hello: report_pb2.Hello) -> object:
    await call.write(report_pb2.AgentMessage(hello=hello))
    return await call.read()


def _sent_away(message: report_pb2.Reconnect) -> Ending:
    return Ending(End.SENT_AWAY, message.reason, message.after_ms / 1000)


def _ending(code: grpc.StatusCode, details: str | None) -> Ending:
    """The one border where status codes of a report stream become endings."""
    words = _plain(WRAPPING.sub("", details or "").strip())
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return Ending(End.REFUSED, words)
    if code is grpc.StatusCode.ABORTED:
        return Ending(End.TAKEN_OVER, words)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return Ending(End.NOT_TAKEN, words)
    if code is grpc.StatusCode.OK:
        return Ending(End.AWAY, "the collector closed the stream")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Ending(End.REFUSED, "it takes no reports; is it the report port?")
    return Ending(End.AWAY, words or code.name.lower())


def _plain(words: str) -> str:
    """What failed, in words for an operator where TLS has only those of its source code."""
    return next((plain for said, plain in HANDSHAKES if said in words), words)
