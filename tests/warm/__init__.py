"""Our console scripts, started quickly: a process is the fork of one that has loaded the script's libraries.

To load them takes a collector some two seconds of a processor and the command line more than half of one, which was
most of what the tests cost. What is forked has done nothing but load: it has one thread and no connection, and is told
arguments, environment, folder and descriptors. From there on it is the process that the script would have been: it has
a process id of its own, calls the script's `main`, and ends as Python ends.

What is not so: its command line in /proc is another, it shares memory with others, and what the environment says to
Python itself (PYTHONPATH) or to a module that is loaded (failpoints) comes too late. Whoever is about one of these, or
about how a program starts, starts the script itself.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from warm.forking import NUMBER

_FORKING = Path(__file__).with_name("forking.py")
# What is loaded knows nothing of what a test says to the programs that it starts.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("FLEETNET_")}
_ENDS_S = 60.0


class Process:
    """One that was forked; what of `subprocess.Popen` the tests use."""

    def __init__(self, arguments: Sequence[str], link: socket.socket, stdout: IO[str] | None) -> None:
        self.args = list(arguments)
        self.stdout = stdout
        self.returncode: int | Any = None  # as subprocess has it
        self._link = link  # to whom it was forked from: its id and a descriptor for it, and in the end its status
        self._ending = threading.Lock()
        told, [self._pidfd], _, _ = socket.recv_fds(link, NUMBER.size, 1)
        self.pid: int = NUMBER.unpack(told)[0]

    def poll(self) -> int | None:
        """Its status, negative for a signal, if it has ended."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """The same, once it has ended. Raises subprocess.TimeoutExpired."""
        status = self._ended(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def _ended(self, within_s: float | None) -> int | None:
        with self._ending:
            if self.returncode is None and select.select([self._link], [], [], within_s)[0]:
                told = self._link.recv(NUMBER.size)
                assert told, f"whoever forks {self.args[0]} has ended"
                self.returncode = NUMBER.unpack(told)[0]
                self._link.close()
                os.close(self._pidfd)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it says on its standard output until it ends, and nothing. Raises subprocess.TimeoutExpired."""
        began_s, said = time.monotonic(), b""
        while self.stdout is not None and not self.stdout.closed:
            left_s = None if timeout is None else max(0.0, began_s + timeout - time.monotonic())
            if not select.select([self.stdout], [], [], left_s)[0]:
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout, said)
            if not (more := os.read(self.stdout.fileno(), 1 << 16)):
                self.stdout.close()
            said += more
        self.wait(timeout)
        return said.decode(), ""

    def send_signal(self, number: int) -> None:
        """If it has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has, just now
                signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        """As systemd does."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """As the kernel's out-of-memory killer does."""
        self.send_signal(signal.SIGKILL)


class Script:
    """A console script that is loaded when it is needed first, and once in this process."""

    def __init__(self, name: str, main: str, loaded: Sequence[str]) -> None:
        """`main` is the module of its `main()`; `loaded` are those that its commands would load."""
        self.path = Path(sys.executable).parent / name
        self._command = [sys.executable, "-P", str(_FORKING), name, main, *loaded]
        self._starting = threading.Lock()
        self._forks: socket.socket | None = None  # to whom to ask

    def can_be_forked(self, environment: Mapping[str, str]) -> bool:
        """Whether the environment says nothing to Python itself that comes too late."""
        return environment.get("PYTHONPATH") == _ENVIRONMENT.get("PYTHONPATH")

    def start(
        self,
        arguments: Sequence[str],
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        *,
        environment: Mapping[str, str],
        folder: Path,
    ) -> Process:
        """A process of its own. Of the descriptors None is this process's own, and a pipe is one for `stdout`."""
        said = None
        with contextlib.ExitStack() as ours:
            if stdout == subprocess.PIPE:
                read, stdout = os.pipe()
                ours.callback(os.close, stdout)
                said = open(read)  # noqa: SIM115 - closed when all is read
            link, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(far.close)
            what = {"argv": [str(self.path), *arguments], "environment": dict(environment), "folder": str(folder)}
            standard = [own if fd is None else fd for own, fd in enumerate((stdin, stdout, stderr))]
            socket.send_fds(self._whom_to_ask(), [json.dumps(what).encode()], [*standard, far.fileno()])
        return Process([str(self.path), *arguments], link, said)

    def _whom_to_ask(self) -> socket.socket:
        with self._starting:
            if self._forks is None:
                self._forks, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                command = [*self._command, str(far.fileno())]
                self._process = subprocess.Popen(command, pass_fds=[far.fileno()], env=_ENVIRONMENT)
                far.close()
            return self._forks

    def end(self) -> None:
        """Forget it, and kill what was forked and has not ended."""
        if self._forks is not None:
            self._forks.close()
            self._process.wait(_ENDS_S)
            self._forks = None


SERVER = Script(
    "fleetnet-server",
    "fleetnet_server.main",
    [
        *("fleetnet_server.logs", "fleetnet_server.run.collector", "fleetnet_server.run.upkeep"),
        *("fleetnet_server.run.backup", "fleetnet_server.run.doctor", "fleetnet_server.run.ca"),
    ],
)
