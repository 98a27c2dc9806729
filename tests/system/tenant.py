"""A program with sockets of every family in a network namespace: `python -m system.tenant --help`.

Says `arrived` with its namespace's inode, opens everything when a line comes and says `open`. After that the line
`short N` makes N connections that live for a moment, and it tells the ports of their clients. All is held until the
standard input ends. With --inside the sockets are in that namespace, and the process itself never lives there.
"""

import argparse
import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from system import families
from system.resident import enter, make_short
from system.zoo import connect, listen

SERVED_PORT = 9000  # on the host, by the tenant that has no --remote
_SILENT_PORT = 80
_BOUND_TO_NOTHING_THAT_IS_SENT = 0x88B5, 0x88B6  # for local experiments (IEEE 802), so that no queue moves
_NOBODY = 65534


@contextlib.contextmanager
def inside(path: str) -> Iterator[None]:
    """In that namespace meanwhile; with an empty path where it lives."""
    if not path:
        yield
        return
    with open("/proc/thread-self/ns/net") as home, open(path) as elsewhere:
        enter(elsewhere.fileno())
        try:
            yield
        finally:
            enter(home.fileno())


def tcp(device: str) -> list[socket.socket]:
    """Listeners of every kind, and connections in states that last."""
    plain = listen(socket.AF_INET, "127.0.0.1")
    kept = [plain, listen(socket.AF_INET6, "::"), listen(socket.AF_INET6, "::", v6only=False)]
    kept += [listen(socket.AF_INET, "0.0.0.0", device=device), *_of_nobody()]
    kept += connect(plain, "127.0.0.1")
    kept += connect(kept[1], "::1")
    kept += connect(kept[2], "127.0.0.1")
    client, accepted = connect(plain, "127.0.0.1")
    client.shutdown(socket.SHUT_WR)  # FIN_WAIT2 and CLOSE_WAIT
    kept += [client, accepted]
    crowded = listen(socket.AF_INET, "127.0.0.1")
    kept += [crowded, socket.create_connection(crowded.getsockname())]
    sender, receiver = connect(plain, "127.0.0.1")
    sender.sendall(b"unread" * 1_000)
    kept += [sender, receiver]
    left, accepted = connect(plain, "127.0.0.1")
    left.close()
    accepted.recv(1)
    accepted.close()  # leaves a TIME_WAIT
    return kept


def _of_nobody() -> list[socket.socket]:
    os.seteuid(_NOBODY)
    try:
        return [listen(socket.AF_INET, "127.0.0.1")]
    finally:
        os.seteuid(0)


def packet(device: str) -> list[socket.socket]:
    """Bound to an interface, and to none."""
    bound, unbound = _BOUND_TO_NOTHING_THAT_IS_SENT
    first = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(bound))
    first.bind((device, bound))
    return [first, socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(unbound))]


def abroad(remote: str, silent: str) -> list[socket.socket]:
    """To another namespace, and where nobody answers."""
    calling = socket.socket()
    calling.setblocking(False)
    calling.connect_ex((silent, _SILENT_PORT))
    near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    near.connect((remote or silent, _SILENT_PORT))
    if not remote:
        return [calling, near, socket.create_server(("0.0.0.0", SERVED_PORT), backlog=16)]
    return [calling, near, socket.create_connection((remote, SERVED_PORT), timeout=10.0)]


def main() -> None:
    """Arrive, open, do as told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inside", default="", help="path of the namespace, where it is not that of the process")
    parser.add_argument("--directory", required=True, type=Path, help="for names of UNIX sockets")
    parser.add_argument("--device", required=True, help="interface to bind to")
    parser.add_argument("--remote", default="", help="address of the host")
    parser.add_argument("--silent", required=True, help="address that never answers")
    asked = parser.parse_args()
    with inside(asked.inside):
        print(f"arrived {os.stat('/proc/thread-self/ns/net').st_ino}", flush=True)
    sys.stdin.readline()
    with inside(asked.inside):
        served = listen(socket.AF_INET, "127.0.0.1")
        held = [*tcp(asked.device), *abroad(asked.remote, asked.silent), *packet(asked.device)]
        held += [*families.unix(asked.directory), *families.raw(), *families.udplite(), *families.udp()]
    print(f"open {len(held)}", flush=True)
    for line in sys.stdin:
        with inside(asked.inside):
            ports = make_short(served, int(line.split()[1]))
        print("short " + json.dumps([served.getsockname()[1], ports]), flush=True)


if __name__ == "__main__":
    main()
