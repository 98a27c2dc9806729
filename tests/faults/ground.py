"""What the faults happen to: hosts in namespaces, each with a workload and an agent, and a collector behind a proxy.

Disks are small and of memory, and of the mount namespace that this process has to itself (see `__main__`): however it
ends, they end with it. The collector and the agents are started again when they end by themselves, as a service
manager does.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from faults.ledger import HostClock, Steering
from faults.stores import FailoverStore, PostgresqlStore, SqliteStore, Store
from faults.workload import now_us

from demo.fabric import Fabric, Host
from demo.fleet import Fleet
from demo.programs import Program, Programs

REPORT_PORT, PROXY_PORT = 7443, 7543
COLLECTOR_DISK, AGENT_DISK = "64m", "8m"
_RESTART_S = 0.5


@dataclass(slots=True)
class Managed:
    """A program that is started again when it ends by itself."""

    name: str
    program: Program | None = None
    wanted: bool = True  # False while a fault has it down
    starts: int = 0
    by_itself: int = 0  # how often it ended so
    ended_s: float = 0.0

    @property
    def runs(self) -> bool:
        return self.program is not None and self.program.running

    def signal(self, number: signal.Signals) -> None:
        """To all of its process group."""
        if self.program is not None and self.program.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.program.pid, number)

    def kill(self) -> None:
        """Down, until `wanted` again."""
        self.wanted = False
        if self.program is not None:
            self.program.kill()
            self.program = None


@dataclass(slots=True)
class Site:
    """A host with its agent."""

    name: str
    place: Host
    directory: Path
    state: Path
    agent: Managed
    clock: HostClock
    workload: Program
    armed: str = ""  # failpoints beside the traces

    @property
    def ledger(self) -> Path:
        return self.directory / f"{self.name}.ledger"

    @property
    def looks(self) -> Path:
        return self.directory / f"{self.name}.looks"

    @property
    def acknowledgements(self) -> Path:
        return self.directory / f"{self.name}.acknowledged"

    @property
    def offset(self) -> Path:
        return self.directory / f"{self.name}.offset"

    @property
    def welcomes(self) -> Path:
        return self.directory / f"{self.name}.welcomed"

    def acknowledged(self) -> list[tuple[int, int, int]]:
        """When (CLOCK_BOOTTIME), epoch, sequence."""
        return _read_trace(self.acknowledgements)

    def welcomed(self) -> list[tuple[int, int, int]]:
        """Likewise what a collector said that it had stored when it greeted."""
        return _read_trace(self.welcomes)

    def set_clock(self, ahead_us: int) -> None:
        """Set the host's wall clock to this much ahead of the machine's."""
        before_us = now_us()
        fresh = self.offset.with_suffix(".new")
        fresh.write_text(str(ahead_us))
        fresh.rename(self.offset)
        self.clock.changes.append((before_us, now_us(), self.clock.lead_us + ahead_us))

    @property
    def ahead_us(self) -> int:
        return int(self.offset.read_text())


def read_lead() -> tuple[int, int]:
    """CLOCK_BOOTTIME, and by how much the machine's wall clock is ahead of it, to a fraction of a millisecond unless
    this process is never left in peace: then the best of some readings."""
    readings = []
    for _ in range(20):
        before_ns, wall_ns, after_ns = (
            time.clock_gettime_ns(clock) for clock in (time.CLOCK_BOOTTIME, time.CLOCK_REALTIME, time.CLOCK_BOOTTIME)
        )
        readings.append((after_ns - before_ns, after_ns // 1000, (wall_ns - after_ns) // 1000))
        if after_ns - before_ns < 50_000:
            break
    _, at_us, lead_us = min(readings)
    return at_us, lead_us


class Ground:
    """All that stands."""

    def __init__(self, directory: Path, fabric: Fabric, programs: Programs, seed: int, hosts: int, engine: str) -> None:
        self.directory = directory
        self.programs = programs
        self.problems: list[str] = []
        self.collector = Managed("collector")
        self.collector_armed = ""
        self.place = fabric.add_host("collector")
        self.fleet = Fleet(directory, programs, self.place)
        self.advertised = (self.place.address, PROXY_PORT)
        mount(self.fleet.data, COLLECTOR_DISK)
        self.store = _store(engine, self.fleet.data)
        self.start_collector()
        self._await_collector()
        self.proxy = self._start_proxy()
        self.steering = Steering(read_lead()[1])
        self.sites = [self._site(fabric, f"h{number}", seed * 100 + number) for number in range(hosts)]
        self.collector.program.stop()  # type: ignore[union-attr]  # it was started above

    def start_collector(self) -> None:
        """Start it, with what is armed; returns at once."""
        environment = {"FLEETNET_FAILPOINTS": self.collector_armed} if self.collector_armed else None
        self.collector.program = self.fleet.launch_collector(
            "--advertise", f"{self.advertised[0]}:{self.advertised[1]}", *self.store.options, environment=environment
        )
        self.fleet.collector = self.collector.program
        self.collector.starts += 1
        self.collector.wanted = True

    def start_agent(self, site: Site) -> None:
        """Start it, with what is armed; returns at once."""
        points = [
            f"after-look=trace:{site.looks}",
            f"acknowledged=trace:{site.acknowledgements}",
            f"welcomed=trace:{site.welcomes}",
            f"wall-clock=offset:{site.offset}",
            site.armed,
        ]
        environment = {"FLEETNET_FAILPOINTS": ",".join(filter(None, points))}
        site.agent.program = self.fleet.start_agent(site.name, site.place, environment=environment)
        site.agent.starts += 1
        site.agent.wanted = True

    def tell_proxy(self, order: str) -> None:
        """Have the proxy behave so, and wait until it does."""
        self.proxy.tell(order)
        self.proxy.wait_for(f"^{re.escape(order)}$", within_s=60.0)

    def mind(self) -> None:
        """As a service manager: start again what ended by itself. And see how the machine's clock goes."""
        self.steering.note(*read_lead())
        self._mind(self.collector, self.start_collector)
        for site in self.sites:
            self._mind(site.agent, partial(self.start_agent, site))
            if not site.workload.running:
                self.problems.append(f"the workload of {site.name} ended: {site.workload.tail(3)}")

    def _mind(self, managed: Managed, start: Callable[[], None]) -> None:
        if not managed.wanted or managed.runs:
            managed.ended_s = 0.0
        elif not managed.ended_s:
            managed.ended_s = time.monotonic()
            managed.by_itself += 1
        elif time.monotonic() - managed.ended_s > _RESTART_S:
            start()

    def _await_collector(self) -> None:
        assert self.collector.program is not None
        self.collector.program.wait_for("^fleetnet-server: ready", within_s=60.0)

    def _start_proxy(self) -> Program:
        listen, upstream = f"{self.place.address}:{PROXY_PORT}", f"{self.place.address}:{REPORT_PORT}"
        proxy = self.programs.start("proxy", self.place.command(sys.executable, "-m", "faults.proxy", listen, upstream))
        proxy.wait_for("^ready", within_s=30.0)
        return proxy

    def _site(self, fabric: Fabric, name: str, seed: int) -> Site:
        place = fabric.add_host(name)
        state = self.fleet.state(name)
        mount(state, AGENT_DISK)
        # From the collector's host, so that it leaves no TIME_WAIT on this one, which the ledger would not know.
        self.fleet.enroll(name, self.place)
        ledger = self.directory / f"{name}.ledger"
        work = place.command(sys.executable, "-m", "faults.workload", str(seed), str(ledger), place.address)
        clock = HostClock(self.steering.base_us, steering=self.steering)
        site = Site(name, place, self.directory, state, Managed(name), clock, self.programs.start(f"{name}.work", work))
        site.offset.write_text("0")
        return site

    def tracebacks(self) -> Iterator[str]:
        """What went wrong in a way that nobody had foreseen."""
        for name in ("collector", *(site.name for site in self.sites)):
            log = self.directory / f"{name}.log"
            text = log.read_text(errors="replace") if log.exists() else ""
            if "Traceback" in text:
                yield f"{name} had a traceback: {text[text.index('Traceback') :][:1500]}"


def _read_trace(path: Path) -> list[tuple[int, int, int]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(at), int(epoch), int(sequence)) for at, epoch, sequence in map(str.split, lines)]


def mount(path: Path, size: str) -> None:
    """A disk of this size, only for this process and what it starts."""
    path.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", path], check=True)


def _store(engine: str, data: Path) -> Store:
    if engine == "sqlite":
        return SqliteStore(data)
    return FailoverStore() if engine == "failover" else PostgresqlStore()
