"""A story is told to a collector of its own; what it finds there is then asserted."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from fleetnet_server.records import Selection, Session, Socket, SocketQuestion
from server.reports import T0, Collector, collector, hello, snapshot

T = TypeVar("T")
LO = ip_address("127.0.0.1").packed
PEER = ip_address("10.1.2.3").packed


def tell(directory: Path, story: Callable[[Collector], Awaitable[T]]) -> T:
    async def run() -> T:
        async with collector(directory) as c:
            told = await story(c)
            assert await c.miscounted() == []
            return told

    return asyncio.run(run())


async def connected(c: Collector) -> Session:
    return await c.connect(await c.enroll(), hello(T0))


async def reporting(c: Collector, name: str, *sockets: Socket, offset_us: int = 0) -> Session:
    """A host that told of these sockets at T0 by the collector's clock."""
    session = await c.connect(await c.enroll(name), hello(T0, clock_offset_us=offset_us))
    await c.report(session, snapshot(1, T0 + offset_us, *sockets), delay_us=-offset_us)
    return session


async def ports(c: Collector, **asked: object) -> list[int]:
    question = replace(SocketQuestion(Selection()), **asked)  # type: ignore[arg-type]  # the caller names fields
    return [item.local_port for item in (await c.ask(question)).items]
