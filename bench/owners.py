"""The part of `bench.agent` that finds owners: the agent's looks with its helper beside `ss -tanp`.

The first look decodes no more than it needs, for nobody is told it: rows are made for the snapshot. What these cost is
measured and shown beside it.

What must stay true: both ratios are of medians, and each of our rounds has one of `ss` right after it, for on a machine
that does other work as well its time doubles within a minute. What both cost includes all that one call makes them do;
neither the start of Python nor that of the helper is in it, for the agent stays, but that of `ss` is. Both find the
kernel's directories of descriptors as the other one left them. The process treats its memory as the agent does.
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

from fleetnet_agent import memory, privileges
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
    rounds = 5 if parser.parse_args().quick else 11
    memory.be_frugal()
    memory.settle()
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
        beside_first = [_ss_s()]
        for number in range(rounds):
            look_s, rows_s = _first_look_s(Path(directory, f"first{number}"))
            first.append(look_s)
            rows.append(rows_s)
            beside_first.append(_ss_s())
        steady, beside_steady = _steady_s(crowd, Path(directory, "steady"), rounds)
        crowd.stdin.close()
    _say("first look", first, beside_first)
    _say("the rows of its snapshot, which are not in it", rows, beside_first)
    _say("a look with 2 % new", steady, beside_steady)
    first_ratio = statistics.median(first) / statistics.median(beside_first)
    steady_ratio = statistics.median(steady) / statistics.median(beside_steady)
    of = f"{SOCKETS:,} sockets of {PROCESSES} processes, CPU beside `ss -tanp`"
    hand_over(
        [
            Bar(f"first look at {of}", FIRST, first_ratio, "x"),
            Bar(f"a look with 2 % new, {of}", STEADY, steady_ratio, "x"),
        ]
    )
    return 0


def _ss_s() -> float:
    return command_cpu_s(["ss", "-tanp"])


def _say(what: str, ours: list[float], theirs: list[float]) -> None:
    """Least, median and most, in milliseconds."""
    shown = (
        f"{min(each) * 1000:.0f} {statistics.median(each) * 1000:.0f} {max(each) * 1000:.0f}" for each in (ours, theirs)
    )
    print("    {}: {} ms beside {}".format(what, *shown), flush=True)


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


def _steady_s(crowd: "subprocess.Popen[str]", place: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Looks, each after 2 % of the sockets were exchanged, and `ss` after each of them. Two looks come before that are
    not counted."""
    assert crowd.stdin
    assert crowd.stdout
    taken: list[float] = []
    beside: list[float] = []
    with closing(_Agent(place)) as agent:
        agent.look_s()
        for number in range(rounds + 2):
            time.sleep(1)
            crowd.stdin.write("renew\n")
            assert crowd.stdout.readline() == "done\n"
            cost_s = agent.look_s()
            if number > 1:
                taken.append(cost_s)
                beside.append(_ss_s())
    return taken, beside


if __name__ == "__main__":
    sys.exit(main())
