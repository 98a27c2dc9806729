"""A program of a name, with sockets as told: `python -m system.listening NAME SOCKET …`, and says `ready`.

A socket is PROTOCOL:ADDRESS:PORT, or PROTOCOL:ADDRESS:PORT:UID where it belongs to another user, or `close-wait:N`: so
many connections whose other end has closed.
"""

import os
import signal
import socket
import sys
from pathlib import Path


def main() -> None:
    """Open them."""
    name, *told = sys.argv[1:]
    Path("/proc/self/comm").write_text(name)
    kept = [opened for each in told for opened in _opened(*each.split(":"))]
    print("ready", len(kept), flush=True)
    signal.pause()


def _opened(kind: str, *told: str) -> list[socket.socket]:
    if kind == "close-wait":
        return _left(int(told[0]))
    address, port, *uid = told
    if kind == "udp":
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((address, int(port)))
    else:
        opened = socket.create_server((address, int(port)))
    if uid:
        os.fchown(opened.fileno(), int(uid[0]), -1)
    return [opened]


def _left(count: int) -> list[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept = []
        for _ in range(count):
            with socket.create_connection(listener.getsockname()):
                kept.append(listener.accept()[0])
        return kept


if __name__ == "__main__":
    main()
