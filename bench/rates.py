"""The part of `bench.agent` that makes short connections: what of them is in history, and what they cost the agent.

Counted are connections, each of which has one end on the host: the caller is on another. See `short.py` for how they
end. CPU is that of the agent and its helper together from the first connection until SETTLED_S after the last, as a
share of the time in which connections were made.
"""

import argparse
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.measures import Bar, children, cpu_s, hand_over, resident_mib
from bench.short import LINE, PORTS
from demo.fabric import Fabric, Host
from demo.fleet import Fleet, environment
from demo.programs import Program, Programs, until

RATES = {1_000: 0.05, 5_000: None, 10_000: 0.25}
RECORDED = 0.9999
SECONDS, QUICK_SECONDS = 20, 5
SETTLED_S = 6.0
_ROOT = Path(__file__).resolve().parents[1]
_MARKER = 9_999
_LISTEN = f"import socket; one = socket.create_server(('', {_MARKER})); print('ready', flush=True); input()"
_IDLE_SHARE = 0.03
_CATCH_UP_S = 180.0

Addresses = tuple[bytes, int, int]


def main() -> int:
    """Measure, and hand over."""
    parser = argparse.ArgumentParser(prog="python -m bench.rates", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rates", type=int, nargs="+", default=list(RATES))
    options = parser.parse_args()
    for rate in options.rates:
        with tempfile.TemporaryDirectory(prefix="fn-bench-") as directory:
            _measure(Path(directory), rate, QUICK_SECONDS if options.quick else SECONDS)
    return 0


def _measure(directory: Path, rate: int, seconds: int) -> None:
    told = {**environment(directory), "PYTHONPATH": str(_ROOT)}
    with Fabric() as fabric, Programs(directory, told) as programs:
        host, caller = fabric.add_host("busy"), fabric.add_host("caller")
        caller.run("sh", "-c", "echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range")
        fleet = Fleet(directory, programs, fabric.add_host("collector"))
        fleet.start_collector()
        fleet.enroll("busy", fleet.place)
        agent = fleet.start_agent("busy", host)
        fleet.wait_until_fresh("busy")
        ledger = directory / "ledger"
        served = programs.start("serve", _short(host, "serve", host.address, str(ledger)))
        served.wait_for("^ready")
        time.sleep(3)  # until the listeners are known
        collector_s = cpu_s(fleet.collector.pid)
        shares = _shares(programs, caller, host, agent, rate, seconds)
        memory = resident_mib(agent.pid)[0]
        _wait_until_told(programs, host, fleet)
        _wait_until_idle(agent, fleet.collector)
        collector_s = cpu_s(fleet.collector.pid) - collector_s
        served.tell("")
        served.wait_for("^done", within_s=30)
        agent.stop()
        fleet.collector.stop()
        made = Counter(LINE.iter_unpack(ledger.read_bytes()))
        _report(rate, made, _found(fleet.data / "fleetnet.db"), sum(shares))
        split = ", ".join(f"{share:.1%}" for share in (*shares, collector_s / seconds))
        print(f"    agent, helper, collector: {split} of a core; agent {memory:.0f} MiB RSS after it", flush=True)


def _short(place: Host, *arguments: str) -> list[str]:
    return place.command(sys.executable, "-m", "bench.short", *arguments)


def _shares(programs: Programs, caller: Host, host: Host, agent: Program, rate: int, seconds: int) -> list[float]:
    """CPU of the agent, and of its helper."""
    pids = [agent.pid, *children(agent.pid)]
    used_s = [cpu_s(pid) for pid in pids]
    calling = programs.start("call", _short(caller, "call", host.address, str(rate), str(seconds)))
    took_s = float(calling.wait_for(r"^called in ([\d.]+) s", within_s=seconds * 5)[1])
    if took_s > seconds * 1.05:
        print(f"    only {rate * seconds / took_s:,.0f} connections a second came about, not {rate:,}")
    time.sleep(SETTLED_S)
    return [(cpu_s(pid) - before_s) / took_s for pid, before_s in zip(pids, used_s, strict=True)]


def _wait_until_told(programs: Programs, host: Host, fleet: Fleet) -> None:
    """An agent that is over its budget looks every 30 s. What it shows with a listener that is opened now is all that
    was before it."""
    programs.start("marker", host.command(sys.executable, "-c", _LISTEN)).wait_for("^ready")

    def told() -> bool:
        time.sleep(1)
        return bool(fleet.ask("who-listens", str(_MARKER), "-o", "json").items)

    until(told, within_s=_CATCH_UP_S, what="the look after the last connection")


def _wait_until_idle(*programs: Program) -> None:
    def idle() -> bool:
        used_s = sum(cpu_s(program.pid) for program in programs)
        time.sleep(2)
        return sum(cpu_s(program.pid) for program in programs) - used_s < 2 * _IDLE_SHARE * len(programs)

    until(idle, within_s=_CATCH_UP_S, what="the collector's rest")


def _found(database: Path) -> Counter[Addresses]:
    """The connections in history: each socket once, however many intervals it has."""
    places = ", ".join("?" * len(PORTS))
    question = (
        "SELECT DISTINCT socket_id, remote_address, remote_port, local_port FROM {} "
        f"WHERE local_port IN ({places}) AND state <> 10 AND length(remote_address) = 4"
    )
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as opened:
        rows = {row for table in ("history", "current") for row in opened.execute(question.format(table), list(PORTS))}
        gaps = opened.execute("SELECT reason FROM gaps").fetchall()
    for (reason,) in gaps:
        print(f"    gap: {reason}")
    return Counter(row[1:] for row in rows)


def _report(rate: int, made: Counter[Addresses], found: Counter[Addresses], share: float) -> None:
    of = f"{rate:,} short connections a second"
    recorded = (made & found).total() / made.total()
    twice = (found - made).total()
    bars = [
        Bar(f"{of}: recorded with their addresses", RECORDED, recorded, at_least=True),
        Bar(f"{of}: recorded twice, or never made", 0, twice),
    ]
    limit = RATES.get(rate)
    if limit is None:
        print(f"    {of}: agent and helper {share:.1%} of a core (no bar)")
    else:
        bars.append(Bar(f"{of}: agent and helper, of a core", limit * 100, share * 100, "%"))
    hand_over(bars)


if __name__ == "__main__":
    sys.exit(main())
