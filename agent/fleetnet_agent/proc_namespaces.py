"""The network namespaces that processes live in, as the kernel shows them to anybody: the way of an agent that has no
helper, or one that may not enter.

    ways = open_ways(host, helper, wanted="all")      # once, for as long as the agent runs

A namespace is known by the inode of its file /proc/PID/net/dev, another one in each namespace and the same as long as
it lives: that of the namespace itself is not shown to everybody. Both are numbers of one kind, so BEYOND is added to
the first: `netns` in a SocketKey says which of the two it is, and no number means two namespaces.

What must stay true:
- the way is chosen once: the same socket has another key on the other way, and would be there twice;
- what is read of a process is told only if it was in the same namespace before and after;
- nothing is held open, and no more than MOST_READ namespaces are read, each of which costs some milliseconds.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from fleetnet_agent.helper.census import Residents
from fleetnet_agent.helper.client import HelperUnavailableError
from fleetnet_agent.helper.requests import MOST_OPENED, MOST_PIDS, STATISTICS_FILES, Kind
from fleetnet_agent.host import Host
from fleetnet_agent.namespaces import NAME, Helper, Known, Namespaces, Ways
from fleetnet_agent.network.texts import read_descriptors
from fleetnet_agent.places import Places
from fleetnet_agent.records import SourceStatus
from fleetnet_agent.sources.source import SourceError

BEYOND: Final = 2**32  # inodes of namespaces are below: struct ns_common, include/linux/ns_common.h
MOST_READ: Final = 32
NO_HELPER: Final = (
    "no helper",
    "start the agent with --with-helper, or say --namespaces own",
)
MAY_NOT_ENTER: Final = (
    "the helper may not enter other network namespaces",
    "give it CAP_SYS_ADMIN and restart the agent, or say --namespaces own",
)
_LESS: Final = (
    "those that a process lives in are read through /proc, without cookies, backlog limits, brief connections, "
    "interfaces, routes and most owners"
)
_NOBODY: Final = "no process of it can be found"
_NOT_PERMITTED: Final = {os.strerror(errno.EPERM), os.strerror(errno.EACCES)}


def open_ways(host: Host, helper: Helper | None, *, wanted: str) -> Ways:
    """The way that is best from here; see `Namespaces` for `wanted`. A helper that does not answer now is waited
    for."""
    if helper is None:
        return ProcNamespaces(host, *NO_HELPER) if wanted == "all" else Namespaces(host, None, wanted=wanted)
    ways = Namespaces(host, helper, wanted=wanted)
    if ways.all and not _may_enter(helper):
        ways.close()
        return ProcNamespaces(host, *MAY_NOT_ENTER)
    return ways


def _may_enter(helper: Helper) -> bool:
    """Tried with its own namespace, and with others that are there: to enter one's own takes the same permission."""
    try:
        listing = helper.namespaces()
        inodes = [one.inode for one in listing.namespaces][:MOST_OPENED]
        with helper.open(Kind.DIAG, inodes) as inside:
            return not inodes or not all(inside.refused.get(inode) in _NOT_PERMITTED for inode in inodes)
    except HelperUnavailableError:
        return True  # for all that is known


class ProcNamespaces:
    """See `Ways`. Not thread-safe."""

    all = True

    def __init__(self, host: Host, why: str, remedy: str) -> None:
        """`why` there is no other way, and what to do about it. Never raises."""
        self._proc = host.proc
        self._why, self._remedy = why, remedy
        self._residents = Residents(host.proc, lambda: host.boottime_us() / 1_000_000, _home_of)
        self._places = Places(host.proc)
        self._pids: dict[int, tuple[int, ...]] = {}
        self._known: dict[int, Known] = {}
        self._left_out = 0
        self._trouble = ""

    @property
    def others(self) -> Mapping[int, Known]:
        """See `Namespaces`."""
        return self._known

    @property
    def status(self) -> SourceStatus:
        """What can be seen this way, and what cannot."""
        details = [f"{self._why}: {_LESS}; {self._remedy}"]
        if self._left_out:
            details.append(f"{self._left_out} more than {MOST_READ} are left out")
        if self._residents.unreadable:
            details.append(f"{self._residents.unreadable} processes may not be looked at")
        if self._trouble:
            details.append(self._trouble)
        return SourceStatus(NAME, ok=False, detail="; ".join(details))

    def ask(self) -> bool:
        """Look which there are; True if some have come or gone."""
        try:
            found = self._residents.by_inode()
            own = _home_of(os.fspath(self._proc), "self")
        except OSError as error:
            self._trouble = f"processes cannot be listed: {error.strerror}"
            return False
        self._trouble = ""
        there = {BEYOND + inode: tuple(pids) for inode, pids in found.items() if inode != own}
        # Those that are read already stay, so that a host with too many shows the same ones at each look.
        kept = [netns for netns in self._known if netns in there]
        read = (*kept, *sorted(there.keys() - set(kept)))[:MOST_READ]
        self._left_out = len(there) - len(read)
        self._pids = {netns: there[netns] for netns in read}
        before = self._known.keys()
        self._known = {netns: self._described(netns) for netns in read}
        self._places.keep(self._known)
        return before != self._known.keys()

    def has_ended(self, netns: int, nsid: int | None) -> bool | None:
        """Nobody can say so: it may go on without a process."""
        del nsid
        return False if netns in self._known or self._trouble else None

    def inside(self, kind: Kind, netns: Iterable[int]) -> Iterator[tuple[int, dict[str, int] | str]]:
        """The files of counters, which are closed again after each turn; for tables nothing has to be open (see
        `read`)."""
        for each in netns:
            if kind is Kind.ROUTE:
                yield each, "it cannot be entered"
            elif kind is Kind.STATISTICS:
                yield from self._opened(each)
            elif next(self._doors(each), None) is None:
                yield each, _NOBODY
            else:
                yield each, {}

    def read(self, netns: int, name: str) -> bytes:
        """A file of /proc/PID/net there. Raises FileNotFoundError where the kernel has none, OSError and
        SourceError."""
        for net in self._doors(netns):
            missing = None
            text = b""
            try:
                text = _read(f"{net}/{name}", name)
            except FileNotFoundError as error:  # of the process, or of the kernel
                missing = error
            if self._is(net, netns):
                if missing:
                    raise missing
                return text
        raise SourceError(_NOBODY)

    def close(self) -> None:
        """Nothing is held."""

    def _described(self, netns: int) -> Known:
        return Known(netns, "", self._places.of(netns, self._pids[netns][:MOST_PIDS]), None)

    def _doors(self, netns: int) -> Iterator[str]:
        """Folders that show the namespace at this moment."""
        nets = (f"{self._proc}/{pid}/net" for pid in self._pids.get(netns, ()))
        return (net for net in nets if self._is(net, netns))

    def _is(self, net: str, netns: int) -> bool:
        with suppress(OSError):
            return BEYOND + os.stat(f"{net}/dev").st_ino == netns
        return False

    def _opened(self, netns: int) -> Iterator[tuple[int, dict[str, int] | str]]:
        net = next(self._doors(netns), "")
        descriptors: dict[str, int] = {}
        try:
            for name in STATISTICS_FILES:
                with suppress(OSError):  # a kernel without IPv6, or the process has ended
                    descriptors[name] = os.open(f"{net}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            yield netns, descriptors if self._is(net, netns) else _NOBODY
        finally:
            for descriptor in descriptors.values():
                os.close(descriptor)


def _home_of(proc: str, pid: int | str) -> int:
    """The inode by which the namespace of a process is known; 0 where it may not be looked at."""
    try:
        return os.stat(f"{proc}/{pid}/net/dev").st_ino
    except PermissionError:
        return 0


def _read(path: str, name: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return read_descriptors({name: descriptor})[name].encode("utf-8", "surrogateescape")
    finally:
        os.close(descriptor)
