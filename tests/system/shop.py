"""One tier of an application: `python -m system.shop NAME ADDRESS:PORT [--uid UID] [--upstream ADDRESS:PORT …]`.

It takes orders, a line each, hands each to the next of its upstreams over a connection that it keeps, and answers with
its name before what that answered. Who has no upstream keeps the orders: a database. Says `ready` when it serves.

`python -m system.shop order ADDRESS:PORT COUNT` places orders and prints the answers.
"""

import argparse
import itertools
import os
import socket
import socketserver
import sys
import threading
from pathlib import Path


class Upstream:
    """A kept connection to the next tier; one order at a time."""

    def __init__(self, address: str) -> None:
        self._lines = _connected(address).makefile("rw")
        self._lock = threading.Lock()

    def order(self, what: str) -> str:
        """Place an order; the answer."""
        with self._lock:
            self._lines.write(what + "\n")
            self._lines.flush()
            return self._lines.readline().strip()


class Server(socketserver.ThreadingTCPServer):
    """Takes orders."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, name: str, address: str, upstreams: list[Upstream]) -> None:
        self.name = name
        self.turns = itertools.cycle(upstreams)
        host, _, port = address.rpartition(":")
        super().__init__((host, int(port)), Clerk)


class Clerk(socketserver.StreamRequestHandler):
    """Answers one client."""

    server: Server

    def handle(self) -> None:
        """Until it hangs up."""
        for line in self.rfile:
            upstream = next(self.server.turns, None)
            answered = f"{self.server.name} {upstream.order(line.decode().strip())}" if upstream else self.server.name
            self.wfile.write(answered.encode() + b"\n")


def _connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)))


def main() -> None:
    """Be a tier, or a customer."""
    if sys.argv[1] == "order":
        shop = Upstream(sys.argv[2])
        print("\n".join(shop.order(f"order {number}") for number in range(int(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("address")
    parser.add_argument("--uid", type=int, default=0)
    parser.add_argument("--upstream", action="append", default=[])
    told = parser.parse_args()
    Path("/proc/self/comm").write_text(told.name)
    with Server(told.name, told.address, [Upstream(address) for address in told.upstream]) as server:
        os.fchown(server.fileno(), told.uid, -1)
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
