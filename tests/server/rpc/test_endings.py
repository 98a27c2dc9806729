"""What is noted at the end of a stream is noted, whatever becomes of the call: gRPC cancels it when its peer is gone.

A context that does what the story says stands in for gRPC's, which cancels when it likes.
"""

import asyncio
import datetime
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import report_pb2
from fleetnet_server.identity import ca, certificates
from fleetnet_server.limits import Limits
from fleetnet_server.rpc.held import Held
from fleetnet_server.rpc.renewals import Renewals
from fleetnet_server.rpc.report import ReportService
from fleetnet_server.rpc.slowly import Slowly
from fleetnet_server.rpc.stream import Context, Shared
from fleetnet_server.rpc.streams import Streams
from fleetnet_server.services.admission import Admission
from fleetnet_server.services.enrollment import Enrollment
from fleetnet_server.services.health import Health
from fleetnet_server.services.load import Load
from fleetnet_server.services.quotas import Quotas
from fleetnet_server.storage.schema import sessions
from server.reports import Collector, collector
from server.trusting import only_one
from sqlalchemy import select

from server import messages

DEADLINE_S = 60.0  # matters only where something hangs


class Call:
    """A call of a host, as its handler sees it."""

    def __init__(self, certificate: bytes) -> None:
        self.said: asyncio.Queue[report_pb2.AgentMessage | None] = asyncio.Queue()
        self.answers: asyncio.Queue[report_pb2.CollectorMessage] = asyncio.Queue()
        self._certificate = certificate

    def auth_context(self) -> dict[str, list[bytes]]:
        return {
            "transport_security_type": [b"ssl"],
            "ssl_tls_version": [b"TLSv1.3"],
            "x509_pem_cert": [self._certificate],
            "peer_spiffe_id": [b"spiffe://fleetnet/host/web1"],
        }

    def peer(self) -> str:
        return "ipv4:192.0.2.1:1"

    async def read(self) -> report_pb2.AgentMessage | None:
        return await self.said.get()

    async def write(self, message: report_pb2.CollectorMessage) -> None:
        await self.answers.put(message)


class Door:
    """The report service before a collector's database."""

    def __init__(self, c: Collector, directory: Path) -> None:
        self.collector = c
        authority = ca.open_authority(directory, _now())
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        self.issued = certificates.issue_host(authority, key, "web1", _now())
        self.streams, load = Streams(), Load()
        quotas = Quotas(Limits(), load)
        shared = Shared(c.ingest, Health(), Held(1 << 20, load), quotas, load)
        admission = Admission(1_000, quotas, load)
        trust = only_one(c.db, directory, _now())
        enrollment = Enrollment(c.db, trust, _now)
        self.reports = ReportService(shared, admission, enrollment, self.streams, Renewals(trust), Slowly(), _now)

    def call(self) -> tuple[Call, asyncio.Task[None]]:
        """A host has called and said Hello."""
        call = Call(self.issued.pem)
        call.said.put_nowait(report_pb2.AgentMessage(hello=messages.hello()))
        return call, asyncio.create_task(self.reports.Report(object(), cast(Context, call)))

    async def queued(self, task: asyncio.Task[None]) -> None:
        """Wait until the call has given the writer something that it waits for."""
        await until(lambda: not self.collector.db._writer._queue.empty(), task)

    async def ended(self) -> list[bool]:
        """Of each session whether its end is noted."""
        query = select(sessions.c.ended_at_us).order_by(sessions.c.generation)
        return [at_us is not None for at_us in await self.collector.db.read(lambda conn: conn.execute(query).scalars())]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


async def until(it_is_so: Callable[[], bool], task: asyncio.Task[None]) -> None:
    """Let the call go on until then."""
    while not it_is_so():
        assert not task.done()
        await asyncio.sleep(0)


@asynccontextmanager
async def busy(c: Collector) -> AsyncIterator[None]:
    """The writer does something else, as long as the block lasts."""
    begun, over = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        begun.set()
        over.wait(DEADLINE_S)

    holding = asyncio.create_task(c.db.write(hold))
    try:
        assert await asyncio.to_thread(begun.wait, DEADLINE_S)
        yield
    finally:
        over.set()
        await holding


def tell(directory: Path, story: Callable[[Door], Awaitable[None]]) -> None:
    async def run() -> None:
        async with collector(directory) as c:
            door = Door(c, directory)
            await c.enroll(serial=door.issued.serial)
            await asyncio.wait_for(story(door), DEADLINE_S)

    asyncio.run(run())


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_end_is_noted_of_a_stream_whose_call_is_cancelled_while_it_ends(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        call, task = door.call()
        assert (await call.answers.get()).HasField("welcome")
        async with busy(door.collector):
            call.said.put_nowait(None)
            await door.queued(task)
            await cancelled(task)
        await door.reports.settled(DEADLINE_S)
        assert await door.ended() == [True]
        assert door.streams.count() == 0

    tell(tmp_path, story)


def test_so_it_is_if_the_last_batch_is_not_stored_yet(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        call, task = door.call()
        assert (await call.answers.get()).HasField("welcome")
        async with busy(door.collector):
            call.said.put_nowait(report_pb2.AgentMessage(batch=messages.batch(1, messages.listener(443))))
            await door.queued(task)
            task.cancel()
            await until(lambda: len(door.reports._going_on) == 2, task)  # the call, and what it has begun to note
            await cancelled(task)
        await door.reports.settled(DEADLINE_S)
        assert await door.ended() == [True]
        assert door.streams.count() == 0
        assert len(await door.collector.intervals()) == 1

    tell(tmp_path, story)


def test_a_session_that_is_opened_when_its_call_is_gone_is_closed_as_well(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with busy(door.collector):  # first, or the writer may take both at once
            _, task = door.call()
            await door.queued(task)
            await cancelled(task)
        await door.reports.settled(DEADLINE_S)
        assert await door.ended() == [True]

    tell(tmp_path, story)


def test_at_the_end_of_the_collector_calls_are_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        call, task = door.call()
        assert (await call.answers.get()).HasField("welcome")
        await door.reports.settled(0.01)
        assert not task.done()
        call.said.put_nowait(None)
        await door.reports.settled(DEADLINE_S)
        assert task.done()
        assert await door.ended() == [True]

    tell(tmp_path, story)
