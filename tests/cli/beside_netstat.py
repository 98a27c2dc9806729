"""Run inside a fresh network namespace: opens sockets of every kind, then prints, as JSON, what netstat(8) says of them
and what our layout says, for each set of options. Both look up names in the same place, and nobody else's sockets are
there.
"""

import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fleetnet_cli.output import netstat
from fleetnet_cli.output.names import Numeric, Symbolic
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Owner, Socket
from fleetnet_cli.services import load
from fleetnet_cli.states import STATES

LONG = "2001:db8:1111:2222:3333:4444:5555:6666"
OPTIONS = ["-tuan", "-tulpn", "-tuanp", "-tun", "-tuln", "-tua", "-tulp", "-tu", "-tan", "-uan", "-tuanpW", "-tuaW"]
_NEW_SYN_RECV = 12  # include/net/tcp_states.h; netstat and the kernel's files call it SYN_RECV

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


def open_tcp() -> None:
    http, dual = listen("0.0.0.0", 80), listen("::", 443, v6only=False)
    postgres, far = listen("127.0.0.1", 5432), listen(LONG, 5432)
    listen("::1", 53)
    pair(http, "127.0.0.1")
    pair(dual, "::1")
    pair(far, LONG)
    unread, _ = pair(dual, "127.0.0.1")  # IPv4-mapped on the server's side
    unread.sendall(b"not read")
    closing, _ = pair(postgres, "127.0.0.1")
    closing.close()  # FIN_WAIT2 here, CLOSE_WAIT there
    first, second = pair(http, "127.0.0.9")
    first.close()
    second.close()  # TIME_WAIT
    full = listen("127.0.0.1", 3306, backlog=0)
    for _ in range(3):  # one is accepted by the kernel for the process, later ones hang in SYN_SENT
        hanging = socket.socket()
        hanging.setblocking(False)
        hanging.connect_ex(full.getsockname())
        kept.append(hanging)
    # Two processes share a listener, and their name is longer than netstat's column.
    shared = listen("0.0.0.0", 8080)
    long_name = ["/opt/somewhere/a-program-with-a-long-name", "600"]
    kept.append(subprocess.Popen(long_name, executable="/bin/sleep", pass_fds=[shared.fileno()]))
    alone = listen("0.0.0.0", 8081)
    kept.append(subprocess.Popen(["relative: name", "600"], executable="/bin/sleep", pass_fds=[alone.fileno()]))
    alone.close()


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


def owners() -> dict[int, list[Owner]]:
    """By inode, from /proc, ascending by pid, as an answer has them."""
    found: dict[int, list[Owner]] = {}
    for pid in sorted(int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()):
        try:
            argv0 = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
            links = {link_of(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
        except OSError:
            continue
        program = argv0.rpartition("/")[2] if argv0.startswith("/") else argv0
        for link in links:
            if link.startswith("socket:["):
                found.setdefault(int(link[8:-1]), []).append(Owner(pid, "", "", 0, program[:20]))
    return found


def link_of(fd: Path) -> str:
    try:
        return os.readlink(fd)
    except OSError:
        return ""  # closed meanwhile, as the one that lists our own


def address_of(text: str) -> tuple[str, int]:
    words, _, port = text.partition(":")
    packed = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, packed), int(port, 16)


def sockets() -> Iterator[Socket]:
    """The sockets of this namespace as an answer has them."""
    holding = owners()
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            (local, local_port), (remote, remote_port) = address_of(words[1]), address_of(words[2])
            number = int(words[3], 16)
            state = "SYN_RECV" if number == _NEW_SYN_RECV else STATES[number - 1]
            sent, _, received = words[4].partition(":")
            inode = int(words[9])
            yield Socket(
                host="here", netns="host", protocol=name[:3], family="ipv6" if name.endswith("6") else "ipv4",
                state=state, interface="", v6only=None, local_address=local, local_port=local_port,
                remote_address=remote if remote_port else "", remote_port=remote_port, recv_queue=int(received, 16),
                send_queue=128 if state == "LISTEN" else int(sent, 16), uid=0, user="", inode=inode, unit="",
                container="", owners=tuple(holding.get(inode, [])), owner_status="known", scope="", exposed="",
                opened_at_us=1, opened_at_is="seen", closed_at_us=0, closed_at_is="", last_seen_us=1, source="diag",
            )  # fmt: skip


def selected(options: str) -> Iterator[Socket]:
    """Those that the collector would send for these options."""
    for s in sockets():
        listening = s.state == ("LISTEN" if s.protocol == "tcp" else "CLOSE")
        if s.protocol[0] in options and ("a" in options or listening == ("l" in options)):
            yield s


def ours(options: str) -> str:
    layout = netstat.Layout("a" in options, "l" in options, "p" in options, "W" in options)
    names = Numeric() if "n" in options else Symbolic(load())
    out = io.StringIO()
    netstat.write(selected(options), names, layout, Terminal(out), heading=True)
    return out.getvalue()


def settled() -> None:
    """Waits until the states that take a moment are there."""
    deadline_s = time.monotonic() + 10
    wanted = {"SYN_SENT", "FIN_WAIT2", "CLOSE_WAIT", "TIME_WAIT"}
    while not wanted <= {s.state for s in sockets()}:
        if time.monotonic() > deadline_s:
            sys.exit(f"only {sorted({s.state for s in sockets()})} came about")
        time.sleep(0.02)


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{LONG}/128", "dev", "lo", "nodad"], check=True)
    try:
        open_tcp()
        open_udp()
        settled()
        answers = {}
        for options in OPTIONS:
            real = subprocess.run(["netstat", options], capture_output=True, text=True, check=True).stdout
            answers[options] = [real.splitlines(), ours(options).splitlines()]
        json.dump(answers, sys.stdout)
    finally:
        for thing in kept:
            if isinstance(thing, subprocess.Popen):
                thing.kill()
                thing.wait()


if __name__ == "__main__":
    main()
