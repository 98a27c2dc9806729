"""An uplink under test: real streams to a real server, a scripted host, and a log that can be read."""

import asyncio
import contextlib
import io
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from agent.loopback_collector import Collector, key_of
from agent.scripted_watch import ScriptedWatch
from fleetnet_agent.host import Host, this_host
from fleetnet_agent.log import Log
from fleetnet_agent.notify import Notifier
from fleetnet_agent.uplink.backoff import Backoff
from fleetnet_agent.uplink.run import Pace, Uplink
from fleetnet_agent.wire.sockets import key_message

QUICK = Pace(look_every_s=0.005, beat_s=60.0)


class Running:
    """An uplink, its watch and what it logged."""

    def __init__(
        self,
        directory: Path,
        watch: ScriptedWatch,
        pace: Pace = QUICK,
        backoff: Backoff | None = None,
        host: Host | None = None,
        notifier: Notifier | None = None,
        spool_bytes: int = 0,
        draw: random.Random | None = None,
    ) -> None:
        self.watch = watch
        self.out = io.StringIO()
        # Short delays; what the real ones are is test_backoff's.
        backoff = backoff or Backoff(random.Random(7), base_s=0.01, cap_s=0.05)
        self.uplink = Uplink(
            directory,
            host or this_host(),
            watch,
            watch.interval_s,
            Log(self.out),
            pace=pace,
            backoff=backoff,
            draw=draw,
            notifier=notifier,
            sockets=lambda: len(watch.now),
            spool_bytes=spool_bytes,
        )
        self.task = asyncio.create_task(self.uplink.run())

    @property
    def log(self) -> list[str]:
        return [line.removeprefix("fleetnet-agent: ") for line in self.out.getvalue().splitlines()]

    async def stop(self) -> None:
        self.uplink.stop()
        await self.task


@contextlib.asynccontextmanager
async def running(
    directory: Path,
    watch: ScriptedWatch,
    pace: Pace = QUICK,
    backoff: Backoff | None = None,
    host: Host | None = None,
    notifier: Notifier | None = None,
    draw: random.Random | None = None,
) -> AsyncIterator[Running]:
    started = Running(directory, watch, pace, backoff, host, notifier, draw=draw)
    try:
        yield started
    finally:
        await started.stop()


async def eventually(true: Callable[[], bool]) -> None:
    """Wait until the predicate holds; what bounds it is the caller's timeout."""
    while not true():  # noqa: ASYNC110 - what is waited for happens in a thread or in a text, which set no event
        await asyncio.sleep(0.001)


def agrees(collector: Collector, watch: ScriptedWatch) -> bool:
    """True if the collector holds open what is open on the host, in the same state."""
    there = {key: int(socket.state) for key, socket in collector.store.open.items()}
    here = {key_of(key_message(key)): int(socket.state) for key, socket in watch.now.items()}
    return there == here
