"""Many processes that hold sockets: `python -m bench.crowd PROCESSES SOCKETS`, each a listener and connections to it.

A line on standard input makes a tenth of the processes, the next each time, give up a fifth of their connections and
open as many new ones; so 2 % of the sockets are others. Everything ends with the standard input.
"""

import os
import resource
import socket
import struct
import sys

_ABORT = struct.pack("ii", 1, 0)  # leaves no TIME_WAIT
_PROCESSES_AT_ONCE, _PAIRS_OF = 10, 5


class Member:
    """What one process holds."""

    def __init__(self, sockets: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=sockets)
        self._pairs = [self._pair() for _ in range((sockets - 1) // 2)]

    def renew(self) -> None:
        """Others in place of a fifth, of the oldest."""
        count = len(self._pairs) // _PAIRS_OF
        for client, accepted in self._pairs[:count]:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            client.close()
            accepted.close()
        self._pairs[:count] = []
        self._pairs += [self._pair() for _ in range(count)]

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        client = socket.create_connection(self._listener.getsockname())
        return client, self._listener.accept()[0]


def main() -> None:
    """Fork, and do as told."""
    processes, sockets = int(sys.argv[1]), int(sys.argv[2])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    done, says_done = os.pipe()
    orders: list[int] = []
    for _ in range(processes):
        order, gives_order = os.pipe()
        if os.fork() == 0:
            for each in (done, gives_order, *orders):  # so that it ends when the first process does
                os.close(each)
            _serve(Member(sockets // processes), order, says_done)
            os._exit(0)
        os.close(order)
        orders.append(gives_order)
    _wait_for(done, processes)
    print("ready", flush=True)
    at_once = max(1, processes // _PROCESSES_AT_ONCE)
    for number, _ in enumerate(sys.stdin):
        first = number * at_once % processes
        for gives_order in orders[first : first + at_once]:
            os.write(gives_order, b"x")
        _wait_for(done, at_once)
        print("done", flush=True)


def _serve(member: Member, order: int, says_done: int) -> None:
    os.write(says_done, b"x")
    while os.read(order, 1):
        member.renew()
        os.write(says_done, b"x")


def _wait_for(done: int, count: int) -> None:
    while count:
        count -= len(os.read(done, count))


if __name__ == "__main__":
    main()
