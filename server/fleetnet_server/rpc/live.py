"""Live looks: from the question to the host's stream, and from the parts that come back to the answer.

What must stay true: a live look is never kept; whoever asks, and however slowly an answer is read, reports of the
host go on (asked.py); a host is looked at once at a time, with a pause between; what a host answers is hostile, and
what is wrong with it is told to the asker alone: the stream goes on, for reports are worth more than a look.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

import structlog
from fleetnet_proto.v1 import live_pb2, query_pb2

from fleetnet_server.errors import AgentAway, AskedTooSoon, BadBatch, RequestRefused
from fleetnet_server.logs import escaped, failure
from fleetnet_server.records import Coverage, End, Host
from fleetnet_server.rpc import bounds, translate_live, translate_query
from fleetnet_server.rpc.asked import Asked, Asking
from fleetnet_server.rpc.streams import Streams
from fleetnet_server.services.live import Live
from fleetnet_server.services.relayed import Relayed

PAUSE_S = 1.0
"""Between two live looks at a host."""
MOST_PAUSE_S = 10.0
"""For so long a question waits for its turn; who has to wait longer is told so."""
FIRST_PART_S = 5.0
NEXT_PART_S = 15.0
WITHIN_S = 60.0
MOST_AT_ONCE = 16  # of all hosts
MOST_AT_A_HOST = 4  # under way or waiting for it

_log = structlog.get_logger()


@dataclass(slots=True)
class _Turn:
    """Who asks one host."""

    asking: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    free_at_s: float = 0.0  # from when on it may be looked at again


class LiveDesk:
    """Answers questions for live looks."""

    def __init__(self, live: Live, streams: Streams, relayed: Relayed) -> None:
        self._live = live
        self._streams = streams
        self._relayed = relayed
        self._numbers = itertools.count(1)
        self._turns: dict[str, _Turn] = {}
        self._others: set[asyncio.Task[None]] = set()

    async def answer(self, request: query_pb2.LiveRequest) -> AsyncGenerator[query_pb2.LiveResponse, None]:
        """Coverage, pages, end. Leave early through contextlib.aclosing only. Raises HostUnknown, AgentAway,
        AskedTooSoon, RequestRefused, StorageError."""
        wanted = request.wanted
        if not (wanted.sockets or wanted.interfaces or wanted.statistics):
            raise RequestRefused(
                "the question wants nothing of a live look: neither sockets, interfaces nor statistics"
            )
        host = await self._live.host(request.host)
        if self._relayed.possible and self._streams.live(host.name) is None:
            async with self._turn(host), contextlib.aclosing(self._elsewhere(host, request)) as answer:
                async for response in answer:
                    yield response
            return
        async with contextlib.aclosing(self._here(host, wanted)) as answer:
            async for response in answer:
                yield response

    async def answer_others(self) -> None:
        """Look at hosts that report here and for which other collectors have asked by now. Raises StorageError."""
        for asked in await self._relayed.waiting():
            if self._streams.live(asked.host) is not None:
                task = asyncio.create_task(self._relayed.answer(asked, self._answer_other))
                self._others.add(task)
                task.add_done_callback(self._other_done)

    def _other_done(self, task: asyncio.Task[None]) -> None:
        self._others.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a live look that another collector asked for was not answered", **failure(error))

    async def _answer_other(self, message: bytes) -> AsyncGenerator[bytes]:
        request = query_pb2.LiveRequest.FromString(message)
        async with contextlib.aclosing(self._here(await self._live.host(request.host), request.wanted)) as answer:
            async for response in answer:
                yield response.SerializeToString()

    async def _elsewhere(self, host: Host, request: query_pb2.LiveRequest) -> AsyncGenerator[query_pb2.LiveResponse]:
        async with contextlib.aclosing(self._relayed.ask(host, request.SerializeToString())) as messages:
            async for message in messages:
                response = query_pb2.LiveResponse.FromString(message)
                yield response
                if response.WhichOneof("part") == "end":
                    return

    async def _here(self, host: Host, wanted: live_pb2.LiveWanted) -> AsyncGenerator[query_pb2.LiveResponse]:
        self._stream(host)
        async with self._turn(host):
            began_s = time.monotonic()
            while True:
                stream, asked = self._stream(host), Asked(next(self._numbers), wanted)
                stream.ask(asked)
                try:
                    first = await self._first(host, asked)
                    if not first.refused:
                        async for response in self._responses(host, stream.boot_id, asked, first, began_s + WITHIN_S):
                            yield response
                        return
                finally:
                    stream.forget(asked)
                await _wait_as_told(host, first, began_s + MOST_PAUSE_S)

    def _stream(self, host: Host) -> Asking:
        stream = self._streams.live(host.name)
        if stream is None:
            raise AgentAway(
                f"the agent of {host.name} is not connected to this collector; ask for its last known state"
            )
        return stream

    @contextlib.asynccontextmanager
    async def _turn(self, host: Host) -> AsyncIterator[None]:
        now_s = time.monotonic()
        self._turns = {name: turn for name, turn in self._turns.items() if turn.asking or turn.free_at_s > now_s}
        turn = self._turns.setdefault(host.name, _Turn())
        if turn.asking >= MOST_AT_A_HOST:
            raise AskedTooSoon(f"others are waiting for a live look at {host.name}; ask again in some seconds")
        if sum(turn.asking for turn in self._turns.values()) >= MOST_AT_ONCE:
            raise AskedTooSoon(f"{MOST_AT_ONCE} live looks are under way at this collector; ask again in some seconds")
        turn.asking += 1
        try:
            async with turn.lock:
                await asyncio.sleep(turn.free_at_s - time.monotonic())
                try:
                    yield
                finally:
                    turn.free_at_s = time.monotonic() + PAUSE_S
        finally:
            turn.asking -= 1

    async def _responses(
        self, host: Host, boot_id: bytes, asked: Asked, part: live_pb2.LivePart, until_s: float
    ) -> AsyncGenerator[query_pb2.LiveResponse, None]:
        look = await self._read(host, part)
        coverage = Coverage(look.look_at_us, hosts_asked=1, hosts_fresh=1, hosts_stale=(), gaps=0)
        yield query_pb2.LiveResponse(coverage=translate_query.coverage(coverage))
        items = 0
        while True:
            known = await self._live.answers(host, boot_id, look.sockets, look.look_at_us)
            pages = translate_live.pages(part, known)
            while (page := await asyncio.to_thread(next, pages, None)) is not None:
                yield query_pb2.LiveResponse(page=page)
            items += len(part.sockets) + len(part.interfaces) + len(part.statistics)
            if part.last:
                break
            part = await self._next(host, asked, until_s)
            look = await self._read(host, part)
        _log.info("live look", host=host.name, items=items)
        yield query_pb2.LiveResponse(end=translate_query.end(End(items, truncated=False)))

    async def _first(self, host: Host, asked: Asked) -> live_pb2.LivePart:
        try:
            return await asked.take(FIRST_PART_S)
        except TimeoutError:
            words = "does not answer a live look; is it of an older version?"
            raise AgentAway(f"the agent of {host.name} {words}") from None

    async def _next(self, host: Host, asked: Asked, until_s: float) -> live_pb2.LivePart:
        try:
            return await asked.take(min(until_s - time.monotonic(), NEXT_PART_S))
        except TimeoutError:
            words = "began to answer a live look and did not come to its end; ask again"
            raise AgentAway(f"the agent of {host.name} {words}") from None

    async def _read(self, host: Host, part: live_pb2.LivePart) -> translate_live.Look:
        try:
            # In a thread: other hosts are not to wait for what one host has to tell.
            return await asyncio.to_thread(translate_live.look, part)
        except BadBatch as error:
            raise AgentAway(f"what the agent of {host.name} answered cannot be true: {error}") from error


async def _wait_as_told(host: Host, refusal: live_pb2.LivePart, until_s: float) -> None:
    """Wait until the agent may be asked again. Raises AskedTooSoon where that is after `until_s`, or not known."""
    wait_s = refusal.retry_after_ms / 1000
    if not wait_s or time.monotonic() + wait_s > until_s:
        words = escaped(bounds.text(refusal.trouble, bounds.WORDS))
        raise AskedTooSoon(f"the agent of {host.name} makes no live look now: {words}")
    await asyncio.sleep(wait_s)
