"""Our console scripts, started quickly: a process is the fork of one that has loaded the script's libraries.

To load them takes a collector some two seconds of a processor and the command line more than half of one, which was
most of what the tests cost. What is forked has done nothing but load: it has one thread and no connection, and is told
arguments, environment, folder and descriptors. From there on it is the process that the script would have been: it has
a process id of its own, calls the script's `main`, and ends as Python ends.

What is not so: its command line in /proc is another, it shares memory with others, and what the environment says to
Python itself (a sitecustomize.py) or to a module that is loaded (failpoints) comes too late. Whoever is about one of
these, or about how a program starts, starts the script itself.
"""

import contextlib
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
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

    def __init__(
        self, arguments: Sequence[str], link: socket.socket, stdin: IO[bytes] | None, stdout: IO[str] | None
    ) -> None:
        self.args = list(arguments)
        self.stdin, self.stdout = stdin, stdout
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
        return said.decode().replace("\r\n", "\n"), ""  # as subprocess has text

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
        """Whether the environment says nothing that comes too late."""
        folders = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        return "FLEETNET_FAILPOINTS" not in environment and not any(
            Path(folder, "sitecustomize.py").exists() for folder in folders
        )

    def start(
        self,
        arguments: Sequence[str],
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        *,
        environment: Mapping[str, str],
        folder: Path | None = None,
        network: str = "",
        session: bool = False,
    ) -> Process:
        """A process of its own, in this folder, network namespace (its file) and, if so wished, session. Of the
        descriptors None is this process's own; `stdin` and `stdout` may be pipes, as subprocess has them."""
        said, heard = None, None
        with contextlib.ExitStack() as far:
            if stdout == subprocess.PIPE:
                read, stdout = os.pipe()
                far.callback(os.close, stdout)
                said = open(read)  # noqa: SIM115 - closed when all is read
            if stdin == subprocess.PIPE:
                stdin, write = os.pipe()
                far.callback(os.close, stdin)
                heard = open(write, "wb")  # noqa: SIM115 - closed by whoever has the process
            link, its_link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            far.callback(its_link.close)
            argv = [str(self.path), *arguments]
            what: dict[str, Any] = {"argv": argv, "environment": dict(environment), "folder": str(folder or Path.cwd())}
            what |= {"network": network, "session": session}
            standard = [own if fd is None else fd for own, fd in enumerate((stdin, stdout, stderr))]
            socket.send_fds(self._whom_to_ask(), [json.dumps(what).encode()], [*standard, its_link.fileno()])
        return Process(argv, link, heard, said)

    def run(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], timeout: float, network: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """One that ends by itself, and all that it says; it hears nothing. Raises subprocess.TimeoutExpired."""
        with open(os.devnull) as nothing, tempfile.TemporaryFile("w+") as errors:
            process = self.start(
                arguments,
                nothing.fileno(),
                subprocess.PIPE,
                errors.fileno(),
                environment=environment,
                network=network,
            )
            try:
                said, _ = process.communicate(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise
            errors.seek(0)
            return subprocess.CompletedProcess(process.args, process.returncode, said, errors.read())

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


def _all_of(package: str) -> list[str]:
    """All modules of it, none of which is loaded here."""
    found = importlib.util.find_spec(package)
    assert found is not None
    [folder] = map(Path, found.submodule_search_locations or ())
    files = (file.relative_to(folder) for file in sorted(folder.rglob("*.py")))
    return [".".join((package, *file.with_suffix("").parts)) for file in files if not file.stem.startswith("__")]


CLI = Script("fleetnet", "fleetnet_cli.main", _all_of("fleetnet_cli"))
SERVER = Script(
    "fleetnet-server",
    "fleetnet_server.main",
    [
        *("fleetnet_server.logs", "fleetnet_server.run.collector", "fleetnet_server.run.upkeep"),
        *("fleetnet_server.run.backup", "fleetnet_server.run.doctor", "fleetnet_server.run.ca"),
    ],
)
