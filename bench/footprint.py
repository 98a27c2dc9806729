"""The part of `bench.agent` that leaves the agent alone: its share of a core and its memory among 10,000 sockets.

The agent reports over TLS to a collector on another host, with its helper and the kernel's events, for ten minutes; at
this size it looks at everything every five seconds. A tenth of the sockets was in TIME_WAIT at first. TRICKLE short
connections come and go in every second. Memory is sampled once in EVERY_S; it is flat if the median of the last
quarter is at most FLAT_MIB above that of the second.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.measures import Bar, children, cpu_s, hand_over, resident_mib
from demo.fabric import Fabric, Host
from demo.fleet import Fleet, environment
from demo.programs import Program, Programs

SOCKETS = 10_000
TRICKLE = 10  # connections a second
SHARE, AGENT_MIB, HELPER_MIB, FLAT_MIB = 0.01, 45.0, 16.0, 0.5
EVERY_S = 5.0
_SETTLE_S = 15.0
_ROOT = Path(__file__).resolve().parents[1]
_COMPILED = [str(_ROOT / package) for package in ("agent", "proto")]


@dataclass(slots=True)
class Memory:
    """Samples of one process, MiB."""

    rss: list[float] = field(default_factory=list)
    pss: list[float] = field(default_factory=list)

    def sample(self, pid: int) -> None:
        """One more."""
        rss, pss = resident_mib(pid)
        self.rss.append(rss)
        self.pss.append(pss)

    @property
    def growth(self) -> float:
        """From the second quarter to the last."""
        quarter = max(1, len(self.rss) // 4)
        return statistics.median(self.rss[-quarter:]) - statistics.median(self.rss[quarter : 2 * quarter])


def main() -> int:
    """Measure, and hand over."""
    parser = argparse.ArgumentParser(prog="python -m bench.footprint", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="fn-bench-") as directory:
        _measure(Path(directory), minutes)
    return 0


def _measure(directory: Path, minutes: float) -> None:
    told = {**environment(directory), "PYTHONPATH": str(_ROOT)}
    with Fabric() as fabric, Programs(directory, told) as programs:
        host, caller = fabric.add_host("still"), fabric.add_host("caller")
        # As pip leaves an installation; to compile at each start would take memory that is not given back.
        subprocess.run([sys.executable, "-m", "compileall", "-q", *_COMPILED], check=True)
        fleet = Fleet(directory, programs, fabric.add_host("collector"))
        fleet.start_collector()
        fleet.enroll("still", fleet.place)
        _populate(programs, host)
        agent = fleet.start_agent("still", host)
        fleet.wait_until_fresh("still")
        _trickle(programs, host, caller, directory, minutes)
        time.sleep(_SETTLE_S)
        (helper,) = children(agent.pid)
        _watch(agent, helper, minutes)


def _populate(programs: Programs, host: Host) -> None:
    holders = [
        programs.start(f"holder{number}", host.command(sys.executable, "-m", "bench.population")) for number in range(2)
    ]
    for order, count in (("hold", SOCKETS * 9 // 10), ("time-wait", SOCKETS // 10)):
        for holder in holders:
            before = holder.says().count("done")
            holder.tell(f"{order} {count // len(holders)}")
            holder.wait_for("(?s)" + "done.*" * (before + 1), within_s=60)


def _trickle(programs: Programs, host: Host, caller: Host, directory: Path, minutes: float) -> None:
    serve = [sys.executable, "-m", "bench.short", "serve", host.address, str(directory / "ledger")]
    programs.start("serve", host.command(*serve)).wait_for("^ready")
    seconds = int(minutes * 60 + _SETTLE_S + 60)
    call = [sys.executable, "-m", "bench.short", "call", host.address, str(TRICKLE), str(seconds)]
    programs.start("call", caller.command(*call))


def _watch(agent: Program, helper: int, minutes: float) -> None:
    memories = {agent.pid: Memory(), helper: Memory()}
    began_s, used_s = time.monotonic(), {pid: cpu_s(pid) for pid in memories}
    while time.monotonic() < began_s + minutes * 60:
        time.sleep(EVERY_S)
        for pid, memory in memories.items():
            memory.sample(pid)
    took_s = time.monotonic() - began_s
    shares = {pid: (cpu_s(pid) - used_s[pid]) / took_s for pid in memories}
    for name, pid in (("agent", agent.pid), ("helper", helper)):
        pss = statistics.median(memories[pid].pss)
        print(f"    {name}: {shares[pid]:.2%} of a core, {max(memories[pid].rss):.1f} MiB RSS, {pss:.1f} MiB PSS")
    of = f"{SOCKETS:,} sockets, {minutes:g} min"
    hand_over(
        [
            Bar(f"{of}: agent and helper, of a core", SHARE * 100, sum(shares.values()) * 100, "%"),
            Bar(f"{of}: agent, most RSS", AGENT_MIB, max(memories[agent.pid].rss), "MiB"),
            Bar(f"{of}: helper, most RSS", HELPER_MIB, max(memories[helper].rss), "MiB"),
            Bar(f"{of}: growth of the agent", FLAT_MIB, memories[agent.pid].growth, "MiB"),
            Bar(f"{of}: growth of the helper", FLAT_MIB, memories[helper].growth, "MiB"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
