"""The far end of connections, on another host: `python -m system.far ADDRESS`.

Listens on a port per group; the line `close GROUP` on its standard input makes it close its ends of that group.
"""

import socket
import sys
import threading

# What the near end makes of its sockets, and the port of each.
GROUPS = {"fin-wait-1": 9001, "fin-wait-1-held": 9002, "closing": 9003, "last-ack": 9004, "unsent": 9005}


def accept_all(listener: socket.socket, kept: list[socket.socket]) -> None:
    """Accept for ever."""
    while True:
        kept.append(listener.accept()[0])


def main() -> None:
    """Listen, and do as told."""
    kept: dict[str, list[socket.socket]] = {}
    for group, port in GROUPS.items():
        listener = socket.create_server((sys.argv[1], port), backlog=64)
        kept[group] = []
        threading.Thread(target=accept_all, args=(listener, kept[group]), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        for each in kept[line.split()[1]]:
            each.close()
        print(line.strip(), "done", flush=True)


if __name__ == "__main__":
    main()
