"""What attacks upon a collector cost those who report to it: `python -m bench.attack` (or `make bench-attack`).

A real collector on SQLite and over TLS, AGENTS simulated ones that are quiet, and one process that attacks it
(attacker.py says how). Of each attack there are ROUNDS pairs of windows, one without and one with it, in turns, and
short ones, so that what else the machine does falls on both. In each a new listener of one agent after another is told,
and how long it takes until it is acknowledged is noted: what people wait for, and the delay that an agent has. A bar is
the median with the attack to the median without, and the same of the 99th percentile; both of all windows of that
attack together. How sure that is is told with it: the range in which nine of ten ratios lie where pairs of windows are
drawn anew from those that there are. The collector's memory (RSS) is the most of the run. Which hosts the collector
says that it holds back, as `fleetnet doctor` shows them, is told after each attack.

Attackers run at the lowest priority, for real ones have machines of their own; on few cores they still take some of
what the collector would have, so a ratio is rather too high than too low. A bench reports and does not judge: it exits
with 0.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
from fleetnet_proto.v1 import admin_pb2, admin_pb2_grpc

from bench.attack.attacker import ATTACKS
from bench.fleet import identities
from bench.fleet.processes import Process, raise_file_limit
from bench.growth import descriptors
from bench.measures import Bar, resident_mib
from bench.orders import Ordered
from demo.fleet import Fleet, environment
from demo.programs import Programs

_ROOT: Final = Path(__file__).resolve().parents[2]
# How many make an attack be on, as the trust contract has it: connections, messages, rows.
_COUNTS: Final = {
    "idle": 2_000,
    "handshakes": 500,
    "enroll": 500,
    "oversize": 10,
    "gzip": 10,
    "tiny": 100,
    "listeners": 65_000,
    "times": 20,
    "calls": 500,
}
_CONNECT_RATE: Final = 50.0
_LATENCY_TIMES: Final = 2.0
# A collector with nothing to do, reports that wait (--memory-mib) and the caches of SQLite.
_MEMORY_MIB: Final = 512.0
# What an attack has left to be done is not to fall on the window without it.
_SETTLES_S: Final = 1.0
_DRAWN: Final = 300
_FIRST_PORT, _LAST_PORT = 1, 65_535


@dataclass(slots=True)
class Windows:
    """Milliseconds until a listener was acknowledged, in all pairs of windows of an attack: without, and under it."""

    pairs: list[tuple[list[float], list[float]]] = field(default_factory=list)

    def add(self, without: list[float], under: list[float]) -> None:
        """What two windows that came one after the other have shown."""
        self.pairs.append((without, under))

    @property
    def without(self) -> list[float]:
        return [one for without, _ in self.pairs for one in without]

    @property
    def under(self) -> list[float]:
        return [one for _, under in self.pairs for one in under]

    def ratio(self, share: float) -> float:
        """Of that percentile."""
        return percentile(self.under, share) / percentile(self.without, share)

    def range(self, share: float) -> tuple[float, float]:
        """Where nine of ten such ratios lie, of pairs that are drawn anew; always the same draws."""
        draw = random.Random(1)
        drawn = sorted(Windows(draw.choices(self.pairs, k=len(self.pairs))).ratio(share) for _ in range(_DRAWN))
        return percentile(drawn, 0.05), percentile(drawn, 0.95)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which so many are; of few values the highest is the last."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Bench:
    """One run."""

    def __init__(self, options: argparse.Namespace, fleet: Fleet, directory: Path) -> None:
        self._options = options
        self._fleet = fleet
        fleet.start_collector("--metrics-listen", "127.0.0.1:0")
        ca_pem = (fleet.data / "ca.pem").read_bytes()
        names = ["attacker", *(f"host{number:04}" for number in range(options.agents))]
        attacker, *honest = identities.join(names, fleet.admin_socket, fleet.enroll_address, ca_pem)
        self._honest = Process(
            "bench.fleet.agents", self._written(honest, directory / "honest"), fleet.report_address, 1, len(honest)
        )
        self._honest.tell(f"connect {_CONNECT_RATE}")
        self._honest.answer(60 + 2 * len(honest))
        where = ("--report", fleet.report_address, "--enroll", fleet.enroll_address)
        file = self._written([attacker], directory / "attacker")
        self._attacker = Ordered("bench.attack.attacker", "--identities", str(file), *where)
        self._port = _FIRST_PORT
        self.most_mib = 0.0

    @staticmethod
    def _written(some: list[dict[str, str]], file: Path) -> Path:
        identities.write(some, file)
        return file

    def attack(self, kind: str) -> Windows:
        """Its windows, without and with it in turns."""
        windows, done, files = Windows(), 0, 0
        for _ in range(self._options.rounds):
            without = self._window()
            self._attacker.tell(f"begin {kind} {self._options.counts.get(kind, _COUNTS[kind])}")
            self._attacker.answer(300)
            windows.add(without, self._window())
            files = max(files, descriptors(self._fleet.collector.pid))
            self._attacker.tell("stop")
            done += int(self._attacker.answer(60)["done"])
            time.sleep(_SETTLES_S)
        medians = " and ".join(
            f"{statistics.median(some):.0f} ms ({percentile(some, 0.99):.0f})"
            for some in (windows.without, windows.under)
        )
        print(
            f"  {kind}: {done:,} done; acknowledged after {medians} without and with it, median (99th percentile) of "
            f"{len(windows.under)}; {files} descriptors",
            flush=True,
        )
        print(f"    held back: {self._held_back()}; load {os.getloadavg()[0]:.1f}", flush=True)
        return windows

    def _held_back(self) -> str:
        with grpc.insecure_channel(f"unix:{self._fleet.admin_socket}") as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            told = stub.DescribeCollector(admin_pb2.DescribeCollectorRequest(), timeout=30)
        some = [f"{one.host} ({one.over} beyond its quota, not read for {one.held_s:.0f} s)" for one in told.held_back]
        return ", ".join(some) or "nobody"

    def _window(self) -> list[float]:
        """One new listener after another."""
        found, until_s = [], time.monotonic() + self._options.seconds
        while time.monotonic() < until_s:
            self._honest.tell(f"listen {self._port}")
            told = self._honest.answer(60)
            found.append((told["acknowledged_us"] - told["sent_us"]) / 1_000)
            self._port = self._port + 1 if self._port < _LAST_PORT else _FIRST_PORT
            self.most_mib = max(self.most_mib, resident_mib(self._fleet.collector.pid)[0])
            time.sleep(self._options.listener_every_s)
        return found

    def said(self) -> str:
        """What the collector has logged of it all, by kind of line."""
        lines = self._fleet.collector.says().splitlines()
        quota = sum("more than its quota" in line for line in lines)
        errors = sum("level=error" in line for line in lines)
        return f"  {len(lines)} lines of the log, of them {quota} about a quota and {errors} errors"

    def end(self) -> None:
        """Of the simulated; the collector is its fleet's."""
        self._attacker.end()
        self._honest.end()


def _bars(found: dict[str, Windows], most_mib: float) -> Iterator[Bar]:
    for kind, windows in found.items():
        for share, words in ((0.5, "median"), (0.99, "99th percentile")):
            low, high = windows.range(share)
            what = f"{kind}: {words} of acknowledgements, with to without ({low:.2f} to {high:.2f})"
            yield Bar(what, _LATENCY_TIMES, windows.ratio(share), "times")
    yield Bar("most memory of the collector", _MEMORY_MIB, most_mib, "MiB")


def main() -> int:
    """Measure, print, and say what did not hold."""
    options = _options()
    raise_file_limit()
    print(
        f"{options.agents} agents, {options.rounds} rounds of {options.seconds:g} s without and with each", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="fn-bench-") as directory:
        told = {**environment(Path(directory)), "PYTHONPATH": str(_ROOT)}
        with Programs(Path(directory), told) as programs:
            bench = Bench(options, Fleet(Path(directory), programs), Path(directory))
            try:
                found = {kind: bench.attack(kind) for kind in options.attacks or ATTACKS}
                print(bench.said())
            finally:
                bench.end()
            for bar in _bars(found, bench.most_mib):
                print(bar.line())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.attack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--attack", dest="attacks", action="append", choices=ATTACKS, help="this one (repeatable; default all)"
    )
    parser.add_argument("--agents", type=int, default=100, help="who mean what they say (default 100)")
    parser.add_argument("--rounds", type=int, default=8, help="of two windows each (default 8)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a window (default 5)")
    parser.add_argument("--listener-every-s", type=float, default=0.02, help="after the one before (default 0.02)")
    parser.add_argument(
        "--few",
        dest="counts",
        action="store_const",
        const=dict.fromkeys(ATTACKS, 10),
        default={},
        help="attacks in small, to see that it works",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
