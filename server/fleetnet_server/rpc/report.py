"""The report port: who may open a stream, its Hello, and the renewal of a host's certificate.

What must stay true: a session that was opened is closed, whatever becomes of its call. gRPC cancels a call whose peer
is gone, wherever it waits; so what opens and closes sessions runs in tasks of its own.
"""

import asyncio
import contextlib
import datetime
import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import grpc
import structlog
from fleetnet_proto.v1 import report_pb2, report_pb2_grpc

from fleetnet_server import failpoints, metrics, microseconds
from fleetnet_server.errors import KEPT_OUT, WAITS, BadBatch, HostUnknown, PeerRefused, ServerError
from fleetnet_server.identity.peer import Peer, identify
from fleetnet_server.logs import Sparing
from fleetnet_server.records import Hello, Session
from fleetnet_server.rpc import translate_report
from fleetnet_server.rpc.renewals import Renewals
from fleetnet_server.rpc.slowly import Slowly
from fleetnet_server.rpc.status import errors_as_status
from fleetnet_server.rpc.stream import Context, DisconnectedError, Shared, Stream, put_off, receive
from fleetnet_server.rpc.streams import Spool, Streams
from fleetnet_server.services.admission import Admission, Arrival
from fleetnet_server.services.enrollment import Enrollment

_log = structlog.get_logger()

# A stream is ended at this age, less up to a tenth, so that a fleet does not come back all at once.
STREAM_AGE_S = 24 * 3600.0
_HELLO_S = 10.0
_AnyContext = grpc.aio.ServicerContext[Any, Any]
_T = TypeVar("_T")


class ReportService(report_pb2_grpc.ReportServiceServicer):
    """Answers hosts, each of which speaks only for itself."""

    def __init__(
        self,
        shared: Shared,
        admission: Admission,
        enrollment: Enrollment,
        streams: Streams,
        renewals: Renewals,
        slowly: Slowly,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._shared = shared
        self._ingest = shared.ingest
        self._admission = admission
        self._enrollment = enrollment
        self._streams = streams
        self._renewals = renewals
        self._slowly = slowly
        self._health = shared.health
        self._clock = clock
        self._refusals = Sparing()
        self._going_on: set[asyncio.Task[Any]] = set()  # calls, and what they have left to be done

    async def settled(self, within_s: float) -> None:
        """No call comes any more: wait until the last has ended and its session is closed, or the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._going_on:
                    await asyncio.wait(self._going_on)

    async def Report(self, request_iterator: object, context: Context) -> None:  # type: ignore[override]  # noqa: N802  # gRPC's name; reads and writes through the context, which the generated signature does not know
        """The stream of one host."""
        if (call := asyncio.current_task()) is not None:
            self._keep(call)
        # What is on the stack is done when the call already has its status: a peer need not wait for our books.
        async with contextlib.AsyncExitStack() as afterwards, errors_as_status(context, self._health):
            peer = self._identify(context)
            arrival = await self._admission.enter(peer.host)
            try:
                if not isinstance(arrival, Arrival):
                    # Hello is read first, for an agent that is answered before it has spoken may miss the answer.
                    await self._hello(context)
                    await self._slowly.refused(peer.host)
                    await put_off(context, arrival)
                    return
                afterwards.callback(arrival.over)
                hello = await self._hello(context)
                await self._serve(context, peer, hello, arrival, afterwards)
            except DisconnectedError:
                return
            except ServerError:
                if isinstance(arrival, Arrival):
                    arrival.over()  # nobody else waits for this one
                await self._slowly.refused(peer.host)
                raise

    async def Renew(  # noqa: N802  # gRPC's name
        self, request: report_pb2.RenewRequest, context: _AnyContext
    ) -> report_pb2.RenewResponse:
        """A new certificate for the key that the host made."""
        async with errors_as_status(context, self._health):
            peer = self._identify(context)
            try:
                with self._refusals_logged(context):
                    renewed = await self._enrollment.renew(peer, request.csr)
            except ServerError:
                await self._slowly.refused(peer.host)
                raise
            _log.info("certificate renewed", host=peer.host, serial=renewed.certificate.serial)
            return report_pb2.RenewResponse(certificate_pem=renewed.certificate.pem, ca_pem=renewed.ca_pem)
        raise AssertionError("unreachable: an error has ended the call")

    def _identify(self, context: _AnyContext) -> Peer:
        with self._refusals_logged(context):
            peer = identify(context.auth_context(), self._clock())
            self._enrollment.check(peer)
            return peer
        raise AssertionError("unreachable: the block returns or raises")

    @contextlib.contextmanager
    def _refusals_logged(self, context: _AnyContext) -> Iterator[None]:
        try:
            yield
        except PeerRefused as error:
            metrics.PEERS_REFUSED.labels("report").inc()
            self._refusals.warning("peer refused", kind=str(error), peer=context.peer(), reason=str(error))
            raise

    async def _hello(self, context: Context) -> Hello:
        try:
            async with asyncio.timeout(_HELLO_S):
                message = await receive(context)
        except TimeoutError as error:
            raise BadBatch("no Hello came in time") from error
        if message is None:
            raise DisconnectedError("the agent said nothing")
        if message.WhichOneof("message") != "hello":
            raise BadBatch("a stream begins with Hello")
        return translate_report.hello(message.hello)

    async def _serve(
        self,
        context: Context,
        peer: Peer,
        hello: Hello,
        arrival: Arrival,
        afterwards: contextlib.AsyncExitStack,
    ) -> None:
        host = peer.host
        with self._refusals_logged(context):
            session = await self._let_in(peer, hello)
        failpoints.reached("after-hello", session.host_id)
        waits = Spool(hello.spool_bytes, hello.spool_age_us)
        stream = Stream(context, host, session, self._shared, waits, told_all=arrival.over)
        afterwards.push_async_callback(self._close, stream, host, session)
        # Meanwhile a CA may not be trusted any more; from here on whoever is connected is looked at when that happens.
        self._enrollment.check(peer)
        self._streams.enter(host, session.generation, stream.end, stream.live, waits, session.serial)
        entered = self._renewals.enter(peer, stream.want_renewal, stream.end)
        metrics.STREAMS_OPENED.inc()
        log = _log.bind(host=host, generation=session.generation)
        log.info("stream opened", peer=context.peer(), agent_version=hello.agent_version)
        reason, how = "the connection broke", "error"
        try:
            reason = await stream.run(self._age_s(peer))
        except (DisconnectedError, ServerError) as error:
            reason = str(error)
            raise
        else:
            how = "peace"
        finally:
            self._renewals.leave(entered, host)
            log.info("stream closed", reason=reason)
            metrics.STREAMS_CLOSED.labels(how).inc()

    async def _let_in(self, peer: Peer, hello: Hello) -> Session:
        try:
            return await self._open(peer, hello)
        except HostUnknown as error:
            raise PeerRefused(WAITS if await self._enrollment.waits(peer) else KEPT_OUT) from error

    async def _open(self, peer: Peer, hello: Hello) -> Session:
        opening = self._begin(self._ingest.open(peer.host, hello, microseconds.now(), peer.serial))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # It cannot be called back any more, and this call is not there to close it.
            self._begin(self._close_once_open(opening))
            raise

    async def _close_once_open(self, opening: asyncio.Task[Session]) -> None:
        with contextlib.suppress(ServerError):  # then there is none
            await self._ingest.close(await opening, microseconds.now())

    async def _close(self, stream: Stream, host: str, session: Session) -> None:
        await asyncio.shield(self._begin(self._close_settled(stream, host, session)))

    async def _close_settled(self, stream: Stream, host: str, session: Session) -> None:
        await stream.settled()
        try:
            await self._ingest.close(session, microseconds.now())
        finally:
            self._streams.leave(host, session.generation)

    def _begin(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Do it whatever becomes of the call."""
        task = asyncio.create_task(work)
        self._keep(task)
        return task

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)

    def _age_s(self, peer: Peer) -> float:
        """How long this stream may live: gRPC never looks at the certificate again."""
        left_s = peer.not_after_us / 1e6 - self._clock().timestamp()
        return min(left_s, STREAM_AGE_S * random.uniform(0.9, 1.0))  # noqa: S311  # only jitter
