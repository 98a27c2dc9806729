"""Programs that are started here and ended here: each with a log file, a session of its own and a deadline.

What must stay true: whatever was started is ended by its own process id, TERM first and KILL for what does not
listen, and its children with it (a program leads a session, so its group holds exactly what it started itself). A
program does not outlive the process that started it, even one that is killed.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from demo import interrupts

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_POLL_S = 0.02
_STOP_S = 5.0

T = TypeVar("T")


class FailedError(Exception):
    """What was to happen did not: one sentence, and the tail of the log that tells why where there is one."""

    def __init__(self, sentence: str, log: str = "") -> None:
        super().__init__(sentence)
        self.log = log
        if log:
            self.add_note(log)  # so that a traceback has it


def until(attempt: Callable[[], T | None], *, within_s: float, what: str) -> T:
    """Try again until something is returned that is neither None nor False; FailedError says `what` did not come."""
    deadline = time.monotonic() + within_s
    while True:
        late = time.monotonic() > deadline
        result = attempt()
        if result is not None and result is not False:
            return result
        if late:
            raise FailedError(f"{what} did not come within {within_s:g} s")
        time.sleep(_POLL_S)


class Program:
    """One running program and its log (what it writes to stdout and stderr)."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._started_at_byte = output.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    @property
    def pid(self) -> int:
        """Process id, the same inside and outside of a network namespace."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """True until it ends."""
        return self._process.poll() is None

    def says(self) -> str:
        """What it has written since it was started."""
        with self.log.open("rb") as written:
            written.seek(self._started_at_byte)
            return written.read().decode(errors="replace")

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def wait_for(self, pattern: str, *, within_s: float = 30.0) -> re.Match[str]:
        """Wait until what it writes matches."""

        def look() -> re.Match[str] | None:
            ended = not self.running
            if found := re.search(pattern, self.says(), re.MULTILINE):
                return found
            if ended:
                raise FailedError(f"{self.name} ended with status {self._process.returncode}", self.tail())
            return None

        try:
            return until(look, within_s=within_s, what=f"{pattern!r} from {self.name}")
        except FailedError as failure:
            raise FailedError(str(failure), failure.log or self.tail()) from None

    def wait(self, *, within_s: float = 30.0) -> int:
        """Wait until it ends; its exit status."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise FailedError(f"{self.name} did not end within {within_s:g} s", self.tail()) from None

    def succeed(self, *, within_s: float = 60.0) -> None:
        """Wait until it ends, with status 0."""
        status = self.wait(within_s=within_s)
        if status != 0:
            raise FailedError(f"{self.name} ended with status {status}", self.tail())

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self.says().splitlines()[-lines:])

    def kill(self) -> None:
        """End it and its children at once, as a power cut would."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._close_input()

    def stop(self) -> None:
        """End it and its children, politely if that works."""
        self._close_input()
        if self.running:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
        # The group goes on after its leader while a child lives, and its number is not given to another till then.
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()


def _end_with_parent() -> None:
    """In the child: should we be killed ourselves, and end nothing any more, the kernel does."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Programs:
    """All programs of one run; leaving it ends them, the last started first."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self.environment = dict(environment)
        self._started: list[Program] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Program:
        """Start a program; its log is NAME.log, added to when the name was used before."""
        with interrupts.held():
            told = {**self.environment, **(environment or {})}
            program = Program(name, command, self.directory / f"{name}.log", told)
            self._started.append(program)
        return program

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], *, within_s: float
    ) -> "subprocess.CompletedProcess[str]":
        """One that ends by itself and hears nothing, and all that it says. Raises subprocess.TimeoutExpired."""
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**self.environment, **environment},
            timeout=within_s,
            check=False,
        )

    def stop_all(self) -> None:
        """End everything."""
        while self._started:
            self._started.pop().stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()
