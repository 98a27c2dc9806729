"""Network namespaces of every kind, what lives in them, and what a watch has told of them put together."""

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fleetnet_agent.helper.numbers import Numbers
from fleetnet_agent.host import this_host
from fleetnet_agent.records import Brief, Difference, Namespace, SocketKey
from fleetnet_agent.records import Socket as Row
from fleetnet_agent.watch import Watch
from system import oracles

from demo.programs import Program, Programs, until

RESIDENT = (sys.executable, "-m", "system.resident")
_ROOT = Path(__file__).resolve().parents[2]
PATH = f"{_ROOT}:{_ROOT / 'tests'}"


def run(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@dataclass
class Told:
    """A watch, and what its differences have told, put together."""

    watch: Watch
    rows: dict[SocketKey, Row] = field(default_factory=dict)
    namespaces: dict[int, Namespace] = field(default_factory=dict)
    briefs: list[Brief] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)

    def look(self, *, everything: bool = True) -> Difference:
        """Look, and take in what is told."""
        difference = self.watch.look(everything=everything)
        for closed in difference.closed:
            del self.rows[closed.key]
        self.rows.update({row.key: row for row in (*difference.opened, *difference.changed)})
        self.namespaces.update({one.netns: one for one in difference.namespaces})
        for netns in difference.namespaces_gone:
            self.namespaces.pop(netns, None)  # it may have come and gone between two looks
            assert not self.inside(netns)
        self.gone |= set(difference.namespaces_gone)
        self.briefs += difference.brief
        self.gaps += [gap.reason for gap in difference.gaps]
        return difference

    def inside(self, netns: int) -> list[Row]:
        """The rows of one namespace."""
        return [row for row in self.rows.values() if row.key.netns == netns]


@dataclass(frozen=True)
class Resident:
    """A program with sockets in a namespace of its own."""

    program: Program
    name: str  # of its namespace
    door: str  # a path to it
    inode: int
    port: int

    def ss(self) -> list[oracles.Row]:
        """What ss says inside."""
        return oracles.of_ss_output(run("nsenter", f"--net={self.door}", "ss", "-tuanpH"))

    def make_short(self, count: int) -> list[int]:
        """Have it make connections that live for a moment; their clients' ports."""
        self.program.tell(f"short {count}")
        return list(json.loads(self.program.wait_for(r"^short (.*)$")[1]))


class Street:
    """Makes namespaces, and removes them."""

    def __init__(self, programs: Programs, stack: contextlib.ExitStack) -> None:
        self._programs = programs
        self._stack = stack

    def named(self) -> str:
        """As ip-netns(8) makes them."""
        name = f"fleetnet-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        run("ip", "netns", "add", name)
        self._stack.callback(run, "ip", "netns", "delete", name)
        return name

    def mounted(self) -> str:
        """Mounted on a file of any name."""
        path = self._programs.directory / f"net-{uuid.uuid4().hex[:6]}"
        path.touch()
        run("unshare", f"--net={path}", "true")
        self._stack.callback(run, "umount", str(path))
        return str(path)

    def control_group(self, name: str) -> tuple[str, Path]:
        """See `control_group`; who moves in after that is out before it ends."""
        return self._stack.enter_context(control_group(name))

    def move_in(self, *command: str, name: str = "", door: str = "") -> Resident:
        """Start the command, which becomes a resident."""
        program = self._programs.start(f"resident-{uuid.uuid4().hex[:6]}", command, {"PYTHONPATH": PATH})
        self._stack.callback(program.stop)
        facts = json.loads(program.wait_for("^resident (.*)$")[1])
        return Resident(program, name, door or f"/proc/{program.pid}/ns/net", facts["inode"], facts["port"])


def five(street: Street) -> list[Resident]:
    """One namespace of each kind."""
    first, second, third = street.named(), street.named(), street.mounted()
    doors = [f"/run/netns/{name}" for name in (first, second)]
    return [
        street.move_in("nsenter", f"--net={doors[0]}", *RESIDENT, name=first, door=doors[0]),
        street.move_in(*RESIDENT, "--inside", doors[1], name=second, door=doors[1]),  # no process lives in it
        street.move_in("unshare", "--net", *RESIDENT),
        street.move_in("nsenter", f"--net={third}", *RESIDENT, name=Path(third).name, door=third),
        street.move_in("unshare", "--user", "--map-root-user", "--net", *RESIDENT),  # nested in a user namespace
    ]


def let_the_kernel_catch_up(numbers: Numbers) -> None:
    """Wait until one that has ended just now is gone: the kernel cleans up behind all of a machine one after the other,
    and others may have left it many."""
    name = f"fleetnet-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    run("ip", "netns", "add", name)
    try:
        with open(f"/run/netns/{name}") as inside:
            if numbers.of(inside.fileno()) is None:
                numbers.give(inside.fileno())
            number = numbers.of(inside.fileno())
    finally:
        run("ip", "netns", "delete", name)
    until(lambda: number not in numbers.all(), within_s=60.0, what="the end of a namespace that nobody is in")


@contextlib.contextmanager
def control_group(name: str) -> Iterator[tuple[str, Path]]:
    """A control group called so, with an id for "{}", at whatever place cgroup2 is mounted; the id and its folder."""
    root = this_host().cgroup_root
    if root is None:
        pytest.skip("cgroup2 is not mounted here")
    identity = uuid.uuid4().hex * 2
    group = root / name.format(identity)
    group.mkdir()
    try:
        yield identity, group
    finally:
        until(lambda: _removed(group), within_s=60.0, what="the end of the control group")


def _removed(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


def child_of(pid: int) -> int:
    """The first child of a process."""
    return int(Path("/proc", str(pid), "task", str(pid), "children").read_text().split()[0])
