"""A process that a bench has started and tells what to do: an order a line on its stdin, an answer a line of JSON."""

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]


class Ordered:
    """One such process, once it has said that it is ready."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT)
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
            raise SystemExit(f"a process of {self._module} has ended, or did not do what it was told in time")
        told: dict[str, Any] = json.loads(line)
        return told

    def end(self) -> None:
        with self._process:  # which closes the pipes
            self._process.kill()
