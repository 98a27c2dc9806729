"""The CA of a fleet makes way for another, while all its hosts report: nobody is lost, and history has no gap.

    make bench-rotation      200 simulated agents with real streams and certificates

The collector and the commands are those that an operator types; see docs/rotation.md.
"""

import argparse
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from bench.fleet import identities
from bench.fleet.processes import Process, raise_file_limit
from bench.measures import Bar
from demo.fleet import Fleet, console_script, environment
from demo.programs import Programs, until

_ROOT: Final = Path(__file__).resolve().parents[2]
_LATE_S: Final = 240.0
_STEPS: Final = ("", "--finish", "--retire")
_PEACE: Final = "the agent ended it"


class Rotation:
    """One run."""

    def __init__(self, options: argparse.Namespace, fleet: Fleet, directory: Path) -> None:
        self._options = options
        self._fleet = fleet
        self._directory = directory
        self._process: Process | None = None
        self._took_s: list[float] = []
        self._least_connected = options.agents

    def run(self) -> list[Bar]:
        """All of it."""
        try:
            self._gather()
            for step in _STEPS:
                self._take(step)
            until(self._all_have_the_new_one_alone, within_s=_LATE_S, what="the last renewal")
            return self._judge(self._tell("stop"))
        finally:
            if self._process is not None:
                self._process.end()

    def _gather(self) -> None:
        options, fleet = self._options, self._fleet
        fleet.start_collector()
        names = [f"host{number:05}" for number in range(options.agents)]
        ca_pem = (fleet.data / "ca.pem").read_bytes()
        file = self._directory / "identities"
        identities.write(list(identities.join(names, fleet.admin_socket, fleet.enroll_address, ca_pem)), file)
        self._process = Process("bench.fleet.renewing", file, fleet.report_address, options.seed, options.agents)
        self._tell("connect 100")
        self._tell(f"change {options.change_every_s}")

    def _take(self, step: str) -> None:
        """Say it until it is done, as whoever waits for the last host does."""
        began_s = time.monotonic()
        until(lambda: self._said(step), within_s=_LATE_S, what=f"`ca rotate {step}`")
        self._took_s.append(time.monotonic() - began_s)

    def _said(self, step: str) -> bool:
        self._least_connected = min(self._least_connected, int(self._tell("stand")["connected"]))
        command = [
            *(console_script("fleetnet-server"), "ca", "rotate", "--data", str(self._fleet.data)),
            *("--admin-socket", str(self._fleet.admin_socket), *step.split()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LATE_S)
        if done.returncode and "left behind" not in done.stderr:
            raise SystemExit(done.stderr)
        return done.returncode == 0

    def _all_have_the_new_one_alone(self) -> bool:
        agents: int = self._options.agents
        return self._count("certificates WHERE kind = 'host' AND shown AND trusts = issuer") == agents

    def _count(self, rows: str) -> int:
        with closing(sqlite3.connect(f"file:{self._fleet.data}/fleetnet.db?mode=ro", uri=True)) as database:
            [(many,)] = database.execute(f"SELECT count(*) FROM {rows}").fetchall()  # our own words
        return int(many)

    def _tell(self, order: str) -> dict[str, Any]:
        assert self._process is not None
        self._process.tell(order)
        return self._process.answer(_LATE_S)

    def _judge(self, told: dict[str, Any]) -> list[Bar]:
        agents, log = self._options.agents, self._fleet.collector.says()
        unlike = abs(told["open"] - self._count("current")) + abs(told["changes"] - self._count("history"))
        ended = re.findall(r'event="stream closed".*?reason="?([^"\n]*)', log)
        print(f"  begun, finished, retired after {', '.join(f'{one:.1f}' for one in self._took_s)} s")
        print(f"  fewest connected at a look: {self._least_connected} of {agents}; all others were on their way back")
        return [
            Bar("longest that a host was without its stream", 5, float(told["away_s"]), "s"),
            Bar("hosts lost", 0, agents - int(told["connected"])),
            Bar("CAs trusted at the end, more than one", 0, self._count("authorities") - 1),
            Bar("streams that were not ended by their own agent", 0, len(ended) - ended.count(_PEACE)),
            Bar("peers refused", 0, len(re.findall('event="peer refused"', log))),
            Bar("gaps in history", 0, self._count("gaps")),
            Bar("sockets too many or too few in history", 0, unlike),
        ]


def measure(options: argparse.Namespace, directory: Path) -> list[Bar]:
    """A fleet of its own in a directory of its own."""
    with Programs(directory, {**environment(directory), "PYTHONPATH": str(_ROOT)}) as programs:
        return Rotation(options, Fleet(directory, programs), directory).run()


def options_for(arguments: list[str]) -> argparse.Namespace:
    """From a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.fleet.rotation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--change-every-s", type=float, default=1.0, help="how often each agent has something to tell")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main() -> int:
    """Measure, print, and say what did not hold; a bench reports and does not judge, so 0 in any case."""
    options = options_for(sys.argv[1:])
    raise_file_limit()
    print(f"{options.agents:,} agents, {os.cpu_count()} cores, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fn-rotation-") as directory:
        for bar in measure(options, Path(directory)):
            print(bar.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
