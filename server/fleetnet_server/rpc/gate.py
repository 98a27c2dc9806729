"""Who gets through to questions and administration on the report port: people, each as far as the role goes.

1. Each call is looked at before its service is, and before a byte of the question: certificate, how much the person
   asks already, then person and role, for which the database is asked. A service that is not on the list below is
   answered to nobody, and none behind the gate takes a stream.
2. What goes on for longer is looked at again every CHECK_S, all open calls at once; a call that is not permitted any
   more is ended, also in the midst of waiting.
3. Who is turned away from administration is in its log, like those who are refused behind the gate.
4. What is written to somebody who does not read is given up after WRITE_S, and an answer after ANSWER_S: it keeps a
   moment of the database. People over the network never have all places at which the database is read.

What must stay true: the services behind know nothing of all this, for on the admin socket there is none of it; the
report service judges hosts by itself. Where standing cannot be read, calls end: nobody goes on unjudged.
"""

import asyncio
import contextlib
import datetime
import inspect
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError

from fleetnet_server import metrics
from fleetnet_server.errors import (
    AnswerGivenUp,
    NotPermitted,
    PeerRefused,
    RequestRefused,
    ServerError,
    StorageError,
    TooMuchAtOnce,
)
from fleetnet_server.identity.peer import Person, identify_person
from fleetnet_server.logs import Sparing, failure
from fleetnet_server.rpc.slowly import Slowly
from fleetnet_server.rpc.status import errors_as_status
from fleetnet_server.rpc.told import as_it_is
from fleetnet_server.services.health import Health
from fleetnet_server.services.log import Wish
from fleetnet_server.services.people import OPERATOR, VIEWER, People
from fleetnet_server.services.standing import Standing
from fleetnet_server.services.turned_away import TurnedAway

LOCAL: Final = "local"  # who asks over the admin socket
_NOBODY: Final = "nobody"  # shows a certificate that names nobody
_CAPITAL: Final = re.compile("[A-Z]")
CHECK_S: Final = 0.5
WRITE_S: Final = 20.0
ANSWER_S: Final = 300.0  # a million sockets take half a minute
MOST_CALLS_OF_ONE: Final = 8
MOST_CALLS: Final = 64
# Beside these: who watches waits for hours, and costs little meanwhile (docs/footprint.md).
MOST_WATCHES: Final = 256
# Of these, such as read the database for as long as they last, for which it has 16 places (storage/dialect.py): what is
# watched, and a live look, does not.
MOST_ANSWERS_OF_ONE: Final = 4
MOST_ANSWERS: Final = 12
# A question with as many ports, nets and patterns as are let in (translate_query.py) takes less than 200 KB. What is
# larger is refused anyway, and reading it would keep all hosts waiting.
MOST_QUESTION_BYTES: Final = 256 * 1024

_ADMINISTRATION: Final = "fleetnet.v1.AdminService"
# What takes which role. Services that look at their peers themselves have none.
_ROLES: Final = {
    "fleetnet.v1.QueryService": VIEWER,
    "fleetnet.v1.PersonService": VIEWER,
    _ADMINISTRATION: OPERATOR,
}
_WATCH: Final = "WatchSockets"
# Of administration, what changes nothing and so is in no log.
_READ: Final = frozenset({"DescribeCollector", "ListLog", "ListPeople", "ListTokens"})
_JUDGE_THEMSELVES: Final = frozenset({"fleetnet.v1.ReportService", "grpc.health.v1.Health"})

_log = structlog.get_logger()

_Context = grpc.aio.ServicerContext[Any, Any]
_Streams = Callable[[Any, _Context], Any]


@dataclass(eq=False, slots=True)
class _Call:
    """One that is open."""

    person: Person
    role: str
    answers: bool  # by a stream, from the database
    watches: bool
    ended: asyncio.Future[ServerError] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, error: ServerError) -> None:
        if not self.ended.done():
            self.ended.set_result(error)


class Gate(grpc.aio.ServerInterceptor):
    """Stands before all services of the report port."""

    def __init__(
        self,
        people: People,
        standing: Standing,
        turned_away: TurnedAway,
        slowly: Slowly,
        health: Health,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._slowly = slowly
        self._people = people
        self._standing = standing
        self._turned_away = turned_away
        self._health = health
        self._clock = clock
        self._open: set[_Call] = set()
        self._calls_of: Counter[str] = Counter()
        self._checking: asyncio.Task[None] | None = None
        self._refusals = Sparing()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """gRPC's own hook: what is to handle the call, which then goes through the gate first."""
        handler = await continuation(handler_call_details)
        service, _, method = str(handler_call_details.method).removeprefix("/").rpartition("/")
        if handler is None or service in _JUDGE_THEMSELVES:
            return handler
        changes = service == _ADMINISTRATION and method not in _READ
        watches = method == _WATCH
        return self._guarded(handler, _ROLES.get(service), _words(method) if changes else "", watches)

    def _guarded(
        self, handler: "grpc.RpcMethodHandler[Any, Any]", role: str | None, action: str, watches: bool
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        # The stubs know only handlers of the blocking server, so these are of any type here. A question comes as bytes,
        # for to read one may cost more than to find out that nobody may ask it.
        read: Any = handler.request_deserializer
        streams: Any = handler.unary_stream
        answers: Any = handler.unary_unary

        async def stream(request: bytes, context: _Context) -> None:
            from_database = inspect.isasyncgenfunction(streams)
            async with (
                errors_as_status(context, self._health),
                self._let_in(context, role, "", from_database, watches) as call,
            ):
                question = _question(read, request)
                written = _written(streams, question, context) if from_database else streams(question, context)
                await _unless_ended(call, written)

        async def answer(request: bytes, context: _Context) -> Any:  # noqa: ANN401  # whatever the service answers
            async with errors_as_status(context, self._health), self._let_in(context, role, action) as call:
                return await _unless_ended(call, answers(_question(read, request), context))
            raise AssertionError("unreachable: an error has ended the call")

        guarded: Any = answer if streams is None else stream
        written: Any = as_it_is(handler.response_serializer)
        if streams is not None:
            return grpc.unary_stream_rpc_method_handler(guarded, response_serializer=written)
        return grpc.unary_unary_rpc_method_handler(guarded, response_serializer=written)

    @contextlib.asynccontextmanager
    async def _let_in(
        self, context: _Context, role: str | None, action: str, answers: bool = False, watches: bool = False
    ) -> AsyncIterator[_Call]:
        """`action` is what of administration would be changed; empty: nothing."""
        async with self._noting_refusals(context, action):
            person = identify_person(context.auth_context(), self._clock())
            if role is None:
                raise NotPermitted("this is answered to nobody over the network")
        with self._entered(_Call(person, role, answers, watches)) as call:
            async with self._noting_refusals(context, action):
                await self._people.admit(person, role)
            yield call

    @contextlib.asynccontextmanager
    async def _noting_refusals(self, context: _Context, action: str) -> AsyncIterator[None]:
        try:
            yield
        except (PeerRefused, NotPermitted) as error:
            metrics.PEERS_REFUSED.labels("questions").inc()
            self._refusals.warning(
                "question refused", kind=type(error).__name__, peer=context.peer(), reason=str(error)
            )
            if action:
                await self._log_refused(Wish(_shown(context) or _NOBODY, "", context.peer(), action, ""), error)
            await self._slowly.refused(_shown(context) or _NOBODY)
            raise

    async def _log_refused(self, wish: Wish, error: ServerError) -> None:
        """The refusal stands, whatever becomes of its entry."""
        try:
            await self._turned_away.note(wish, str(error))
        except StorageError as storage:
            self._health.failed(storage)

    @contextlib.contextmanager
    def _entered(self, call: _Call) -> Iterator[_Call]:
        name = call.person.name
        if self._calls_of[name] >= MOST_CALLS_OF_ONE:
            raise TooMuchAtOnce(f"{name} asks {MOST_CALLS_OF_ONE} questions at once already; end one, and ask again")
        alike = sum(one.watches == call.watches for one in self._open)
        if call.watches and alike >= MOST_WATCHES:
            raise TooMuchAtOnce(
                f"{MOST_WATCHES} watch already; ask again when one of them has left, or ask without watch"
            )
        if not call.watches and alike >= MOST_CALLS:
            raise TooMuchAtOnce(f"{MOST_CALLS} questions are being answered already; ask again in some seconds")
        if call.answers:
            answered = [one.person.name for one in self._open if one.answers]
            if answered.count(name) >= MOST_ANSWERS_OF_ONE or len(answered) >= MOST_ANSWERS:
                raise TooMuchAtOnce("too many answers are being read at once already; ask again in some seconds")
        self._open.add(call)
        self._calls_of[name] += 1
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._keep_checking())
        try:
            yield call
        finally:
            self._open.discard(call)
            self._calls_of[name] -= 1
            if not self._calls_of[name]:
                del self._calls_of[name]

    async def _keep_checking(self) -> None:
        """While anything is open."""
        while self._open:
            await asyncio.sleep(CHECK_S)
            calls = tuple(self._open)
            try:
                people = await self._standing.of({call.person.name for call in calls})
            except StorageError as error:
                self._health.failed(error)
                self._end(calls, error)
            except Exception as error:
                _log.error("who may ask could not be looked up", **failure(error))
                self._end(calls, ServerError("the collector failed inside; its log says where"))
            else:
                for call in calls:
                    try:
                        self._people.check(call.person, people.get(call.person.name), call.role)
                    except ServerError as error:
                        call.end(error)
                    except Exception as error:  # whoever cannot be judged does not go on
                        _log.error("a person could not be judged", **failure(error))
                        call.end(ServerError("the collector failed inside; its log says where"))

    def _end(self, calls: tuple[_Call, ...], error: ServerError) -> None:
        for call in calls:
            call.end(error)


def asker(context: _Context) -> str:
    """By whom a call is made that got through: a person's URI, or `local` on the admin socket."""
    return _shown(context) or LOCAL


def _shown(context: _Context) -> str:
    """The URI of the certificate that was shown; empty where it has not one."""
    uris = list(context.auth_context().get("peer_spiffe_id", ()))
    return uris[0].decode("utf-8", "replace") if uris else ""


def _words(method: str) -> str:
    """RevokeHosts is revoke-hosts in the log."""
    return _CAPITAL.sub(lambda found: f"-{found[0].lower()}", method).removeprefix("-")


async def _unless_ended(call: _Call, answer: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401  # whatever it answers
    """What is answered; where the call is ended meanwhile, that is raised, wherever the answer waits."""
    work = asyncio.create_task(answer)
    try:
        await asyncio.wait((work, call.ended), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise call.ended.result()
    finally:
        if not work.done():
            work.cancel()
            # It leaves the database before the call is over.
            await asyncio.wait((work,))


def _question(read: Callable[[bytes], Any], request: bytes) -> Any:  # noqa: ANN401  # whatever is asked
    """The question that came as these bytes. Raises RequestRefused."""
    if len(request) > MOST_QUESTION_BYTES:
        raise RequestRefused(f"the question has {len(request)} bytes; at most {MOST_QUESTION_BYTES} are read")
    try:
        return read(request)
    except DecodeError:
        raise RequestRefused("the question cannot be read; it is none of fleetnet's") from None


async def _written(streams: _Streams, question: object, context: _Context) -> None:
    """A stream of answers, each written before the next is asked for."""
    try:
        async with asyncio.timeout(ANSWER_S), contextlib.aclosing(streams(question, context)) as parts:
            async for part in parts:
                async with asyncio.timeout(WRITE_S):
                    await context.write(part)
    except TimeoutError:
        raise AnswerGivenUp("the answer was not read on for too long and was dropped; ask again, or for less") from None
