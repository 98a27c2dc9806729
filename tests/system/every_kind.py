"""Sockets of every kind that netstat(8) shows differently, opened on a host: `python -m system.every_kind DIRECTORY`.

Says `open` when all are and the states have come about that take a moment, and holds them until its standard input
ends. Connections that end by themselves (FIN_WAIT2, TIME_WAIT) are made anew at each line of it, which `again` answers.
"""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from system.zoo import wait_for_state

from demo.programs import until

LONG = "2001:db8:1111:2222:3333:4444:5555:6666"
IPPROTO_UDPLITE = 136  # linux/in.h
OTHER_USER = 65534  # nobody
NEAR = "127.0.0.9"
_CLOSE_WAIT = 8  # include/net/tcp_states.h

kept: list[socket.socket | subprocess.Popen[bytes]] = []


def listen(address: str, port: int, *, v6only: bool = True, backlog: int = 5) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    listener.bind((address, port))
    listener.listen(backlog)
    kept.append(listener)
    return listener


def pair(listener: socket.socket, address: str) -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection((address, listener.getsockname()[1]))
    server, _ = listener.accept()
    kept.extend([client, server])
    return client, server


def open_closing(listener: socket.socket) -> None:
    closing, left = pair(listener, "127.0.0.1")
    closing.close()  # FIN_WAIT2 here, CLOSE_WAIT there
    wait_for_state(left, _CLOSE_WAIT)
    closed, closing = pair(listener, NEAR)
    closed.close()
    wait_for_state(closing, _CLOSE_WAIT)
    closing.close()  # TIME_WAIT there


def open_tcp() -> socket.socket:
    http, dual = listen("0.0.0.0", 80), listen("::", 443, v6only=False)
    postgres, far = listen("127.0.0.1", 5432), listen(LONG, 5432)
    listen("::1", 53)
    pair(http, "127.0.0.1")
    pair(dual, "::1")
    pair(far, LONG)
    unread, _ = pair(dual, "127.0.0.1")  # IPv4-mapped on the server's side
    unread.sendall(b"not read")
    open_closing(http)
    full = listen("127.0.0.1", 3306, backlog=0)
    for _ in range(3):  # one is accepted by the kernel for the process, later ones hang in SYN_SENT
        hanging = socket.socket()
        hanging.setblocking(False)
        hanging.connect_ex(full.getsockname())
        kept.append(hanging)
    # Bytes that nobody takes, until no more fit: it probes.
    stuck, _ = pair(postgres, "127.0.0.1")
    stuck.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            stuck.send(bytes(65536))
    lasting, _ = pair(dual, "::1")
    lasting.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return http


def open_owned() -> None:
    # Two processes share a listener, and their name is longer than netstat's column.
    shared = listen("0.0.0.0", 8080)
    long_name = ["/opt/somewhere/a-program-with-a-long-name", "600"]
    kept.append(subprocess.Popen(long_name, executable="/bin/sleep", pass_fds=[shared.fileno()]))
    alone = listen("0.0.0.0", 8081)
    kept.append(subprocess.Popen(["relative: name", "600"], executable="/bin/sleep", pass_fds=[alone.fileno()]))
    alone.close()
    theirs = listen("127.0.0.1", 631)
    os.fchown(theirs.fileno(), OTHER_USER, OTHER_USER)


def open_udp() -> None:
    for family, address, port in [
        (socket.AF_INET, "0.0.0.0", 53),
        (socket.AF_INET6, "::", 123),
        (socket.AF_INET6, LONG, 514),
        (socket.AF_INET, "127.0.0.1", 0),
    ]:
        bound = socket.socket(family, socket.SOCK_DGRAM)
        bound.bind((address, port))
        kept.append(bound)
    for family, address in [
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET6, "::1"),
        (socket.AF_INET6, "::ffff:127.0.0.1"),
    ]:
        connected = socket.socket(family, socket.SOCK_DGRAM)
        connected.connect((address, 53 if family == socket.AF_INET else 123))
        connected.send(b"waits in a queue")
        kept.append(connected)


def open_raw() -> None:
    for family, protocol, peer in [
        (socket.AF_INET, socket.IPPROTO_ICMP, ""),
        (socket.AF_INET, 89, "127.0.0.1"),
        (socket.AF_INET6, socket.IPPROTO_ICMPV6, ""),
        (socket.AF_INET6, 89, LONG),
    ]:
        raw = socket.socket(family, socket.SOCK_RAW, protocol)
        if peer:
            raw.connect((peer, 0))
        kept.append(raw)
    for family, address, peer in [(socket.AF_INET, "127.0.0.1", ""), (socket.AF_INET6, LONG, "::1")]:
        light = socket.socket(family, socket.SOCK_DGRAM, IPPROTO_UDPLITE)
        light.bind((address, 53))
        if peer:
            light.connect((peer, 53))
        kept.append(light)
    # Neither a raw socket nor, to netstat, anything else.
    kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP))


def open_unix(directory: Path) -> None:
    for kind, name in [
        (socket.SOCK_STREAM, str(directory / "stream.sock")),
        (socket.SOCK_SEQPACKET, "\0abstract\0name"),
        (socket.SOCK_DGRAM, str(directory / "ünî.sock")),
        (socket.SOCK_STREAM, str(directory / "ends at the blank")),
    ]:
        bound = socket.socket(socket.AF_UNIX, kind)
        bound.bind(name)
        kept.append(bound)
        if kind == socket.SOCK_DGRAM:
            continue
        bound.listen(2)
        for _ in range(2):  # one is accepted, one waits
            client = socket.socket(socket.AF_UNIX, kind)
            client.connect(name)
            kept.append(client)
        kept.append(bound.accept()[0])
    for _ in range(2):
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.connect(str(directory / "ünî.sock"))
        kept.append(sender)
    kept.extend(socket.socketpair())
    kept.extend(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    kept.append(socket.socket(socket.AF_UNIX))


def has_settled() -> bool:
    """The kernel has made of the connections what they are to become."""
    rows = (line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:])
    states = {row[3] for row in rows}
    return states >= {"02", "05", "06", "08"}  # SYN_SENT, FIN_WAIT2, TIME_WAIT, CLOSE_WAIT


def main() -> None:
    """Open, hold."""
    try:
        http = open_tcp()
        open_owned()
        open_udp()
        open_raw()
        open_unix(Path(sys.argv[1]))
        until(has_settled, within_s=60.0, what="connections in every state")
        print("open", flush=True)
        for _ in sys.stdin:
            open_closing(http)
            print("again", flush=True)
    finally:
        for thing in kept:
            if isinstance(thing, subprocess.Popen):
                thing.kill()
                thing.wait()


if __name__ == "__main__":
    main()
