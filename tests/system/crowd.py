"""Two thousand sockets in every state, held by several processes: `python -m system.crowd --help`.

Most states a program brings about alone, on loopback. FIN_WAIT1, CLOSING and LAST_ACK last only while the peer's
acknowledgements do not come; for them the other end is `--far`, another host (see far.py), and in mid-course the
test makes all that is sent there go nowhere. The steps, each said on stdout and awaited on stdin:

    connected   all is open; the far end is now to close its ends of the LAST_ACK group
    finished    (after a line came, and the far host had been made unreachable) all this side can do is done; the far
                end is now to close its ends of the CLOSING group
"""

import argparse
import os
import resource
import socket
import sys
from pathlib import Path

from system.far import GROUPS
from system.zoo import connect, listen, wait_for_state

_CLOSE_WAIT = 8  # include/net/tcp_states.h
_WORKERS = 3

# What a program may write into its argv[0].
_TITLES = [
    "nginx: master process /usr/sbin/nginx -g daemon on;",
    "/usr/lib/postgresql/15/bin/postgres",
    "/usr/sbin/a-name-that-is-longer-than-the-column",
    "sshd: admin@pts/0",
    "-bash",
    "./relative/path",
    "bäckup-dämon-mit-ümlaut",
    " leading and  double spaces",
]

Sockets = list[socket.socket]


def listeners() -> Sockets:
    """On the addresses that people bind to."""
    kinds = [
        (socket.AF_INET, "0.0.0.0", True),
        (socket.AF_INET, "127.0.0.1", True),
        (socket.AF_INET6, "::", True),
        (socket.AF_INET6, "::", False),
        (socket.AF_INET6, "::1", True),
    ]
    kept = [listen(family, address, v6only=only) for family, address, only in kinds for _ in range(3)]
    return [*kept, listen(socket.AF_INET, "0.0.0.0", device="eth0")]


def titled() -> None:
    """Listeners of programs that call themselves something, for netstat shows what they say."""
    for title in _TITLES:
        opened = listen(socket.AF_INET, "127.0.0.1")
        if os.fork() == 0:
            opened.set_inheritable(True)
            os.execvp("sleep", [title, "infinity"])  # the title is the point
        opened.close()


def pairs(family: socket.AddressFamily, address: str, count: int) -> Sockets:
    """Established connections, both ends."""
    listener = listen(family, "::" if family == socket.AF_INET6 else address, v6only=False)
    over = "127.0.0.1" if address == "::ffff:127.0.0.1" else address
    return [listener, *(end for _ in range(count) for end in connect(listener, over))]


def half_closed(count: int) -> Sockets:
    """FIN_WAIT2 and CLOSE_WAIT; of every other pair, the first end has been closed by its process."""
    listener = listen(socket.AF_INET, "127.0.0.1")
    kept = [listener]
    for number in range(count):
        client, accepted = connect(listener, "127.0.0.1")
        client.shutdown(socket.SHUT_WR)
        wait_for_state(accepted, _CLOSE_WAIT)
        kept += [accepted] if number % 2 else [client, accepted]
        if number % 2:
            client.close()
    return kept


def time_waits(count: int) -> Sockets:
    """TIME_WAIT; nobody holds those."""
    listener = listen(socket.AF_INET6, "::1")
    for _ in range(count):
        client, accepted = connect(listener, "::1")
        client.close()
        wait_for_state(accepted, _CLOSE_WAIT)
        accepted.close()
    return [listener]


def unaccepted(count: int) -> Sockets:
    """Connections that wait in the queues of their listeners."""
    crowded = [listen(socket.AF_INET, "127.0.0.1") for _ in range(count // 10)]
    return [*crowded, *(socket.create_connection(each.getsockname()) for each in crowded for _ in range(10))]


def queued(count: int) -> Sockets:
    """Bytes that nobody reads, and, once the window is full, bytes that cannot be sent."""
    kept = pairs(socket.AF_INET, "127.0.0.1", count)
    for number, client in enumerate(kept[1::2]):
        client.sendall(b"x" * (number + 1))
    full = pairs(socket.AF_INET, "127.0.0.1", 2)
    for client in full[1::2]:
        client.setblocking(False)
        try:
            while True:
                client.send(b"x" * 65536)
        except BlockingIOError:
            pass
    return kept + full


def datagrams(count: int) -> Sockets:
    """UDP: bound and connected, some with a datagram that nobody reads."""
    kept: Sockets = []
    for family, every, own in [(socket.AF_INET, "0.0.0.0", "127.0.0.1"), (socket.AF_INET6, "::", "::1")]:
        for number in range(count):
            bound, connected = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
            bound.bind((every, 0))
            connected.connect((own, bound.getsockname()[1]))
            if number % 10 == 0:
                connected.send(b"unread")
            kept += [bound, connected]
    return kept


def calling(silent: str, count: int) -> Sockets:
    """SYN_SENT."""
    kept = [socket.socket() for _ in range(count)]
    for each in kept:
        each.setblocking(False)
        each.connect_ex((silent, 80))
    return kept


def worker(number: int, silent: str, pulled: int, told: int) -> None:
    """One process and its share, held until the parent's end of `pulled` is closed."""
    Path("/proc/self/comm").write_text(f"crowd {number}")
    kept = [
        listeners(),
        pairs(socket.AF_INET, "127.0.0.1", 100),
        pairs(socket.AF_INET6, "::1", 50),
        pairs(socket.AF_INET6, "::ffff:127.0.0.1", 20),
        half_closed(34),
        time_waits(25),
        unaccepted(20),
        queued(10),
        datagrams(30),
        calling(silent, 10),
    ]
    os.write(told, b".")
    os.read(pulled, 1)
    del kept


def step(said: str) -> None:
    """Say how far things are, and wait for a line."""
    print(said, flush=True)
    sys.stdin.readline()


def last_words(far: dict[str, Sockets]) -> None:
    """With the far host out of reach: FIN_WAIT1, with an owner and without; LAST_ACK; bytes that stay unsent."""
    for each in far["closing"] + far["last-ack"] + far["fin-wait-1"]:
        each.close()
    for each in far["fin-wait-1-held"]:
        each.shutdown(socket.SHUT_WR)
    for number, each in enumerate(far["unsent"]):
        each.send(b"x" * (number + 1))


def main() -> None:
    """Open everything in steps; close when the standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True, help="of this host")
    parser.add_argument("--far", required=True, help="address of the far end")
    parser.add_argument("--silent", required=True, help="address that never answers")
    asked = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))

    titled()
    shared = listeners() + pairs(socket.AF_INET, "127.0.0.1", 5)  # by this process and all workers
    pulled, held = os.pipe()
    heard, told = os.pipe()
    for number in range(_WORKERS):
        if os.fork() == 0:
            os.close(held)
            worker(number, asked.silent, pulled, told)
            os._exit(0)
    for _ in range(_WORKERS):
        os.read(heard, 1)
    far = {group: [socket.create_connection((asked.far, port)) for _ in range(10)] for group, port in GROUPS.items()}
    called = listen(socket.AF_INET, asked.address)
    print(f"half-open port {called.getsockname()[1]}", flush=True)
    step("connected")
    for each in far["last-ack"]:
        wait_for_state(each, _CLOSE_WAIT)
    last_words(far)
    step("finished")
    sys.stdin.read()
    del shared


if __name__ == "__main__":
    main()
