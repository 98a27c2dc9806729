"""Sockets that come and go, and a ledger of what truly happened: `python -m faults.workload SEED LEDGER ADDRESS`.

Each line of the ledger is one change of one socket: its name, the state it has from then on (null: it is gone), and
CLOCK_BOOTTIME in microseconds just before and just after the system calls that brought it about. So what is written
are bounds, and they are true however slow the machine is. Nothing in it was asked of ss, netstat or /proc/net.

A line `pause` on standard input has everything stand still, `go` goes on; both are answered on standard output.
"""

import json
import random
import select
import socket
import struct
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

_SO_COOKIE = 57  # include/uapi/asm-generic/socket.h
_PAUSE_S = 0.08  # between two steps, on average
_MOST = 25  # listeners, connections and UDP sockets each, that are open at a time
_IN_ESTABLISHED_FOR_MS = 0.15  # the share of connections that end at once
_BY_FIN = 0.2  # the share that end in good order: each leaves a TIME_WAIT for a minute

Name = tuple[str, str, str, int, str | None, int | None]
"""Protocol, family, local address and port, remote address and port: what makes it this socket and no other now."""


def now_us() -> int:
    """CLOCK_BOOTTIME, which no fault sets."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


@dataclass(slots=True)
class Held:
    """A socket of this process; the cookie is 0 until it was asked for."""

    socket: socket.socket
    name: Name
    cookie: int


@dataclass(slots=True)
class Connection:
    """Both ends."""

    client: Held
    accepted: Held
    finished: bool = False  # the client has sent its FIN


class Workload:
    """What is open, and the ledger of all that ever was."""

    def __init__(self, seed: int, ledger: TextIO, address: str) -> None:
        self._draw = random.Random(seed)
        self._ledger = ledger
        self._addresses = [
            (socket.AF_INET, "127.0.0.1"),
            (socket.AF_INET, "0.0.0.0"), (socket.AF_INET, address), (socket.AF_INET6, "::1")
        ]  # fmt: skip
        self._listeners: list[Held] = []
        self._connections: list[Connection] = []
        self._datagrams: list[Held] = []

    def step(self) -> None:
        """Open or close one thing."""
        draw = self._draw.random()
        if draw < 0.25 or not self._listeners:
            self._change(self._listeners, self._listen, self._close)
        elif draw < 0.45:
            self._change(self._datagrams, self._open_datagram, self._close)
        elif draw < 0.55 and self._connections:
            self._finish(self._draw.choice(self._connections))
        elif draw < 0.55 + _IN_ESTABLISHED_FOR_MS:
            self._end(self._connect())
        else:
            self._change(self._connections, self._connect, self._end)

    def pause_s(self) -> float:
        """How long until the next step."""
        return self._draw.expovariate(1 / _PAUSE_S)

    def _change(self, held: list, opening: object, closing: object) -> None:  # type: ignore[type-arg]  # of either kind
        if self._draw.random() < len(held) / _MOST:
            closing(held.pop(self._draw.randrange(len(held))))  # type: ignore[operator]
        else:
            held.append(opening())  # type: ignore[operator]

    def _listen(self) -> Held:
        family, address = self._draw.choice(self._addresses)
        opened = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((address, 0))
        before = now_us()
        opened.listen(16)
        held = self._hold(opened, "tcp")
        self._write([(held, "LISTEN")], before)
        return held

    def _connect(self) -> Connection:
        listener = self._draw.choice(self._listeners)
        address, port = listener.name[2:4]
        client = socket.socket(listener.socket.family, socket.SOCK_STREAM)
        before = now_us()
        client.connect(("127.0.0.1" if address == "0.0.0.0" else address, port))
        accepted = listener.socket.accept()[0]
        made = Connection(self._hold(client, "tcp"), self._hold(accepted, "tcp"))
        self._write([(made.client, "ESTABLISHED"), (made.accepted, "ESTABLISHED")], before)
        return made

    def _finish(self, connection: Connection) -> None:
        if connection.finished:
            return
        before = now_us()
        connection.client.socket.shutdown(socket.SHUT_WR)
        connection.finished = True
        _wait_for_state(connection.accepted.socket, _CLOSE_WAIT)
        self._write([(connection.client, "FIN_WAIT2"), (connection.accepted, "CLOSE_WAIT")], before)

    def _end(self, connection: Connection) -> None:
        client, accepted = connection.client, connection.accepted
        if connection.finished or self._draw.random() < _BY_FIN:
            before = now_us()
            client.socket.close()
            # Else this end could send its FIN first, and it would be the one with the TIME_WAIT.
            _wait_for_state(accepted.socket, _CLOSE_WAIT)
            accepted.socket.close()
            self._write([(client, "TIME_WAIT"), (accepted, None)], before)
            return
        for held in (client, accepted):
            # What the kernel tells of the end of an aborted connection has lost its addresses; the cookie is left.
            held.cookie = held.cookie or _cookie(held.socket)
        before = now_us()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.socket.close()
        accepted.socket.close()
        self._write([(client, None), (accepted, None)], before)

    def _open_datagram(self) -> Held:
        family, address = self._draw.choice(self._addresses)
        opened = socket.socket(family, socket.SOCK_DGRAM)
        before = now_us()
        if address != "0.0.0.0" and self._draw.random() < 0.5:
            opened.connect((address, self._draw.randrange(20_000, 30_000)))
            state = "ESTABLISHED"
        else:
            opened.bind((address, 0))
            state = "CLOSE"
        held = self._hold(opened, "udp")
        self._write([(held, state)], before)
        return held

    def _close(self, held: Held) -> None:
        held.cookie = held.cookie or _cookie(held.socket)
        before = now_us()
        held.socket.close()
        self._write([(held, None)], before)

    def _hold(self, opened: socket.socket, protocol: str) -> Held:
        local = opened.getsockname()
        try:
            remote = opened.getpeername()
        except OSError:
            remote = (None, None)
        family = "ipv4" if opened.family == socket.AF_INET else "ipv6"
        # To ask for the cookie makes the kernel give one, as a dump does: so of half of them it is not asked.
        cookie = _cookie(opened) if self._draw.random() < 0.5 else 0
        return Held(opened, (protocol, family, local[0], local[1], remote[0], remote[1]), cookie)

    def _write(self, changes: Iterable[tuple[Held, str | None]], before_us: int) -> None:
        after_us = now_us()
        for held, state in changes:
            print(json.dumps([held.cookie, held.name, state, before_us, after_us]), file=self._ledger)
        self._ledger.flush()


_CLOSE_WAIT = 8  # include/net/tcp_states.h


def _cookie(opened: socket.socket) -> int:
    return int(struct.unpack("=Q", opened.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8))[0])


def _wait_for_state(opened: socket.socket, state: int) -> None:
    """tcpi_state is the first byte of tcp_info in linux/tcp.h."""
    while opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != state:
        time.sleep(0)


def main() -> None:
    """Work until the standard input ends."""
    seed, path, address = sys.argv[1:4]
    with Path(path).open("a") as ledger:
        work = Workload(int(seed), ledger, address)
        paused = False
        while True:
            told = select.select([sys.stdin], [], [], None if paused else work.pause_s())[0]
            if told:
                line = sys.stdin.readline().split()
                if not line:
                    return
                paused = line[0] == "pause"
                print(*line, flush=True)
            else:
                work.step()


if __name__ == "__main__":
    main()
