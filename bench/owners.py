"""The part of `bench.agent` that finds owners: the agent's looks with its helper beside `ss -tanp`.

The first look decodes no more than it needs, for nobody is told it: rows are made for the snapshot. What these cost is
measured and shown beside it.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from fleetnet_agent import privileges
from fleetnet_agent.host import this_host
from fleetnet_agent.records import OwnerStatus
from fleetnet_agent.watch import Watch, open_watch

from bench.contenders import command_cpu_s
from bench.measures import Bar, cpu_s, hand_over

PROCESSES, SOCKETS = 500, 40_000
FIRST, STEADY = 0.5, 0.15
_SETTLED_S = 60.0


def main() -> int:
    """Measure, and hand over."""
    parser = argparse.ArgumentParser(prog="python -m bench.owners", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    rounds = 3 if parser.parse_args().quick else 7
    with (
        tempfile.TemporaryDirectory() as directory,
        subprocess.Popen(
            [sys.executable, "-m", "bench.crowd", str(PROCESSES), str(SOCKETS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        ) as crowd,
    ):
        assert crowd.stdin
        assert crowd.stdout
        assert crowd.stdout.readline() == "ready\n"
        first: list[float] = []
        rows: list[float] = []
        ss = [command_cpu_s(["ss", "-tanp"])]
        for number in range(rounds):
            look_s, rows_s = _first_look_s(Path(directory, f"first{number}"))
            first.append(look_s)
            rows.append(rows_s)
            ss.append(command_cpu_s(["ss", "-tanp"]))
        steady = _steady_s(crowd, Path(directory, "steady"), rounds)
        crowd.stdin.close()
    theirs = statistics.median(ss)
    with_rows = (statistics.median(first) + statistics.median(rows)) / theirs
    print(
        f"    ss -tanp {theirs * 1000:.0f} ms; first look with all rows of the snapshot {with_rows:.2f} of it",
        flush=True,
    )
    of = f"{SOCKETS:,} sockets of {PROCESSES} processes, CPU beside `ss -tanp`"
    hand_over(
        [
            Bar(f"first look at {of}", FIRST, statistics.median(first) / theirs, "x"),
            Bar(f"a look with 2 % new, {of}", STEADY, statistics.median(steady) / theirs, "x"),
        ]
    )
    return 0


class _Agent:
    """A watch and the helper it asks; both cost."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._helper = privileges.start_helper(os.getuid(), place / "helper.sock")
        self._watch: Watch = open_watch(this_host(), helper_socket=self._helper.socket, namespaces="own")

    def look_s(self) -> float:
        """One look at everything; CPU seconds of both processes."""
        before_s = self._cpu_s()
        self._watch.look(everything=True)
        return self._cpu_s() - before_s

    def rows_s(self) -> float:
        """CPU seconds of making the rows of a snapshot."""
        before_s = time.process_time()
        for _ in self._watch.snapshot().sockets:
            pass
        return time.process_time() - before_s

    def unknown(self) -> int:
        """How many sockets have no owner yet that has one."""
        return sum(
            1
            for row in self._watch.snapshot().sockets
            if row.inode and row.holder.owner_status is not OwnerStatus.KNOWN
        )

    def close(self) -> None:
        """End both."""
        self._watch.close()
        self._helper.close()

    def _cpu_s(self) -> float:
        return time.process_time() + cpu_s(self._helper.process.pid)


def _first_look_s(place: Path) -> tuple[float, float]:
    """Until every owner is known: the budget of a look may leave some to the next. And the rows of what it found."""
    with closing(_Agent(place)) as agent:
        taken_s = agent.look_s()
        rows_s = agent.rows_s()
        deadline_s = time.monotonic() + _SETTLED_S
        while agent.unknown() and time.monotonic() < deadline_s:
            time.sleep(1)
            taken_s += agent.look_s()
    shutil.rmtree(place, ignore_errors=True)
    return taken_s, rows_s


def _steady_s(crowd: "subprocess.Popen[str]", place: Path, rounds: int) -> list[float]:
    """Looks five seconds apart, as the agent has them at this size, each after 2 % of the sockets were exchanged."""
    assert crowd.stdin
    assert crowd.stdout
    taken: list[float] = []
    with closing(_Agent(place)) as agent:
        agent.look_s()
        for number in range(rounds + 2):
            time.sleep(2)
            crowd.stdin.write("renew\n")
            assert crowd.stdout.readline() == "done\n"
            cost_s = agent.look_s()
            if number > 1:
                taken.append(cost_s)
    return taken


if __name__ == "__main__":
    sys.exit(main())
