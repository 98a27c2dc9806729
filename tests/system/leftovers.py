"""What is on a host that boots: the paths of all its files, and what those below /etc hold, to be compared later."""

import re
from dataclasses import dataclass
from typing import Final, Self

from system.booted import Booted

# What others leave when somebody logs in, a service runs, or an account is made: sshd and Ansible, systemd, Python, and
# the copies that the tools for accounts keep of their files.
_OF_OTHERS: Final = re.compile(
    r"/(root/\.ansible|tmp|var/tmp|var/log|var/lib/systemd|usr/lib/python3[^ ]*/__pycache__"
    r"|run/(systemd|user|log|udev|sshd|lock|utmp|mount|sudo|nologin|motd\.dynamic)"
    r"|etc/(passwd|group|shadow|gshadow|subuid|subgid)-|etc/\.pwd\.lock)(/|$)"
)


@dataclass(frozen=True, slots=True)
class Files:
    """By path, with a digest of what is in it where it is a file below /etc, else nothing."""

    held: frozenset[tuple[str, str]]

    def beyond(self, other: Self) -> list[str]:
        """What is here and not there, or with something else in it."""
        return sorted(path for path, _ in self.held - other.held if not _OF_OTHERS.match(path))


def files_of(host: Booted) -> Files:
    """Those of its disk, and of /run."""
    paths = host.run("find", "/", "/run", "-xdev", "-print").splitlines()
    sums = host.run("find", "/etc", "-xdev", "-type", "f", "-exec", "sha256sum", "{}", "+").splitlines()
    digests = {path: digest for digest, _, path in (line.partition("  ") for line in sums)}
    return Files(frozenset((path, digests.get(path, "")) for path in paths))


def accounts(host: Booted) -> list[str]:
    """The lines of users and groups."""
    return host.run("cat", *(f"/etc/{name}" for name in ("passwd", "group", "shadow", "gshadow"))).splitlines()
