"""A fleet that loses its collector and gets it back: `python -m bench.fleet.herd` (or `make bench-herd`).

A real collector, and for each agent real streams over TLS with a certificate of its own and the agent's own Backoff.
In this order:

    1. every host enrolls and connects; sockets come and go on each;
    2. the collector is killed (--stop: it is sent SIGTERM), stays away, and is started again once;
    3. every attempt to connect is written down, and when each agent first had something acknowledged;
    4. all comes to rest, and what the database's own trigger has seen is compared with what the agents sent.

Time is scaled: base and cap of the agents' delays, and the time away, are divided by --scale, and what is measured is
multiplied by it. The collector's own time is not: at 10 it has a tenth of the time for the same fleet, so ten times as
many come in a second as would in truth, and each of its delays, and of the agents' machine, counts tenfold. That is the
harder case; on a machine that is busy with other things only a small scale says something of the collector.

What a collector says at SIGTERM is not scaled either: after --stop a return is as in truth only with --scale 1.
"""

import argparse
import itertools
import math
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.fleet import identities
from bench.fleet.processes import Process, raise_file_limit
from bench.measures import Bar, cpu_s
from demo.fleet import Fleet, environment
from demo.programs import Programs

_ROOT = Path(__file__).resolve().parents[2]
_LATE_S = 300.0  # nobody waits for longer, whatever is wrong
_QUICK_S = 60.0  # after a loss it is tried often for 3.5 s, scaled, and on a busy machine that takes longer


@dataclass(frozen=True, slots=True)
class Return:
    """What happened, moments of CLOCK_MONOTONIC."""

    scale: float
    lost_s: float
    started_s: float
    back_s: float
    agents: list[dict[str, Any]]

    @property
    def connects_s(self) -> list[float]:
        """Whenever somebody reached the collector that was started again."""
        return [at_s for at_s, how in self._attempts() if at_s > self.started_s and how != "refused"]

    @property
    def in_vain_s(self) -> list[float]:
        """Whenever somebody reached nobody, the first moments left out."""
        return [
            at_s for at_s, how in self._attempts() if at_s > self.lost_s + _QUICK_S / self.scale and how == "refused"
        ]

    @property
    def first_acknowledged_s(self) -> list[float]:
        """Scaled, from the moment at which the collector was back; of each agent, sorted."""
        firsts = (next(at_s for at_s in agent["acknowledged_s"] if at_s > self.started_s) for agent in self.agents)
        return sorted(max(0.0, first_s - self.back_s) * self.scale for first_s in firsts)

    def most_in_a_second(self, moments_s: Iterable[float]) -> int:
        """Of any scaled second, wherever it begins."""
        ordered = sorted(moments_s)
        most = first = 0
        for last, moment_s in enumerate(ordered):
            while moment_s - ordered[first] >= 1 / self.scale:
                first += 1
            most = max(most, last - first + 1)
        return most

    def _attempts(self) -> Iterable[tuple[float, str]]:
        return ((at_s, how) for agent in self.agents for at_s, how in agent["attempts"])


def lost_or_doubled(agents: list[dict[str, Any]], stored: Iterable[tuple[int, int, int]]) -> int:
    """How many agents have a batch that was stored not once, or not in its turn. `stored` is each step that the
    database took: an epoch, the sequence before it and the one after."""
    steps: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for epoch, was, is_now in stored:
        steps[epoch].append((was, is_now))
    right = {agent["epoch"]: list(itertools.pairwise(range(agent["sequence"] + 1))) for agent in agents}
    return sum(steps[epoch] != wanted for epoch, wanted in right.items())


class Herd:
    """One run."""

    def __init__(self, options: argparse.Namespace, fleet: Fleet, directory: Path) -> None:
        from faults.stores import SqliteStore  # the tests' own; they are found where PYTHONPATH says so

        self._options = options
        self._fleet = fleet
        self._directory = directory
        self._store = SqliteStore(fleet.data)
        self._processes: list[Process] = []

    def run(self) -> list[Bar]:
        """All of it."""
        try:
            self._gather()
            return self._judge(self._lose_and_return())
        finally:
            for process in self._processes:
                process.end()

    def _gather(self) -> None:
        options, fleet = self._options, self._fleet
        fleet.start_collector(*options.collector_option)
        names = [f"host{number:05}" for number in range(options.agents)]
        ca_pem = (fleet.data / "ca.pem").read_bytes()
        joined = list(identities.join(names, fleet.admin_socket, fleet.enroll_address, ca_pem))
        fleet.collector.stop()
        self._store.witness()
        fleet.start_collector(*options.collector_option)
        each = math.ceil(len(joined) / options.processes)
        pace = ("--scale", str(options.scale), "--change-every-s", str(60 / options.scale))
        for number in range(options.processes):
            some = joined[number * each : (number + 1) * each]
            if some:
                file = self._directory / f"identities{number}"
                identities.write(some, file)
                seed = options.seed * 100 + number
                self._processes.append(
                    Process("bench.fleet.returning", file, fleet.report_address, seed, len(some), *pace)
                )
        self._all(f"live {options.connect_rate / len(self._processes)}", _LATE_S)
        print(f"  {len(joined):,} agents are connected", flush=True)

    def _lose_and_return(self) -> Return:
        options, fleet = self._options, self._fleet
        lost_s = time.monotonic()
        if options.stop:
            fleet.collector.stop()
        else:
            fleet.collector.kill()
        time.sleep(max(0.0, lost_s + options.away_s / options.scale - time.monotonic()))
        started_s = time.monotonic()
        fleet.start_collector(*options.collector_option)
        back_s, used_s = time.monotonic(), cpu_s(fleet.collector.pid)
        away_s = (back_s - lost_s) * options.scale
        print(f"  the collector was away for {away_s:.0f} s (in truth {back_s - lost_s:.1f})", flush=True)
        self._all(f"back {started_s}", _LATE_S)
        agents = [agent for told in self._all("settle", _LATE_S) for agent in told["agents"]]
        each_ms = (cpu_s(fleet.collector.pid) - used_s) * 1_000 / len(agents)
        print(f"  CPU of the collector since: {each_ms:.1f} ms an agent", flush=True)
        return Return(options.scale, lost_s, started_s, back_s, agents)

    def _all(self, order: str, within_s: float) -> list[dict[str, Any]]:
        for process in self._processes:
            process.tell(order)
        return [process.answer(within_s) for process in self._processes]

    def _judge(self, told: Return) -> list[Bar]:
        agents, acknowledged_s = len(told.agents), told.first_acknowledged_s
        ended = not self._fleet.collector.running
        starts = self._fleet.collector.says().count("fleetnet-server: ready")
        with self._store.moment() as database:
            stored = database.ask("SELECT epoch, was, is_now FROM faults_stored ORDER BY number")
            [(open_,)] = database.ask("SELECT count(*) FROM current")
            [(closed,)] = database.ask("SELECT count(*) FROM history")
        wrong = [agent["wrong"] for agent in told.agents if agent["wrong"]]
        for words in wrong[:3]:
            print(f"  an agent {words}")
        hows = Counter(how for agent in told.agents for at_s, how in agent["attempts"] if at_s > told.lost_s)
        print(f"  attempts since: {', '.join(f'{count:,} {how}' for how, count in sorted(hows.items()))}")
        in_vain = told.most_in_a_second(told.in_vain_s) / agents
        print(f"  while it was away, most in one second after the first {_QUICK_S:g}: {in_vain:.1%}")
        print(f"  first acknowledgement: median {acknowledged_s[agents // 2]:.1f} s, last {acknowledged_s[-1]:.1f} s")
        p99_s = acknowledged_s[math.ceil(agents * 0.99) - 1]
        most = told.most_in_a_second(told.connects_s) / agents
        unlike = abs(sum(a["open"] for a in told.agents) - open_) + abs(sum(a["closed"] for a in told.agents) - closed)
        return [
            Bar("most agents that connect in one second, of all", 5, most * 100, "%"),
            Bar("first acknowledgement after the collector is back, p99", 60, p99_s, "s"),
            Bar("restarts of the collector", 0, starts - 1 + ended),
            Bar("agents with a batch that was not stored exactly once", 0, lost_or_doubled(told.agents, stored)),
            Bar("agents that were told what cannot be", 0, len(wrong)),
            Bar("sockets that the database has too many or too few", 0, unlike),
        ]


def measure(options: argparse.Namespace, directory: Path) -> list[Bar]:
    """A herd of its own in a directory of its own."""
    told = {**environment(directory), "PYTHONPATH": str(_ROOT)}
    with Programs(directory, told) as programs:
        return Herd(options, Fleet(directory, programs), directory).run()


def options_for(arguments: list[str]) -> argparse.Namespace:
    """From a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.fleet.herd", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--away-s", type=float, default=600.0, help="for how long the collector is away, scaled")
    parser.add_argument("--scale", type=float, default=2.0)
    parser.add_argument("--stop", action="store_true", help="SIGTERM instead of SIGKILL")
    parser.add_argument("--processes", type=int, default=2, help="that the agents are spread over")
    parser.add_argument("--connect-rate", type=float, default=100.0, help="streams opened a second, at the beginning")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--collector-option", action="append", default=[], help="one more option of fleetnet-server run"
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Measure, print, and say what did not hold; a bench reports and does not judge, so 0 in any case."""
    options = options_for(sys.argv[1:])
    raise_file_limit()
    how = "stopped" if options.stop else "killed"
    print(
        f"{options.agents:,} agents, collector {how} and away {options.away_s:g} s, {os.cpu_count()} cores, "
        f"scale {options.scale:g}, seed {options.seed}",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="fn-herd-") as directory:
        for bar in measure(options, Path(directory)):
            print(bar.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
