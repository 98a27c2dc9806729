"""The network namespaces beside the agent's own, as the watch follows them: each with its sources, read through a
descriptor that the helper has opened inside, or through the files that the kernel shows of it to anybody.

What must stay true:
- one that cannot be entered, or of which a source cannot be read, closes nothing: its sockets stay as they were seen
  last, the status says so, and the time until it is read again is a gap;
- the sockets of one that has ended are closed, and nothing of it is remembered;
- every descriptor is closed right after it was read from, for an open one keeps the namespace alive.
"""

import socket
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from fleetnet_agent.events import Told
from fleetnet_agent.followed import Followed, Seen
from fleetnet_agent.helper.requests import Kind
from fleetnet_agent.holders import Holders
from fleetnet_agent.host import Host
from fleetnet_agent.namespaces import Known, Ways, some_of
from fleetnet_agent.neighbour import Neighbour, Sight
from fleetnet_agent.proc_namespaces import ProcNamespaces
from fleetnet_agent.proc_neighbour import ProcNeighbour
from fleetnet_agent.records import (
    OWN_NAMESPACE,
    Gap,
    Interface,
    LiveItem,
    LiveWanted,
    Namespace,
    Socket,
    SourceStatus,
    Trouble,
)
from fleetnet_agent.sources.diag import BUFFER_BYTES
from fleetnet_agent.sources.source import RefusedError, SourceError

NOTHING_TOLD = Told()
MISSED_OFTEN = 2  # lists without it, where the kernel cannot say whether it has ended
ENDING_US = 3_000_000  # the kernel cleans up behind those that have ended one after the other
_HIDDEN = "no process and no mount leads there any more, but it has not ended"


@dataclass(slots=True)
class Round:
    """One look at all namespaces beside the own one."""

    sights: list[Sight] = field(default_factory=list)
    staying: list[Sight] = field(default_factory=list)  # of what was not read, for nothing can have changed
    gone: list[int] = field(default_factory=list)  # netns
    replaced: list[int] = field(default_factory=list)  # netns of those whose inode another one has now
    unread: list[tuple[int, str]] = field(default_factory=list)
    """Times that end at this look, in which something could not be read: since when (wall clock), and why."""

    def gaps(self, look_at_us: int) -> Iterator[Gap]:
        """The same."""
        return (Gap(since_us, look_at_us, reason) for since_us, reason in self.unread)


class Neighbours:
    """All of them. Not thread-safe."""

    def __init__(self, namespaces: Ways, host: Host, holders: Holders) -> None:
        self._namespaces = namespaces
        self._host = host
        self._holders = holders
        self._buffer = bytearray(BUFFER_BYTES)
        self._by_netns: dict[int, Neighbour] = {}
        self._looked_at_us = 0  # wall clock
        self._size = 0  # as of the last look

    def __len__(self) -> int:
        return self._size

    @property
    def count(self) -> int | None:
        """How many namespaces they are; None where they are not to be read."""
        return len(self._by_netns) if self._namespaces.all else None

    def ask(self) -> bool:
        """Ask which there are; True if a look at everything has something to tell of that."""
        self._namespaces.ask()
        new = False
        for known in self._namespaces.others.values():
            if known.netns not in self._by_netns:
                self._by_netns[known.netns] = self._new(known)
                new = True
            self._by_netns[known.netns].take(known)
        return new or any(self._has_ended(neighbour) is not False for neighbour in self._by_netns.values())

    def listeners_moved(self, left_out: Callable[[Followed], bool]) -> bool:
        """See `Followed`; of all but those left out."""
        there = self._entered(self._by_netns.values())
        return any(
            not same or any(followed.listeners_moved() for followed in neighbour.followed if not left_out(followed))
            for neighbour, same in there
        )

    def look(self, read: Callable[[Followed], Seen] = Followed.look, told: Told = NOTHING_TOLD) -> Round:
        """Read by `read` every source of each that can have changed (see `quiet`), and part with those that have ended;
        `told` is what came of ends up to now. `ask` is to be called before."""
        now = Round()
        self._look_at(list(self._namespaces.others), lambda neighbour: neighbour.look(read, told), now)
        missing = [neighbour for netns, neighbour in self._by_netns.items() if netns not in self._namespaces.others]
        for neighbour in missing:
            self._look_for(neighbour, now)
        self._looked_at_us = self._host.wall_clock_us()
        self._size = sum(len(followed) for neighbour in self._by_netns.values() for followed in neighbour.followed)
        return now

    def inodes_still_there(self, inodes: Collection[int]) -> set[int]:
        """See `Followed`."""
        holding = [
            neighbour
            for neighbour in self._by_netns.values()
            if any(followed.has_any_of(inodes) for followed in neighbour.followed)
        ]
        there: set[int] = set()
        for neighbour, _ in self._entered(holding):
            for followed in neighbour.followed:
                there |= followed.inodes_still_there(inodes)
        return there

    def sockets(self) -> Iterator[Sequence[Socket]]:
        """Rows for everything, as it was told."""
        for neighbour in self._by_netns.values():
            for followed in neighbour.followed:
                yield followed.sockets(neighbour.holders)

    def identities(self) -> list[Namespace]:
        """What all of them are called and what lives in them."""
        return [neighbour.identity() for neighbour in self._by_netns.values()]

    def routes(self, numbers: list[int]) -> Generator[tuple[int, socket.socket | SourceError], None, None]:
        """See `network.following.Inside`."""
        for netns, what in self._namespaces.inside(Kind.ROUTE, numbers):
            if isinstance(what, str) or Kind.ROUTE not in what:
                why = what if isinstance(what, str) else "the helper opened something else"
                never = isinstance(self._namespaces, ProcNamespaces)
                yield netns, RefusedError(why) if never else SourceError(why)
            else:
                yield netns, socket.socket(fileno=what.pop(Kind.ROUTE))

    def live(self, wanted: LiveWanted, links: Callable[[int], tuple[Interface, ...]]) -> Iterator[LiveItem]:
        """See `live.look_live`. One namespace is read before anything of it is told, for whoever asks may be slow, and
        what is open keeps the namespace alive."""
        if wanted.netns not in (None, OWN_NAMESPACE, *self._by_netns):
            yield Trouble(f"there is no network namespace {wanted.netns} on this host now, or it is not read")
        for netns in list(self._namespaces.others):
            neighbour = self._by_netns.get(netns)
            if neighbour is not None and wanted.netns in (None, netns):
                yield from self._live(neighbour, wanted, links(netns))

    def _live(self, neighbour: Neighbour, wanted: LiveWanted, links: tuple[Interface, ...]) -> list[LiveItem]:
        found: list[LiveItem] = []
        netns = neighbour.known.netns
        for kind in _kinds(wanted):
            for _, what in self._namespaces.inside(kind, (netns,)):
                if isinstance(what, str):
                    found.append(Trouble(f"network namespace {neighbour.title} was not read: {what}"))
                    continue
                try:
                    found += neighbour.live(wanted, kind, what, links)
                except SourceError as error:
                    found.append(Trouble(f"network namespace {neighbour.title} was not read: {error}"))
                finally:
                    neighbour.leave()
        return found

    def status(self) -> SourceStatus | None:
        """How well they can be read; None where they are not wanted."""
        status = self._namespaces.status
        if status is None:
            return None
        unread = [f"{one.title} ({one.unread})" for one in self._by_netns.values() if one.unread]
        partly = {
            f"{followed.status.name} is {followed.status.detail}"
            for neighbour in self._by_netns.values()
            for followed in neighbour.followed
            if not followed.status.ok and not followed.status.blind
        }
        details = [status.detail] if status.detail else []
        details += [f"not read, and shown as seen last: {some_of(unread)}"] if unread else []
        details += sorted(partly)
        return replace(status, ok=not details, detail="; ".join(details))

    def close(self) -> None:
        """Give back sockets."""
        self._namespaces.close()

    def _new(self, known: Known) -> Neighbour:
        ways = self._namespaces
        if isinstance(ways, ProcNamespaces):
            return ProcNeighbour(known, self._host, self._holders, ways, self._buffer)
        return Neighbour(known, self._host, self._holders, ways, self._buffer)

    def _entered(self, neighbours: Iterable[Neighbour]) -> Iterator[tuple[Neighbour, bool]]:
        """Each that can be entered, entered, and whether it is still the same namespace."""
        wanted = {each.known.netns: each for each in neighbours if each.known.netns in self._namespaces.others}
        for netns, what in self._namespaces.inside(Kind.DIAG, wanted):
            if isinstance(what, str):
                continue
            try:
                yield wanted[netns], wanted[netns].enter(what)
            except SourceError:
                continue
            finally:
                wanted[netns].leave()

    def _look_at(self, some: list[int], read: Callable[[Neighbour], list[Sight]], now: Round) -> None:
        refused: dict[int, str] = {}
        for netns, what in self._namespaces.inside(Kind.TABLES, some):
            if isinstance(what, str):
                refused[netns] = what
                continue
            try:
                self._look_inside(self._by_netns[netns], what, read, now)
            except SourceError as error:
                refused[netns] = str(error)
            finally:
                self._by_netns[netns].leave()
        if refused:
            self.ask()  # some may have ended since; what is still listed is told of now
        for netns, why in refused.items():
            if netns in self._namespaces.others:
                self._note(self._by_netns[netns], self._by_netns[netns].pass_over(why), now)

    def _look_inside(
        self, neighbour: Neighbour, descriptors: dict[str, int], read: Callable[[Neighbour], list[Sight]], now: Round
    ) -> None:
        if not neighbour.enter(descriptors):
            # The kernel gave the inode of a namespace that has ended to another one.
            now.sights += neighbour.vanish()
            now.replaced.append(neighbour.known.netns)
            fresh = self._by_netns[neighbour.known.netns] = self._new(neighbour.known)
            fresh.take(neighbour.known)
            fresh.take_over(neighbour)
            neighbour = fresh
            self._note(neighbour, [replace(sight, hears=False) for sight in read(neighbour)], now)
            return
        self._note(neighbour, read(neighbour), now)

    def _look_for(self, neighbour: Neighbour, now: Round) -> None:
        """One that is listed no longer."""
        ended = self._has_ended(neighbour)
        if ended is None:
            neighbour.missed += 1
            ended = neighbour.missed >= MISSED_OFTEN
            if ended:
                self._note_unread(neighbour, "it is seen no longer, and without a number nobody knows since when")
        if not ended:
            self._wait_for(neighbour, now)
            return
        if neighbour.unread:
            now.unread.append((neighbour.unread_since_us, _reason(neighbour)))
        now.sights += neighbour.vanish()
        now.gone.append(neighbour.known.netns)
        del self._by_netns[neighbour.known.netns]

    def _wait_for(self, neighbour: Neighbour, now: Round) -> None:
        """One that is on its way out, or that only some descriptor keeps."""
        now_us = self._host.boottime_us()
        if neighbour.missed_since_us is None:
            neighbour.missed_since_us = now_us
        sights = neighbour.pass_over(_HIDDEN)
        if now_us - neighbour.missed_since_us < ENDING_US:
            now.sights += sights
        else:
            self._note(neighbour, sights, now)

    def _note(self, neighbour: Neighbour, sights: list[Sight], now: Round) -> None:
        """Keep in mind whether it could be read whole."""
        now.sights += [sight for sight in sights if not sight.stays]
        now.staying += [sight for sight in sights if sight.stays]
        failed = [sight.followed.status.detail for sight in sights if sight.followed.status.blind]
        if failed:
            self._note_unread(neighbour, failed[0].removeprefix("not read: "))
        elif neighbour.unread:
            now.unread.append((neighbour.unread_since_us, _reason(neighbour)))
            neighbour.unread = ""

    def _note_unread(self, neighbour: Neighbour, why: str) -> None:
        if not neighbour.unread:
            neighbour.unread_since_us = self._looked_at_us or self._host.wall_clock_us()
        neighbour.unread = why

    def _has_ended(self, neighbour: Neighbour) -> bool | None:
        return self._namespaces.has_ended(neighbour.known.netns, neighbour.known.nsid)


def _kinds(wanted: LiveWanted) -> Iterator[Kind]:
    if wanted.sockets:
        yield Kind.TABLES
    if wanted.interfaces or wanted.statistics:
        yield Kind.STATISTICS


def _reason(neighbour: Neighbour) -> str:
    return f"network namespace {neighbour.title} could not be read: {neighbour.unread}"
