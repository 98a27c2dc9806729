"""What a collector does with a whole fleet, on this machine: `python -m bench.fleet` (or `make bench-fleet`).

Real streams over TLS with certificates of their own, a real collector and a real database; only the hosts' sockets are
made up, from a seed. In this order:

    1. every host enrolls with a token of its own, then all connect, each with a snapshot;
    2. nothing happens but beats, one a minute: CPU and memory of the collector, bytes of an idle host;
    3. hosts churn, as fast as changes are acknowledged: changes a second, bytes of a change;
    4. meanwhile new listeners appear, and `who-listens` is asked until it has them.

Collector, database, simulated agents and the asker share the machine's cores: each line says how much of them each had,
and the third part what gave out first. To size a deployment, choose --agents and --changes as your fleet has them.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from fleetnet_proto.v1 import query_pb2, query_pb2_grpc

from bench import databases
from bench.fleet import identities
from bench.fleet.processes import Process, raise_file_limit
from bench.measures import Bar, cpu_s, resident_mib
from demo.fleet import Fleet, environment
from demo.programs import Programs

if TYPE_CHECKING:
    from server.postgresql import Server

_ROOT = Path(__file__).resolve().parents[2]
_FIRST_PORT = 20_000
_ASK_EVERY_S = 0.05
_LISTENER_EVERY_S = 0.25
_USED_UP = 0.9
_LOOK_S = 1.0  # a real agent sees a new listener within a second


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds so far, by who used them."""

    collector: float
    database: float
    agents: float
    asker: float

    def __sub__(self, before: "Used") -> "Used":
        return Used(*(getattr(self, name) - getattr(before, name) for name in self.__slots__))

    def shares(self, seconds: float) -> str:
        """Of a core, in words."""
        words = {name: getattr(self, name) / seconds for name in self.__slots__}
        return ", ".join(f"{name} {share:.0%}" for name, share in words.items() if share >= 0.005)

    def gave_out(self, seconds: float, cores: int) -> str:
        """Which resource was used up, as far as CPU tells."""
        if self.collector + self.database + self.agents + self.asker > _USED_UP * cores * seconds:
            return "the machine's cores, simulated agents included"
        if self.collector > _USED_UP * seconds:
            return "the collector's one core: Python runs on one at a time"
        if self.database > _USED_UP * seconds:
            return "the core of the database's one writer"
        return "no CPU: what was waited for are commits (the disk), or Python's lock between the collector's threads"


class Bench:
    """One run."""

    def __init__(self, options: argparse.Namespace, fleet: Fleet, server: "Server | None") -> None:
        self.options = options
        self.fleet = fleet
        self.server = server
        self.bars: list[Bar] = []
        self.processes: list[Process] = []

    def used(self) -> Used:
        database = 0.0 if self.server is None else databases.cpu_s(self.server)
        mine = time.process_time()
        return Used(cpu_s(self.fleet.collector.pid), database, sum(cpu_s(p.pid) for p in self.processes), mine)

    def enroll(self, directory: Path) -> None:
        names = [f"host{number:05}" for number in range(self.options.agents)]
        ca_pem = (self.fleet.data / "ca.pem").read_bytes()
        began_s = time.monotonic()
        joined = list(identities.join(names, self.fleet.admin_socket, self.fleet.enroll_address, ca_pem))
        print(f"  {len(joined):,} hosts enrolled in {time.monotonic() - began_s:.0f} s", flush=True)
        each = math.ceil(len(joined) / self.options.processes)
        for number in range(self.options.processes):
            some = joined[number * each : (number + 1) * each]
            if some:
                file = directory / f"identities{number}"
                identities.write(some, file)
                seed = self.options.seed * 100 + number
                self.processes.append(Process("bench.fleet.agents", file, self.fleet.report_address, seed, len(some)))

    def all(self, order: str, within_s: float) -> list[dict[str, Any]]:
        for process in self.processes:
            process.tell(order)
        return [process.answer(within_s) for process in self.processes]

    def connect(self) -> None:
        before_mib, _ = resident_mib(self.fleet.collector.pid)
        rate = self.options.connect_rate / len(self.processes)
        before, began_s = self.used(), time.monotonic()
        told = self.all(f"connect {rate}", 60 + 15 * self.options.agents / self.options.connect_rate)
        took_s = time.monotonic() - began_s
        away = sum(one["sent_away"] for one in told)
        print(
            f"  all connected, with a snapshot each, in {took_s:.0f} s ({self.options.agents / took_s:,.0f} a second, "
            f"{away:,} sent away once); of a core: {(self.used() - before).shares(took_s)}",
            flush=True,
        )
        time.sleep(5)
        after_mib, _ = resident_mib(self.fleet.collector.pid)
        per_stream = (after_mib - before_mib) * 1024 / self.options.agents
        self.bars.append(Bar("memory of the collector, a stream", 100, per_stream, "kB"))

    def idle(self) -> None:
        before, began_s = self.used(), time.monotonic()
        told = self.all(f"idle {self.options.idle_seconds}", self.options.idle_seconds + 60)
        took_s = time.monotonic() - began_s
        used = self.used() - before
        minutes = self.options.agents * took_s / 60
        print(f"  idle for {took_s:.0f} s; of a core: {used.shares(took_s)}", flush=True)
        share = (used.collector + used.database) / took_s
        self.bars.append(Bar("idle: collector and database, of a core", 20, share * 100, "%"))
        payload = sum(one["bytes"] for one in told) / minutes
        self.bars.append(Bar("idle: payload of a host in a minute", 100, payload, "B"))

    def churn(self) -> None:
        options = self.options
        hosts = max(1, options.churning // len(self.processes))
        order = f"churn {hosts} {options.changes / len(self.processes)} {options.seconds}"
        before, began_s = self.used(), time.monotonic()
        for process in self.processes:
            process.tell(order)
        told = [process.answer(options.seconds * 20 + 120) for process in self.processes]
        took_s = time.monotonic() - began_s
        used = self.used() - before
        changes = sum(one["changes"] for one in told)
        print(f"  {changes:,} changes acknowledged in {took_s:.1f} s; of a core: {used.shares(took_s)}", flush=True)
        print(f"  what gave out first: {used.gave_out(took_s, os.cpu_count() or 1)}", flush=True)
        self.bars.append(
            Bar("changes committed end to end, a second", options.bar, changes / took_s, "", at_least=True)
        )
        payload = sum(one["bytes"] for one in told) / changes
        self.bars.append(Bar("payload of a change", 60, payload, "B"))

    def listeners(self) -> None:
        """While hosts churn, new listeners appear one by one. As many changes as the bar wants, where at least a tenth
        more were just reached; else seven tenths of what was."""
        reached = next(bar.measured for bar in self.bars if bar.what.startswith("changes"))
        load = float(self.options.bar) if reached >= 1.1 * self.options.bar else 0.7 * reached
        *busy, quiet = self.processes
        hosts = max(1, self.options.churning // len(self.processes))
        seconds = max(10.0, self.options.listeners * _LISTENER_EVERY_S * 1.2)
        rate = min(self.options.changes, load) / max(1, len(busy))
        for process in busy:
            process.tell(f"churn {hosts} {rate} {seconds}")
        stored_s, late_s = [], []
        began_s = time.monotonic()
        for number in range(self.options.listeners):
            # All through that time, and not as quickly as they are seen.
            time.sleep(max(0.0, began_s + number * _LISTENER_EVERY_S - time.monotonic()))
            acknowledged, visible = self._listens_after_s(quiet, _FIRST_PORT + number)
            stored_s.append(acknowledged)
            late_s.append(visible)
        for process in busy:
            process.answer(seconds * 20 + 120)
        p99_s = _p99(late_s)
        print(
            f"  new listeners at {load:,.0f} changes a second: acknowledged after {statistics.median(stored_s):.2f} s, "
            f"p99 {_p99(stored_s):.2f} s; in answers after {statistics.median(late_s):.2f} s, p99 {p99_s:.2f} s"
        )
        self.bars.append(Bar("new listener to who-listens, p99, with a look of 1 s", 2, p99_s + _LOOK_S, "s"))

    def _listens_after_s(self, process: Process, port: int) -> tuple[float, float]:
        """Have one of its agents listen: how long until that is acknowledged, and until it is in an answer."""
        process.tell(f"listen {port}")
        with grpc.insecure_channel(f"unix://{self.fleet.admin_socket}") as channel:
            queries = query_pb2_grpc.QueryServiceStub(channel)
            while not _listens(queries, port):
                time.sleep(_ASK_EVERY_S)
            seen_s = time.time()
        told = process.answer(60)
        return (told["acknowledged_us"] - told["sent_us"]) / 1e6, seen_s - told["sent_us"] / 1e6


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1]


def _listens(queries: query_pb2_grpc.QueryServiceStub, port: int) -> bool:
    request = query_pb2.ListSocketsRequest(
        selection=query_pb2.Selection(max_age_ms=3_600_000),
        local_ports=[query_pb2.PortRange(first=port, last=port)],
        listeners_only=True,
    )
    return any(part.page.items for part in queries.ListSockets(request, timeout=30))


def main() -> int:
    """Measure, print, and say what did not hold; a bench reports and does not judge, so 0 in any case."""
    options = _options()
    files = raise_file_limit()
    if options.agents + 1_000 > files:
        print(f"  only {files:,} files may be open here, so fewer agents than {options.agents:,} will connect")
    server = databases.durable() if options.postgresql else None
    try:
        with tempfile.TemporaryDirectory(prefix="fn-bench-") as directory:
            told = {**environment(Path(directory)), "PYTHONPATH": str(_ROOT)}
            with Programs(Path(directory), told) as programs:
                _measure(options, Fleet(Path(directory), programs), server, Path(directory))
    finally:
        if server is not None:
            server.remove()
    return 0


def _measure(options: argparse.Namespace, fleet: Fleet, server: "Server | None", directory: Path) -> None:
    more = ["--database", server.url()] if server else []
    fleet.start_collector(*more, *options.collector_option)
    bench = Bench(options, fleet, server)
    engine = "PostgreSQL" if server else "SQLite"
    print(f"{options.agents:,} agents, {engine}, {os.cpu_count()} cores, seed {options.seed}", flush=True)
    try:
        bench.enroll(directory)
        for part in (bench.connect, bench.idle, bench.churn, bench.listeners):
            part()
    finally:
        for process in bench.processes:
            process.end()
    for bar in bench.bars:
        print(bar.line())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fleet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=4, help="that the agents are spread over")
    parser.add_argument("--connect-rate", type=float, default=250.0, help="streams opened a second")
    parser.add_argument("--idle-seconds", type=float, default=120.0)
    parser.add_argument("--churning", type=int, default=1_000, help="agents that churn")
    parser.add_argument("--changes", type=float, default=40_000.0, help="socket changes a second that are tried")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--listeners", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true", help="start one, and keep history there")
    parser.add_argument(
        "--collector-option", action="append", default=[], help="one more option of fleetnet-server run"
    )
    options = parser.parse_args()
    options.bar = 30_000 if options.postgresql else 20_000
    return options


if __name__ == "__main__":
    sys.exit(main())
