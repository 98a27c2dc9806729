"""From a socket's control group to its unit and container.

The kernel gives the id of the cgroup2 directory that the socket was made in; the id is the directory's inode number.
So a walk over the hierarchy gives every path, and the path the rest. Reading directories is all it takes.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

WALK_SHARE = 0.02  # of the time
WALK_AT_LEAST_US = 500_000  # from one walk to the next

_UNIT = re.compile(r"(?P<unit>[^/]+\.(?:service|scope|socket|mount|swap))(?=/|$)")
_HEX_ID = r"(?P<id>[0-9a-f]{64})"
_CONTAINERS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"/(?:docker|libpod|cri-containerd|crio|nerdctl|containerd)-{_HEX_ID}(?:\.scope)?(?=/|$)",
        rf"/[^/:]+:(?:cri-containerd|crio|docker|nerdctl):{_HEX_ID}(?=/|$)",  # containerd without systemd's driver
        rf"/(?:docker|kubepods[^/]*|containerd|podman|actions_job|default|k8s\.io)(?:/[^/]+)*?/{_HEX_ID}(?=/|$)",
        r"/(?:lxc/|lxc\.payload[./])(?P<id>[^/]+)(?=/|$)",
        r"/machine-(?P<id>[^/]+)\.scope(?=/|$)",
        r"/systemd-nspawn@(?P<id>[^/]+)\.service/payload(?=/|$)",
    )
)
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
    """Unit and container of a cgroup2 path such as "/system.slice/ssh.service". Pure.

    Of several units the innermost counts: in a user's session the user's own service, not the session's.
    """
    units = _UNIT.findall(path)
    return Place(_bounded(units[-1].removeprefix("_")) if units else "", _bounded(_container(path)))


def _container(path: str) -> str:
    """The innermost container. A monitor (conmon, lxc.monitor) runs beside its container, not in it."""
    found = [match for pattern in _CONTAINERS for match in pattern.finditer(path)]
    if not found:
        return ""
    innermost = max(found, key=lambda match: match.end("id"))
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), innermost["id"])


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
