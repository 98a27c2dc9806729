"""`python -m bench.events`: what short connections cost the agent, as a share of one core, over a real stream.

As root in namespaces of its own: a collector, and a host whose agent reports to it while a program there makes short
connections at a steady rate, opened and closed within milliseconds. Both ends of each are on that host, so that the
kernel tells of twice as many ends; a third each ends by FIN, by reset, and is refused (one end only). Beside it the
same agent with nothing to do. CPU is user and system of the agent's process, its threads included.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from demo.fabric import Fabric, why_not
from demo.fleet import Fleet, environment
from demo.programs import Program, Programs

TARGET_SHARE = 0.05  # of a core, at 1,000 a second
_ROOT = Path(__file__).resolve().parents[1]
_SETTLE_S = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 0 whatever the figures are."""
    options = _parser().parse_args(arguments)
    why = why_not()
    if why:
        print(f"bench: {why}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="fn-bench-") as directory:
        _measure(Path(directory), options.rate, options.seconds)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.events", description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000, metavar="CONNECTIONS", help="in a second")
    parser.add_argument("--seconds", type=int, default=20)
    return parser


def _measure(directory: Path, rate: int, seconds: int) -> None:
    told = {**environment(directory), "PYTHONPATH": f"{_ROOT}:{_ROOT / 'tests'}"}
    with Fabric() as fabric, Programs(directory, told) as programs:
        host = fabric.add_host("busy")
        fleet = Fleet(directory, programs, fabric.add_host("collector"))
        fleet.start_collector()
        fleet.enroll("busy", host)
        agent = fleet.start_agent("busy", host)
        fleet.wait_until_fresh("busy")
        time.sleep(_SETTLE_S)
        idle = _share(agent, lambda: time.sleep(5))
        resident_mib = _resident_mib(agent)
        command = host.command(
            *(sys.executable, "-m", "system.short", str(rate * seconds), host.address, str(rate)),
        )
        short = programs.start("short", command)
        share = _share(agent, lambda: short.wait_for("^ledger ", within_s=seconds * 4.0))
        ends = len(re.findall(r"\[", short.says())) - 1
        print(f"{rate:,} short connections a second for {seconds} s: {ends:,} ends of sockets")
        print(f"  agent, idle                {idle * 100:6.2f} % of a core, {resident_mib:.0f} MiB RSS")
        print(f"  agent, all of it           {share * 100:6.2f} % of a core, {_resident_mib(agent):.0f} MiB RSS")
        if rate == 1_000:
            verdict = "met" if share <= TARGET_SHARE else "NOT met"
            print(f"  expected: at most {TARGET_SHARE * 100:.0f} %; {verdict}")


def _share(agent: Program, work: Callable[[], object]) -> float:
    began_s, used_s = time.monotonic(), _cpu_s(agent)
    work()
    return (_cpu_s(agent) - used_s) / (time.monotonic() - began_s)


def _cpu_s(agent: Program) -> float:
    """utime and stime, proc(5)."""
    fields = Path(f"/proc/{agent.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(agent: Program) -> float:
    return int(Path(f"/proc/{agent.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main())
