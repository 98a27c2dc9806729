"""One network namespace beside the agent's own: its sources, and what is remembered of it.

What must stay true: between `leave` and the next `enter` nothing that leads into it is open.
"""

import errno
import os
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from fleetnet_agent.events import Told
from fleetnet_agent.followed import Followed, Seen, follow_all
from fleetnet_agent.helper.requests import Kind
from fleetnet_agent.holders import Holders, HoldersWithin, wanted
from fleetnet_agent.host import Host
from fleetnet_agent.live import live_sockets
from fleetnet_agent.namespaces import Known, Ways
from fleetnet_agent.network.statistics import COUNTERS_FILE, counters, statistics
from fleetnet_agent.network.texts import read_descriptor, read_descriptors
from fleetnet_agent.owners.lookup import Crowd, Wanted
from fleetnet_agent.quiet import Quiet
from fleetnet_agent.records import Interface, LiveItem, LiveWanted, Namespace
from fleetnet_agent.sources.counts import COUNTS_FILES, Counts, decode_counts
from fleetnet_agent.sources.diag import DiagSocket, taken
from fleetnet_agent.sources.source import SourceError


@dataclass(frozen=True, slots=True)
class Sight:
    """One source of one namespace at one look."""

    followed: Followed
    seen: Seen
    holders: Holders
    hears: bool = True  # False where what was told of ends is for another source of this name
    stays: bool = False  # True if it was not read, for nothing can have changed

    def has_news(self, touched: Collection[int], after: Told) -> bool:
        """Of one that stays: True if there may be something to tell of it, or something was told `after` the look that
        is to be kept; `touched` is as in `Followed.change`."""
        followed = self.followed
        return followed.has_news(touched) or bool(after.ends and after.of(followed.protocol, followed.netns))

    def wanted(self) -> Iterator[Wanted]:
        """The sockets whose owners are wanted from now on."""
        paths = self.seen.peer_paths
        return (wanted(one, paths.get(one.peer_inode, b"")) for one in self.seen.inodes_new)

    def crowd(self) -> Crowd | None:
        """Those of them that are too many to be named one by one."""
        late = self.seen.late
        return Crowd(late.inodes, lambda inodes: map(wanted, late.holding(inodes))) if late else None


class Neighbour:
    """One of them. Its netns never changes."""

    def __init__(self, known: Known, host: Host, holders: Holders, namespaces: Ways, buffer: bytearray) -> None:
        self.known = known
        self.missed = 0  # lists that it was not in, running
        self.missed_since_us: int | None = None  # boottime
        self.unread = ""  # why something could not be read at the last look
        self.unread_since_us = 0  # the last look at which all could
        self.holders = HoldersWithin(holders, lambda index: self._interfaces.get(index, ""))
        self._interfaces: dict[int, str] = {}
        self._namespaces = namespaces
        self._diag = DiagSocket(self._open_once_more, buffer)
        self._files: Mapping[str, int] = {}  # of its /proc/net, while they are open; whoever opened them closes them
        self._cookie = 0  # the kernel's own name for the namespace
        self._quiet = Quiet(known.netns, host.boottime_us)
        self.followed = self._follow(host)
        self._staying = [Sight(followed, followed.stay(), self.holders, stays=True) for followed in self.followed]

    @property
    def title(self) -> str:
        """For people."""
        return self.known.name or str(self.known.netns)

    def take(self, known: Known) -> None:
        """It was listed again."""
        self.known = known
        self.missed = 0
        self.missed_since_us = None
        self.holders.move_to(known.place)

    def enter(self, descriptors: dict[str, int]) -> bool:
        """Use what was opened inside, until `leave`. False if that is another namespace than before, which was given
        the inode of one that ended. Raises SourceError."""
        if Kind.DIAG not in descriptors:
            raise SourceError("the helper opened something else")
        self._diag.lend(descriptors.pop(Kind.DIAG))
        self._files = descriptors
        cookie = self._diag.namespace_cookie()
        self._cookie = self._cookie or cookie
        return cookie == self._cookie

    def leave(self) -> None:
        """Nothing in the namespace is open any more."""
        self._diag.close()
        self._files = {}

    def take_over(self, other: "Neighbour") -> None:
        """Enter by what the other one has entered by, and it leaves."""
        self._diag.take_over(other._diag)
        self._files = other._files
        self._cookie = self._diag.namespace_cookie()

    def look(self, look_at: Callable[[Followed], Seen], told: Told) -> list[Sight]:
        """Read every source that can have changed; `told` is what came of ends up to now."""
        self._quiet.begin(self._counts() if self.known.nsid is not None else None)
        sights = [self._look_at(staying, look_at, told) for staying in self._staying]
        moves = [sight.seen.moves for sight in sights if not sight.stays]
        bound = {one.interface for each in moves for one in each.opened}
        bound |= {change.after.interface for each in moves for change in each.changed}
        self._interfaces.update((index, self._diag.interface_name(index)) for index in bound if index)
        return sights

    def live(
        self, wanted: LiveWanted, kind: Kind, descriptors: dict[str, int], links: tuple[Interface, ...]
    ) -> list[LiveItem]:
        """What a live look wants of it, through what was opened inside. Raises SourceError."""
        if kind is Kind.TABLES:
            if not self.enter(descriptors):
                raise SourceError("another one has taken its place")
            return list(live_sockets(self.followed, self.holders, self._diag, details=wanted.details))
        texts = read_descriptors(descriptors)
        netns = self.known.netns
        found: list[LiveItem] = []
        if wanted.interfaces:
            found += counters(texts.get(COUNTERS_FILE, ""), links, netns)
        if wanted.statistics:
            found += statistics(texts, netns)
        return found

    def pass_over(self, why: str) -> list[Sight]:
        """It cannot be read this time."""
        return [Sight(followed, followed.pass_over(why), self.holders) for followed in self.followed]

    def vanish(self) -> list[Sight]:
        """It has ended."""
        return [Sight(followed, followed.vanish(), self.holders) for followed in self.followed]

    def identity(self) -> Namespace:
        """What it is called and what lives in it."""
        place = self.known.place
        return Namespace(self.known.netns, self.known.name, place.container, place.runtime, place.unit)

    def _look_at(self, staying: Sight, look_at: Callable[[Followed], Seen], told: Told) -> Sight:
        followed = staying.followed
        if self._quiet.leaves_out(followed, told):
            return staying
        seen = look_at(followed)
        self._quiet.has_read(followed, whole=seen.whole)
        return Sight(followed, seen, self.holders)

    def _counts(self) -> Counts | None:
        """What the kernel has counted up to now; None where that cannot be read."""
        try:
            return decode_counts(*map(self._read_file, COUNTS_FILES))
        except (OSError, SourceError):
            return None

    def _follow(self, host: Host) -> list[Followed]:
        return follow_all(self._diag, host.boottime_us, host.proc, self.known.netns, self._read_file)

    def _read_file(self, name: str) -> bytes:
        if name not in self._files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return read_descriptor(name, self._files[name])

    def _open_once_more(self) -> socket.socket:
        """In the place of a socket that was thrown away after an error."""
        for _, what in self._namespaces.inside(Kind.DIAG, (self.known.netns,)):
            if not isinstance(what, str) and Kind.DIAG in what:
                return taken(what.pop(Kind.DIAG))
        raise SourceError("the network namespace cannot be entered once more")
