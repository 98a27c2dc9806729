"""A long life in short: `python -m bench.soak` (or `make soak`, as root), and what of it stays in memory.

One collector as it comes, on SQLite and over TLS, and 200 agents. Most are simulated: real streams, each of which
changes its sockets now and then, and leaves and comes back. REAL are real, each with its helper, on a host of its own
on which a process opens and closes sockets of all kinds, as many in the end as at the beginning. In this order:

    1. All enroll and connect.
    2. The collector is aged: hosts churn fast until the database is larger than what SQLite may keep of it in memory
       (64 MiB of the writer, 2 MiB of each reader), and all readers are asked at once. Else half an hour would show how
       these fill, which they do once. Slowly: what a collector holds that is told more than it can store leaves
       free memory behind, in which a leak could grow unseen.
    3. Rounds of ROUND_S seconds. In each all agents change and some leave; every few seconds one question is asked by
       the command line, every third a live look; the metrics are read; and one of the real agents loses its connection.
       Then all stand still, connected and acknowledged, and descriptors are counted: connections that come and go would
       make their number move by themselves.

Memory is sampled every EVERY_S, see `growth.py` for what is counted and how a slope is made of it. The first third of
the rounds is warm-up. A bench reports and does not judge: it exits with 0.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from fleetnet_proto.v1 import query_pb2, query_pb2_grpc

from bench.fleet import identities
from bench.fleet.processes import Process
from bench.growth import MB, Sample, Series, descriptors
from bench.measures import Bar, children, cpu_s
from demo.fabric import Fabric, Host, free_subnet, why_not
from demo.fleet import Fleet, environment
from demo.programs import FailedError, Program, Programs

REAL: Final = 3
ROUND_S, EVERY_S, STILL_S = 20.0, 4.0, 2.0
WARM_UP: Final = 1 / 3
COLLECTOR_MB, AGENT_MB = 1.0, 0.2  # an hour
_LOOKS, _BETWEEN_LOOKS_S = 10, 0.13
_READERS: Final = 16  # of the collector's database at once
_METRICS: Final = 9464
_ROOT = Path(__file__).resolve().parents[1]
_QUESTIONS: Final = (
    ("who-listens", "443"),
    ("netstat", "host0001", "-a"),
    ("netstat", "real1", "--live", "-a"),
    ("hosts",),
    ("who-holds", "ESTABLISHED", "--by", "host"),
    ("netstat", "real0", "--live", "-s"),
    ("who-listens", "22", "--at", "1m ago"),
    ("netstat", "real2", "-r"),
    ("netstat", "real2", "--live", "-i"),
)


@dataclass(frozen=True, slots=True)
class Real:
    """A host with a real agent."""

    place: Host
    agent: Program


class Soak:
    """One run."""

    def __init__(self, options: argparse.Namespace, directory: Path, fabric: Fabric, programs: Programs) -> None:
        self.options = options
        self.directory = directory
        self.programs = programs
        self.fleet = Fleet(directory, programs, fabric.add_host("collector"))
        assert self.fleet.place
        self.metrics_at = f"{self.fleet.place.address}:{_METRICS}"
        self.fleet.start_collector("--metrics-listen", self.metrics_at)
        self.simulated = self._simulate()
        self.real = [self._start(number, fabric.add_host(f"real{number}")) for number in range(REAL)]
        self.fleet.wait_until_fresh(*(f"real{number}" for number in range(REAL)), within_s=60)
        self.series = {"collector": Series(self.fleet.collector.pid)}
        for number, real in enumerate(self.real):
            self.series[f"agent {number}"] = Series(real.agent.pid)
            (helper,) = children(real.agent.pid)
            self.series[f"helper {number}"] = Series(helper)
        self.questions = itertools.cycle(_QUESTIONS)
        self.asked = self.cut = 0
        self.unanswered: Counter[str] = Counter()

    def age(self) -> None:
        """Until the collector's caches have nothing more to take in."""
        database, began_s = self.fleet.data / "fleetnet.db", time.monotonic()
        while database.stat().st_size < self.options.age_mib * 2**20:
            self._tell(f"churn {self.simulated.agents} {self.options.age_rate} 10", 300)
        with ThreadPoolExecutor(_READERS) as pool:
            for _ in range(3):
                list(pool.map(self._read_all, range(_READERS)))
        size = database.stat().st_size / 2**20
        print(f"  aged in {time.monotonic() - began_s:.0f} s: a database of {size:.0f} MiB", flush=True)

    def live(self) -> None:
        """Rounds until the time is up."""
        began_s = tenth_s = time.monotonic()
        length_s, used_s = self.options.minutes * 60, cpu_s(self.fleet.collector.pid)
        leaves = 0
        for number in itertools.count():
            leaves += self._round(number)
            now_s = time.monotonic()
            if now_s - tenth_s >= length_s / 10 or now_s - began_s >= length_s:
                print(self._coarsely(began_s, tenth_s), flush=True)
                tenth_s = now_s
            if now_s - began_s >= length_s:
                break
        took_s = time.monotonic() - began_s
        share = (cpu_s(self.fleet.collector.pid) - used_s) / took_s
        print(
            f"  {leaves:,} streams left and came back, {self.cut} of real agents were cut, {self.asked:,} questions of "
            f"which {self.unanswered.total()} failed; the collector took {share:.0%} of a core",
            flush=True,
        )
        for words, times in self.unanswered.most_common():
            print(f"  {times} times: {words}", flush=True)

    def bars(self) -> list[Bar]:
        """What came of it."""
        collector = self.series["collector"]
        from_s = self._warm_at_s()
        found = [Bar("memory of the collector, an hour", COLLECTOR_MB, collector.mb_per_hour(from_s), "MB")]
        for kind in ("agent", "helper"):
            worst = max(series.mb_per_hour(from_s) for series in self._of(kind))
            found.append(Bar(f"memory of the worst {kind} of {REAL}, an hour", AGENT_MB, worst, "MB"))
        for kind in ("collector", "agent", "helper"):
            worst = max(series.files_differ(from_s) for series in self._of(kind))
            found.append(Bar(f"descriptors of the {kind}, most less fewest", 0, worst))
        return found

    def with_peaks(self) -> str:
        """The slopes of all samples, for people: what a bar has of them is in growth.py."""
        from_s = self._warm_at_s()
        words = [f"{name} {series.mb_per_hour_with_peaks(from_s):.2f}" for name, series in self.series.items()]
        return f"  with all that comes and goes within a minute, MB an hour: {', '.join(words)}"

    def _warm_at_s(self) -> float:
        samples = self.series["collector"].bytes
        first_s, last_s = samples[0][0], samples[-1][0]
        return first_s + (last_s - first_s) * WARM_UP

    def _of(self, kind: str) -> list[Series]:
        return [series for name, series in self.series.items() if name.split()[0] == kind]

    def _simulate(self) -> Process:
        names = [f"host{number:04}" for number in range(self.options.agents - REAL)]
        ca_pem = (self.fleet.data / "ca.pem").read_bytes()
        file = self.directory / "identities"
        identities.write(list(identities.join(names, self.fleet.admin_socket, self.fleet.enroll_address, ca_pem)), file)
        process = Process("bench.fleet.agents", file, self.fleet.report_address, self.options.seed, len(names))
        process.tell("connect 50")
        process.answer(60 + len(names))
        return process

    def _start(self, number: int, place: Host) -> Real:
        name = f"real{number}"
        self.fleet.enroll(name, place)
        # What truly happened is not asked for here, so it is written nowhere.
        work = [sys.executable, "-m", "faults.workload", str(self.options.seed + number), os.devnull, place.address]
        path = {"PYTHONPATH": f"{_ROOT / 'tests'}:{_ROOT}"}
        self.programs.start(f"{name}.workload", place.command(*work), path)
        return Real(place, self.fleet.start_agent(name, place))

    def _tell(self, order: str, within_s: float) -> dict[str, float]:
        self.simulated.tell(order)
        return self.simulated.answer(within_s)

    def _round(self, number: int) -> int:
        """One round; how many streams were left."""
        self.simulated.tell(f"live {self.options.changes} {self.options.leaves} {ROUND_S}")
        self._cut(self.real[number % REAL])
        began_s = time.monotonic()
        while (past_s := time.monotonic() - began_s) < ROUND_S:
            self._sample()
            self._ask()
            time.sleep(max(0.0, EVERY_S - (time.monotonic() - began_s - past_s)))
        with urllib.request.urlopen(f"http://{self.metrics_at}/metrics", timeout=30) as answer:
            answer.read()
        told = self.simulated.answer(300)
        self._stand_still()
        return int(told["leaves"])

    def _cut(self, real: Real) -> None:
        """Have the kernel end the connection of an agent, as a middlebox would. Some kernels cannot."""
        assert self.fleet.place
        port = self.fleet.report_address.rpartition(":")[2]
        ended = real.place.run("ss", "-K", "-tnH", "dst", self.fleet.place.address, "dport", "=", port)
        self.cut += bool(ended.strip())

    def _ask(self) -> None:
        self.asked += 1
        try:
            answer = self.fleet.ask(*next(self.questions), "-o", "json")
        except FailedError as failure:  # a question that hangs is to be told of, and ends no soak
            self.unanswered[str(failure)] += 1
            return
        if answer.status not in (0, 1, 3):
            self.unanswered[answer.errors.strip()] += 1

    def _read_all(self, _: int) -> int:
        with grpc.insecure_channel(f"unix://{self.fleet.admin_socket}") as channel:
            queries = query_pb2_grpc.QueryServiceStub(channel)
            parts = queries.ListSockets(query_pb2.ListSocketsRequest(), timeout=120)
            return sum(len(part.page.items) for part in parts)

    def _stand_still(self) -> None:
        """All are connected and nothing is asked: what is open now is what stays open."""
        names = [f"real{number}" for number in range(REAL)]
        self.fleet.wait_until_fresh(*names, within_s=60)
        time.sleep(STILL_S)  # until those that asked or left just now are gone from the collector as well
        self._sample()
        looks = [[descriptors(series.pid) for series in self.series.values()]]
        while len(looks) < _LOOKS:
            time.sleep(_BETWEEN_LOOKS_S)
            looks.append([descriptors(series.pid) for series in self.series.values()])
        # The fewest: a look of an agent opens some for a moment, and so does the helper that it asks.
        for series, counts in zip(self.series.values(), zip(*looks, strict=True), strict=True):
            series.count(time.monotonic(), min(counts))

    def _sample(self) -> None:
        for series in self.series.values():
            series.sample(time.monotonic())

    def _coarsely(self, began_s: float, from_s: float) -> str:
        """The last tenth, for people."""

        def median(samples: list[Sample]) -> float:
            return statistics.median(value for at_s, value in samples if at_s >= from_s)

        words = [
            f"{name} {median(series.bytes) / MB:.2f} ({median(series.files):.0f})"
            for name, series in self.series.items()
        ]
        return f"  {(time.monotonic() - began_s) / 60:4.1f} min, MB (descriptors): {', '.join(words)}"


def main() -> int:
    """Measure, print, and say what did not hold."""
    options = _options()
    if why := why_not():
        print(f"soak: {why}", file=sys.stderr)
        return 2
    print(f"{options.agents} agents, {REAL} of them real, {options.minutes:g} minutes, seed {options.seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="fn-soak-") as directory,
        Fabric(free_subnet()) as fabric,
        Programs(Path(directory), environment(Path(directory))) as programs,
    ):
        fabric.join()
        soak = Soak(options, Path(directory), fabric, programs)
        try:
            soak.age()
            soak.live()
        finally:
            soak.simulated.end()
        print(soak.with_peaks(), *(bar.line() for bar in soak.bars()), sep="\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="of rounds, warm-up included")
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--changes", type=float, default=100.0, help="socket changes a second of all simulated agents")
    parser.add_argument("--leaves", type=float, default=0.5, help="streams that end and come back, a second")
    parser.add_argument("--age-mib", type=float, default=80.0, help="size of the database when rounds begin")
    parser.add_argument("--age-rate", type=float, default=5_000.0, help="changes a second until then")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
