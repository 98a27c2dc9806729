"""One of every kind of socket, opened on a host and held until told otherwise: `python -m system.zoo …`.

Writes its ledger when all is open, then `closed` when its standard input ends and it has closed everything. Every
process that is forked here is forked before the parent has sockets that it should not inherit.
"""

import argparse
import dataclasses
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from system.ledger import Entry, entry, read, write

_BACKLOG = 16


class Zoo:
    """The sockets of this process, and the ledger of all."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._kept: list[socket.socket] = []

    def keep(self, kind: str, opened: socket.socket, state: str, **more: object) -> None:
        """Hold a socket of this process and enter it."""
        self._kept.append(opened)
        told = {"pids": (os.getpid(),), "uid": os.getuid(), **more}
        self.entries.append(entry(kind, opened, state, **told))

    def close(self) -> None:
        """Close what is held."""
        for opened in self._kept:
            opened.close()


def listen(family: socket.AddressFamily, address: str, *, v6only: bool = True, device: str = "") -> socket.socket:
    """A listener on any free port."""
    opened = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    if device:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    opened.bind((address, 0))
    opened.listen(_BACKLOG)
    return opened


def connect(listener: socket.socket, address: str) -> tuple[socket.socket, socket.socket]:
    """A connection to a listener over `address`: the client's socket and the accepted one."""
    client = socket.create_connection((address, listener.getsockname()[1]))
    return client, listener.accept()[0]


def wait_for_state(opened: socket.socket, state: int) -> None:
    """Wait until the kernel has a TCP socket in a state (tcpi_state, first byte of tcp_info in linux/tcp.h)."""
    while opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != state:
        os.sched_yield()


_FIN_WAIT2, _CLOSE_WAIT = 5, 8  # include/net/tcp_states.h


def tcp(zoo: Zoo, address: str, silent: str) -> None:
    """TCP in every state that a program can bring about alone."""
    plain = listen(socket.AF_INET, "0.0.0.0")
    six = listen(socket.AF_INET6, "::")
    dual = listen(socket.AF_INET6, "::", v6only=False)
    zoo.keep("listener on every IPv4 address", plain, "LISTEN")
    zoo.keep("listener on every IPv6 address, and those only", six, "LISTEN", v6only=True)
    zoo.keep("listener on every address of both families", dual, "LISTEN", v6only=False)
    zoo.keep("listener on one address", listen(socket.AF_INET, address), "LISTEN")
    zoo.keep("listener on one interface", listen(socket.AF_INET, "0.0.0.0", device="eth0"), "LISTEN", interface="eth0")

    for what, listener, over in [
        ("IPv4", plain, "127.0.0.1"),
        ("IPv6", six, "::1"),
        ("IPv4 on a dual-stack listener", dual, "127.0.0.1"),
    ]:
        client, accepted = connect(listener, over)
        zoo.keep(f"client, {what}", client, "ESTABLISHED")
        zoo.keep(f"accepted, {what}", accepted, "ESTABLISHED")

    client, accepted = connect(plain, "127.0.0.1")
    client.shutdown(socket.SHUT_WR)
    wait_for_state(client, _FIN_WAIT2)
    zoo.keep("has finished, the peer has not", client, "FIN_WAIT2")
    zoo.keep("has not finished, the peer has", accepted, "CLOSE_WAIT")

    client, accepted = connect(plain, "127.0.0.1")
    nobodys = entry("closed by its process, the peer has not finished", client, "FIN_WAIT2", owner_status="gone")
    client.close()
    wait_for_state(accepted, _CLOSE_WAIT)
    zoo.entries.append(nobodys)
    zoo.keep("leaks: the peer is long gone", accepted, "CLOSE_WAIT")

    client, accepted = connect(plain, "127.0.0.1")
    zoo.entries.append(entry("finished on both sides", client, "TIME_WAIT", owner_status="gone"))
    client.close()
    wait_for_state(accepted, _CLOSE_WAIT)
    accepted.close()

    crowded = listen(socket.AF_INET, "127.0.0.1")
    waiting = socket.create_connection(crowded.getsockname())
    zoo.keep("listener that does not accept", crowded, "LISTEN")
    zoo.keep("client of a listener that does not accept", waiting, "ESTABLISHED")
    remote = waiting.getsockname()
    zoo.entries.append(
        entry(
            "not yet accepted", crowded, "ESTABLISHED",
            remote_address=remote[0], remote_port=remote[1], owner_status="unaccepted",
        )
    )  # fmt: skip

    calling = socket.socket()
    calling.setblocking(False)
    calling.connect_ex((silent, 80))
    zoo.keep("calls where nobody answers", calling, "SYN_SENT", remote_address=silent, remote_port=80)


def udp(zoo: Zoo) -> None:
    """UDP, which has two states only: CLOSE where it has no peer, ESTABLISHED where it has."""
    for family, every, own in [(socket.AF_INET, "0.0.0.0", "127.0.0.1"), (socket.AF_INET6, "::", "::1")]:
        bound = socket.socket(family, socket.SOCK_DGRAM)
        bound.bind((every, 0))
        zoo.keep("bound", bound, "CLOSE")
        connected = socket.socket(family, socket.SOCK_DGRAM)
        connected.connect((own, bound.getsockname()[1]))
        zoo.keep("connected", connected, "ESTABLISHED")


def half_open(zoo: Zoo, address: str, caller: str, port: int) -> None:
    """A listener that another host will send a SYN to, from an address that never answers."""
    listener = listen(socket.AF_INET, address)
    zoo.keep("listener that is called by a stranger", listener, "LISTEN")
    zoo.entries.append(
        entry(
            "half open", listener, "SYN_RECV",
            remote_address=caller, remote_port=port, owner_status=None,
        )
    )  # fmt: skip
    print(f"half-open port {listener.getsockname()[1]}", flush=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Leash:
    """A pipe by which children learn that the parent closes: its only writer goes away."""

    held: int
    pulled: int

    def fork(self, live: Callable[[], None]) -> int:
        """A child that lives, then waits for the end; its pid."""
        pid = os.fork()
        if pid == 0:
            os.close(self.held)
            live()
            os.read(self.pulled, 1)
            os._exit(0)
        return pid


def in_child(zoo: Zoo, leash: Leash, kind: str, prepare: Callable[[], None], **more: object) -> None:
    """A listener that a child opens after `prepare`."""
    ready, tell = os.pipe()
    opened: list[socket.socket] = []

    def live() -> None:
        prepare()
        opened.append(listen(socket.AF_INET, "0.0.0.0"))
        sys.stdout = os.fdopen(tell, "w")
        write([entry(kind, opened[0], "LISTEN", pids=(os.getpid(),), uid=os.getuid(), **more)])
        sys.stdout.close()

    leash.fork(live)
    os.close(tell)
    with os.fdopen(ready) as answer:
        zoo.entries += read(answer.read())


def shared(zoo: Zoo, leash: Leash, workers: int) -> None:
    """A listener that only its pre-forked workers hold, each of them."""
    opened = listen(socket.AF_INET, "0.0.0.0")
    pids = sorted(leash.fork(lambda: None) for _ in range(workers))
    zoo.entries.append(entry("shared by pre-forked workers", opened, "LISTEN", pids=tuple(pids), uid=0))
    opened.close()


def join(cgroup: Path) -> None:
    """Move this process into a cgroup; a socket belongs to the cgroup that opened it."""
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))


def main() -> None:
    """Open everything, tell, wait, close."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True, help="of this host")
    parser.add_argument("--silent", required=True, help="address that never answers")
    parser.add_argument("--caller", required=True, help="address and port that will call", nargs=2)
    parser.add_argument("--unit", required=True, type=Path, help="cgroup2 directory, named like a unit")
    parser.add_argument("--uid", required=True, type=int, help="another user")
    asked = parser.parse_args()

    pulled, held = os.pipe()
    leash, zoo = Leash(held, pulled), Zoo()
    # Children first, before there are sockets that they would inherit and hold.
    in_child(zoo, leash, "in a unit", lambda: join(asked.unit), unit=asked.unit.name)
    in_child(zoo, leash, "of another user", lambda: os.setuid(asked.uid))
    shared(zoo, leash, 3)
    tcp(zoo, asked.address, asked.silent)
    udp(zoo)
    half_open(zoo, asked.address, asked.caller[0], int(asked.caller[1]))
    write(zoo.entries)
    sys.stdin.read()
    zoo.close()
    os.close(held)
    print("closed", flush=True)


if __name__ == "__main__":
    main()
