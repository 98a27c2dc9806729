"""The questions, on the admin socket and the report port: coverage first, then pages, last the end."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
from fleetnet_proto.v1 import query_pb2, query_pb2_grpc

from fleetnet_server import metrics, microseconds
from fleetnet_server.errors import AgentAway, AnswerGivenUp, ServerError
from fleetnet_server.records import Coverage, End, Selection, SocketQuestion
from fleetnet_server.rpc import translate_lives, translate_network, translate_query
from fleetnet_server.rpc.live import LiveDesk
from fleetnet_server.rpc.status import errors_as_status
from fleetnet_server.rpc.streams import Streams
from fleetnet_server.rpc.told import Told
from fleetnet_server.services.health import Health
from fleetnet_server.services.news import LEFT_BEHIND
from fleetnet_server.services.questions import Questions
from fleetnet_server.services.watching import Watching

_WRITE_S = 20.0
_DROPPED = "the answer was not read on for too long and was dropped; ask again"
_Context = grpc.aio.ServicerContext[Any, Any]


class QueryService(query_pb2_grpc.QueryServiceServicer):
    """Answers people."""

    def __init__(
        self, questions: Questions, watching: Watching, streams: Streams, health: Health, live: LiveDesk
    ) -> None:
        self._questions = questions
        self._watching = watching
        self._told = Told()
        self._streams = streams
        self._health = health
        self._live = live

    async def ListSockets(  # noqa: N802  # gRPC's name
        self, request: query_pb2.ListSocketsRequest, context: _Context
    ) -> AsyncIterator[query_pb2.ListSocketsResponse]:
        """Sockets of the fleet."""
        async with self._asked("sockets", context):
            question = translate_query.socket_question(request)
            async with contextlib.aclosing(self._sockets(question)) as answer:
                async for part in answer:
                    yield part

    async def FindSockets(  # noqa: N802  # gRPC's name
        self, request: query_pb2.FindSocketsRequest, context: _Context
    ) -> AsyncIterator[query_pb2.ListSocketsResponse]:
        """Sockets of the fleet, asked for more narrowly."""
        async with self._asked("sockets", context):
            question = translate_query.narrower_question(request)
            async with contextlib.aclosing(self._sockets(question)) as answer:
                async for part in answer:
                    yield part

    async def SeekSockets(  # noqa: N802  # gRPC's name
        self, request: query_pb2.SeekSocketsRequest, context: _Context
    ) -> AsyncIterator[query_pb2.ListSocketsResponse]:
        """Sockets of the fleet, asked for by all that narrows."""
        async with self._asked("sockets", context):
            question = translate_query.narrowest_question(request)
            async with contextlib.aclosing(self._sockets(question)) as answer:
                async for part in answer:
                    yield part

    async def WatchSockets(  # type: ignore[override]  # noqa: N802  # gRPC's name; writes through the context, as Live does
        self, request: query_pb2.WatchSocketsRequest, context: _Context
    ) -> None:
        """Sockets of the fleet as they come and go."""
        async with errors_as_status(context, self._health):
            question = translate_query.watched_question(request)
            async with contextlib.aclosing(self._watching.watch(question)) as answer:
                async for news in answer:
                    for message in self._told.messages(news):
                        await _write(context, message, AnswerGivenUp(LEFT_BEHIND))

    async def _sockets(self, question: SocketQuestion) -> AsyncGenerator[query_pb2.ListSocketsResponse]:
        async with contextlib.aclosing(self._questions.sockets(question, microseconds.now())) as answer:
            async for part in answer:
                if isinstance(part, Coverage):
                    yield query_pb2.ListSocketsResponse(coverage=translate_query.coverage(part))
                elif isinstance(part, End):
                    yield query_pb2.ListSocketsResponse(end=translate_query.end(part))
                else:
                    for page in translate_query.socket_pages(part):
                        yield query_pb2.ListSocketsResponse(page=page)

    async def ListHosts(  # noqa: N802  # gRPC's name
        self, request: query_pb2.ListHostsRequest, context: _Context
    ) -> AsyncIterator[query_pb2.ListHostsResponse]:
        """Hosts of the fleet."""
        async with self._asked("hosts", context):
            selection = translate_query.selection(request.selection)
            async with contextlib.aclosing(self._hosts(selection)) as answer:
                async for part in answer:
                    yield part

    async def SeekHosts(  # noqa: N802  # gRPC's name
        self, request: query_pb2.SeekHostsRequest, context: _Context
    ) -> AsyncIterator[query_pb2.ListHostsResponse]:
        """Hosts of the fleet, asked for by all that narrows."""
        async with self._asked("hosts", context):
            selection = translate_query.hosts_sought(request)
            async with contextlib.aclosing(self._hosts(selection)) as answer:
                async for part in answer:
                    yield part

    async def _hosts(self, selection: Selection) -> AsyncGenerator[query_pb2.ListHostsResponse]:
        async with contextlib.aclosing(self._questions.hosts(selection, microseconds.now())) as answer:
            async for part in answer:
                if isinstance(part, Coverage):
                    yield query_pb2.ListHostsResponse(coverage=translate_query.coverage(part))
                elif isinstance(part, End):
                    yield query_pb2.ListHostsResponse(end=translate_query.end(part))
                else:
                    items = (translate_query.host_item(host, self._streams.connected(host.host)) for host in part)
                    for page in translate_query.host_pages(items):
                        yield query_pb2.ListHostsResponse(page=page)

    async def ListNamespaces(  # noqa: N802  # gRPC's name
        self, request: query_pb2.ListNamespacesRequest, context: _Context
    ) -> AsyncIterator[query_pb2.ListNamespacesResponse]:
        """Network namespaces."""
        async with self._asked("namespaces", context):
            question = translate_query.namespace_question(request)
            async with contextlib.aclosing(self._questions.namespaces(question, microseconds.now())) as answer:
                async for part in answer:
                    if isinstance(part, Coverage):
                        yield query_pb2.ListNamespacesResponse(coverage=translate_query.coverage(part))
                    elif isinstance(part, End):
                        yield query_pb2.ListNamespacesResponse(end=translate_query.end(part))
                    else:
                        for page in translate_network.namespace_pages(part):
                            yield query_pb2.ListNamespacesResponse(page=page)

    async def ListLives(  # noqa: N802  # gRPC's name
        self, request: query_pb2.ListLivesRequest, context: _Context
    ) -> AsyncIterator[query_pb2.ListLivesResponse]:
        """What happened on one host."""
        async with self._asked("lives", context):
            question = translate_lives.question(request)
            async with contextlib.aclosing(self._questions.lives(question, microseconds.now())) as answer:
                async for part in answer:
                    if isinstance(part, Coverage):
                        yield query_pb2.ListLivesResponse(coverage=translate_query.coverage(part))
                    elif isinstance(part, End):
                        yield query_pb2.ListLivesResponse(end=translate_query.end(part))
                    else:
                        for page in translate_lives.pages(part):
                            yield query_pb2.ListLivesResponse(page=page)

    async def Live(  # type: ignore[override]  # noqa: N802  # gRPC's name; writes through the context, which the generated signature does not know
        self, request: query_pb2.LiveRequest, context: _Context
    ) -> None:
        """A live look."""
        async with (
            self._asked("live", context),
            contextlib.aclosing(self._live.answer(request)) as answer,
        ):
            async for part in answer:
                await _write(context, part, AgentAway(_DROPPED))

    @contextlib.asynccontextmanager
    async def _asked(self, question: str, context: _Context) -> AsyncIterator[None]:
        with metrics.QUESTION_SECONDS.labels(question).time():
            async with errors_as_status(context, self._health):
                yield


async def _write(context: _Context, part: query_pb2.LiveResponse | bytes, given_up: ServerError) -> None:
    """Who does not read must not keep others from the host, nor from watching."""
    try:
        async with asyncio.timeout(_WRITE_S):
            await context.write(part)
    except TimeoutError:
        raise given_up from None
