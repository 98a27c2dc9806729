"""What can be seen of this host from here, what cannot, and which permission would change that: the second half of
`fleetnet-agent doctor`.

Everything is tried rather than looked up: the watch that the agent itself would have looks once. Works for any user;
what cannot even be found out is said, too.
"""

import contextlib
import os
import resource
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleetnet_agent import facts, privileges
from fleetnet_agent.budget import MIB
from fleetnet_agent.config import Settings
from fleetnet_agent.helper.client import HelperClient, HelperUnavailableError
from fleetnet_agent.host import Host
from fleetnet_agent.pacing import LOOK_EVERY_S
from fleetnet_agent.records import Snapshot, SourceStatus
from fleetnet_agent.run import found_helper
from fleetnet_agent.sources.events import EventSocket
from fleetnet_agent.sources.source import SourceError
from fleetnet_agent.usage import usage_now
from fleetnet_agent.watch import open_watch

# include/uapi/linux/capability.h
WANTED_FOR_OWNERS: Final = {"CAP_DAC_READ_SEARCH": 2, "CAP_SYS_PTRACE": 19}
WANTED_FOR_NAMESPACES: Final = {"CAP_NET_BROADCAST": 11, "CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}

EVENT_BYTES: Final = 1_280  # of the kernel's memory for one event
ENOUGH_DESCRIPTORS: Final = 256
YEAR_2020_US: Final = 1_577_836_800_000_000

NETLINK_REMEDY: Final = (
    "let the agent open netlink sockets (AF_NETLINK in RestrictAddressFamilies=, seccomp, AppArmor, SELinux), "
    "and have the kernel's inet_diag, tcp_diag and udp_diag"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; where all is not well, `words` says what to do."""

    topic: str
    ok: bool
    words: str
    otherwise: str = "problem"  # or "reduced", or "missing"

    @property
    def verdict(self) -> str:
        """One word."""
        return "ok" if self.ok else self.otherwise


def findings(settings: Settings, host: Host) -> Iterator[Finding]:
    """What can be seen here."""
    snapshot, costs, others = _look(settings, host)
    yield helper(settings, host, enters=others is not None)
    for status in snapshot.sources:
        yield source(status)
    yield Finding("sockets", bool(snapshot.sockets), f"{len(snapshot.sockets)} are open", "missing")
    yield namespaces(host, others)
    yield events_buffer(settings, host, enters=others is not None)
    yield events_lost(settings, host, enters=others is not None)
    yield control_groups(host)
    yield Finding("bpf", True, "not used: neither BPF nor BTF is needed")
    yield descriptors()
    yield clock(host)
    yield budget(settings, costs)


@dataclass(frozen=True, slots=True)
class Costs:
    """What looking costs here."""

    cpu_us: int  # of a look at everything; not the first, which is a rare one
    resident_bytes: int
    interval_s: float  # at which such looks are due


def _look(settings: Settings, host: Host) -> tuple[Snapshot, Costs, int | None]:
    watch = open_watch(host, helper_socket=found_helper(settings), namespaces=settings.namespaces)
    try:
        watch.look()
        before = usage_now(host.boottime_us)
        watch.look(everything=True)
        after = usage_now(host.boottime_us)
        snapshot = watch.snapshot()
        costs = Costs(after.cpu_us - before.cpu_us, after.resident_bytes, watch.interval_s())
        return snapshot, costs, watch.other_namespaces
    finally:
        watch.close()


def helper(settings: Settings, host: Host, *, enters: bool) -> Finding:
    """Whether there is one, and whether it has what it needs; `enters` if that is to be for other namespaces, too."""
    path = found_helper(settings)
    if path is None:
        # Not a fault: an agent that is run with --with-helper has one that it keeps to itself.
        where = privileges.DEFAULT_SOCKET
        return Finding("helper", True, f"none on {where}; `run --with-helper` brings one, else owners are not seen")
    if not privileges.answers(path):
        words = f"nothing answers on {path}; start fleetnet-helper --socket {path}"
        return Finding("helper", False, words, "missing")
    powers = _powers_of_peer(path, host.proc)
    if powers is None:
        return Finding("helper", True, f"answers on {path}; which capabilities it has cannot be seen from here")
    wanted = WANTED_FOR_OWNERS | (WANTED_FOR_NAMESPACES if enters else {})
    lacks = [name for name, bit in wanted.items() if not powers >> bit & 1]
    if lacks:
        words = f"answers on {path}, but lacks {' and '.join(lacks)}; start it as root or with these capabilities"
        return Finding("helper", False, words, "reduced")
    return Finding("helper", True, f"answers on {path} and has {' and '.join(wanted)}")


def _powers_of_peer(path: Path, proc: Path) -> int | None:
    """Effective capabilities, as bits, of whoever listens there; None where that cannot be seen. Where process 1 made
    the socket, as it does for a service, the kernel names that and not the helper."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.fspath(path))
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            pid = struct.unpack("3i", raw)[0]  # struct ucred, unix(7); 0 where it is in another pid namespace
            if pid == 1:
                return None
            lines = (proc / str(pid) / "status").read_text(errors="replace").splitlines()
        except OSError:
            return None
    found = [line.split()[1] for line in lines if line.startswith("CapEff:")]
    return int(found[0], 16) if found else None


def source(status: SourceStatus) -> Finding:
    """One of the agent's sources. Its own words say what is missing; what to do is added where they do not."""
    topic = f"source {status.name}"
    if status.ok:
        return Finding(topic, True, status.detail or "reads whole")
    remedy = "" if status.name in ("owners", "namespaces") else f"; {NETLINK_REMEDY}"
    return Finding(topic, False, status.detail + remedy, "missing" if status.blind else "reduced")


def namespaces(host: Host, others: int | None) -> Finding:
    """Which network namespaces are read; `others` beside the own one, None where these are not."""
    own = facts.netns_inode(host)
    if not own:
        return Finding("namespaces", False, f"{host.proc}/self/ns/net cannot be read; is /proc mounted?")
    if others is not None:
        return Finding("namespaces", True, f"reads its own, {own}, and all others that are found, {others} now")
    try:
        # Other files in each namespace, and unlike /proc/1/ns/net anybody may look at them.
        same = os.stat(host.proc / "1/net/dev").st_ino == os.stat(host.proc / "self/net/dev").st_ino
    except OSError:
        return Finding(
            "namespaces",
            True,
            f"reads its own, {own}; whether it is the host's cannot be seen, for process 1 is hidden",
        )
    which = "that of process 1; with a helper, and not --namespaces own, it reads every one"
    which = which if same else "not that of process 1; --namespaces all reads every one that is found"
    return Finding("namespaces", True, f"reads its own, {own}, {which}")


def events_buffer(settings: Settings, host: Host, *, enters: bool) -> Finding:
    """Whether what happens between two looks fits into the memory that the kernel grants."""
    topic, asked = "events buffer", settings.events_buffer_bytes
    try:
        probe = _event_socket(settings, host, enters=enters)
    except SourceError as error:
        return Finding(topic, False, f"none, for {error}; {NETLINK_REMEDY}", "missing")
    granted = probe.buffer_bytes
    probe.close()
    events = f"about {granted // EVENT_BYTES:,} events between two readings"
    if granted >= asked:
        return Finding(topic, True, f"{granted:,} bytes as asked for: {events}")
    words = f"{granted:,} of {asked:,} bytes are granted: {events}, and more are lost and counted"
    return Finding(
        topic, False, f"{words}; give the agent CAP_NET_ADMIN or raise the sysctl net.core.rmem_max", "reduced"
    )


def events_lost(settings: Settings, host: Host, *, enters: bool) -> Finding:
    """Whether the kernel's count of lost events can be read."""
    topic = "events lost"
    try:
        probe = _event_socket(settings, host, enters=enters)
    except SourceError:
        return Finding(topic, True, "no events, so none to be lost")
    try:
        probe.newly_lost()
    except SourceError as error:
        return Finding(topic, False, f"cannot be counted, for {error}; let the agent read that file", "reduced")
    finally:
        probe.close()
    return Finding(topic, True, "are counted by the kernel")


def _event_socket(settings: Settings, host: Host, *, enters: bool) -> EventSocket:
    """As the agent has it: the helper's where it reads other namespaces, with what the kernel grants the helper. Raises
    SourceError."""
    path = found_helper(settings) if enters else None
    if path:
        with contextlib.suppress(HelperUnavailableError):
            return EventSocket(host.proc, passed=HelperClient(path).events(settings.events_buffer_bytes))
    return EventSocket(host.proc, settings.events_buffer_bytes)


def control_groups(host: Host) -> Finding:
    """Whether units and containers can be known."""
    topic, root = "cgroup2", host.cgroup_root
    unknown = "units and containers of sockets are not known"
    if root is None:
        words = f"not mounted whole here: {unknown}; mount it, or let the agent see the host's /sys/fs/cgroup"
        return Finding(topic, False, words, "missing")
    try:
        os.listdir(root)
    except OSError as error:
        return Finding(topic, False, f"{root} cannot be read ({error.strerror}): {unknown}; permit it", "missing")
    return Finding(topic, True, f"units and containers are read from {root}")


def descriptors() -> Finding:
    """Whether there are file descriptors enough."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or limit >= ENOUGH_DESCRIPTORS:
        return Finding(
            "file descriptors", True, f"{limit if limit != resource.RLIM_INFINITY else 'any number'} at most"
        )
    words = f"{limit} at most, and {ENOUGH_DESCRIPTORS} may be needed; raise LimitNOFILE= or ulimit -n"
    return Finding("file descriptors", False, words, "reduced")


def clock(host: Host) -> Finding:
    """Whether times of this host can mean anything. That it is ahead or behind does not matter: the collector keeps by
    how much."""
    now_us = host.wall_clock_us()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_us / 1e6))
    if now_us < YEAR_2020_US:
        return Finding("clock", False, f"says {shown}, so no certificate is valid; set it")
    return Finding("clock", True, f"says {shown}")


def budget(settings: Settings, costs: Costs) -> Finding:
    """What a look costs here beside what is allowed."""
    percent = costs.cpu_us / 10_000 / max(costs.interval_s, LOOK_EVERY_S)
    resident_mib = costs.resident_bytes / MIB
    shown = (
        f"a look takes {costs.cpu_us / 1000:.1f} ms of CPU and {resident_mib:.0f} MiB of memory, "
        f"and one is due every {costs.interval_s:.3g} s"
    )
    cpu = f"{settings.cpu_ceiling_percent:g} % of a core" if settings.cpu_ceiling_percent else "any use of a core"
    memory = f"{settings.memory_ceiling_mib:g} MiB" if settings.memory_ceiling_mib else "any use of memory"
    allowed = f"{cpu} and {memory} are allowed"
    over = [
        option
        for option, used, ceiling in (
            ("--cpu-ceiling-percent", percent, settings.cpu_ceiling_percent),
            ("--memory-ceiling-mib", resident_mib, settings.memory_ceiling_mib),
        )
        if ceiling and used > ceiling
    ]
    if over:
        words = f"{shown}, where {allowed}: it may look more rarely; raise {' and '.join(over)} if that is too little"
        return Finding("budget", False, words, "reduced")
    return Finding("budget", True, f"{shown}, where {allowed}")
