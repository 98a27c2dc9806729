"""The process that others are forked from: loads modules, then forks whenever it is asked to (see __init__.py).

`python forking.py NAME MAIN MODULE… DESCRIPTOR`; the descriptor is a socket, and whoever has its other end asks. It
ends, and kills what it has forked, when that is closed. Nothing of the project's tests is loaded here.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

NUMBER = struct.Struct("=i")  # a process id, or a status as subprocess has it
_MOST_BYTES = 1 << 18  # of what is asked
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_CLONE_NEWNET = 0x40000000  # linux/sched.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def load(name: str, main: str, modules: list[str]) -> None:
    """All that can be done before it is known what for."""
    Path("/proc/self/comm").write_text(name)
    # What the script sees to before gRPC is loaded.
    getattr(importlib.import_module(main), "prepare_grpc", lambda: None)()
    for module in modules:
        importlib.import_module(module)
    assert len(os.listdir("/proc/self/task")) == 1, "a fork has one thread, and would miss the others"
    # Nobody looks through these for garbage, which would copy them.
    gc.collect()
    gc.freeze()


class Forks:
    """Forks, and tells how each of them ends."""

    def __init__(self, asked: socket.socket) -> None:
        self._asked = asked
        self._links: dict[int, tuple[int, socket.socket]] = {}  # by a descriptor of the process: its id, and who waits

    def serve(self) -> bool:
        """Until nobody asks any more: False. In each fork it returns True, and the fork is as it was asked for."""
        while True:
            for ready in select.select([self._asked.fileno(), *self._links], [], [])[0]:
                if ready in self._links:
                    self._tell_end(ready)
                    continue
                asked, descriptors, _, _ = socket.recv_fds(self._asked, _MOST_BYTES, 4)
                if not asked:
                    self._end()
                    return False
                if self._fork(asked, descriptors):
                    return True

    def _fork(self, asked: bytes, descriptors: list[int]) -> bool:
        link = socket.socket(fileno=descriptors.pop())
        is_ready, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            link.close()
            os.close(is_ready)
            self._forget()
            _become(json.loads(asked), descriptors)
            os.close(ready)
            return True
        for descriptor in (ready, *descriptors):
            os.close(descriptor)
        os.read(is_ready, 1)  # nothing, when it is closed at its other end, be it that the fork has failed
        os.close(is_ready)
        pidfd = os.pidfd_open(pid)
        self._links[pidfd] = pid, link
        with contextlib.suppress(BrokenPipeError):
            socket.send_fds(link, [NUMBER.pack(pid)], [pidfd])
        return False

    def _tell_end(self, pidfd: int) -> None:
        pid, link = self._links.pop(pidfd)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with contextlib.suppress(BrokenPipeError):
            link.send(NUMBER.pack(status))
        link.close()
        os.close(pidfd)

    def _forget(self) -> None:
        self._asked.close()
        for pidfd, (_, link) in self._links.items():
            os.close(pidfd)
            link.close()
        self._links.clear()

    def _end(self) -> None:
        for pidfd in list(self._links):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            self._tell_end(pidfd)


def _become(what: dict[str, Any], descriptors: list[int]) -> None:
    """What the script would have been started as."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if what["session"]:
        os.setsid()
    if what["network"]:
        with open(what["network"]) as network:
            if _LIBC.setns(network.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # Those of before know of their files whether they can be sought in, and are terminals.
        was = getattr(sys, f"__{name}__")
        lines = 1 if name == "stderr" else -1
        now = open(was.fileno(), mode, lines, was.encoding, was.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, now)
        setattr(sys, f"__{name}__", now)
    os.chdir(what["folder"])
    os.environ.clear()
    os.environ.update(what["environment"])
    sys.argv = what["argv"]
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    # Ctrl-C is meant for the tests, and ends this when they have ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    load(sys.argv[1], sys.argv[2], sys.argv[3:-1])
    main = importlib.import_module(sys.argv[2]).main
    if Forks(socket.socket(fileno=int(sys.argv[-1]))).serve():
        sys.exit(main())
