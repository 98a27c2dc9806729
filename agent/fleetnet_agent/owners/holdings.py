"""Which process holds which of the followed sockets, both ways round. Pure bookkeeping, told by `lookup.py`.

What must stay true: the two ways say the same, and only followed inodes are in either.

A process that ends lets go of its sockets a moment before the kernel has done away with them. So who held a socket is
remembered until `give_up`: what ends in that moment ends as its owner's. So does what has ended and is still followed,
for other namespaces are looked at less often.
"""

from collections.abc import Callable, Collection, Iterable

from fleetnet_agent.records import Process

_MOST_TUPLES = 1_000  # to be shared; of those of several processes nobody knows when they are used no more


class Holdings:
    """Processes and the followed inodes that they hold."""

    def __init__(self) -> None:
        self._followed: set[int] = set()
        self._inodes_of: dict[int, set[int]] = {}
        self._pids_of: dict[int, tuple[int, ...]] = {}
        self._processes: dict[int, Process] = {}
        self._tuples: dict[tuple[int, ...], tuple[int, ...]] = {}  # most sockets share a few
        self._owners: dict[tuple[int, ...], tuple[Process, ...]] = {}  # of some of these, while processes stay the same
        self._ended: set[int] = set()  # of those that were let go of
        self._let_go: dict[int, tuple[Process, ...]] = {}  # who held it when somebody first left since `give_up`

    @property
    def followed(self) -> Collection[int]:
        """All inodes that are followed."""
        return self._followed

    def follow(self, inode: int) -> None:
        """From now on this inode counts."""
        self._followed.add(inode)

    def follow_all(self, inodes: Collection[int]) -> None:
        """The same of many."""
        self._followed.update(inodes)

    def one_of_each(self, among: Collection[int]) -> set[int]:
        """Of each process that holds some of these, one."""
        # Not by intersection(): with what is no set it walks over all of that, once for each process.
        found = (next(filter(among.__contains__, held), None) for held in self._inodes_of.values())
        return {inode for inode in found if inode is not None}

    def forget(self, inode: int) -> None:
        """This inode counts no longer."""
        self._followed.discard(inode)
        self._let_go.pop(inode, None)
        self._ended.discard(inode)
        for pid in self._pids_of.pop(inode, ()):
            self._inodes_of[pid].discard(inode)
            self._drop_if_idle(pid)

    def pids_of(self, inode: int) -> tuple[int, ...]:
        """Who holds it, ascending; empty where nobody is known to."""
        return self._pids_of.get(inode, ())

    def processes_of(self, inode: int) -> tuple[Process, ...]:
        """Who holds it, ascending by pid, or held it until a moment ago; empty where nobody is known to."""
        pids = self._pids_of.get(inode, ())
        if not pids and inode in self._let_go:
            return self._let_go[inode]
        owners = self._owners.get(pids)
        if owners is None:
            owners = self._owners[pids] = tuple(self._processes[pid] for pid in pids)
        return owners

    def owned(self, among: set[int]) -> set[int]:
        """Those of these that somebody is known to hold."""
        return among & self._pids_of.keys()

    def unowned(self) -> set[int]:
        """Followed inodes that nobody is known to hold."""
        return self._followed - self._pids_of.keys()

    def read(self, process: Process, inodes: Collection[int]) -> set[int]:
        """A process was read and holds exactly these. Returns the inodes about which something is new."""
        before = self._inodes_of.get(process.pid, set())
        now = self._followed.intersection(inodes)
        touched = before ^ now
        self._remember(before - now)
        if self._processes.get(process.pid) != process:
            touched |= now
            self._processes[process.pid] = process
            self._owners.clear()
        self._move(process.pid, before, now)
        return touched

    def left(self, pids: Iterable[int]) -> set[int]:
        """These hold nothing any more, or have ended. Returns the inodes about which something is new."""
        touched: set[int] = set()
        for pid in pids:
            before = self._inodes_of.get(pid)
            if before:  # most processes that end held none
                self._remember(before)
                self._move(pid, before, set())
                touched |= before
        return touched

    def give_up(self, still_there: Callable[[Collection[int]], Collection[int]]) -> set[int]:
        """Who let go of a socket that is still there no longer counts. Returns the inodes that nobody holds now."""
        asked = self._let_go.keys() - self._pids_of.keys() - self._ended
        given_up = asked.intersection(still_there(asked)) if asked else set()
        self._ended = (self._ended | (asked - given_up)) - self._pids_of.keys()
        self._let_go = {inode: owners for inode, owners in self._let_go.items() if inode in self._ended}
        return given_up

    def holders(self) -> Collection[int]:
        """Pids of all that hold something."""
        return self._inodes_of.keys()

    def _remember(self, inodes: Iterable[int]) -> None:
        """Somebody is about to let go of these."""
        for inode in inodes:
            if inode not in self._let_go or inode in self._ended:  # then somebody has come to hold it since
                self._ended.discard(inode)
                self._let_go[inode] = self.processes_of(inode)

    def _move(self, pid: int, before: set[int], now: set[int]) -> None:
        for inode in before - now:
            pids = tuple(held for held in self._pids_of[inode] if held != pid)
            if pids:
                self._pids_of[inode] = self._shared(pids)
            else:
                del self._pids_of[inode]
        came = now - before
        shared = {inode: self._pids_of[inode] for inode in came & self._pids_of.keys()}
        self._pids_of.update(dict.fromkeys(came, self._shared((pid,))))
        for inode, pids in shared.items():
            self._pids_of[inode] = self._shared(tuple(sorted({*pids, pid})))
        self._inodes_of[pid] = now
        self._drop_if_idle(pid)

    def _drop_if_idle(self, pid: int) -> None:
        if not self._inodes_of[pid]:
            del self._inodes_of[pid]
            self._processes.pop(pid, None)
            self._tuples.pop((pid,), None)
            self._owners.clear()

    def _shared(self, pids: tuple[int, ...]) -> tuple[int, ...]:
        if len(self._tuples) > _MOST_TUPLES:
            self._tuples.clear()
        return self._tuples.setdefault(pids, pids)
