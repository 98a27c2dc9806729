"""What a hundred people who watch cost a collector, beside a hundred more agents: `python -m bench.watch` (or
`make bench-watch`).

Real streams upon a real collector; only the hosts' sockets are made up, from a seed. Each round has two collectors of
its own, one after another. To one come a hundred people who watch `who-listens 1-1023`, to the other a hundred agents
more. Before and after they come CPU (user and system) and memory of the collector are taken, while nothing happens but
beats, and while hosts churn: each opens and closes connections, and somewhere a listener on such a port begins. What
one of those who came costs is the difference, divided by their number; a bar is the median cost of one who watches to
that of an agent. In the end: how long it takes from listen(2) on a real host to the line that `fleetnet watch` prints.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleetnet_server.rpc.gate import MOST_CALLS_OF_ONE

from bench.fleet import identities
from bench.fleet.processes import Process, raise_file_limit
from bench.measures import Bar, cpu_s, resident_mib
from bench.orders import Ordered
from bench.watch import delay
from demo.fleet import Fleet, environment
from demo.programs import Programs

_ROOT: Final = Path(__file__).resolve().parents[2]
_CONNECT_RATE: Final = 100.0
_LISTENING_HOSTS: Final = 5  # of which one after another has a listener more
_FIRST_PORT, _LAST_PORT = 1, 1_023


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a collector: shares of a core while nothing happens and while hosts churn, and its memory."""

    idle: float
    churning: float
    resident_mib: float

    def of_each_beyond(self, before: "Cost", number: int) -> "Cost":
        """What each of so many has added."""
        names = ("idle", "churning", "resident_mib")
        return Cost(*((getattr(self, name) - getattr(before, name)) / number for name in names))


class Round:
    """One collector with the agents that it has from the start."""

    def __init__(self, options: argparse.Namespace, fleet: Fleet, directory: Path) -> None:
        self._options = options
        self._fleet = fleet
        self._directory = directory
        self._processes: list[Ordered] = []
        fleet.start_collector()
        names = [f"host{number:04}" for number in range(_LISTENING_HOSTS + options.agents + options.more)]
        joined = list(
            identities.join(names, fleet.admin_socket, fleet.enroll_address, (fleet.data / "ca.pem").read_bytes())
        )
        self._joined = iter(joined)
        self._listening = self._agents(_LISTENING_HOSTS)
        self._churning = [self._agents(options.agents)]

    def _agents(self, number: int) -> Process:
        """So many more agents, connected."""
        some = [next(self._joined) for _ in range(number)]
        file = self._directory / f"identities{len(self._processes)}"
        identities.write(some, file)
        process = Process("bench.fleet.agents", file, self._fleet.report_address, len(self._processes), number)
        self._processes.append(process)
        process.tell(f"connect {_CONNECT_RATE}")
        process.answer(60 + 2 * number)
        return process

    def agents_come(self) -> None:
        """As many more as were asked for; they churn as the others do."""
        self._churning.append(self._agents(self._options.more))

    def people_come(self) -> None:
        """As many who watch."""
        where = ["--server", f"unix://{self._fleet.admin_socket}"]
        if self._options.network:
            fleet, file = self._fleet, self._directory / "logins"
            names = [f"person{number}" for number in range(-(-self._options.more // MOST_CALLS_OF_ONE))]
            ca_pem = (fleet.data / "ca.pem").read_bytes()
            identities.write(identities.log_in(names, fleet.admin_socket, fleet.enroll_address, ca_pem), file)
            where = ["--server", fleet.report_address, "--identities", str(file)]
        people = Ordered("bench.watch.people", *where)
        self._processes.append(people)
        people.tell(f"watch {self._options.more} {_CONNECT_RATE}")
        people.answer(120)

    def warm_up(self) -> None:
        """What a collector takes with the first changes it would take whoever came: that is nobody's cost."""
        self._churn()

    def cost(self) -> Cost:
        """Now."""
        time.sleep(self._options.settle_seconds)
        idle = self._share(lambda: time.sleep(self._options.idle_seconds))
        churning = self._share(self._churn)
        return Cost(idle, churning, resident_mib(self._fleet.collector.pid)[0])

    def _share(self, meanwhile: Callable[[], None]) -> float:
        pid = self._fleet.collector.pid
        used_s, began_s = cpu_s(pid), time.monotonic()
        meanwhile()
        return (cpu_s(pid) - used_s) / (time.monotonic() - began_s)

    def _churn(self) -> None:
        options = self._options
        for process in self._churning:
            process.tell(f"churn {process.agents} {options.changes * process.agents} {options.seconds}")
        until_s = time.monotonic() + options.seconds
        port = _FIRST_PORT
        while time.monotonic() < until_s:
            self._listening.tell(f"listen {port}")
            self._listening.answer(60)
            port = port + 1 if port < _LAST_PORT else _FIRST_PORT
            time.sleep(max(0.0, min(options.listener_every_s, until_s - time.monotonic())))
        for process in self._churning:
            process.answer(60 + 10 * options.seconds)

    def end(self) -> None:
        """Of the simulated; the collector is its fleet's."""
        for process in self._processes:
            process.end()


@contextlib.contextmanager
def _round(options: argparse.Namespace) -> Iterator[Round]:
    with tempfile.TemporaryDirectory(prefix="fn-bench-") as directory:
        told = {**environment(Path(directory)), "PYTHONPATH": str(_ROOT)}
        with Programs(Path(directory), told) as programs:
            one = Round(options, Fleet(Path(directory), programs), Path(directory))
            try:
                yield one
            finally:
                one.end()


def _measure(options: argparse.Namespace, come: Callable[[Round], None], who: str) -> Cost:
    with _round(options) as one:
        one.warm_up()
        before = one.cost()
        come(one)
        each = one.cost().of_each_beyond(before, options.more)
    print(
        f"  {who}, beside {options.agents} agents (idle {before.idle:.1%}, churning {before.churning:.1%} of a core): "
        f"each {each.idle * 1000:.2f} ms a second idle, {each.churning * 1000:.2f} ms churning, "
        f"{each.resident_mib * 1024:.0f} kB",
        flush=True,
    )
    return each


def _bars(people: list[Cost], agents: list[Cost]) -> Iterator[Bar]:
    for name, words in (("idle", "CPU, idle"), ("churning", "CPU, under change"), ("resident_mib", "memory")):
        person, agent = (statistics.median(getattr(cost, name) for cost in costs) for costs in (people, agents))
        yield Bar(f"{words}: one who watches to one agent more", 1, person / agent, "times")


def main() -> int:
    """Measure, print, and say what did not hold; a bench reports and does not judge, so 0 in any case."""
    options = _options()
    raise_file_limit()
    people, agents = [], []
    for _ in range(options.rounds):
        people.append(_measure(options, Round.people_come, f"{options.more} who watch"))
        agents.append(_measure(options, Round.agents_come, f"{options.more} agents more"))
    bars = [*_bars(people, agents), *(delay.bars(options.listeners, options.seed) if options.listeners else ())]
    for bar in bars:
        print(bar.line())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.watch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=100, help="that are there from the start (default 100)")
    parser.add_argument("--more", type=int, default=100, help="who come, people or agents (default 100)")
    parser.add_argument("--changes", type=float, default=4.0, help="of a churning host, a second (default 4)")
    parser.add_argument("--listener-every-s", type=float, default=1.0, help="in the whole fleet (default 1)")
    parser.add_argument(
        "--settle-seconds", type=float, default=15.0, help="what a collector does after arrivals is done (default 15)"
    )
    parser.add_argument("--idle-seconds", type=float, default=180.0, help="three beats of each agent (default 180)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of churn (default 30)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--network", action="store_true", help="people watch with logins over the network, not over the admin socket"
    )
    parser.add_argument("--listeners", type=int, default=100, help="of which the delay is taken (default 100; 0: none)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
