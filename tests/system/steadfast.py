"""The agent's engine among sockets that come and go: `python -m system.steadfast FLOODS CONNECTIONS DIRECTORY`.

Opens sockets of every family that stay, starts FLOODS processes of which each makes CONNECTIONS short connections as
fast as it can, and looks at everything until they are done. Then one line of JSON, `verdict {…}`, says what was wrong:
a socket that was open throughout and was missing, doubled, closed, or in another state for a while. Beside it, how
often the kernel's own dumps of TCP missed and doubled the same sockets meanwhile.
"""

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from functools import partial
from pathlib import Path

from fleetnet_agent.changes import DiagTable
from fleetnet_agent.host import this_host
from fleetnet_agent.records import State
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.inet_diag import ALL_STATES, inode_of
from fleetnet_agent.sources.source import Part
from fleetnet_agent.sources.tcp import Tcp
from fleetnet_agent.watch import open_watch
from system import families
from system.zoo import listen

_LISTENERS = 20
_PAIRS = 3_500  # TCP connections, each with two ends here; fewer where so many descriptors may not be open
_UNIX_PAIRS = 100
_LOOKS_AT_LEAST = 2
_TABLE_LOOKS = 10  # at TCP alone, for each look at everything

Seen = tuple[Hashable, int, State]
"""A socket's name, inode and state."""


class Told:
    """What the differences have told, put together, held against what stays."""

    def __init__(self, name: str, steady: set[int]) -> None:
        self._name = name
        self._steady = steady
        self._inodes: dict[Hashable, int] = {}
        self._states: dict[int, State] = {}  # as they were seen first, and are to stay
        self.looks = 0
        self.wrong: list[str] = []

    def apply(self, opened: Iterable[Seen], changed: Iterable[Seen], closed: Iterable[Hashable]) -> None:
        """One difference."""
        self.looks += 1
        for name, inode, state in opened:
            if name in self._inodes:
                self._note(f"{name} is opened twice")
            self._take(name, inode, state)
        for name, inode, state in changed:
            self._take(name, inode, state)
        for name in closed:
            if (inode := self._inodes.pop(name)) in self._steady:
                self._note(f"socket {inode} is closed")
        counted = Counter(inode for inode in self._inodes.values() if inode in self._steady)
        for inode in self._steady:
            if counted[inode] != 1:
                self._note(f"socket {inode} is there {counted[inode]} times")

    def _take(self, name: Hashable, inode: int, state: State) -> None:
        self._inodes[name] = inode
        if inode in self._steady and self._states.setdefault(inode, state) is not state:
            self._note(f"socket {inode} is {state.name}")

    def _note(self, what: str) -> None:
        self.wrong.append(f"{self._name}, look {self.looks}: {what}")


class Counted(Tcp):
    """TCP as the kernel dumps it, and how often it missed and doubled what stays."""

    def __init__(self, diag: DiagSocket, steady: set[int]) -> None:
        super().__init__(diag)
        self._steady = steady
        self.missed = self.doubled = 0

    def read(self, states: int) -> Iterator[Part]:
        """See `Source`."""
        found: Counter[int] = Counter()
        for part in super().read(states):
            found.update(map(inode_of, part.messages))
            yield part
        if states == ALL_STATES:
            self.missed += sum(not found[inode] for inode in self._steady)
            self.doubled += sum(found[inode] > 1 for inode in self._steady)


def main() -> None:
    """Open, look while others flood, tell."""
    floods, connections, directory = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    tcp, others = _open_tcp(), _open_others(directory)
    steady = _inodes(tcp)
    everything, table = Told("watch", steady | _inodes(others)), Told("table", steady)
    diag = DiagSocket()
    counted = Counted(diag, steady)
    tcp_table = DiagTable(counted, partial(diag.find, protocol=counted.protocol))
    watch = open_watch(this_host(), helper_socket=None, namespaces="own")
    flooding = _flood(floods, connections)
    began_s = time.monotonic()
    while any(flood.poll() is None for flood in flooding) or everything.looks < _LOOKS_AT_LEAST:
        difference = watch.look(everything=True)
        everything.apply(
            ((row.key, row.inode, row.state) for row in difference.opened),
            ((row.key, row.inode, row.state) for row in difference.changed),
            (closed.key for closed in difference.closed),
        )
        for _ in range(_TABLE_LOOKS):
            moves = tcp_table.look()
            table.apply(
                ((one.name, one.inode, one.state) for one in moves.opened),
                ((change.after.name, change.after.inode, change.after.state) for change in moves.changed),
                (one.name for one in moves.closed),
            )
    took_s = time.monotonic() - began_s
    churned = sum(int(flood.communicate()[0]) for flood in flooding)
    verdict = {
        "wrong": [*everything.wrong, *table.wrong][:20],
        "looks": everything.looks,
        "table_looks": table.looks,
        "steady": len(tcp) + len(others),
        "blind": [status.name for status in watch.snapshot().sources if status.blind],
        "buckets": int(Path("/proc/sys/net/ipv4/tcp_ehash_entries").read_text()),
        "kernel": {"missed": counted.missed, "doubled": counted.doubled},
        "churned": churned,
        "opens_per_s": round(churned / took_s),
    }
    watch.close()
    print("verdict " + json.dumps(verdict), flush=True)


def _flood(floods: int, connections: str) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "system.flood", connections]
    return [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(floods)]


def _open_tcp() -> list[socket.socket]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listeners = [listen(socket.AF_INET, "127.0.0.1") for _ in range(_LISTENERS)]
    held = [*listeners]
    for number in range(min(_PAIRS, (most - 500) // 2)):
        listener = listeners[number % _LISTENERS]
        held += [socket.create_connection(listener.getsockname()), listener.accept()[0]]
    return held


def _open_others(directory: Path) -> list[socket.socket]:
    pairs = [socket.socketpair() for _ in range(_UNIX_PAIRS)]
    return [
        *(end for pair in pairs for end in pair),
        *families.unix(directory),
        *families.raw(),
        *families.udplite(),
        *families.udp(),
        *families.packet(),
    ]


def _inodes(held: list[socket.socket]) -> set[int]:
    return {os.fstat(one.fileno()).st_ino for one in held}


if __name__ == "__main__":
    main()
