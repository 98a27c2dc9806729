"""The host as a value: where its files are, what time it is, how it calls its users and interfaces.

Everything the agent's kernel side reads goes through a `Host`, so that all of it runs on a directory of fixture files
and on a clock that a test moves. Only netlink sockets are not here: they are the sources' own.
"""

import pwd
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleetnet_agent import failpoints


@dataclass(frozen=True, slots=True)
class Host:
    """A Linux host to look at."""

    proc: Path
    root: Path  # where /etc is found
    cgroup_root: Path | None  # where cgroup2 is mounted; None where it is not
    wall_clock_us: Callable[[], int]  # microseconds since 1970 UTC; may jump
    boottime_us: Callable[[], int]  # CLOCK_BOOTTIME; never jumps, counts sleep
    user_name: Callable[[int], str]  # uid to name, "" where it has none
    interface_name: Callable[[int], str]  # interface index to name, "" where there is none


def this_host() -> Host:
    """The machine this process runs on."""
    proc = Path("/proc")
    return Host(
        proc=proc,
        root=Path("/"),
        cgroup_root=cgroup2_mount(_read_mountinfo(proc)),
        wall_clock_us=failpoints.clock(lambda: time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000),
        boottime_us=lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000,
        user_name=Remembered(_user_name, time.monotonic),
        interface_name=Remembered(_interface_name, time.monotonic),
    )


def cgroup2_mount(mountinfo: str) -> Path | None:
    """Where the unified hierarchy is mounted, from the text of /proc/PID/mountinfo (proc(5)); None if it is not.

    Of several mounts the first that shows the hierarchy's root is taken: ids of directories outside a partial one
    could not be found.
    """
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if separator and after.split()[:1] == ["cgroup2"] and len(fields) > 4 and fields[3] == "/":
            return Path(fields[4].encode().decode("unicode_escape"))  # a blank in the path is written \040
    return None


class Remembered:
    """A name by number, asked once and then again only when the answer is old.

    Users get renamed and interface indexes get reused, so nothing is remembered for ever; one look-up may go over the
    network (nss), so it is not made for every socket either.
    """

    FOR_S = 60.0
    AT_MOST = 4096

    def __init__(self, find: Callable[[int], str], clock_s: Callable[[], float]) -> None:
        self._find = find
        self._clock_s = clock_s
        self._names: dict[int, tuple[float, str]] = {}

    def __call__(self, number: int) -> str:
        now_s = self._clock_s()
        known = self._names.get(number)
        if known is not None and now_s - known[0] < self.FOR_S:
            return known[1]
        if len(self._names) >= self.AT_MOST:
            self._names.clear()
        name = self._find(number)
        self._names[number] = (now_s, name)
        return name


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return ""


def _interface_name(index: int) -> str:
    if index == 0:
        return ""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""


def _read_mountinfo(proc: Path) -> str:
    try:
        return (proc / "self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return ""
