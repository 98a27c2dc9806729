"""From a socket's control group to its unit and container.

The kernel gives the id of the cgroup2 directory that the socket was made in; the id is the directory's inode number.
So a walk over the hierarchy gives every path, and the path the rest. Reading directories is all it takes. Of sockets
that have no such id (UNIX, packet) a process that holds them tells its control group.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fleetnet_agent.records import Process

WALK_SHARE = 0.02  # of the time
WALK_AT_LEAST_US = 500_000  # from one walk to the next
PLACE_LASTS_US = 60_000_000  # of a process: a session's is put into another control group while it starts
_MOST_PROCESSES = 4096

_UNIT = re.compile(r"(?P<unit>[^/]+\.(?:service|scope|socket|mount|swap))(?=/|$)")
_HEX_ID = r"(?P<id>[0-9a-f]{64})"
_CONTAINERS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"/(?P<by>docker|libpod|cri-containerd|crio|nerdctl|containerd)-{_HEX_ID}(?:\.scope)?(?=/|$)",
        rf"/[^/:]+:(?P<by>cri-containerd|crio|docker|nerdctl):{_HEX_ID}(?=/|$)",  # containerd without systemd's driver
        rf"/(?P<by>docker|kubepods[^/]*|containerd|podman|actions_job|default|k8s\.io)(?:/[^/]+)*?/{_HEX_ID}(?=/|$)",
        r"/(?P<by>lxc)(?:/|\.payload[./])(?P<id>[^/]+)(?=/|$)",
        r"/(?P<by>machine)-(?P<id>[^/]+)\.scope(?=/|$)",
        r"/(?P<by>systemd-nspawn)@(?P<id>[^/]+)\.service/payload(?=/|$)",
    )
)
_RUNTIMES = {
    "docker": "docker",
    "actions_job": "docker",  # GitHub's runners
    "libpod": "podman",
    "podman": "podman",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "containerd": "containerd",
    "default": "containerd",  # its own namespaces
    "k8s.io": "containerd",
    "crio": "cri-o",
    "lxc": "lxc",
    "machine": "nspawn",
    "systemd-nspawn": "nspawn",
}
_OF_LIBVIRT = re.compile(r"(?:qemu|lxc)\\x2d\d+\\x2d")  # registered with systemd-machined as nspawn's are
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")
LONGEST = 256


@dataclass(frozen=True, slots=True)
class Place:
    """What a control group belongs to; "" for what it does not."""

    unit: str
    container: str
    runtime: str = ""  # what runs the container


NOWHERE = Place("", "")


def place_of(path: str) -> Place:
    """Unit, container and its runtime of a cgroup2 path such as "/system.slice/ssh.service". Pure.

    Of several units the innermost counts: in a user's session the user's own service, not the session's.
    """
    units = _UNIT.findall(path)
    container, runtime = _container(path)
    return Place(_bounded(units[-1].removeprefix("_")) if units else "", _bounded(container), runtime)


def _container(path: str) -> tuple[str, str]:
    """The innermost container. A monitor (conmon, lxc.monitor) runs beside its container, not in it."""
    found = [match for pattern in _CONTAINERS for match in pattern.finditer(path)]
    if not found:
        return "", ""
    innermost = max(found, key=lambda match: match.end("id"))
    runtime = "" if _OF_LIBVIRT.match(innermost["id"]) else _RUNTIMES.get(innermost["by"], "")
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), innermost["id"]), runtime


def _bounded(text: str) -> str:
    return text.encode(errors="replace").decode()[:LONGEST]


class CGroups:
    """Places by cgroup id, as of the last walk over the hierarchy."""

    def __init__(self, root: Path | None, clock_us: Callable[[], int]) -> None:
        self._root = root
        self._clock_us = clock_us
        self._places: dict[int, Place] = {}
        self._walked_at_us: int | None = None
        self._walk_took_us = 0

    def place(self, cgroup_id: int) -> Place | None:
        """What the control group belongs to; None where that is not known yet, or no longer."""
        if cgroup_id == 0 or self._root is None:
            return NOWHERE
        if cgroup_id not in self._places and self._walk_due():
            self._walk(self._root)
        return self._places.get(cgroup_id)

    def _walk_due(self) -> bool:
        if self._walked_at_us is None:
            return True
        return self._clock_us() >= self._walked_at_us + max(WALK_AT_LEAST_US, self._walk_took_us / WALK_SHARE)

    def _walk(self, root: Path) -> None:
        began_us = self._clock_us()
        self._places = {inode: place_of(path) for inode, path in _directories(os.fspath(root))}
        self._walked_at_us = self._clock_us()
        self._walk_took_us = self._walked_at_us - began_us


class ProcessPlaces:
    """Places by process, for sockets whose source tells no control group. Anybody may read them."""

    def __init__(self, proc: Path, clock_us: Callable[[], int]) -> None:
        self._proc = proc
        self._clock_us = clock_us
        self._places: dict[tuple[int, int], tuple[int, Place]] = {}  # by pid and start; when it was read

    def place(self, process: Process) -> Place:
        """What the control group of the process belongs to, as of PLACE_LASTS_US ago at most."""
        now_us = self._clock_us()
        key = (process.pid, process.started_at_us)
        known = self._places.get(key)
        if known is not None and now_us - known[0] < PLACE_LASTS_US:
            return known[1]
        if len(self._places) >= _MOST_PROCESSES:
            self._places.clear()
        place = self._read(process.pid)
        self._places[key] = (now_us, place)
        return place

    def _read(self, pid: int) -> Place:
        try:
            text = (self._proc / str(pid) / "cgroup").read_bytes().decode(errors="surrogateescape")
        except OSError:
            return NOWHERE
        return next((place_of(line[3:]) for line in text.split("\n") if line.startswith("0::")), NOWHERE)


def _directories(root: str) -> Iterator[tuple[int, str]]:
    """Inode number and path below the root of every directory; those that vanish meanwhile are left out."""
    waiting = [root]
    try:
        yield os.stat(root).st_ino, "/"
    except OSError:
        return
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        yield entry.inode(), entry.path[len(root) :]
                        waiting.append(entry.path)
        except OSError:
            continue
