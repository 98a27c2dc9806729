"""The part of `bench.agent` with many network namespaces: a sweep over all of them beside `nsenter ss -tan` in each.

A STAND-IN: the sweep is done here, as root and in this process. It enters each namespace, opens a netlink socket there,
reads the TCP table, and closes the socket, so that no namespace is kept alive; it does not go through the agent's own
watch and helper.
"""

import argparse
import ctypes
import fcntl
import os
import resource
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fleetnet_agent.changes import DiagTable
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.tcp import Tcp

from bench.contenders import command_cpu_s
from bench.measures import Bar, hand_over

NAMESPACES, SOCKETS_EACH = 100, 50
SWEEP_MS, RATIO = 200.0, 0.1
_CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1  # include/uapi/linux/sockios.h, if.h

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Measure, and hand over; or, told so, hold the sockets."""
    parser = argparse.ArgumentParser(prog="python -m bench.namespaces", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--hold", action="store_true", help="make the namespaces and hold them (for the bench itself)")
    options = parser.parse_args()
    if options.hold:
        _hold()
        return 0
    holder = subprocess.Popen(
        [sys.executable, "-m", "bench.namespaces", "--hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout
        numbers = holder.stdout.readline().split()
        places = [Path(f"/proc/{holder.pid}/fd/{number}") for number in numbers]
        ours, theirs = _measure(places, 5 if options.quick else 15, 1 if options.quick else 3)
    of = f"{NAMESPACES} namespaces of {SOCKETS_EACH} sockets (stand-in for the watch)"
    hand_over(
        [
            Bar(f"{of}, CPU", SWEEP_MS, ours * 1000, "ms"),
            Bar("the same beside `nsenter ss -tan`", RATIO, ours / theirs, "x"),
        ]
    )
    return 0


def _measure(places: list[Path], rounds: int, rounds_of_ss: int) -> tuple[float, float]:
    tables = [_Swept(place) for place in places]
    for table in tables:
        found = table.look()
        assert found == SOCKETS_EACH, f"{found} sockets in a namespace"
    ours = []
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    for _ in range(rounds):
        before_s = time.process_time()
        for table in tables:
            table.look()
        ours.append(time.process_time() - before_s)
    _enter(home)
    theirs = [
        sum(command_cpu_s(["nsenter", f"--net={place}", "ss", "-tan"]) for place in places) for _ in range(rounds_of_ss)
    ]
    return statistics.median(ours), statistics.median(theirs)


class _Swept:
    """The TCP table of one namespace."""

    def __init__(self, place: Path) -> None:
        self._namespace = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        self._diag = DiagSocket()
        self._table = DiagTable(Tcp(self._diag), partial(self._diag.find, protocol=Tcp.protocol))

    def look(self) -> int:
        """Enter, read, and let go; how many sockets there are."""
        _enter(self._namespace)
        self._table.look()
        self._diag.close()
        return len(self._table)


def _enter(namespace: int) -> None:
    _call(_libc.setns, namespace, _CLONE_NEWNET)


def _call(function: Callable[..., int], *arguments: int) -> None:
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _hold() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kept: list[socket.socket] = []
    numbers: list[int] = []
    for _ in range(NAMESPACES):
        _call(_libc.unshare, _CLONE_NEWNET)
        numbers.append(os.open("/proc/self/ns/net", os.O_RDONLY))
        _raise_loopback()
        kept += _sockets()
    print(*numbers, flush=True)
    sys.stdin.read()


def _raise_loopback() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _sockets() -> list[socket.socket]:
    """Two listeners, and connections to one of them."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    kept = list(listeners)
    for _ in range((SOCKETS_EACH - len(listeners)) // 2):
        kept += [socket.create_connection(listeners[0].getsockname()), listeners[0].accept()[0]]
    return kept


if __name__ == "__main__":
    sys.exit(main())
