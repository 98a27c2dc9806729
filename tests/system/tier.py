"""A program of an application, with the connections that it keeps: `python -m system.tier --help`.

It is called what it is told, serves whoever comes, and closes what the other end has closed. Says `ready` when all its
connections are there.
"""

import argparse
import selectors
import socket
from pathlib import Path


def _endpoint(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    return address, int(port)


def main() -> None:
    """Open all, then serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", help="what the process is to be called")
    parser.add_argument("--listen", default=[], nargs="*", type=_endpoint, help="ADDRESS:PORT")
    parser.add_argument("--listen-udp", default=[], nargs="*", type=_endpoint, help="likewise")
    parser.add_argument("--to", default=[], nargs="*", type=_endpoint, help="likewise, to connect to: as often as said")
    parser.add_argument("--to-udp", default=[], nargs="*", type=_endpoint, help="likewise")
    asked = parser.parse_args()
    Path("/proc/self/comm").write_text(asked.name)
    kept, waiting = selectors.DefaultSelector(), []
    for at in asked.listen:
        kept.register(socket.create_server(at, backlog=64), selectors.EVENT_READ, "listener")
    for to in asked.to:
        kept.register(socket.create_connection(to, timeout=30.0), selectors.EVENT_READ, "connection")
    for endpoints, use in ((asked.listen_udp, socket.socket.bind), (asked.to_udp, socket.socket.connect)):
        for endpoint in endpoints:
            waiting.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            use(waiting[-1], endpoint)
    print("ready", flush=True)
    while True:
        for key, _ in kept.select():
            _serve(kept, key)


def _serve(kept: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    assert isinstance(key.fileobj, socket.socket)
    if key.data == "listener":
        kept.register(key.fileobj.accept()[0], selectors.EVENT_READ, "connection")
        return
    try:
        ended = not key.fileobj.recv(4096)
    except ConnectionError:
        ended = True
    if ended:
        kept.unregister(key.fileobj)
        key.fileobj.close()


if __name__ == "__main__":
    main()
