"""A table of sockets that is read whole each time, where there are no cookies to compare by.

What must stay true: what the moves have told, applied from the first on, is what `sightings` gives; queues make a
change only as `queues.py` says.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from fleetnet_agent.changes import Change, Moves
from fleetnet_agent.queues import Queues, Unsettled
from fleetnet_agent.sources.source import Sighting


class ListedTable:
    """A table made of lists. See `changes.Table`."""

    def __init__(self, read: Callable[[], Iterable[Sighting]], *, confirms: bool) -> None:
        """`read` lists everything, and raises SourceError; with `confirms` a socket is gone when it is missing twice,
        for a file of /proc/net may miss some while others come and go."""
        self._list = read
        self._confirms = confirms
        self._told: dict[int | bytes, Sighting] = {}
        self._unsettled = Unsettled()

    def __len__(self) -> int:
        return len(self._told)

    def look(self) -> Moves:
        """See `Table`."""
        now = self._read()
        gone = self._told.keys() - now.keys()
        if gone and self._confirms:
            gone -= self._read().keys()
        changed = [Change(was, one) for name, one in now.items() if (was := self._told.get(name)) and self._moved(one)]
        moves = Moves(
            opened=[one for name, one in now.items() if name not in self._told],
            changed=changed,
            closed=[self._told.pop(name) for name in gone],
        )
        self._told.update((one.name, one) for one in moves.opened)
        self._told.update((change.after.name, change.after) for change in changed)
        self._unsettled.forget([name for name in gone if isinstance(name, int)])
        return moves

    def listeners_moved(self) -> bool:
        """See `Table`. A look at the listeners alone would cost as much as one at everything: it is not made."""
        return False

    def sightings(self) -> Sequence[Sighting]:
        """See `Table`."""
        return list(self._told.values())

    def holding(self, inodes: Collection[int]) -> list[Sighting]:
        """See `Table`."""
        return [one for one in self._told.values() if one.inode and one.inode in inodes]

    def named(self, names: Collection[int | bytes]) -> list[Sighting]:
        """See `Table`."""
        return [self._told[name] for name in names if name in self._told]

    def listeners(self) -> list[Sighting]:
        """See `Table`. Asked for only where the kernel tells of ends, and not for what is listed."""
        return []

    def still_there(self, names: Collection[int | bytes]) -> set[int | bytes]:
        """See `Table`."""
        return self._read().keys() & set(names)

    def _read(self) -> dict[int | bytes, Sighting]:
        return {one.name: one for one in self._list()}

    def _moved(self, one: Sighting) -> bool:
        """True if a socket that was told before is to be told again."""
        was = self._told[one.name]
        told, now = _queues(was), _queues(one)
        if replace(one, recv_queue=told[0], send_queue=told[1]) != was:
            self._unsettled.forget([one.name] if isinstance(one.name, int) else [])
            return True
        if not isinstance(one.name, int):  # read by psutil, which shows no queues
            return False
        if one.name in self._unsettled:
            return self._unsettled.is_worth_telling(one.name, now)
        if told != now:
            self._unsettled.begin(one.name, told, now)
        return False


def _queues(one: Sighting) -> Queues:
    return one.recv_queue, one.send_queue
