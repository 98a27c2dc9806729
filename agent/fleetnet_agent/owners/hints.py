"""Who is likely to hold a new socket: those who hold its like. Pure bookkeeping, told by `lookup.py`.

The port of a connection is that of its listener, or nobody else's: so what is narrow leads to listeners, and goes with
them. What is wide (a user's control group, the path of a UNIX socket) leads to processes, and goes with the last.

What must stay true: what is remembered follows what is there, not what ever was: a port that was listened on once, and
a process that has ended, take no room. Beyond MOST_HINTS wide ones all are forgotten, which costs a scan and no more.
"""

from collections.abc import Callable, Collection, Hashable, Iterable

MOST_HINTS = 10_000
_SORTED_OUT_AT_LEAST = 256  # so many are there before it is worth looking which lead nowhere


class Hints:
    """What is known of where sockets of a kind are held."""

    def __init__(self, pids_of: Callable[[int], Iterable[int]]) -> None:
        """`pids_of` says who holds an inode."""
        self._pids_of = pids_of
        self._listeners: dict[Hashable, set[int]] = {}  # inodes, by what is narrow
        self._hint_of: dict[int, Hashable] = {}  # the same the other way round
        self._holders: dict[Hashable, set[int]] = {}  # pids, by what is wide
        self._sort_out_at = _SORTED_OUT_AT_LEAST

    def __len__(self) -> int:
        return len(self._listeners) + len(self._holders)

    def listener(self, inode: int, hint: Hashable) -> None:
        """The owners of this listener are known."""
        self.forget(inode)
        self._hint_of[inode] = hint
        self._listeners.setdefault(hint, set()).add(inode)

    def holder(self, inode: int, hint: Hashable, alive: Collection[int]) -> None:
        """Those of this socket are; `alive` are all processes that there are."""
        if hint not in self._holders and len(self._holders) >= self._sort_out_at:
            self._sort_out(alive)
        pids = self._holders.setdefault(hint, set())
        pids.update(self._pids_of(inode))
        if len(pids) > 2 * len(alive):
            pids.intersection_update(alive)

    def forget(self, inode: int) -> None:
        """No socket has this inode any more."""
        hint = self._hint_of.pop(inode, None)
        if hint is not None:
            self._listeners[hint].discard(inode)
            if not self._listeners[hint]:
                del self._listeners[hint]

    def likely(self, hint: Hashable) -> set[int]:
        """Pids, some of which may have ended."""
        found = set(self._holders.get(hint, ()))
        for inode in self._listeners.get(hint, ()):
            found.update(self._pids_of(inode))
        return found

    def clear(self) -> None:
        """Forget all."""
        self._listeners.clear()
        self._hint_of.clear()
        self._holders.clear()

    def _sort_out(self, alive: Collection[int]) -> None:
        living = {hint: pids.intersection(alive) for hint, pids in self._holders.items()}
        self._holders = {hint: pids for hint, pids in living.items() if pids} if len(living) < MOST_HINTS else {}
        self._sort_out_at = min(max(_SORTED_OUT_AT_LEAST, 2 * len(self._holders)), MOST_HINTS)
