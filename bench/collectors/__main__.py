"""What a second and a third collector add before one PostgreSQL: `python -m bench.collectors` (or `make
bench-collectors`).

Each writer is a process with a collector's own storage (database and ingest) and with hosts of its own, each of which
tells a batch when the one before is stored. Batches are made as agents make them, before a round begins; a round lets
1, 2 or 3 of the writers store for some seconds, and all of these are tried in turn, so that what else the machine does
comes upon each. The server runs with fsync and synchronous_commit on. An interval is a socket's: opened in one batch,
ended in a later one. Three cases:

    this disk       one host a writer and small batches, so that each commit holds one: how long a commit takes counts
                    for as much as it can on this disk
    slow commits    the same, and each flush of the server's log is put off by some milliseconds (commit_delay, which
                    with commit_siblings = 0 holds for every flush): a disk, or a standby, that takes as long
    CPU             many hosts and large batches: what binds is the machine's cores, which writers and server share

Where commits are what is waited for, two writers are to store 1.5 times as much as one; what share of its
time a writer waited for COMMIT, and what writers, server and all else on the machine used of a core, stands beside it:
where others use much, the figures are theirs.
"""

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from bench import databases
from bench.measures import Bar
from bench.orders import Ordered

if TYPE_CHECKING:
    from server.postgresql import Server

_BAR = 1.5
_WITHIN_S = 300.0  # whatever is ordered


@dataclass(frozen=True, slots=True)
class Case:
    """What each writer is given to do."""

    what: str
    hosts: int  # as many batches are on their way at once
    intervals: int  # of a batch
    enough: int  # batches a host and second, which a writer hardly reaches
    delay_us: int = 0  # of each flush of the server's log
    barred: bool = True


@dataclass(slots=True)
class Figures:
    """Of one case and one number of writers, a figure a round."""

    rates: list[float] = field(default_factory=list)  # intervals a second
    commit_ms: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)  # of a commit
    waited: list[float] = field(default_factory=list)  # share of a writer's time
    writer: list[float] = field(default_factory=list)  # of a core, each
    server: list[float] = field(default_factory=list)  # of a core, all its processes
    others: list[float] = field(default_factory=list)  # of a core, all else on this machine

    def line(self, writers: int) -> str:
        """For people."""
        low, most = min(self.rates), max(self.rates)
        shares = (self.waited, self.writer, self.server, self.others)
        waited, writer, server, others = (f"{statistics.median(one):.0%}" for one in shares)
        return (
            f"  {writers:>7} {statistics.median(self.rates):>11,.0f}  {f'{low:,.0f} to {most:,.0f}':<18}"
            f"{statistics.median(self.batches):>8.1f}  {statistics.median(self.commit_ms):>9.2f} {waited:>7}"
            f"{writer:>8} {server:>7} {others:>7}"
        )


_HEAD = (
    "  writers intervals/s  min to max         batches  commit ms  waited  of a core:     server  others\n"
    "                                         a commit                    a writer"
)


def spread(figures: list[float]) -> tuple[float, float, float]:
    """Least, median, most."""
    return min(figures), statistics.median(figures), max(figures)


def busy_s() -> float:
    """CPU seconds that all of the machine has used so far."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)  # guests are in user, too


class Bench:
    """The writers, and the server that all of them write to."""

    def __init__(self, server: "Server", most: int, seconds: int) -> None:
        self._server = server
        self._seconds = seconds
        self._writers: list[Ordered] = []
        try:
            for number in range(most):
                where = ("--database", server.url(), "--name", f"writer{number}")
                self._writers.append(Ordered("bench.collectors.writer", *where))
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Leave no process."""
        for writer in self._writers:
            writer.end()

    def begin(self, case: Case) -> None:
        """Hosts for it, and a server that takes as long over a flush of its log."""
        self._all(self._writers, f"hosts {case.hosts}")
        self._server.execute(
            "ALTER SYSTEM SET commit_siblings = 0",
            f"ALTER SYSTEM SET commit_delay = {case.delay_us}",
            "SELECT pg_reload_conf()",
        )
        while self._server.asked("SHOW commit_delay") != [f"{case.delay_us}"]:
            time.sleep(0.01)

    def measure(self, case: Case, first: int, writers: int, figures: Figures) -> float:
        """One round, of so many writers from the first on; intervals a second, all of them together."""
        some = [*self._writers[first:], *self._writers[:first]][:writers]
        self._all(some, f"prepare {case.enough * self._seconds} {case.intervals}")
        # As autovacuum leaves it, which comes once a minute: else who has stored most has most dead rows to pass by.
        self._server.execute("VACUUM (ANALYZE) current", "VACUUM (ANALYZE) history", "CHECKPOINT")
        server_s, machine_s, began_s = databases.cpu_s(self._server), busy_s(), time.monotonic()
        told = self._all(some, f"go {self._seconds}")
        took_s = time.monotonic() - began_s
        server, machine = (databases.cpu_s(self._server) - server_s) / took_s, (busy_s() - machine_s) / took_s
        commits = sum(one["commits"] for one in told)
        figures.rates.append(sum(one["intervals"] / one["seconds"] for one in told))
        figures.commit_ms.append(sum(one["waited_s"] for one in told) / commits * 1_000)
        figures.batches.append(sum(one["batches"] for one in told) / commits)
        figures.waited.append(sum(one["waited_s"] / one["seconds"] for one in told) / writers)
        figures.writer.append(sum(one["cpu_s"] / one["seconds"] for one in told) / writers)
        figures.server.append(server)
        figures.others.append(max(0.0, machine - server - writers * figures.writer[-1]))
        return figures.rates[-1]

    def _all(self, writers: list[Ordered], order: str) -> list[dict[str, float]]:
        for writer in writers:
            writer.tell(order)
        return [writer.answer(_WITHIN_S) for writer in writers]


def main() -> int:
    """Measure, print, and say what did not hold; a bench reports and does not judge, so 0 in any case."""
    options = _options()
    print(f"{os.cpu_count()} cores, rounds of {options.seconds} s, {options.rounds} of each", flush=True)
    server = databases.durable()
    try:
        bench = Bench(server, max(options.writers), options.seconds)
        try:
            bars = [_case(bench, case, options) for case in _cases(options)]
        finally:
            bench.end()
    finally:
        server.remove()
    for bar in bars:
        if bar is not None:
            print(bar.line())
    return 0


def _cases(options: argparse.Namespace) -> list[Case]:
    delay_us = round(options.delay_ms * 1_000)
    return [
        Case("this disk", 1, 10, 400),
        Case(f"slow commits, {options.delay_ms:g} ms added by the server", 1, 10, 200, delay_us),
        Case("CPU", 24, 50, 20, barred=False),
    ]


def _case(bench: Bench, case: Case, options: argparse.Namespace) -> Bar | None:
    """All rounds of a case; a bar for how much more two store than one, if it is to be held to one."""
    print(f"{case.what}: {case.hosts} hosts a writer, {case.intervals} intervals a batch", flush=True)
    bench.begin(case)
    figures = {writers: Figures() for writers in options.writers}
    ratios: dict[int, list[float]] = {writers: [] for writers in options.writers if writers > 1}
    for number in range(options.rounds):
        turn = number % len(options.writers)
        order = [*options.writers[turn:], *options.writers[:turn]]
        first = number % max(options.writers)
        rates = {writers: bench.measure(case, first, writers, figures[writers]) for writers in order}
        for writers, some in ratios.items():
            some.append(rates[writers] / rates[1])
    print(_HEAD)
    for writers, of_these in figures.items():
        print(of_these.line(writers), flush=True)
    for writers, some in ratios.items():
        low, middle, high = spread(some)
        print(f"  {writers} to 1, round by round: {middle:.2f} ({low:.2f} to {high:.2f})", flush=True)
    if not case.barred or 2 not in ratios:
        return None
    return Bar(f"two writers to one, {case.what}", _BAR, statistics.median(ratios[2]), at_least=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.collectors", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 2, 3], help="how many at once; 1 among them")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2, help="of a round")
    parser.add_argument("--delay-ms", type=float, default=5.0, help="what a flush takes longer where commits are slow")
    options = parser.parse_args()
    if 1 not in options.writers:
        parser.error("1 has to be among --writers, for the others are told by it")
    return options


if __name__ == "__main__":
    sys.exit(main())
