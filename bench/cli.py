"""How quick the command line is: `python -m bench.cli` (or `make bench-cli`).

A real collector, with a fleet that the collector's own storage has filled: a hundred hosts, a million sockets, of
which one host has a page, one a hundredth, and one nine hundredths. Then

    1. runs of the program beside bare Python (`-c pass`) and beside importing gRPC and Typer, in turns, each from its
       start to its end; a bar is a ratio of medians of wall clock, and CPU stands beside it;
    2. 10,000 rows beside a page of 100, in turns;
    3. 10,000 rows, 100,000 and all there are as lines: the most memory that program and collector held meanwhile.

Questions of the first kind go over the admin socket, and over mutual TLS on loopback, as somebody who has logged in.
Every row is run by one Python, this one.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cli.long_answers import PAGE_ITEMS, ran
from fleetnet_server.storage.database import Database

from bench.fleet.population import now_us
from bench.measures import Bar
from bench.storage import fill
from demo.fleet import Fleet, console_script, environment
from demo.programs import Programs

_BARE: Final = "bare Python"
_LIBRARIES: Final = "importing gRPC and Typer"
_LONGER: Final = "1d"  # hosts were heard as the database was filled
_A_HUNDREDTH: Final = 100
_RESET_PEAK: Final = "5"  # proc(5), clear_refs
# Hosts whose number of sockets is asked for, beside others that share what is left of them.
_PAGE, _MANY, _NINE_TIMES_AS_MANY = 3, 4, 5
_OF_A_PAGE, _OF_MANY = ("--host", f"host{_PAGE:05}"), ("--host", f"host{_MANY:05}")
_OF_TEN_TIMES_AS_MANY: Final = ("--host", f"host0000[{_MANY}{_NINE_TIMES_AS_MANY}]")
_ALL_THERE_ARE: Final = ("who-holds", "ESTAB", "CLOSE_WAIT", "LISTEN", "--max-age", _LONGER)


@dataclass(frozen=True, slots=True)
class Row:
    """Something that is run, and what its median may be at most, beside that of another row."""

    name: str
    command: list[str]
    beside: str = ""
    limit: float = 0.0


@dataclass(slots=True)
class Took:
    """Seconds of each run."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return statistics.median(self.wall_s)


def in_turns(rows: list[Row], runs: int, told: Mapping[str, str]) -> dict[str, Took]:
    """Each row so many times, one after another; once more before that, so that what is compiled and cached is."""
    took = {row.name: Took() for row in rows}
    for number in range(runs + 1):
        for row in rows:
            wall_s, cpu_s = _run(row.command, told)
            if number:
                took[row.name].wall_s.append(wall_s)
                took[row.name].cpu_s.append(cpu_s)
    return took


def _run(command: list[str], told: Mapping[str, str]) -> tuple[float, float]:
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        streams = [(os.POSIX_SPAWN_DUP2, nowhere, number) for number in (0, 1, 2)]
        began_s = time.perf_counter()
        pid = os.posix_spawn(command[0], command, told, file_actions=streams)
        _, status, used = os.wait4(pid, 0)
        wall_s = time.perf_counter() - began_s
    finally:
        os.close(nowhere)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}; run it to see why")
    return wall_s, used.ru_utime + used.ru_stime


def _rows(servers: Mapping[str, str]) -> Iterator[Row]:
    fleetnet = console_script("fleetnet")
    yield Row(_BARE, [sys.executable, "-c", "pass"])
    yield Row(_LIBRARIES, [sys.executable, "-c", "import grpc, typer"])
    yield Row("--version", [fleetnet, "--version"], _BARE, 5)
    yield Row("--help", [fleetnet, "--help"], _BARE, 12)
    for way, server in servers.items():
        asks = [fleetnet, "who-listens", "443", "--max-age", _LONGER, "--server", server]
        yield Row(f"who-listens 443, {way}", asks, _LIBRARIES, 1.6)


def start(servers: Mapping[str, str], told: Mapping[str, str], runs: int) -> Iterator[Bar]:
    """From the start of the program to its end."""
    rows = list(_rows(servers))
    took = in_turns(rows, runs, told)
    for row in rows:
        cpu_s = statistics.median(took[row.name].cpu_s)
        print(f"  {row.name:<34} {took[row.name].median_s * 1000:7.1f} ms, CPU {cpu_s * 1000:6.1f} ms", flush=True)
    for row in rows:
        if row.beside:
            ratio = took[row.name].median_s / took[row.beside].median_s
            yield Bar(f"{row.name} to {row.beside}", row.limit, ratio, "times")


def log_in(fleet: Fleet, directory: Path, told: Mapping[str, str]) -> None:
    """Let whoever runs this ask over the network."""
    token = directory / "token"
    token.touch(mode=0o600)
    asked = [console_script("fleetnet"), "token", "create", "--person", "bench", "-q"]
    made = subprocess.run(
        [*asked, "--server", f"unix://{fleet.admin_socket}"], env=told, check=True, stdout=subprocess.PIPE
    )
    token.write_bytes(made.stdout)
    login = [console_script("fleetnet"), "login", "--server", fleet.enroll_address, "--token-file", str(token)]
    subprocess.run(login, env=told, check=True, stderr=subprocess.DEVNULL)


def beside_a_page(server: str, told: Mapping[str, str], runs: int, of: int) -> Iterator[Bar]:
    """Many rows beside the first page, each by the program from its start to its end."""
    for output in ("table", "json"):
        asks = [console_script("fleetnet"), *_ALL_THERE_ARE, "-o", output, "--server", server]
        rows = [Row(" ".join(hosts), [*asks, *hosts]) for hosts in (_OF_A_PAGE, _OF_MANY)]
        page, many = in_turns(rows, runs, told).values()
        print(
            f"  {output:<6} {page.median_s * 1000:6.0f} ms a page of {PAGE_ITEMS}, {many.median_s * 1000:.0f} ms 10,000"
        )
        yield Bar(f"10,000 rows as {output} to a page of {PAGE_ITEMS}", 3, many.median_s / page.median_s, "times")


def as_lines(server: str, collector: int) -> Iterator[Bar]:
    """Ever more rows: what program and collector held of them at most."""
    held: list[tuple[float, float]] = []
    for hosts in (_OF_MANY, _OF_TEN_TIMES_AS_MANY, ()):
        Path(f"/proc/{collector}/clear_refs").write_text(_RESET_PEAK)
        took = ran(*_ALL_THERE_ARE, *hosts, "-o", "ndjson", "--server", server)
        program_mib, collector_mib = took.most_held_kb / 1024, _peak_mib(collector)
        held.append((program_mib, collector_mib))
        print(
            f"  {took.lines - 2:>9,} rows as ndjson: first line after {took.first_line_s * 1000:.0f} ms, all in "
            f"{took.taken_s:.1f} s; at most {program_mib:.0f} MiB in the program, {collector_mib:.0f} in the collector",
            flush=True,
        )
    for who, (few, _, all_mib) in zip(("program", "collector"), zip(*held, strict=True), strict=True):
        yield Bar(f"memory of the {who}, all rows beyond a hundredth of them", 12, all_mib - few, "MiB")


def _peak_mib(pid: int) -> float:
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024


async def _fill(url: str, options: argparse.Namespace) -> None:
    hundredth = options.sockets // _A_HUNDREDTH
    sizes = {_PAGE: PAGE_ITEMS, _MANY: hundredth, _NINE_TIMES_AS_MANY: 9 * hundredth}
    rest = (options.sockets - sum(sizes.values())) // (options.hosts - len(sizes))
    db = Database.open(url)
    try:
        for number in range(options.hosts):
            amounts = fill.Amounts(options.hosts, sizes.get(number, rest), past_each=0, days=30.0)
            await db.write(fill.Filler(amounts, now_us(), options.seed + number).host, number)
    finally:
        await db.close()


def _filled(fleet: Fleet, options: argparse.Namespace) -> None:
    """A collector makes its database, and serves it once it is full."""
    fleet.start_collector()
    fleet.collector.stop()
    began_s = time.monotonic()
    asyncio.run(_fill(f"sqlite:///{fleet.data}/fleetnet.db", options))
    fleet.start_collector()
    print(
        f"{options.hosts:,} hosts, {options.sockets:,} sockets (made in {time.monotonic() - began_s:.0f} s), "
        f"{os.cpu_count()} cores; each row {options.runs} times, by {sys.executable}",
        flush=True,
    )


def main() -> int:
    """Measure, print, and say what did not hold; a bench reports and does not judge, so 0 in any case."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="fn-bench-") as directory:
        told = environment(Path(directory)) | {"PYTHONDONTWRITEBYTECODE": "", "XDG_CONFIG_HOME": f"{directory}/config"}
        with Programs(Path(directory), told) as programs:
            fleet = Fleet(Path(directory), programs)
            _filled(fleet, options)
            server = f"unix://{fleet.admin_socket}"
            log_in(fleet, Path(directory), told)
            ways = {"admin socket": server, "mutual TLS": fleet.report_address}
            bars = list(start(ways, told, options.runs))
            bars += beside_a_page(server, told, max(1, options.runs // 3), options.sockets // _A_HUNDREDTH)
            bars += as_lines(server, fleet.collector.pid)
    for bar in bars:
        print(bar.line())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cli", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--sockets", type=int, default=1_000_000, help="of all hosts together (default 1,000,000)")
    parser.add_argument("--runs", type=int, default=30, help="of each row (default 30)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
