"""What a simulated host's sockets are, and how they come and go: all from a seed.

A host has a few services that listen, each with connections of its own. They are put on the wire by the agent's own
code, so what a change costs in bytes is what it costs a real agent.
"""

import random
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from fleetnet_agent.records import (
    Closed,
    Difference,
    Family,
    Holder,
    OwnerStatus,
    Process,
    Protocol,
    Snapshot,
    Socket,
    SocketKey,
    Source,
    State,
)
from fleetnet_agent.wire.batches import difference_batches, snapshot_batches

SERVICES: Final = (
    ("sshd", 22), ("nginx", 80), ("nginx", 443), ("postgres", 5432), ("redis-server", 6379), ("node_exporter", 9100),
    ("java", 8080), ("java", 8443), ("master", 25), ("chronyd", 323), ("systemd-resolve", 53), ("containerd", 40001),
)  # fmt: skip
CONNECTIONS: Final = 60


class Population:
    """The sockets of one host. Each `change` makes a difference and applies it."""

    def __init__(self, seed: int, connections: int = CONNECTIONS) -> None:
        self._draw = random.Random(seed)
        self._cookie = 0
        self._address = self._draw.randbytes(4)
        self._holders = [self._holder(number, name) for number, (name, _) in enumerate(SERVICES)]
        self._listeners = [self._listener(port, self._holders[n]) for n, (_, port) in enumerate(SERVICES)]
        self._open: deque[Socket] = deque(self._connection() for _ in range(connections))
        self._last_us = now_us()

    @property
    def sockets(self) -> tuple[Socket, ...]:
        """What is open."""
        return (*self._listeners, *self._open)

    def snapshot(self) -> Iterator[tuple[bytes, bool]]:
        """Everything, as parts."""
        self._last_us = now_us()
        return snapshot_batches(Snapshot(self._last_us, self.sockets, ()))

    def change(self, pairs: int) -> Iterator[bytes]:
        """So many connections open, and the oldest as many close: two changes each."""
        before_us, self._last_us = self._last_us, now_us()
        opened = [self._connection() for _ in range(pairs)]
        self._open.extend(opened)
        closed = [Closed(self._open.popleft().key, self._last_us - 1) for _ in range(pairs)]
        return difference_batches(Difference(self._last_us, before_us, opened=tuple(opened), closed=tuple(closed)))

    def listen(self, port: int) -> Iterator[bytes]:
        """One more listener."""
        before_us, self._last_us = self._last_us, now_us()
        one = self._listener(port, self._holders[1])
        self._listeners.append(one)
        return difference_batches(Difference(self._last_us, before_us, opened=(one,)))

    def _holder(self, number: int, name: str) -> Holder:
        process = Process(500 + number, now_us() - 86_400_000_000, name, f"/usr/sbin/{name}", name)
        return Holder(number, name, f"{name}.service", "", OwnerStatus.KNOWN, (process,))

    def _next_key(self) -> SocketKey:
        self._cookie += 1
        return SocketKey(0, Protocol.TCP, self._cookie)

    def _listener(self, port: int, holder: Holder) -> Socket:
        return self._socket(State.LISTEN, bytes(4), port, b"", 0, holder)

    def _connection(self) -> Socket:
        service = self._draw.randrange(len(SERVICES))
        peer = bytes([10, self._draw.randrange(4), self._draw.randrange(256), self._draw.randrange(1, 255)])
        port = self._draw.randrange(32768, 61000)
        return self._socket(State.ESTABLISHED, self._address, SERVICES[service][1], peer, port, self._holders[service])

    def _socket(self, state: State, local: bytes, port: int, peer: bytes, peer_port: int, holder: Holder) -> Socket:
        key = self._next_key()
        inode = 20_000 + key.cookie
        limit = 511 if state is State.LISTEN else 0
        return Socket(
            key, Family.IPV4, state, local, port, peer, peer_port, "", None, 0, limit, inode, Source.DIAG, holder
        )


def now_us() -> int:
    """Now, microseconds."""
    return time.time_ns() // 1_000
