"""One report stream from its Welcome to its end.

Three tasks share it: one reads ahead and hands batches to Ingest in their order (of a bounded number and of bounded
size), one waits for their commits in the same order, one acknowledges whatever is committed when it gets to write. So
nothing is acknowledged that is not stored, and a peer that does not read delays only itself. Live looks pass through
beside that (asked.py): the first hands their parts over and waits for nobody, the third writes the questions.

In peace a stream ends in this order:
1. Nothing more is read.
2. What was handed over is waited for and acknowledged.
3. Reconnect is sent, if that is how it ends.
An error ends it at once and becomes the status of the call. In both cases `settled` comes last: a commit that has been
handed over cannot be called back, so the session stays open until it is known how the last one ended.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import structlog
from fleetnet_proto.v1 import report_pb2
from google.protobuf.message import DecodeError

from fleetnet_server import microseconds
from fleetnet_server.errors import BadBatch, ServerError, StorageUnavailable, let_go
from fleetnet_server.records import Batch, Session, Stored
from fleetnet_server.rpc import bounds, held, translate_report
from fleetnet_server.rpc.asked import Asking
from fleetnet_server.rpc.streams import Ending, Spool
from fleetnet_server.services import pieces
from fleetnet_server.services.health import Health
from fleetnet_server.services.ingest import Ingest, why_refused
from fleetnet_server.services.load import Load
from fleetnet_server.services.quotas import Quotas

Context: TypeAlias = "grpc.aio.ServicerContext[report_pb2.AgentMessage, report_pb2.CollectorMessage]"

# How many batches an agent may have on their way: two of the present, and the two of what it kept that it sends at
# most. What follows while these are not stored it tells in the next one. So where hosts tell more than can be stored at
# once, each waits behind few of all the others, and batches become larger, of which a row costs less. A batch may hold
# 1 MiB, so that this is no bound for a single host.
CREDIT = 4
# How many are taken from one that has more on their way all the same; one that has not is read on without a pause.
_AHEAD = CREDIT + 1
# And how much memory of them is taken before the first is stored; one batch is always taken.
_AHEAD_BYTES = 32 * 1024 * 1024
# Translating more parts than this takes long enough to keep other hosts waiting: it goes to a thread.
_INLINE_PARTS = 500
# A peer that does not read for this long is gone.
_WRITE_S = 20.0
_DRAIN_S = 30.0
# A snapshot costs host and collector as much as a connection does.
_RESYNC_EVERY_S = 60.0

_log = structlog.get_logger()


class DisconnectedError(Exception):
    """The peer is gone, or does not read; known inside this room only."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all streams share."""

    ingest: Ingest
    health: Health
    held: held.Held
    quotas: Quotas
    load: Load


@dataclass(frozen=True, slots=True)
class _Handled:
    """What a message came to."""

    rows: int
    reports: int
    large: asyncio.Task[Stored] | None = None  # its commit, if it has many parts


class Stream:
    """The stream of one host, from the moment its session is open."""

    def __init__(
        self,
        context: Context,
        host: str,
        session: Session,
        shared: Shared,
        waits: Spool | None = None,
        *,
        told_all: Callable[[], None] = lambda: None,
    ) -> None:
        """`told_all` is called whenever a whole snapshot is stored, or cannot be."""
        self._context = context
        self._host = host
        self._session = session
        self._shared = shared
        self._waits = waits or Spool()
        self._told_all = told_all
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        # Handed over and not yet known to be stored, oldest first, each with its weight; None after the last.
        self._commits: asyncio.Queue[tuple[asyncio.Task[Stored], int] | None] = asyncio.Queue()
        self._outstanding: set[asyncio.Task[Stored]] = set()
        self._ahead = 0
        self._ahead_bytes = 0
        self._room = asyncio.Event()
        self._committed = session.committed_sequence
        self._unacknowledged = False
        self._all_committed = False
        self._resync = ""  # why a snapshot is to be asked for; empty while none is
        self._last_resync_s = -_RESYNC_EVERY_S
        self._renewal_wanted = False
        self._news = asyncio.Event()
        self.live = Asking(session.boot_id, self._news.set)

    def end(self, ending: Ending) -> None:
        """Have the stream end so; the first ending counts."""
        if not self._ending.done():
            self._ending.set_result(ending)

    def want_snapshot(self, reason: str) -> None:
        """Have the host tell everything anew, soon: at most once a minute, for all that wanted it meanwhile."""
        if not self._resync:
            self._resync = reason
            wait_s = self._last_resync_s + _RESYNC_EVERY_S - time.monotonic()
            asyncio.get_running_loop().call_later(max(0.0, wait_s), self._news.set)

    def want_renewal(self) -> None:
        """Have the host ask for a new certificate."""
        self._renewal_wanted = True
        self._news.set()

    async def run(self, age_s: float) -> str:
        """Serve the stream until it ends, and say why it did. Raises ServerError."""
        await self._welcome()
        reader = asyncio.create_task(self._read())
        committer = asyncio.create_task(self._await_commits())
        writer = asyncio.create_task(self._acknowledge())
        try:
            ending = await self._first_ending(reader, committer, writer, age_s)
            await self._drain(reader, committer, writer)
        except StorageUnavailable as error:
            self._shared.health.failed(error)
            ending = Ending(str(error), reconnect_after_ms=random.randint(2_000, 10_000))  # noqa: S311  # only jitter
        finally:
            tasks = (reader, committer, writer)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.live.end()
        if ending.reconnect_after_ms is not None:
            reconnect = report_pb2.Reconnect(after_ms=ending.reconnect_after_ms, reason=ending.reason)
            await self._write(report_pb2.CollectorMessage(reconnect=reconnect))
        return ending.reason

    async def settled(self) -> None:
        """Wait until it is known of every batch handed over whether it was stored."""
        await asyncio.gather(*self._outstanding, return_exceptions=True)

    async def _first_ending(
        self, reader: asyncio.Task[None], committer: asyncio.Task[None], writer: asyncio.Task[None], age_s: float
    ) -> Ending:
        watched = (self._ending, committer, writer, reader)
        await asyncio.wait(watched, timeout=age_s, return_when=asyncio.FIRST_COMPLETED)
        # In this order: a refused commit says more than the reader that stumbled because of it.
        for task in (committer, writer, reader):
            if task.done():
                task.result()
        if self._ending.done():
            ending = self._ending.result()
            if ending.error is not None:
                raise ending.error
            return ending
        if reader.done():
            return Ending("the agent ended it")
        return Ending("the stream has reached its age", reconnect_after_ms=0)

    async def _drain(
        self, reader: asyncio.Task[None], committer: asyncio.Task[None], writer: asyncio.Task[None]
    ) -> None:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        self._commits.put_nowait(None)
        try:
            async with asyncio.timeout(_DRAIN_S):
                await committer
                await writer
        except TimeoutError as error:
            raise StorageUnavailable("the database takes too long; the agent is to come back later") from error

    async def _read(self) -> None:
        await self._pay()
        while True:
            while self._ahead >= _AHEAD or self._ahead_bytes >= _AHEAD_BYTES:
                self._room.clear()
                await self._room.wait()
            await self._shared.held.readable()
            message = await receive(self._context)
            if message is None:
                return
            size_bytes = message.ByteSize()
            try:
                handled = await self._handle(message, size_bytes)
            except ServerError as error:
                let_go(error)
                raise
            finally:
                # Before anything is waited for, or fails: else it stays until garbage is looked for.
                del message
            if handled is None:
                return
            self._shared.quotas.report(self._host, handled.rows, size_bytes, handled.reports)
            if handled.large is not None:
                self._rest_after(handled.large)
                await asyncio.wait((handled.large,))
            await self._pay()

    async def _pay(self) -> None:
        """What the host owes it owes on its next stream, too: so it is waited for before anything is read."""
        if (wait_s := self._shared.quotas.owes_s(self._host)) > 0:
            await asyncio.sleep(wait_s)

    def _rest_after(self, commit: asyncio.Task[Stored]) -> None:
        """Once it is stored, or is not, the host rests for some times as long, also where its stream has ended."""
        began_s = time.monotonic()

        def rest(_: asyncio.Task[Stored]) -> None:
            stored = Stored(0) if _known_error(commit) is not None else commit.result()
            took_s = time.monotonic() - began_s if stored.took_s is None else stored.took_s
            self._shared.quotas.rest(self._host, pieces.rest_s(took_s), stored.rested_s)

        commit.add_done_callback(rest)

    async def _handle(self, message: report_pb2.AgentMessage, size_bytes: int) -> _Handled | None:
        """Do what a message is for. None if the stream is to end because there is no room for it."""
        kind = message.WhichOneof("message")
        if kind == "hello":
            raise BadBatch("a second Hello came on one stream")
        if kind == "live":
            self.live.hand_over(message.live, size_bytes)
        if kind != "batch":
            # Any other is a later version's kind of message; what it tells is not for this version.
            return _Handled(0, 0)
        batch = message.batch
        if batch.HasField("backlog"):
            self._waits.size_bytes = min(batch.backlog.left_bytes, bounds.MAX_INTEGER)
        commit = await self._take_in(batch, size_bytes)
        if commit is None:
            return None
        rows = translate_report.rows(batch) + translate_report.owners_beyond(batch)
        return _Handled(rows, 1, commit if translate_report.parts(batch) > _INLINE_PARTS else None)

    async def _take_in(self, message: report_pb2.Batch, size_bytes: int) -> asyncio.Task[Stored] | None:
        """Hand a batch over as soon as there is room for it; None if the stream is to end because there is none."""
        received_at_us = microseconds.now()
        try:
            weight = await self._shared.held.take(held.weigh(message, size_bytes))
        except held.FullError:
            after_ms = random.randint(2_000, 30_000)  # noqa: S311  # only jitter
            self.end(Ending("the collector has more to store than it can hold", reconnect_after_ms=after_ms))
            return None
        try:
            storing = await self._storing(message, received_at_us)
        except BaseException:
            self._shared.held.give_back(weight)
            raise
        commit = self._hand_over(storing, weight)
        if message.snapshot.last:
            commit.add_done_callback(lambda _: self._told_all())
        return commit

    async def _storing(self, message: report_pb2.Batch, received_at_us: int) -> Coroutine[Any, Any, Stored]:
        """How a batch is to be stored, or kept where it cannot be read. Raises BadBatch if it does not name itself."""
        try:
            batch = await _translated(message)
        except MemoryError:
            raise
        except Exception as error:  # whatever it is, it is about this batch alone
            refused = translate_report.refused(message, why_refused(error))
            return self._shared.ingest.set_aside(self._session, refused, received_at_us)
        # Not the message: it takes six times as much.
        return self._shared.ingest.commit(self._session, batch, received_at_us, message.SerializeToString())

    def _hand_over(self, storing: Coroutine[Any, Any, Stored], weight: int) -> asyncio.Task[Stored]:
        # Tasks start in the order they were made, and Ingest keeps the order of its calls.
        commit = asyncio.create_task(storing)
        self._outstanding.add(commit)
        commit.add_done_callback(lambda _: self._known(commit, weight))
        self._commits.put_nowait((commit, weight))
        self._ahead += 1
        self._ahead_bytes += weight
        return commit

    def _known(self, commit: asyncio.Task[Stored], weight: int) -> None:
        """Also when the stream has ended long before: until then the writer's queue holds the batch."""
        self._outstanding.discard(commit)
        if not commit.cancelled() and isinstance(error := _known_error(commit), ServerError):
            let_go(error)
        self._shared.held.give_back(weight)

    async def _await_commits(self) -> None:
        while (handed_over := await self._commits.get()) is not None:
            commit, weight = handed_over
            # Shielded: ending the stream must not cancel a commit that is on its way.
            self._note(commit.result() if commit.done() else await asyncio.shield(commit))
            self._shared.health.works()
            self._ahead -= 1
            self._ahead_bytes -= weight
            self._room.set()
            self._unacknowledged = True
            self._news.set()
        self._all_committed = True
        self._news.set()

    def _note(self, stored: Stored) -> None:
        self._committed = stored.sequence
        if stored.refused:
            # As often as a host may have a report set aside, which is bounded.
            self._shared.load.set_aside += 1
            _log.warning("report set aside", host=self._host, sequence=stored.sequence, reason=stored.refused)
        if stored.snapshot_wanted:
            self.want_snapshot(stored.snapshot_wanted)

    async def _acknowledge(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if self._resync and time.monotonic() >= self._last_resync_s + _RESYNC_EVERY_S:
                resync = report_pb2.Resync(reason=self._resync)
                self._resync, self._last_resync_s = "", time.monotonic()
                self._shared.load.snapshots_asked += 1
                await self._write(report_pb2.CollectorMessage(resync=resync))
            if self._renewal_wanted:
                self._renewal_wanted = False
                await self._write(report_pb2.CollectorMessage(renew_soon=report_pb2.RenewSoon()))
            while (question := self.live.next_question()) is not None:
                await self._write(report_pb2.CollectorMessage(look_now=question))
            if self._unacknowledged:
                self._unacknowledged = False
                ack = report_pb2.Ack(sequence=self._committed)
                await self._write(report_pb2.CollectorMessage(ack=ack))
            elif self._all_committed:
                return
            if self._all_committed:
                self._news.set()

    async def _welcome(self) -> None:
        welcome = report_pb2.Welcome(
            committed_sequence=self._session.committed_sequence,
            credit=CREDIT,
            wall_clock_us=microseconds.now(),
        )
        await self._write(report_pb2.CollectorMessage(welcome=welcome))

    async def _write(self, message: report_pb2.CollectorMessage) -> None:
        await write(self._context, message)


async def write(context: Context, message: report_pb2.CollectorMessage) -> None:
    """Send a message. Raises DisconnectedError, also for a peer that does not read."""
    try:
        async with asyncio.timeout(_WRITE_S):
            await context.write(message)
    except TimeoutError as error:
        raise DisconnectedError("the agent does not read") from error
    except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
        raise DisconnectedError("the connection broke") from error


async def put_off(context: Context, after_s: float) -> None:
    """Send a host away that has just said Hello. Raises DisconnectedError."""
    reason = "many hosts are connecting; this one is to come back later"
    reconnect = report_pb2.Reconnect(after_ms=int(after_s * 1_000), reason=reason)
    await write(context, report_pb2.CollectorMessage(reconnect=reconnect))


async def receive(context: Context) -> report_pb2.AgentMessage | None:
    """The next message; None at the end. Raises BadBatch if it is not one, DisconnectedError."""
    try:
        message = await context.read()
    except DecodeError as error:
        raise BadBatch("a message is not one of this protocol") from error
    except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
        raise DisconnectedError("the connection broke") from error
    return message if isinstance(message, report_pb2.AgentMessage) else None


def _known_error(commit: asyncio.Task[Stored]) -> BaseException | None:
    """What it failed with. A stream that ends at the first failure asks for no other, and asyncio logs each that nobody
    asked for."""
    try:
        commit.result()
    except Exception as error:
        return error
    return None


async def _translated(message: report_pb2.Batch) -> Batch:
    if translate_report.parts(message) <= _INLINE_PARTS:
        return translate_report.batch(message)
    return await asyncio.to_thread(translate_report.batch, message)
