"""Opens connections as fast as it is told, and counts those that come about:
`python -m system.knocking ADDRESS PORT A_SECOND SECONDS`.

Prints {"knocked": …, "opened": …, "seconds": …}. It stops by itself, and holds what it has opened until then.
"""

import json
import resource
import select
import socket
import sys
import time

_BEAT_S = 0.01


def knock(address: str, port: int) -> socket.socket:
    """A connection under way."""
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    one.connect_ex((address, port))
    return one


def is_open(one: socket.socket) -> bool:
    """Whether the other end has answered."""
    try:
        one.getpeername()
    except OSError:
        return False
    return True


def main() -> None:
    """Knock, and say what came of it."""
    address, port, a_second, seconds = sys.argv[1], *map(int, sys.argv[2:])
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    began_s = time.monotonic()
    held: list[socket.socket] = []
    while len(held) < a_second * seconds:
        due = int((time.monotonic() - began_s) * a_second)
        held += [knock(address, port) for _ in range(min(due, a_second * seconds) - len(held))]
        time.sleep(_BEAT_S)
    poll = select.poll()  # the last ones are answered within a moment, or not at all
    poll.register(held[-1], select.POLLOUT)
    poll.poll(200)
    opened = sum(map(is_open, held))
    print(json.dumps({"knocked": len(held), "opened": opened, "seconds": time.monotonic() - began_s}), flush=True)


if __name__ == "__main__":
    main()
