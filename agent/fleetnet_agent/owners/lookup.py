"""Who holds the sockets that are followed, found out as seldom as it can be.

Reading every descriptor of every process costs more than the dump of all sockets, so at each update:

    1. Processes that are new since the last update are read, and once more at the next: a child has its parent's
       listeners from the moment it is forked, and may drop them when it becomes another program. That there are none
       is seen without the helper.
    2. New sockets are looked for with those who have just lost some, and with holders of the same port; what is left,
       with holders of sockets of the same user and control group.
    3. What is not found so, and every new listener (all of its owners are wanted at once), takes a scan of all
       processes. So does, from time to time, what nothing announces: a descriptor passed on, a program replaced.

Scans of all are spaced by what the last one took: SEARCH_SHARE of the time where something is searched for,
REFRESH_SHARE where nothing is, or nothing but what is patient: UNIX sockets come and go all the time. What was searched
for in vain is not searched for again; the next refresh will tell.

What must stay true: `update` names every inode about which `ownership_of` says something new.
"""

import os
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass

from fleetnet_agent.facts import booted_at_us
from fleetnet_agent.helper.scan import FoundProcess, Question, describe
from fleetnet_agent.host import Host
from fleetnet_agent.owners.asking import Asking, Helper
from fleetnet_agent.owners.hints import Hints
from fleetnet_agent.owners.holdings import Holdings
from fleetnet_agent.records import OwnerStatus, Process, SourceStatus
from fleetnet_agent.records.often import made_often

SEARCH_SHARE = 0.05
REFRESH_SHARE = 0.0025
REFRESH_AT_LEAST_US = 3_000_000
UNKNOWN = "the owners of their sockets are not known"
REMEDY = "see to fleetnet-helper, which is used again once it answers"
REMEDY_FOR_OWN = "restart the agent's service, for the agent cannot start another helper while it runs"
MOST_INODES_ASKED = 1024  # beyond, the question names none and the answer has all

StillThere = Callable[[Collection[int]], Collection[int]]
"""Which of these inodes still belong to a socket."""


@made_often
@dataclass(frozen=True, slots=True)
class Wanted:
    """A socket whose owners are wanted."""

    inode: int
    is_listener: bool
    hints: tuple[Hashable, ...]  # sockets that share one are likely to share their owner; the narrowest first
    patient: bool = False  # not worth a scan of all processes ahead of the next that is due anyway


@made_often
@dataclass(frozen=True, slots=True)
class Ownership:
    """Who holds a socket, or why that is not known."""

    status: OwnerStatus
    owners: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many sockets that are seen for the first time. All processes are scanned for them: what is wanted of each need
    not be said."""

    inodes: Collection[int]
    named: Callable[[Collection[int]], Iterable[Wanted]]  # some of them, as one by one


class OwnerLookup:
    """Owners by inode. Not thread-safe."""

    def __init__(self, host: Host, helper: Helper | None, *, is_root: bool, remedy: str = REMEDY) -> None:
        """`remedy` is what to do about a helper that does not answer."""
        self._host = host
        self._remedy = remedy
        self._asking = Asking(host, helper, is_root=is_root)
        self._booted_at_us = booted_at_us(host)  # once, for the kernel recomputes it when the clock is set
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self._holdings = Holdings()
        self._wanted: dict[int, Wanted] = {}  # followed, not found, and not yet searched for in vain
        self._crowds: list[Crowd] = []  # since the last scan
        self._patient: set[int] = set()  # of those that are followed
        self._in_vain: dict[int, OwnerStatus] = {}
        self._hints = Hints(self._holdings.pids_of)
        self._losers: set[int] = set()  # pids that have lost sockets since the last update
        self._pids: frozenset[int] = frozenset()
        self._young: frozenset[int] = frozenset()  # new at the last update
        self._unreadable: frozenset[int] = frozenset()
        self._scan_ended_us: int | None = None
        self._scan_took_us = 0
        self.rarer = 1  # scans of all processes wait so many times longer

    def follow(self, wanted: Iterable[Wanted]) -> None:
        """These sockets are there from now on."""
        for want in wanted:
            self._holdings.follow(want.inode)
            self._wanted[want.inode] = want
            if want.patient:
                self._patient.add(want.inode)

    def follow_crowd(self, crowd: Crowd) -> None:
        """These are there from now on, and wait for the next scan, which is due at once."""
        self._holdings.follow_all(crowd.inodes)
        self._crowds.append(crowd)
        self._scan_ended_us = None

    def forget(self, inodes: Iterable[int]) -> None:
        """No socket has these inodes any more."""
        for inode in inodes:
            self._losers.update(self._holdings.pids_of(inode))
            self._holdings.forget(inode)
            self._hints.forget(inode)
            self._wanted.pop(inode, None)
            self._in_vain.pop(inode, None)
            self._patient.discard(inode)

    def ownership_of(self, inode: int) -> Ownership:
        """Who holds the followed inode. RACED while it has not been searched for."""
        owners = self._holdings.processes_of(inode)
        if owners:
            return Ownership(OwnerStatus.KNOWN, owners)
        return Ownership(self._in_vain.get(inode, OwnerStatus.RACED), ())

    def drop_caches(self) -> None:
        """Forget what is remembered only to save work."""
        self._hints.clear()

    @property
    def processes(self) -> int:
        """How many are known to hold something."""
        return len(self._holdings.holders())

    @property
    def is_privileged(self) -> bool:
        """True if processes of all users may be read."""
        return self._asking.privileged

    def process(self, pid: int) -> Process | None:
        """What a process is, as far as the agent itself may see; None if it has ended."""
        found = describe(self._host.proc, pid)
        return None if found is None else self._process(found)

    def update(self, still_there: StillThere) -> set[int]:
        """Look as far as it is due; returns the inodes about which something is new, and maybe others.

        That nobody holds a socket any more counts from the next update on, and only where it is still there: by then
        most such sockets have ended.
        """
        return self._holdings.give_up(still_there) | self._look(still_there)

    def _look(self, still_there: StillThere) -> set[int]:
        if self._due(REFRESH_SHARE, REFRESH_AT_LEAST_US):
            return self._scan_all(still_there)
        by_helper = self._asking.by_helper
        touched = self._read_newcomers()  # step 1
        if by_helper != self._asking.by_helper:  # other rights now: what could not be seen can be, or no longer
            return touched | self._scan_all(still_there)
        if self._wanted:
            touched |= self._ask_the_likely()  # step 2
        self._losers.clear()
        if any(not want.patient for want in self._wanted.values()) and self._due(SEARCH_SHARE, 0):
            touched |= self._scan_all(still_there)  # step 3
        return touched

    def status(self) -> SourceStatus:
        """How well owners can be found."""
        detail = ""
        if self._asking.trouble:
            detail = (
                f"the helper does not answer ({self._asking.trouble}): owners are found as far as the agent may see; "
                f"{self._remedy}"
            )
        elif self._unreadable and self._asking.privileged:
            detail = self._why_not_all()
        elif self._unreadable:
            detail = "no helper: the owners of other users' sockets are not known; start the agent with --with-helper"
        return SourceStatus("owners", not detail, detail)

    def _why_not_all(self) -> str:
        """Why rights that should do are not enough, and which would."""
        if self._asking.in_pid_namespace:
            return f"processes outside of this pid namespace are not there: {UNKNOWN}; run the agent in the host's"
        if 0 in self._unreadable:
            return f"/proc hides processes (hidepid): {UNKNOWN}; it takes CAP_SYS_PTRACE, or hidepid=0"
        return (
            f"some processes may not be read: {UNKNOWN}; it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, and no "
            "security module against it"
        )

    def _due(self, share: float, at_least_us: int) -> bool:
        if self._scan_ended_us is None:
            return True
        waits_us = max(at_least_us, self._scan_took_us / share) * self.rarer
        return self._host.boottime_us() >= self._scan_ended_us + waits_us

    def _read_newcomers(self) -> set[int]:
        if not self._young and self._asking.listed() == self._pids:
            return set()
        return self._read(Question(self._inodes_asked(), skip=self._pids - self._young))

    def _ask_the_likely(self) -> set[int]:
        if any(want.is_listener for want in self._wanted.values()):
            return set()
        touched: set[int] = set()
        asked: set[int] = set()
        for narrow in (True, False):
            hints = {want.hints[0] if narrow else want.hints[-1] for want in self._wanted.values() if want.hints}
            likely = {pid for hint in hints for pid in self._hints.likely(hint)} | self._losers
            likely = (likely & self._pids) - asked
            if likely:
                touched |= self._read(Question(self._inodes_asked(), pids=frozenset(likely)))
                asked |= likely
        return touched

    def _scan_all(self, still_there: StillThere) -> set[int]:
        began_us = self._host.boottime_us()
        touched = self._read(Question(self._inodes_asked()))
        for crowd in self._crowds:  # of each process, where it is is as good as where each of its sockets is
            for want in crowd.named(self._holdings.one_of_each(crowd.inodes)):
                self._remember(want)
        self._crowds.clear()
        touched |= self._judge(still_there)
        self._scan_ended_us = self._host.boottime_us()
        self._scan_took_us = self._scan_ended_us - began_us
        return touched

    def _inodes_asked(self) -> frozenset[int] | None:
        followed = self._holdings.followed
        return frozenset(followed) if len(followed) <= MOST_INODES_ASKED else None

    def _read(self, question: Question) -> set[int]:
        """Ask, and take the answer in. Who may not be read is taken to hold what it held before."""
        answer = self._asking.scan(question)
        pids = frozenset(answer.pids)
        ended = self._pids - pids
        was_read = (pids if question.pids is None else pids & question.pids) - question.skip
        unreadable = frozenset(answer.unreadable)
        touched = self._holdings.left(ended)
        touched |= self._holdings.left(
            was_read.intersection(self._holdings.holders()) - unreadable - {found.pid for found in answer.processes}
        )
        for found in answer.processes:
            touched |= self._holdings.read(self._process(found), found.inodes)
        self._unreadable = (self._unreadable - was_read - ended - {0}) | unreadable
        if question.pids is None:
            self._young = pids - self._pids if self._pids else frozenset()  # at the first reading nobody is new
            self._pids = pids
        else:
            self._pids -= ended
        self._sort_out(touched)
        return touched

    def _sort_out(self, touched: set[int]) -> None:
        """Take what has owners now off the list of what is wanted, and put on it what has lost them."""
        owned = self._holdings.owned(touched)
        for inode in owned & self._in_vain.keys():
            del self._in_vain[inode]
        for inode in owned & self._wanted.keys():
            self._remember(self._wanted.pop(inode))
        for inode in touched - owned:
            lost = Wanted(inode, is_listener=False, hints=(), patient=inode in self._patient)
            self._wanted.setdefault(inode, lost)

    def _remember(self, want: Wanted) -> None:
        if want.is_listener and want.hints:
            self._hints.listener(want.inode, want.hints[0])
        for hint in want.hints[-1:]:
            self._hints.holder(want.inode, hint, self._pids)

    def _judge(self, still_there: StillThere) -> set[int]:
        """Say of every socket that nobody was found to hold why that may be."""
        unowned = self._holdings.unowned()
        if self._unreadable:
            status = OwnerStatus.PERMISSION if self._asking.privileged else OwnerStatus.NO_HELPER
            judged = dict.fromkeys(unowned, status)
        else:  # everybody was read: it is the kernel's own, unless it changed hands or ended meanwhile
            there = still_there({inode for inode in unowned if self._in_vain.get(inode) is not OwnerStatus.KERNEL})
            judged = {
                inode: OwnerStatus.KERNEL
                if inode in there or self._in_vain.get(inode) is OwnerStatus.KERNEL
                else OwnerStatus.RACED
                for inode in unowned
            }
        touched = {inode for inode, status in judged.items() if self._in_vain.get(inode) is not status}
        self._in_vain = judged
        self._wanted.clear()
        return touched

    def _process(self, found: FoundProcess) -> Process:
        started_at_us = self._booted_at_us + found.start_ticks * 1_000_000 // self._ticks_per_s
        return Process(found.pid, started_at_us, found.name, found.exe, found.program)
