"""One process of simulated agents, started and told what to do: see `agents.py` for the orders."""

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]


class Process:
    """One process of simulated agents."""

    def __init__(self, file: Path, report: str, seed: int, agents: int) -> None:
        self.agents = agents
        command = [sys.executable, "-m", "bench.fleet.agents", "--identities", str(file), "--report", report]
        self._process = subprocess.Popen(
            [*command, "--seed", str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT
        )
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
        self._process.kill()
        self._process.wait()
