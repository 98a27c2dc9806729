"""`python -m week.agent STRETCH`: the life of one agent, whose uplink and spool are the real ones.

STRETCH is a JSON object with the fields of `Stretch`. A line `skip` on standard input has time fly (at once where
`flies`); where a stretch has no end of its own, the line `the present` says that the clock shows what the machine's
does, and from then on it goes no faster. It is ended by a kill at any time, by SIGTERM, or by itself as by SIGTERM.

What it does stands in a ledger, see week/ledger.py.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import fleetnet_agent.uplink.run as uplink_run
from fleetnet_agent.host import Host, this_host
from fleetnet_agent.log import Log
from fleetnet_agent.notify import Notifier
from fleetnet_agent.spool.chunks import Chunks
from fleetnet_agent.spool.file import SpoolFile
from fleetnet_agent.uplink.backoff import Backoff
from fleetnet_agent.uplink.run import Pace, Uplink
from fleetnet_agent.uplink.window import Kind, Window
from fleetnet_agent.uplink.worker import Worker
from week.clock import Clock
from week.ledger import Batch, Ledger
from week.watch import DrawnWatch
from week.world import Size, World

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one agent is to live through."""

    state: str
    ledger: str
    seed: int
    world_us: tuple[int, int]
    boots_us: tuple[int, ...]
    size: tuple[int, int, int]
    begin_us: int
    ago_us: int | None  # it begins so long before the machine's own time, and `begin_us` is about when that is
    until_us: int  # then it ends as by SIGTERM; 0: at the present it goes on
    flies: bool
    look_every_s: float
    backoff_cap_s: float
    spool_bytes: int
    backlog_bytes_per_s: float

    @property
    def world(self) -> World:
        """The host."""
        return World(self.seed, *self.world_us, tuple(self.boots_us), Size(*self.size))


def host_of(stretch: Stretch, clock: Clock) -> Host:
    """A host whose boot id is that of its world at the beginning of the stretch."""
    number, booted_us = stretch.world.boot_at(stretch.begin_us)
    proc = Path(stretch.ledger).with_suffix(f".proc{number}")
    boot_id = proc / "sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True, exist_ok=True)
    boot_id.write_text(f"{stretch.seed:08x}-0000-4000-8000-{number:012x}\n")
    (proc / "stat").write_text(f"btime {booted_us // 1_000_000}\n")
    return replace(
        this_host(),
        proc=proc,
        root=proc,
        wall_clock_us=clock.wall_clock_us,
        boottime_us=lambda: clock.wall_clock_us() - booted_us,
    )


async def live(stretch: Stretch, clock: Clock) -> None:
    """All of it."""
    directory = Path(stretch.state)
    ledger = Ledger(Path(stretch.ledger), directory)
    ledger.count(SpoolFile, "run", "transaction")
    ledger.count(Chunks, "read", "merge", "drop_oldest")
    _note_batches(ledger)
    _mind_the_worker(clock)
    host = host_of(stretch, clock)
    notifier = Notifier({})
    notifier.every_s = stretch.look_every_s  # no service manager is there to be told
    watch = DrawnWatch(stretch.world, host, ledger.looked)
    uplink = Uplink(
        directory,
        host,
        watch,
        lambda: stretch.look_every_s,
        Log(),
        pace=Pace(look_every_s=stretch.look_every_s, backlog_bytes_per_s=stretch.backlog_bytes_per_s),
        # Told its clock: the one that it takes by itself was named before the simulated one ruled, and skips nothing.
        backoff=Backoff(random.Random(stretch.begin_us), cap_s=stretch.backoff_cap_s, clock=clock.monotonic),
        notifier=notifier,
        sockets=watch.size,
        spool_bytes=stretch.spool_bytes,
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, uplink.stop)
    if stretch.until_us:
        loop.call_at(clock.at_s(stretch.until_us), uplink.stop)
    if stretch.flies:
        _fly(stretch, clock)
    else:
        loop.add_reader(sys.stdin, _obey, stretch, clock)
    await uplink.run()


def _obey(stretch: Stretch, clock: Clock) -> None:
    line = sys.stdin.readline().strip()
    asyncio.get_running_loop().remove_reader(sys.stdin)
    if line:  # else whoever started this is about to end it
        assert line == "skip", line
        _fly(stretch, clock)


def _fly(stretch: Stretch, clock: Clock) -> None:
    present_us = time.time_ns() // 1000 - clock.wall_clock_us()
    clock.skip(present_us, lambda: print("the present", file=sys.stderr, flush=True))


def _note_batches(ledger: Ledger) -> None:
    class Noting(Window):
        """Notes what each batch is, by its number."""

        def put(self, kind: Kind, body: bytes, look_us: int = 0) -> int:
            sequence = super().put(kind, body, look_us)
            ledger.write(Batch(sequence, kind.name, len(body)))
            return sequence

    setattr(uplink_run, Window.__name__, Noting)  # where the uplink finds it


def _mind_the_worker(clock: Clock) -> None:
    class Minded(Worker):
        """While it works, time goes no faster."""

        async def run(self, function: Callable[..., T], *arguments: Any) -> T:
            clock.busy += 1
            try:
                return await super().run(function, *arguments)
            finally:
                clock.busy -= 1

    setattr(uplink_run, Worker.__name__, Minded)  # where the uplink finds it


def main() -> None:
    """Live through it."""
    stretch = Stretch(**json.loads(sys.argv[1]))
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    clock = Clock(stretch.begin_us if stretch.ago_us is None else time.time_ns() // 1000 - stretch.ago_us)
    clock.rule()
    with asyncio.Runner(loop_factory=clock.loop) as runner:
        runner.run(live(stretch, clock))


if __name__ == "__main__":
    main()
