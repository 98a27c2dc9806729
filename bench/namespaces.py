"""The part of `bench.agent` with many network namespaces: a look at everything beside `nsenter ss` in each.

The look is the agent's own: a watch on all namespaces and its helper, which finds them by their mounts, enters them
and passes what it opens; both cost. It shows seven kinds of sockets with all their owners. So it is measured beside
`ss -tan`, which reads one kind and no owners, `ss -tuwx0San`, which reads as many, and `ss -tanp`, which has owners,
too. What is in the namespace that the agent itself is in counts, and every other one of the machine.

A table in which nothing can have changed is not read (see fleetnet_agent/quiet.py). So there are three looks: where in
each namespace something was sent, and all tables are read; where nothing happened; and where in ten of the namespaces
a connection (2 of their 50 sockets) was exchanged for another. Once a minute each is read in any case: the looks are a
second apart, and that is in what is measured.
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
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from fleetnet_agent import privileges
from fleetnet_agent.host import this_host
from fleetnet_agent.watch import Watch, open_watch

from bench.contenders import command_cpu_s
from bench.measures import Bar, cpu_s, hand_over

NAMESPACES, SOCKETS_EACH = 100, 50
SWEEP_MS, RATIO = 200.0, 0.1
LOOKS = {  # what happens before each: a word to the holder, and in how many namespaces
    "all of them busy": ("send", NAMESPACES),
    "none of them busy": ("send", 0),
    "2 sockets exchanged in ten": ("exchange", 10),
}
PEERS = (("ss", "-tan"), ("ss", "-tuwx0San"), ("ss", "-tanp"))
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
                _measure(holder, places, 1 if options.quick else 15, 1 if options.quick else 3)
            finally:
                for place in places:
                    _call(_libc.umount, os.fsencode(place))
    return 0


def _measure(holder: "subprocess.Popen[str]", places: list[Path], rounds: int, rounds_of_ss: int) -> None:
    ours = _looks_s(holder, rounds)
    theirs = {" ".join(command): _everywhere_s(places, command, rounds_of_ss) for command in PEERS}
    print("   ", ", ".join(f"nsenter {peer} {taken_s * 1000:.0f} ms" for peer, taken_s in theirs.items()), flush=True)
    for name, taken_s in ours.items():
        sweep = f"{NAMESPACES} namespaces of {SOCKETS_EACH} sockets, {name}, CPU"
        hand_over([Bar(sweep, SWEEP_MS, taken_s * 1000, "ms")])
        hand_over(
            Bar(f"the same beside `nsenter {peer}`", RATIO, taken_s / beside_s, "x")
            for peer, beside_s in theirs.items()
        )


def _everywhere_s(places: list[Path], command: tuple[str, ...], rounds: int) -> float:
    """CPU seconds of running it in each, the median."""
    return statistics.median(
        sum(command_cpu_s(["nsenter", f"--net={place}", *command]) for place in places) for _ in range(rounds)
    )


def _looks_s(holder: "subprocess.Popen[str]", rounds: int) -> Mapping[str, float]:
    """CPU seconds of each kind of look at everything, the medians."""
    taken: dict[str, list[float]] = {name: [] for name in LOOKS}
    with tempfile.TemporaryDirectory() as directory:
        helper = privileges.start_helper(os.getuid(), Path(directory, "helper.sock"))
        try:
            with closing(open_watch(this_host(), helper_socket=helper.socket, namespaces="all")) as watch:
                for name, (what, where) in LOOKS.items():
                    for number in range(rounds + 3):
                        _tell(holder, f"{what} {where}")
                        before_s = time.process_time() + cpu_s(helper.process.pid)
                        watch.look(everything=True)
                        if number > 2:  # the first find out which tables need not be read
                            taken[name].append(time.process_time() + cpu_s(helper.process.pid) - before_s)
                        time.sleep(1)
                    _check(watch)
        finally:
            helper.close()
    return {name: statistics.median(each) for name, each in taken.items()}


def _tell(holder: "subprocess.Popen[str]", what: str) -> None:
    assert holder.stdin
    assert holder.stdout
    holder.stdin.write(f"{what}\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "done\n"


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
    held: list[_Held] = []
    for number in range(NAMESPACES):
        _call(_libc.unshare, _CLONE_NEWNET)
        place = directory / f"{number:03}"
        place.touch()
        _call(_libc.mount, b"/proc/self/ns/net", os.fsencode(place), b"", _MS_BIND, 0)
        _raise_loopback()
        held.append(_Held())
    print("ready", flush=True)
    for line in sys.stdin:
        what, where = line.split()
        for each in held[: int(where)]:
            getattr(each, what)()
        print("done", flush=True)


def _raise_loopback() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


class _Held:
    """The sockets of the namespace that this thread is in: two listeners, and connections to one of them."""

    def __init__(self) -> None:
        self._namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self._connections = [self._connect() for _ in range((SOCKETS_EACH - len(self._listeners)) // 2)]

    def send(self) -> None:
        """Something from one end of a connection to the other, where it is read."""
        near, far = self._connections[0]
        near.send(b"?")
        far.recv(1)

    def exchange(self) -> None:
        """A connection, the oldest, for another."""
        for end in self._connections.pop(0):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT is left
            end.close()
        _call(_libc.setns, self._namespace, _CLONE_NEWNET)
        self._connections.append(self._connect())

    def _connect(self) -> tuple[socket.socket, socket.socket]:
        return socket.create_connection(self._listeners[0].getsockname()), self._listeners[0].accept()[0]


if __name__ == "__main__":
    sys.exit(main())
