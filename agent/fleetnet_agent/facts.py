"""What the host is: facts for the hello, and the two numbers that name a boot and a machine."""

import hashlib
import os
import re
import shlex
from pathlib import Path

from fleetnet_agent.host import Host
from fleetnet_agent.records import HostFacts

BOOT_ID_BYTES = 16
_MACHINE_PREFIX = b"fleetnet machine id\n"
"""Set before the machine id is hashed: machine-id(5) asks that the id itself is not shown to a network."""


def host_facts(host: Host) -> HostFacts:
    """What the host is now. Never raises: what cannot be read is empty or 0."""
    uname = os.uname()
    return HostFacts(
        os=os_name(_read(host.root / "etc/os-release") or _read(host.root / "usr/lib/os-release")),
        kernel=uname.release,
        architecture=uname.machine,
        cpu_count=os.cpu_count() or 0,
        memory_bytes=memory_bytes(_read(host.proc / "meminfo")),
        booted_at_us=booted_at_us(host),
    )


def memory_bytes(meminfo: str) -> int:
    """MemTotal of /proc/meminfo (proc(5)); 0 where it does not say."""
    found = re.search(r"^MemTotal: +(\d{1,15}) kB$", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def os_name(os_release: str) -> str:
    """PRETTY_NAME of an os-release(5) file; "" where it has none."""
    for line in os_release.splitlines():
        name, separator, value = line.partition("=")
        if separator and name.strip() == "PRETTY_NAME":
            try:
                return "".join(shlex.split(value))
            except ValueError:  # an unbalanced quote
                return value.strip()
    return ""


def boot_id(host: Host) -> bytes:
    """The 16 bytes that name this boot. Raises OSError or ValueError where /proc does not tell."""
    number = bytes.fromhex((host.proc / "sys/kernel/random/boot_id").read_text().replace("-", ""))
    if len(number) != BOOT_ID_BYTES:
        raise ValueError(f"a boot id of {len(number)} bytes")
    return number


def machine_id_hash(host: Host) -> bytes:
    """SHA-256 of the machine id with a fixed prefix; empty where the machine has none."""
    machine_id = _read(host.root / "etc/machine-id").strip()
    return hashlib.sha256(_MACHINE_PREFIX + machine_id.encode()).digest() if machine_id else b""


def netns_inode(host: Host) -> int:
    """Inode number of this process's own network namespace; 0 where it cannot be read."""
    try:
        return os.stat(host.proc / "self/ns/net").st_ino
    except OSError:
        return 0


def booted_at_us(host: Host) -> int:
    """When the host booted by its wall clock, as `btime` of /proc/stat has it; where it does not say, as its clocks do.

    The kernel recomputes btime when the wall clock is set, so whoever needs it to stay the same reads it once.
    """
    for line in _read(host.proc / "stat").splitlines():
        if line.startswith("btime "):
            return int(line.split()[1]) * 1_000_000
    return max(0, host.wall_clock_us() - host.boottime_us())


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
