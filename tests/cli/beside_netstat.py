"""Run inside a fresh network namespace: opens sockets of every kind, then prints, as JSON, what netstat(8) says of them
and what our layout says, for each set of options. Both look up names in the same place, and nobody else's sockets are
there.
"""

import io
import json
import os
import pwd
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.every_kind import LONG, kept, open_raw, open_tcp, open_udp, open_unix
from fleetnet_cli.commands.netstat import sockets as netstat
from fleetnet_cli.commands.netstat.wish import Wish
from fleetnet_cli.live import LiveSocket, Timer
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Owner, Socket
from fleetnet_cli.states import STATES

OPTIONS = [
    *("-tuan", "-tulpn", "-tuanp", "-tun", "-tuln", "-tua", "-tulp", "-tu", "-tan", "-uan", "-tuanpW", "-tuaW"),
    *("-wan", "-wa", "-wn", "-wln", "-wanp", "-xan", "-xn", "-xln", "-xanp", "-Uan"),
    *("-tane", "-tae", "-tulpe", "-tunoe", "-tano", "-waneo", "-4an", "-6an", "-6ln", "-4x"),
    *("-an", "-n", "-ln", "-a", "-anpeo"),
]
_NEW_SYN_RECV = 12  # include/net/tcp_states.h; netstat and the kernel's files call it SYN_RECV

# What no layout of netstat shows.
SAME: Any = {
    "host": "here",
    "netns": "host",
    "interface": "",
    "v6only": None,
    "unit": "",
    "container": "",
    "owner_status": "known",
    "scope": "",
    "exposed": "",
    "opened_at_us": 1,
    "opened_at_is": "seen",
    "closed_at_us": 0,
    "closed_at_is": "",
    "last_seen_us": 1,
    "source": "diag",
}


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


def sockets() -> Iterator[LiveSocket]:
    """The sockets of this namespace as an answer has them."""
    holding = owners()
    yield from map(LiveSocket, unix_sockets(holding))
    for name in ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6"):
        for line in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            (local, local_port), (remote, remote_port) = address_of(words[1]), address_of(words[2])
            number = int(words[3], 16)
            state = "SYN_RECV" if number == _NEW_SYN_RECV else STATES[number - 1]
            sent, _, received = words[4].partition(":")
            inode = int(words[9])
            timer, _, left = words[5].partition(":")
            counts = int(words[6], 16), int(words[8])  # retransmissions and probes
            # In TIME_WAIT the kernel's file says root, and the dump that nobody knows.
            yield LiveSocket(
                Socket(
                    **SAME, protocol=name.removesuffix("6"), family="ipv6" if name.endswith("6") else "ipv4",
                    state=state, local_address=local, local_port=local_port,
                    remote_address=remote if remote_port or state == "ESTABLISHED" else "", remote_port=remote_port,
                    recv_queue=int(received, 16), send_queue=128 if state == "LISTEN" else int(sent, 16),
                    uid=None if state == "TIME_WAIT" else int(words[7]), user=user_name(int(words[7])), inode=inode,
                    owners=tuple(holding.get(inode, [])),
                ),
                Timer(int(timer, 16), int(left, 16) * 10, max(counts)) if int(timer, 16) else None,
            )  # fmt: skip


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def unix_sockets(holding: dict[int, list[Owner]]) -> Iterator[Socket]:
    """Those of /proc/net/unix."""
    for line in Path("/proc/self/net/unix").read_text().splitlines()[1:]:
        words = line.split(maxsplit=7)
        listening, connected, inode = int(words[3], 16) & 0x10000, words[5] in ("02", "03"), int(words[6])
        path = words[7] if len(words) > 7 else ""
        yield Socket(
            **SAME, protocol="unix", family="unix", local_address="", local_port=0, remote_address="", remote_port=0,
            state="LISTEN" if listening else "ESTABLISHED" if connected else "CLOSE", recv_queue=0, send_queue=0,
            uid=0, user="", inode=inode, owners=tuple(holding.get(inode, [])), path=path,
            type={1: "stream", 2: "dgram", 5: "seqpacket"}[int(words[4], 16)],
        )  # fmt: skip


def wish(options: str) -> Wish:
    letters = {"t": "tcp", "u": "udp", "U": "udplite", "w": "raw", "x": "unix"}
    return Wish(
        host="here",
        everything="a" in options,
        listening="l" in options,
        protocols=tuple(protocol for letter, protocol in letters.items() if letter in options),
        families=tuple(f"ipv{digit}" for digit in "46" if digit in options),
        numeric="n" in options,
        programs="p" in options,
        extend=options.count("e"),
        wide="W" in options,
        timers="o" in options,
    )


def ours(options: str) -> list[str]:
    wanted, out = wish(options), io.StringIO()
    asked = {*wanted.internet, *(["unix"] if wanted.unix else [])}
    items = [i for i in sockets() if i.socket.protocol in asked and netstat.shown(i.socket, wanted)]
    netstat.write(items, wanted, Terminal(out), heading=True)
    return seconds_apart(out.getvalue().splitlines())


def theirs(options: str) -> list[str]:
    told = subprocess.run(["netstat", options], capture_output=True, text=True, check=True).stdout
    return [without_what_is_not_kept(line, options) for line in seconds_apart(told.splitlines())]


def without_what_is_not_kept(line: str, options: str) -> str:
    """RefCnt of UNIX sockets, and whom TIME_WAIT belonged to, which to netstat is root."""
    if line.startswith("unix "):
        return f"{line[:6]}{'-':<6}{line[12:]}"
    if "e" in options and line[68:].startswith("TIME_WAIT"):
        return f"{line[:80]}{'-':<10}{line[90:]}"
    return line


def seconds_apart(lines: list[str]) -> list[str]:
    """Timers go on between two looks: their seconds are left out, all else is compared."""
    return [re.sub(r"(on|keepalive|timewait|probe) \(\d+\.\d\d/", r"\1 (…/", line) for line in lines]


def compared(options: str) -> list[list[str]]:
    """What both say at last: something may be sent again between the two looks."""
    deadline_s = time.monotonic() + 10
    while True:
        pair = [theirs(options), ours(options)]
        if sorted(pair[0]) == sorted(pair[1]) or time.monotonic() > deadline_s:
            return pair
        time.sleep(0.02)


def settled() -> None:
    """Waits until the states that take a moment are there."""
    deadline_s = time.monotonic() + 10
    wanted = {"SYN_SENT", "FIN_WAIT2", "CLOSE_WAIT", "TIME_WAIT"}
    while not wanted <= {i.socket.state for i in sockets()}:
        if time.monotonic() > deadline_s:
            sys.exit(f"only {sorted({i.socket.state for i in sockets()})} came about")
        time.sleep(0.02)


def main(directory: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{LONG}/128", "dev", "lo", "nodad"], check=True)
    try:
        open_tcp()
        open_udp()
        open_raw()
        open_unix(Path(directory))
        settled()
        answers = {}
        for options in OPTIONS:
            answers[options] = compared(options)
        json.dump(answers, sys.stdout)
    finally:
        for thing in kept:
            if isinstance(thing, subprocess.Popen):
                thing.kill()
                thing.wait()


if __name__ == "__main__":
    main(sys.argv[1])
