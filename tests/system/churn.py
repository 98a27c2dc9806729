"""Sockets that come and go, beside some that stay: `python -m system.churn SEED`.

Begins at once; a line on standard input ends the coming and going. Then the ledger tells what stayed from the
beginning (`steady`) and what is open besides (`late`), and all is held until the standard input ends.
"""

import os
import random
import select
import socket
import struct
import sys
from collections.abc import Iterator

from system.ledger import Entry, entry, write
from system.zoo import listen

_STEADY = 20
_MOST_OPEN = 60
_PAUSE_S = 0.003

Pair = tuple[socket.socket, socket.socket]


class Churn:
    """What is open, and one listener that stays."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._listener = listen(socket.AF_INET, "127.0.0.1")
        self._steady = [self._pair() for _ in range(_STEADY)]
        self._listeners: list[socket.socket] = []
        self._late: list[Pair] = []

    def go_on(self) -> None:
        """Open or close one thing."""
        few = self._random.randrange(_MOST_OPEN)
        if self._random.random() < 0.5:
            if len(self._late) > few:
                self._end(*self._late.pop(self._random.randrange(len(self._late))))
            else:
                self._late.append(self._pair())
        elif len(self._listeners) > few:
            self._listeners.pop(self._random.randrange(len(self._listeners))).close()
        else:
            self._listeners.append(listen(socket.AF_INET, "127.0.0.1"))

    def entries(self) -> Iterator[Entry]:
        """The ledger."""
        mine = {"pids": (os.getpid(),)}
        yield entry("steady", self._listener, "LISTEN", **mine)
        for listener in self._listeners:
            yield entry("late", listener, "LISTEN", **mine)
        for kind, pairs in (("steady", self._steady), ("late", self._late)):
            for end in (end for pair in pairs for end in pair):
                yield entry(kind, end, "ESTABLISHED", **mine)

    def _pair(self) -> Pair:
        client = socket.create_connection(self._listener.getsockname())
        return client, self._listener.accept()[0]

    def _end(self, client: socket.socket, accepted: socket.socket) -> None:
        if self._random.random() < 0.9:
            # An abort leaves no TIME_WAIT; only some are left, for each stays a minute.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        accepted.close()


def main() -> None:
    """Churn, settle, hold."""
    churn = Churn(int(sys.argv[1]))
    print("churning", flush=True)
    while not select.select([sys.stdin], [], [], _PAUSE_S)[0]:
        churn.go_on()
    sys.stdin.readline()
    write(churn.entries())
    sys.stdin.read()


if __name__ == "__main__":
    main()
