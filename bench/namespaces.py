"""The part of `bench.agent` with many network namespaces: a look at everything beside `nsenter ss` in each.

The look is the agent's own: a watch on all namespaces and its helper, which finds them by their mounts, enters them
and passes what it opens; both cost. It reads seven kinds of sockets. So it is measured beside `ss -tan`, which reads
one, and beside `ss -tuwx0San`, which reads as many. What is in the namespace that the agent itself is in counts, too.
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
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fleetnet_agent import privileges
from fleetnet_agent.host import this_host
from fleetnet_agent.watch import Watch, open_watch

from bench.contenders import command_cpu_s
from bench.measures import Bar, cpu_s, hand_over

NAMESPACES, SOCKETS_EACH = 100, 50
SWEEP_MS, RATIO = 200.0, 0.1
TCP_ALONE, AS_MANY_KINDS = ("ss", "-tan"), ("ss", "-tuwx0San")
_CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
_MS_BIND = 0x1000  # include/uapi/linux/mount.h
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1  # include/uapi/linux/sockios.h, if.h

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Measure, and hand over; or, told so, hold the sockets."""
    parser = argparse.ArgumentParser(prog="python -m bench.namespaces", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--hold", type=Path, help="make the namespaces, mount them there, hold them (for the bench itself)"
    )
    options = parser.parse_args()
    if options.hold:
        _hold(options.hold)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        holding = [sys.executable, "-m", "bench.namespaces", "--hold", directory]
        with subprocess.Popen(holding, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout
            assert holder.stdout.readline() == "ready\n"
            places = sorted(Path(directory).iterdir())
            try:
                _measure(places, 5 if options.quick else 15, 1 if options.quick else 3)
            finally:
                for place in places:
                    _call(_libc.umount, os.fsencode(place))
    return 0


def _measure(places: list[Path], rounds: int, rounds_of_ss: int) -> None:
    ours = _looks_s(rounds)
    tcp, kinds = (
        statistics.median(
            sum(command_cpu_s(["nsenter", f"--net={place}", *command]) for place in places) for _ in range(rounds_of_ss)
        )
        for command in (TCP_ALONE, AS_MANY_KINDS)
    )
    print(f"    {ours * 1000:.0f} ms; ss -tan {tcp * 1000:.0f} ms, ss -tuwx0San {kinds * 1000:.0f} ms", flush=True)
    hand_over(
        [
            Bar(f"{NAMESPACES} namespaces of {SOCKETS_EACH} sockets, CPU", SWEEP_MS, ours * 1000, "ms"),
            Bar("the same beside `nsenter ss -tan`", RATIO, ours / tcp, "x"),
            Bar("the same beside `nsenter ss -tuwx0San`", RATIO, ours / kinds, "x"),
        ]
    )


def _looks_s(rounds: int) -> float:
    """CPU seconds of a look at everything, the median."""
    taken = []
    with tempfile.TemporaryDirectory() as directory:
        helper = privileges.start_helper(os.getuid(), Path(directory, "helper.sock"))
        try:
            with closing(open_watch(this_host(), helper_socket=helper.socket, namespaces="all")) as watch:
                for number in range(rounds + 2):
                    before_s = time.process_time() + cpu_s(helper.process.pid)
                    watch.look(everything=True)
                    if number > 1:
                        taken.append(time.process_time() + cpu_s(helper.process.pid) - before_s)
                    time.sleep(1)
                _check(watch)
        finally:
            helper.close()
    return statistics.median(taken)


def _check(watch: Watch) -> None:
    found = [row.key.netns for row in watch.snapshot().sockets if row.key.netns]
    whole = [netns for netns in set(found) if found.count(netns) == SOCKETS_EACH]
    assert len(whole) >= NAMESPACES, f"{len(whole)} namespaces with {SOCKETS_EACH} sockets"


def _call(function: Callable[..., int], *arguments: int | bytes) -> None:
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _hold(directory: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kept: list[socket.socket] = []
    for number in range(NAMESPACES):
        _call(_libc.unshare, _CLONE_NEWNET)
        place = directory / f"{number:03}"
        place.touch()
        _call(_libc.mount, b"/proc/self/ns/net", os.fsencode(place), b"", _MS_BIND, 0)
        _raise_loopback()
        kept += _sockets()
    print("ready", flush=True)
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
