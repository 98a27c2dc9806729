"""The processes that simulated agents live in: started here, told what to do line by line."""

import json
import resource
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]


def raise_file_limit() -> int:
    """Each agent has a socket; how many files may be open in one process now, and in those that it starts."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Process:
    """One of them. `module` is what it runs; see bench.fleet.agents for how it is spoken with."""

    def __init__(self, module: str, file: Path, report: str, seed: int, agents: int, *options: str) -> None:
        self.agents = agents
        command = [sys.executable, "-m", module, "--identities", str(file), "--report", report, "--seed", str(seed)]
        self._process = subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT)
        self.answer(60)

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(order.encode() + b"\n")
        self._process.stdin.flush()

    def answer(self, within_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], within_s)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            raise SystemExit("a process of simulated agents has ended, or did not do what it was told in time")
        told: dict[str, Any] = json.loads(line)
        return told

    def end(self) -> None:
        with self._process:  # which closes the pipes
            self._process.kill()
