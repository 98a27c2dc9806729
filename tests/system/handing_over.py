"""A master that leaves its listener to the next one: `python -m system.handing_over NAME NEXT PORT`.

It listens under a name, and says `NAME PID`. With a line on its standard input it passes the listener to a process
that was there all along, over a socket (SCM_RIGHTS), closes its own, and the other says `NEXT PID`.
"""

import os
import signal
import socket
import sys
from pathlib import Path


def main() -> None:
    """Listen, and hand over."""
    name, following, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    mine, other = socket.socketpair()
    if not os.fork():
        mine.close()
        _take(other, following)
    other.close()
    _be(name)
    listener = socket.create_server(("0.0.0.0", port))
    print(name, os.getpid(), flush=True)
    sys.stdin.readline()
    socket.send_fds(mine, [b"x"], [listener.fileno()])
    listener.close()
    sys.stdin.read()


def _take(channel: socket.socket, name: str) -> None:
    """Hold what comes, until the group is ended."""
    _be(name)
    _, held, _, _ = socket.recv_fds(channel, 1, 1)
    print(name, os.getpid(), flush=True)
    while held:
        signal.pause()


def _be(name: str) -> None:
    Path("/proc/self/comm").write_text(name)


if __name__ == "__main__":
    main()
