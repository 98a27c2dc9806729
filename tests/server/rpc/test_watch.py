"""Watching over a real connection: who does not read is not waited for, and what all are told is made once."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import grpc
import pytest
from fleetnet_proto.v1 import query_pb2, query_pb2_grpc
from fleetnet_server.records import Coverage, Holder, SocketAnswer, SocketQuestion, StaleHost
from fleetnet_server.rpc import pages, query, translate_query
from fleetnet_server.rpc.readable import Readable
from fleetnet_server.services.health import Health
from fleetnet_server.services.news import Came, Mark, News, There
from fleetnet_server.services.watching import Watching
from server.agents import DEADLINE_S


class _Endless:
    """Has always more to tell, and notes when nobody is told any longer."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def watch(self, question: SocketQuestion) -> AsyncGenerator[News]:
        hosts = tuple(StaleHost(f"{question.selection.host}{n}", 0) for n in range(10_000))
        try:
            while True:
                yield Coverage(1, 10_000, 0, hosts, 0)
        finally:
            self.left.set()


class _ToAll:
    """Tells all who have come the same, once the last of them is there."""

    def __init__(self, *told: News, people: int) -> None:
        self._told, self._missing = told, people
        self._all = asyncio.Event()

    async def watch(self, question: SocketQuestion) -> AsyncGenerator[News]:
        self._missing -= 1
        if not self._missing:
            self._all.set()
        await self._all.wait()
        for news in self._told:
            yield news


@contextlib.asynccontextmanager
async def _serving(watching: object, directory: Path) -> AsyncIterator["query_pb2_grpc.QueryServiceAsyncStub"]:
    # Nothing but what is watched is asked for.
    service = query.QueryService(None, cast("Watching", watching), None, Health(), None)  # type: ignore[arg-type]
    server = grpc.aio.server(interceptors=[Readable()])
    query_pb2_grpc.add_QueryServiceServicer_to_server(service, server)
    path = f"unix:{directory}/admin.sock"
    server.add_insecure_port(path)
    await server.start()
    async with grpc.aio.insecure_channel(path) as channel:
        yield query_pb2_grpc.QueryServiceStub(channel)
    await server.stop(None)


async def _read_on(
    call: "grpc.aio.UnaryStreamCall[query_pb2.WatchSocketsRequest, query_pb2.WatchSocketsResponse]",
) -> None:
    while await call.read():
        pass


def test_who_does_not_read_is_left_behind_and_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "_WRITE_S", 0.2)

    async def story() -> None:
        endless = _Endless()
        async with _serving(endless, tmp_path) as stub:
            call = stub.WatchSockets(query_pb2.WatchSocketsRequest())
            await call.read()
            async with asyncio.timeout(DEADLINE_S):
                await endless.left.wait()
            with pytest.raises(grpc.RpcError) as dropped:
                await _read_on(call)
            assert dropped.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "left behind" in (dropped.value.details() or "")

    asyncio.run(story())


def test_what_all_are_told_is_put_on_the_wire_once_and_each_has_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items: list[SocketAnswer] = []
    item = translate_query.socket_item

    def counted(answer: SocketAnswer, owners: Sequence[query_pb2.OwnerItem]) -> query_pb2.SocketItem:
        items.append(answer)
        return item(answer, owners)

    monkeypatch.setattr(translate_query, "socket_item", counted)
    there, came = There(tuple(_listener(port) for port in range(1, 101))), Came((_listener(443),))

    async def story() -> None:
        told = _ToAll(Coverage(7, 1, 1, (), 0), there, Mark(), came, people=20)
        async with _serving(told, tmp_path) as stub:
            calls = [stub.WatchSockets(query_pb2.WatchSocketsRequest()) for _ in range(20)]
            async with asyncio.timeout(DEADLINE_S):
                heard = await asyncio.gather(*map(_all_of, calls))
        for messages in heard:
            assert [message.WhichOneof("part") for message in messages] == ["coverage", "there", "mark", "came"]
            assert [socket.local_port for socket in messages[1].there.items] == list(range(1, 101))
            assert [socket.local_port for socket in messages[3].came.items] == [443]
            assert all(message.at_us for message in messages)
        assert len(items) == 101

    asyncio.run(story())


def test_what_needs_several_messages_comes_whole_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_BYTES", 100)  # two sockets a message

    async def story() -> None:
        there = There(tuple(_listener(port) for port in range(1, 101)))
        async with _serving(_ToAll(there, there, people=1), tmp_path) as stub:
            async with asyncio.timeout(DEADLINE_S):
                messages = await _all_of(stub.WatchSockets(query_pb2.WatchSocketsRequest()))
        assert len(messages) > 10
        assert [item.local_port for message in messages for item in message.there.items] == [*range(1, 101)] * 2

    asyncio.run(story())


async def _all_of(
    call: "grpc.aio.UnaryStreamCall[query_pb2.WatchSocketsRequest, query_pb2.WatchSocketsResponse]",
) -> list[query_pb2.WatchSocketsResponse]:
    return [message async for message in call]


def _listener(port: int) -> SocketAnswer:
    return SocketAnswer(
        host="web1", netns=0, protocol=6, family=1, state=10, interface="", v6only=None, local_address=bytes(4),
        local_port=port, remote_address=b"", remote_port=0, recv_queue=0, send_queue=0, inode=port, cookie=port,
        source=1, holder=Holder(0, "root", "", "", 1, ()),
        opened_at_us=1, opened_at_is=1, closed_at_us=0, closed_at_is=0, last_seen_us=1,
    )  # fmt: skip
