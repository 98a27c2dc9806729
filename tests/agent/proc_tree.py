"""A /proc of files that a test writes."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from fleetnet_agent.host import Host, this_host

BOOTED_AT_S = 1_700_000_000


class ProcTree:
    """Processes by pid, each with its descriptors."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        (root / "stat").write_text(f"cpu 1 2 3\nbtime {BOOTED_AT_S}\n")
        self.add(1, "init")

    def add(
        self,
        pid: int,
        name: str = "server",
        sockets: Iterable[int] = (),
        *,
        exe: str = "/usr/sbin/server",
        cmdline: bytes = b"/usr/sbin/server\0-x\0",
        ticks: int = 4200,
    ) -> None:
        """A process; one of the same pid is replaced."""
        at = self.root / str(pid)
        shutil.rmtree(at, ignore_errors=True)
        (at / "fd").mkdir(parents=True)
        (at / "comm").write_text(f"{name}\n")
        (at / "cmdline").write_bytes(cmdline)
        # Field 22 is the start; the name in brackets may hold brackets and blanks.
        (at / "stat").write_text(f"{pid} ({name}) S " + " ".join(["0"] * 18) + f" {ticks} 0 0\n")
        if exe:
            (at / "exe").symlink_to(exe)
        os.symlink("/dev/null", at / "fd/0")
        self.hold(pid, sockets)

    def hold(self, pid: int, sockets: Iterable[int]) -> None:
        """From now on the process holds exactly these."""
        directory = self.root / str(pid) / "fd"
        for link in directory.iterdir():
            if link.name != "0":
                link.unlink()
        for number, inode in enumerate(sockets, start=3):
            os.symlink(f"socket:[{inode}]", directory / str(number))

    def end(self, pid: int) -> None:
        """The process is gone."""
        shutil.rmtree(self.root / str(pid))


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now_us: int = 1_000_000_000

    def __call__(self) -> int:
        return self.now_us

    def go(self, seconds: float) -> None:
        """Some time passes."""
        self.now_us += int(seconds * 1_000_000)


def fixture_host(proc: Path, clock: Clock) -> Host:
    """A host of files, with a clock of the test's."""
    return replace(
        this_host(),
        proc=proc,
        root=proc.parent,
        cgroup_root=None,
        wall_clock_us=lambda: BOOTED_AT_S * 1_000_000 + clock(),
        boottime_us=clock,
        user_name=lambda uid: f"user{uid}",
        interface_name=lambda index: f"eth{index}",
    )
