"""A realistic table of TCP sockets on loopback: who makes it, holds it, and lets it go.

A few holder processes each keep one listener and one connection after another, both ends of it, so that a socket
costs one descriptor. About a tenth of the sockets are TIME_WAIT and a fifth IPv6. A holder lives no longer than the
pipe it takes its orders from, so nothing is left when the bench dies.
"""

import contextlib
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

SOCKETS_PER_HOLDER = 8000
TIME_WAIT_SHARE = 0.10
TIME_WAIT_LASTS_S = 60  # TCP_TIMEWAIT_LEN, include/net/tcp.h


@dataclass(frozen=True, slots=True)
class Holder:
    """One process that holds sockets, and the pipes to it."""

    process: subprocess.Popen[str]
    orders: IO[str]
    answers: IO[str]

    def order(self, what: str) -> None:
        """Tell it what to do; the answer is to be awaited."""
        self.orders.write(what + "\n")
        self.orders.flush()

    def answer(self) -> str:
        """What it says when it has done so. Raises RuntimeError if it ended instead."""
        line = self.answers.readline()
        if not line.endswith("\n"):
            raise RuntimeError("a process that holds the bench's sockets ended; are there descriptors enough?")
        return line.strip()


class Population:
    """The holders together."""

    def __init__(self, holders: list[Holder], time_wait: int) -> None:
        self._holders = holders
        self._time_wait = time_wait

    def renew_time_wait(self) -> None:
        """Make the TIME_WAIT share anew, for it lasts a minute only."""
        for holder, share in zip(self._holders, _shares(self._time_wait, len(self._holders)), strict=True):
            holder.order(f"time-wait {share}")
        for holder in self._holders:
            holder.answer()


@contextlib.contextmanager
def population(sockets: int) -> Iterator[Population]:
    """`sockets` TCP sockets, there until the block ends."""
    time_wait = int(sockets * TIME_WAIT_SHARE)
    held = sockets - time_wait
    count = max(1, -(-held // SOCKETS_PER_HOLDER))
    with contextlib.ExitStack() as stack:
        holders = [_start(stack) for _ in range(count)]
        for holder, share in zip(holders, _shares(held, count), strict=True):
            holder.order(f"hold {share}")
        for holder in holders:
            holder.answer()
        made = Population(holders, time_wait)
        made.renew_time_wait()
        yield made


def _shares(total: int, parts: int) -> list[int]:
    return [total * (part + 1) // parts - total * part // parts for part in range(parts)]


def _start(stack: contextlib.ExitStack) -> Holder:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.population"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    stack.enter_context(process)  # closes the pipes, which ends it, and waits
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("no pipe to a holder")
    stack.callback(process.stdin.close)
    return Holder(process, process.stdin, process.stdout)


class _Held:
    """What one holder process has: a listener of each family and its connections."""

    def __init__(self) -> None:
        self.listeners = (
            socket.create_server(("127.0.0.1", 0), backlog=128),
            socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=128),
        )
        self.kept: list[socket.socket] = []

    def connect(self, number: int) -> tuple[socket.socket, socket.socket]:
        """Both ends of one more connection; every fifth is IPv6."""
        listener = self.listeners[number % 5 == 0]
        client = socket.socket(listener.family)
        client.connect(listener.getsockname()[:2])
        return client, listener.accept()[0]

    def hold(self, sockets: int) -> None:
        """Keep this many sockets, the listeners counted."""
        for number in range((sockets - len(self.listeners)) // 2):
            self.kept += self.connect(number)

    def time_wait(self, sockets: int) -> None:
        """Leave this many sockets in TIME_WAIT: the end that closes first enters it."""
        for number in range(sockets):
            client, server = self.connect(number)
            client.close()
            server.recv(1)  # until the FIN is here, else both would close at once
            server.close()

    def reset(self) -> None:
        """Close without leaving TIME_WAIT behind."""
        for kept in self.kept:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            kept.close()


def hold_until_told_to_end() -> None:
    """The holder process: one order a line on its input, one answer each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS_PER_HOLDER + 100
    if hard != resource.RLIM_INFINITY and hard < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    held = _Held()
    for line in sys.stdin:
        what, number = line.split()
        {"hold": held.hold, "time-wait": held.time_wait}[what](int(number))
        print("done", flush=True)
    held.reset()


if __name__ == "__main__":
    hold_until_told_to_end()
