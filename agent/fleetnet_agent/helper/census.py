"""Every network namespace of the host: those that a process lives in, and those that are mounted somewhere.

    1. Processes: /proc/PID/ns/net of each. Newcomers are read at once, and at the next time once more (a child is made
       first and moves into its namespace then); all others within SHARE of the time.
    2. Mounts: lines of /proc/self/mountinfo (proc(5)) whose filesystem is nsfs and whose root is `net:[INODE]`. So
       ip-netns(8), docker and CNI keep them, with or without a process.
    3. Numbers: each namespace is asked for its number, and given one where it has none. What is known of numbers is
       forgotten when the kernel tells that they were taken back.

What must stay true: nothing that is found is held open, for an open namespace does not end; and how much is read does
not grow with how often one asks. Standard library only.
"""

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from fleetnet_agent.helper.home import Home
from fleetnet_agent.helper.numbers import MalformedError, NumberNews, Numbers
from fleetnet_agent.helper.requests import (
    LONGEST_PATH,
    MOST_MOUNTS,
    MOST_NAMESPACES,
    MOST_PIDS,
    Listed,
    Listing,
)

SHARE = 0.01  # of the time, for reading all processes again
AT_LEAST_S = 3.0  # from one such reading to the next

_LINK = re.compile(r"net:\[(\d{1,19})\]")
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Residents:
    """Which process lives in which network namespace."""

    def __init__(
        self, proc: Path, clock_s: Callable[[], float], home_of: Callable[[str, int], int] | None = None
    ) -> None:
        """`home_of` gives the inode by which the namespace of a process is known, that of /proc/PID/ns/net if left out.
        It raises FileNotFoundError or ProcessLookupError where there is no such process any more."""
        self._proc = os.fspath(proc)
        self._home_of = home_of or _by_link
        self._clock_s = clock_s
        self._home: dict[int, int] = {}  # inode by pid; 0 where it may not be read
        self._young: frozenset[int] = frozenset()
        self._read_all_s: float | None = None
        self._took_s = 0.0

    @property
    def unreadable(self) -> int:
        """How many processes there are of which it cannot be told."""
        return sum(1 for inode in self._home.values() if inode == 0)

    def by_inode(self) -> dict[int, list[int]]:
        """Pids by the inode of their namespace, ascending. Raises OSError if the processes cannot be listed."""
        began_s = self._clock_s()
        pids = {int(name) for name in os.listdir(self._proc) if name.isdecimal()}
        known = self._home
        everything = self._read_all_s is None or began_s >= self._read_all_s + max(AT_LEAST_S, self._took_s / SHARE)
        newcomers = pids - known.keys()
        again = pids if everything else newcomers | (self._young & pids)
        self._home = {pid: known[pid] for pid in known.keys() & pids}
        for pid in again:
            self._home.pop(pid, None)
            with suppress(FileNotFoundError, ProcessLookupError):
                self._home[pid] = self._home_of(self._proc, pid)
        self._young = frozenset(newcomers)
        if everything:
            self._read_all_s = self._clock_s()
            self._took_s = self._read_all_s - began_s
        found: dict[int, list[int]] = defaultdict(list)
        for pid in sorted(self._home):
            found[self._home[pid]].append(pid)
        found.pop(0, None)
        return found


def _by_link(proc: str, pid: int) -> int:
    try:
        link = _LINK.fullmatch(os.readlink(f"{proc}/{pid}/ns/net"))
    except PermissionError:
        return _shared_with(proc, pid)
    return int(link[1]) if link else 0


def _shared_with(proc: str, pid: int) -> int:
    """The own namespace's inode if that of a process which may not be read is the same; else 0. The files below
    /proc/PID/net are other ones in each namespace, and looking at their inode needs no privilege."""
    with suppress(OSError):
        if os.stat(f"{proc}/{pid}/net/dev").st_ino == os.stat(f"{proc}/self/net/dev").st_ino:
            return os.stat(f"{proc}/self/ns/net").st_ino
    return 0


def mounted(mountinfo: str) -> dict[int, list[str]]:
    """Mount points of network namespaces by inode, from the text of /proc/PID/mountinfo. Pure."""
    found: dict[int, list[str]] = defaultdict(list)
    for line in mountinfo.split("\n"):  # alone: a mount point may hold what str.splitlines takes for an end of line
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5 or after.split(" ")[0] != "nsfs":
            continue
        inode = _LINK.fullmatch(fields[3])
        if inode:
            path = _ESCAPED.sub(lambda match: chr(int(match[1], 8) & 0xFF), fields[4])
            found[int(inode[1])].append(path)
    return found


class Census:
    """Counts the namespaces. Not thread-safe."""

    def __init__(
        self,
        proc: Path = Path("/proc"),
        clock_s: Callable[[], float] = time.monotonic,
        home: Home | None = None,
    ) -> None:
        self._proc = proc
        self._home = home or Home(proc=proc)
        self._residents = Residents(proc, clock_s)
        self._numbers: Numbers | None = None
        self._news: NumberNews | None = None
        self._known: dict[int, int] = {}  # number by inode
        self._doors: dict[int, tuple[str, ...]] = {}  # as of the last listing

    def take(self) -> Listing:
        """Every namespace there is now. Raises OSError if neither processes nor mounts can be listed."""
        residents = self._residents.by_inode()
        mounts = mounted((self._proc / "self/mountinfo").read_bytes().decode(errors="surrogateescape"))
        own = self._home.inode
        inodes = sorted({own, *residents, *mounts})
        trouble = []
        if unreadable := self._residents.unreadable:
            trouble.append(f"{unreadable} {'process' if unreadable == 1 else 'processes'} may not be read")
        if len(inodes) > MOST_NAMESPACES:
            trouble.append(f"{len(inodes) - MOST_NAMESPACES} namespaces more than one list holds are left out")
            # Whoever makes many does not push out what was listed before: the kernel gives low numbers again.
            inodes = sorted(
                sorted(inodes, key=lambda inode: inode != own and inode not in self._doors)[:MOST_NAMESPACES]
            )
        self._doors = {
            inode: (*self._of_processes(residents.get(inode, ())), *mounts.get(inode, ())) for inode in inodes
        }
        numbers = self._number(inodes, trouble)
        found = [
            Listed(
                inode,
                tuple(path for path in mounts.get(inode, ()) if len(path) <= LONGEST_PATH)[:MOST_MOUNTS],
                tuple(residents.get(inode, ())[:MOST_PIDS]),
                self._known.get(inode),
            )
            for inode in inodes
        ]
        return Listing(own, self._is_of_process_1(own, residents), tuple(found), numbers, "; ".join(trouble))

    def doors_of(self, inode: int) -> tuple[str, ...]:
        """Paths by which a namespace of the last listing can be opened; none where it was not there."""
        return self._doors.get(inode, ())

    def close(self) -> None:
        """Give its sockets back; the next listing opens others."""
        for each in (self._numbers, self._news):
            if each is not None:
                each.close()
        self._numbers = self._news = None
        self._known = {}

    def _of_processes(self, pids: Iterable[int]) -> list[str]:
        return [f"{self._proc}/{pid}/ns/net" for pid in list(pids)[:MOST_PIDS]]

    def _is_of_process_1(self, own: int, residents: dict[int, list[int]]) -> bool | None:
        home = next((inode for inode, pids in residents.items() if pids[0] == 1), None)
        return None if home is None else home == own

    def _number(self, inodes: list[int], trouble: list[str]) -> frozenset[int] | None:
        """Bring `_known` up to date; all numbers there are, None where they cannot be had."""
        try:
            if self._numbers is None or self._news is None:
                with self._home.entered():
                    self._numbers, self._news = Numbers(), NumberNews()
            numbers = self._numbers.all()
            self._forget(self._news, numbers, inodes)
            for inode in inodes:
                if inode not in self._known:
                    self._ask(self._numbers, inode, trouble)
            return numbers | frozenset(self._known.values())
        except (OSError, MalformedError) as error:
            trouble.append(f"numbers of namespaces cannot be had: {getattr(error, 'strerror', None) or error}")
            self.close()
            return None

    def _forget(self, news: NumberNews, numbers: frozenset[int], inodes: list[int]) -> None:
        told = news.take()
        taken_back = {number for number, given in told if not given} if told is not None else set(self._known.values())
        there = set(inodes)
        self._known = {
            inode: number
            for inode, number in self._known.items()
            if inode in there and number in numbers and number not in taken_back
        }

    def _ask(self, numbers: Numbers, inode: int, trouble: list[str]) -> None:
        try:
            descriptor = open_namespace(inode, self._doors.get(inode, ()))
        except OSError:
            return  # it ended meanwhile, or may not be opened: then it cannot be entered either, and that is told
        try:
            number = numbers.of(descriptor)
            if number is None and inode != self._home.inode:
                numbers.give(descriptor)
                number = numbers.of(descriptor)
        except PermissionError:
            lack = "namespaces without a number cannot be given one (CAP_NET_ADMIN): their events are not told"
            if lack not in trouble:
                trouble.append(lack)
        else:
            if number is not None:
                self._known[inode] = number
        finally:
            os.close(descriptor)


def open_namespace(inode: int, doors: Iterable[str]) -> int:
    """Open the network namespace with this inode through the first of these paths that leads to it. Raises OSError.

    A path may lead elsewhere by now, even to something that blocks when opened; so it is looked at first, and what was
    looked at is what is opened.
    """
    filesystem = os.stat("/proc/self/ns/net").st_dev
    failure = OSError(2, os.strerror(2))
    for door in doors:
        try:
            place = os.open(door, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            failure = error
            continue
        try:
            status = os.fstat(place)
            if (status.st_ino, status.st_dev) == (inode, filesystem):
                return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(place)
    raise failure
