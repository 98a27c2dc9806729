"""How quick the command line is: `python -m bench.cli` (or `make bench-cli`).

A real collector, with a fleet that the collector's own storage has filled: a hundred hosts, a million sockets, of
which one host has a page, one a hundredth, and one nine hundredths. Then

    1. runs of the program beside bare Python (`-c pass`) and beside importing gRPC and Typer, in turns, each from its
       start to its end; a bar is a ratio of medians of wall clock, and CPU stands beside it;
    2. 10,000 rows beside a page of 100, in turns;
    3. 10,000 rows, 100,000 and all there are as lines: the most memory that program and collector held meanwhile;
    4. what a connection takes until its first answer, over the admin socket and over mutual TLS with a host's
       certificate, measured inside a process that has loaded gRPC already.

Every row is run by one Python, this one. `--server` and `--config-home` ask another collector as well, such as one over
the network: what `fleetnet login` has put down is found where they say.
"""

import argparse
import asyncio
import json
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

from bench.fleet import identities
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

# What it takes to connect and be answered: that there is no such method, which is for the other end to say.
_CONNECTS: Final = """
import json, sys, time
from pathlib import Path
import grpc
target, identity = sys.argv[1:]
wall_s, cpu_s = time.perf_counter(), time.process_time()
if identity:
    kept = json.loads(Path(identity).read_text())
    pem = [kept[name].encode() for name in ("ca", "key", "certificate")]
    channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(*pem))
else:
    channel = grpc.insecure_channel(target)
try:
    channel.unary_unary("/nothing/Nothing")(b"", timeout=60)
except grpc.RpcError as error:
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error
print(time.perf_counter() - wall_s, time.process_time() - cpu_s)
"""


@dataclass(frozen=True, slots=True)
class Row:
    """Something that is run, and what its median may be at most, beside that of another row."""

    name: str
    command: list[str]
    beside: str = ""
    limit: float = 0.0
    environment: Mapping[str, str] | None = None  # None: that of all


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
            wall_s, cpu_s = _run(row.command, row.environment or told)
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


def _rows(server: str, options: argparse.Namespace) -> Iterator[Row]:
    fleetnet = console_script("fleetnet")
    asks = [fleetnet, "who-listens", "443", "--max-age", _LONGER]
    yield Row(_BARE, [sys.executable, "-c", "pass"])
    yield Row(_LIBRARIES, [sys.executable, "-c", "import grpc, typer"])
    yield Row("--version", [fleetnet, "--version"], _BARE, 5)
    yield Row("--help", [fleetnet, "--help"], _BARE, 12)
    yield Row("who-listens 443, admin socket", [*asks, "--server", server], _LIBRARIES, 1.6)
    if options.server:
        home = {**os.environ, **({"XDG_CONFIG_HOME": options.config_home} if options.config_home else {})}
        yield Row(f"who-listens 443, {options.server}", [*asks, "--server", options.server], _LIBRARIES, 1.6, home)


def start(server: str, told: Mapping[str, str], options: argparse.Namespace) -> Iterator[Bar]:
    """From the start of the program to its end."""
    rows = list(_rows(server, options))
    took = in_turns(rows, options.runs, told)
    for row in rows:
        cpu_s = statistics.median(took[row.name].cpu_s)
        print(f"  {row.name:<34} {took[row.name].median_s * 1000:7.1f} ms, CPU {cpu_s * 1000:6.1f} ms", flush=True)
    for row in rows:
        if row.beside:
            ratio = took[row.name].median_s / took[row.beside].median_s
            yield Bar(f"{row.name} to {row.beside}", row.limit, ratio, "times")


def connections(fleet: Fleet, directory: Path, runs: int) -> None:
    """Prints what is left of a question that is asked over the network, once that can be."""
    ca_pem = (fleet.data / "ca.pem").read_bytes()
    [joined] = identities.join(["connects"], fleet.admin_socket, fleet.enroll_address, ca_pem)
    kept = directory / "identity"
    kept.touch(mode=0o600)
    kept.write_text(json.dumps(joined))
    ways = {
        "admin socket": (f"unix:{fleet.admin_socket}", ""),
        "mutual TLS": (fleet.report_address, str(kept)),
    }
    took = {way: Took() for way in ways}
    for _ in range(runs):
        for way, where in ways.items():
            done = subprocess.run([sys.executable, "-c", _CONNECTS, *where], capture_output=True, text=True, check=True)
            wall_s, cpu_s = map(float, done.stdout.split())
            took[way].wall_s.append(wall_s)
            took[way].cpu_s.append(cpu_s)
    for way, one in took.items():
        cpu_ms = statistics.median(one.cpu_s) * 1000
        print(f"  connected and answered, {way:<12} {one.median_s * 1000:7.1f} ms, CPU {cpu_ms:6.1f} ms", flush=True)


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
        told = environment(Path(directory)) | {"PYTHONDONTWRITEBYTECODE": ""}
        with Programs(Path(directory), told) as programs:
            fleet = Fleet(Path(directory), programs)
            _filled(fleet, options)
            server = f"unix://{fleet.admin_socket}"
            bars = list(start(server, told, options))
            bars += beside_a_page(server, told, max(1, options.runs // 3), options.sockets // _A_HUNDREDTH)
            bars += as_lines(server, fleet.collector.pid)
            connections(fleet, Path(directory), options.runs)  # makes a host that nobody has heard of
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
    parser.add_argument("--server", default="", metavar="ADDRESS", help="ask this collector, too")
    parser.add_argument("--config-home", default="", metavar="DIR", help="in place of ~/.config, for --server")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
