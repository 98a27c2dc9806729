"""Watching over a real connection: who does not read is not waited for."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

import grpc
import pytest
from fleetnet_proto.v1 import query_pb2, query_pb2_grpc
from fleetnet_server.records import Coverage, SocketQuestion, StaleHost
from fleetnet_server.rpc import query
from fleetnet_server.services.health import Health
from fleetnet_server.services.news import News
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


async def _read_on(
    call: "grpc.aio.UnaryStreamCall[query_pb2.WatchSocketsRequest, query_pb2.WatchSocketsResponse]",
) -> None:
    while await call.read():
        pass


def test_who_does_not_read_is_left_behind_and_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "_WRITE_S", 0.2)

    async def story() -> None:
        endless = _Endless()
        # Nothing but what is watched is asked for.
        service = query.QueryService(None, cast("Watching", endless), None, Health(), None)  # type: ignore[arg-type]
        server = grpc.aio.server()
        query_pb2_grpc.add_QueryServiceServicer_to_server(service, server)
        path = f"unix:{tmp_path}/admin.sock"
        server.add_insecure_port(path)
        await server.start()
        async with grpc.aio.insecure_channel(path) as channel:
            call = query_pb2_grpc.QueryServiceStub(channel).WatchSockets(query_pb2.WatchSocketsRequest())
            await call.read()
            async with asyncio.timeout(DEADLINE_S):
                await endless.left.wait()
            with pytest.raises(grpc.RpcError) as dropped:
                await _read_on(call)
            assert dropped.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "left behind" in (dropped.value.details() or "")
        await server.stop(None)

    asyncio.run(story())
