"""The engine: looks at the kernel's socket tables and tells what changed since the look before.

    watch = open_watch(this_host(), helper_socket=Path("/run/fleetnet/helper.sock"), namespaces="own")
    while True:
        difference = watch.look()       # blocking: in a worker thread, never two at once
        ... send it unless difference.empty ...
        sleep(LOOK_EVERY_S)

`look()` is to be called every LOOK_EVERY_S at any size of the table. It decides by itself whether this time the whole
table is due or the listeners alone (see `interval_s`, and `pacing.py`).

What must stay true:
- every difference is about the whole table at its `look_at_us`: applied to the snapshot before, it gives `snapshot()`;
- a look at the listeners alone that finds nothing new is an empty difference whose `look_at_us` is that of the last
  look at everything, for nothing more is known; one that finds something goes on to look at everything at once, as
  often as FULL_LOOK_SHARE allows;
- what the kernel's events tell is joined to a look at everything, so that each connection is told once;
- a source that fails closes nothing: its sockets stay as they were until it works again;
- a look at everything is one at all namespaces. What a namespace beside the own one does not show at a look stays as it
  was seen last, and the time until it shows again becomes a gap;
- a change of interfaces or routes that was seen is told with a look at everything, as early as one of a listener is.
"""

import os
import weakref
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from fleetnet_agent.budget import NO_CEILINGS, Budget, Ceilings, Usage
from fleetnet_agent.cgroups import CGroups
from fleetnet_agent.event_queue import MOST_WAITING
from fleetnet_agent.events import Events, Told
from fleetnet_agent.followed import Followed, Seen, follow_all
from fleetnet_agent.helper.client import HelperClient
from fleetnet_agent.holders import Holders
from fleetnet_agent.host import Host
from fleetnet_agent.late import Anew, LateRows
from fleetnet_agent.live import look_live
from fleetnet_agent.namespaces import Namespaces, Ways
from fleetnet_agent.neighbour import Sight
from fleetnet_agent.neighbours import Neighbours, Round
from fleetnet_agent.network.following import Network, open_network
from fleetnet_agent.owners.lookup import REMEDY, REMEDY_FOR_OWN, OwnerLookup
from fleetnet_agent.pacing import FULL_LOOK_SHARE, NOT_WITHIN_BUDGET, SHARE_BY_PROC, Pacing
from fleetnet_agent.proc_namespaces import ProcNamespaces, open_ways
from fleetnet_agent.records import (
    OWN_NAMESPACE,
    Brief,
    Closed,
    Difference,
    LiveItem,
    LiveWanted,
    Namespace,
    Snapshot,
    Socket,
    SocketKey,
    SourceStatus,
)
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.events import BUFFER_BYTES
from fleetnet_agent.usage import give_back, usage_now


class Watch:
    """The host's sockets and their owners, followed from look to look. Not thread-safe."""

    def __init__(
        self,
        host: Host,
        owners: OwnerLookup,
        followed: Sequence[Followed],
        diag: DiagSocket,
        events: Events | None = None,
        budget: Budget | None = None,
        usage: Callable[[], Usage] | None = None,
        network: Network | None = None,
        namespaces: Ways | None = None,
    ) -> None:
        self._host = host
        self._owners = owners
        self._holders = Holders(host, owners, CGroups(host.cgroup_root, host.boottime_us))
        self._followed = followed
        self._diag = diag
        self._events = events
        usage = usage or partial(usage_now, host.boottime_us)
        namespaces = namespaces or Namespaces(host, None, wanted="own")
        share = SHARE_BY_PROC if isinstance(namespaces, ProcNamespaces) else FULL_LOOK_SHARE
        self._pacing = Pacing(budget or Budget(NO_CEILINGS), usage, host.boottime_us, share)
        self._neighbours = Neighbours(namespaces, host, self._holders)
        self._network = network or open_network(host, self._neighbours.routes)
        self._late: Callable[[], LateRows | None] = lambda: None  # rows that somebody may still ask for
        self._touched: set[int] = set()  # inodes about whose owners something is new since the last full look
        self._statuses: dict[str, SourceStatus] = {}
        self._look_at_us = self._look_boottime_us = 0
        self._previous_look_at_us = 0

    def look(self, *, everything: bool = False) -> Difference:
        """Look once: at everything if that is due or asked for. The first time everything is in `opened` and
        previous_look_at_us is 0. Never raises for what the host does: a failing source travels in `sources`."""
        if (late := self._late()) is not None:
            late.made()  # of the look before, while everything is as it was
        self._mind_the_budget()
        namespaces_moved = self._ask_for_namespaces()
        if not (
            everything
            or self._pacing.is_full_look_due(self.size())
            or self._has_events_to_explain()
            or self._has_early_news(namespaces_moved)
        ):
            return Difference(self._look_at_us, self._previous_look_at_us, look_boottime_us=self._look_boottime_us)
        began_us = self._host.boottime_us()
        difference = self._look_at_everything()
        self._pacing.looked(began_us)
        return difference

    def snapshot(self) -> Snapshot:
        """Everything that was open at the last look, with what the differences so far have told. Its rows are made
        as they are asked for, some tenths of a second for 50,000 sockets, and stay those of that look. Empty,
        look_at_us 0, before the first look."""
        if not self._pacing.has_looked:
            return Snapshot(0, (), ())
        rows = [*(followed.sockets(self._holders) for followed in self._followed), *self._neighbours.sockets()]
        sockets = Anew(sum(map(len, rows)), lambda: chain.from_iterable(rows))
        statuses = tuple(self._statuses.values())
        return Snapshot(self._look_at_us, sockets, statuses, self._network.all(), self._look_boottime_us)

    def live(self, wanted: LiveWanted) -> Generator[LiveItem, None, None]:
        """Everything at this moment, with the numbers that are not followed. To be used up in the thread of the looks,
        which may go on between two steps; close it where it is left early. Never raises for what the host does."""
        if wanted.netns in (None, OWN_NAMESPACE):
            yield from look_live(wanted, self._followed, self._holders, self._host.proc / "self/net")
        yield from self._neighbours.live(wanted, self._network.links)

    def interval_s(self) -> float:
        """Seconds between two looks at the whole table at its present size: 1 up to 2,000 sockets, 5 from 10,000 on,
        in proportion between; more where reading it (many namespaces) would take more than FULL_LOOK_SHARE of that (or
        SHARE_BY_PROC), and where the budget asks for it."""
        return self._pacing.interval_s(self.size())

    def size(self) -> int:
        """How many sockets were open at the last look."""
        return sum(map(len, self._followed)) + len(self._neighbours)

    @property
    def other_namespaces(self) -> int | None:
        """How many network namespaces there are beside the own one; None where they are not to be read."""
        return self._neighbours.count

    def when_urgent(self, urge: Callable[[], object]) -> None:
        """Call this, in some thread, when the next look should not wait: events were lost, or many wait."""
        if self._events:
            self._events.when_urgent(urge)

    def close(self) -> None:
        """Give back sockets. No look after this."""
        self._diag.close()
        self._neighbours.close()
        if self._events:
            self._events.close()
        self._network.close()

    def _mind_the_budget(self) -> None:
        if self._pacing.status is None:
            return
        if self._pacing.is_over(self.size()):
            self._holders.drop_caches()
            give_back()
        allowance = self._pacing.allowance
        self._owners.rarer = allowance.owners_factor
        if self._events:
            self._events.keep_at_most(MOST_WAITING // allowance.events_divisor)

    def _has_events_to_explain(self) -> bool:
        return self._events is not None and self._events.urgent

    def _ask_for_namespaces(self) -> bool:
        """True if some are new or gone."""
        moved = self._neighbours.ask()
        self._follow_network()
        return moved

    def _follow_network(self) -> None:
        for identity in self._neighbours.identities():
            self._network.follow(identity)

    def _has_early_news(self, namespaces_moved: bool) -> bool:
        """Namespaces, listeners, owners and the network, which are looked at each time; False while another full look
        would cost too much."""
        self._touched |= self._owners.update(self._inodes_still_there)
        network_moved = self._network.look()
        if not self._pacing.may_look_early():
            return False
        return (
            namespaces_moved
            or network_moved
            or bool(self._touched)
            or any(followed.listeners_moved() for followed in self._followed if not self._pacing.leaves_out(followed))
            or self._neighbours.listeners_moved(self._pacing.leaves_out)
        )

    def _look_at_everything(self) -> Difference:
        # 1. What the kernel says: of interfaces and routes, of ends, of everything, and of the ends meanwhile. The look
        #    ends here; what follows explains what it saw.
        before = self._take_ends()
        began_us = self._host.boottime_us()
        sights = [Sight(followed, self._look_at(followed), self._holders) for followed in self._followed]
        others = self._neighbours.look(self._look_at, before)
        sights += others.sights
        namespaces = self._look_at_network(others)
        self._pacing.read(began_us)
        after = self._take_ends()
        look_at_us, self._look_boottime_us = self._host.wall_clock_us(), self._host.boottime_us()
        # 2. Sockets whose owners are wanted from now on, and no longer.
        self._owners.forget(inode for sight in sights for inode in sight.seen.inodes_left)
        self._owners.follow(one for sight in sights for one in sight.wanted())
        for crowd in filter(None, (sight.crowd() for sight in sights)):
            self._owners.follow_crowd(crowd)
        touched = self._touched | self._owners.update(self._inodes_still_there)
        self._touched = set()
        sights += (sight for sight in others.staying if sight.has_news(touched, after))
        # 3. The rows: what moved, what stayed but changed hands, and what came and went unseen.
        rows: list[Iterable[Socket]] = []
        changed: list[Socket] = []
        closed: list[Closed] = []
        brief: list[Brief] = []
        entered_at_us: dict[SocketKey, int] = {}
        restated: set[SocketKey] = set()
        for sight in sights:
            followed, seen = sight.followed, sight.seen
            known = (before, after) if sight.hears else (Told(), Told())
            joined = followed.join(seen, *(told.of(followed.protocol, followed.netns) for told in known))
            opened = followed.open(seen, sight.holders)
            rows.append(opened if seen.late else list(opened))
            changed += followed.change(seen, touched, sight.holders)
            restated.update(followed.restated(seen))
            entered_at_us |= followed.entered(seen, joined)
            brief += followed.brief(seen, joined, sight.holders)
            closed += followed.close(seen, joined)
        sources = self._new_statuses()
        left_out = self._pacing.left_out(self._followed, self._previous_look_at_us, look_at_us)
        self._previous_look_at_us, self._look_at_us = self._look_at_us, look_at_us
        return Difference(
            look_at_us,
            self._previous_look_at_us,
            self._opened(rows, sights),
            tuple(changed),
            tuple(closed),
            tuple(brief),
            entered_at_us,
            tuple(sources),
            gaps=(
                *before.gaps,
                *after.gaps,
                *others.gaps(look_at_us),
                *left_out,
            ),
            namespaces=namespaces,
            namespaces_gone=tuple(others.gone),
            restated=restated,
            look_boottime_us=self._look_boottime_us,
        )

    def _opened(self, rows: list[Iterable[Socket]], sights: list[Sight]) -> Sequence[Socket]:
        if not any(sight.seen.late for sight in sights):
            return tuple(chain.from_iterable(rows))
        late = LateRows(sum(len(sight.seen.moves.opened) for sight in sights), lambda: chain.from_iterable(rows))
        self._late = weakref.ref(late)
        return late

    def _look_at(self, followed: Followed) -> Seen:
        return followed.rest(NOT_WITHIN_BUDGET) if self._pacing.leaves_out(followed) else followed.look()

    def _look_at_network(self, others: Round) -> tuple[Namespace, ...]:
        for netns in (*others.gone, *others.replaced):
            self._network.leave(netns)
        self._follow_network()
        self._network.look()
        return self._network.changed()

    def _take_ends(self) -> Told:
        return self._events.take() if self._events else Told()

    def _new_statuses(self) -> list[SourceStatus]:
        statuses = [*(followed.status for followed in self._followed), self._owners.status()]
        if self._events:
            statuses.append(self._events.status)
        if self._pacing.status:
            statuses.append(self._pacing.status)
        statuses += self._network.statuses()
        if others := self._neighbours.status():
            statuses.append(others)
        new = [status for status in statuses if self._statuses.get(status.name) != status]
        self._statuses = {status.name: status for status in statuses}
        return new

    def _inodes_still_there(self, inodes: Collection[int]) -> Collection[int]:
        there: set[int] = set()
        for followed in self._followed:
            there |= followed.inodes_still_there(inodes)
        return there | self._neighbours.inodes_still_there(inodes)


def open_watch(
    host: Host,
    *,
    helper_socket: Path | None,
    namespaces: str,
    events_buffer_bytes: int = BUFFER_BYTES,
    ceilings: Ceilings = NO_CEILINGS,
    helper_is_own: bool = False,
) -> Watch:
    """A watch on the host's sockets: with the helper that listens on `helper_socket`, or without one (None);
    `helper_is_own` if only this process started it.

    `namespaces` is "all", "own", or "" for what makes sense here (see `proc_namespaces.open_ways`). Never raises
    because something is missing on the host: that is told by the sources of the first look.
    """
    helper = None if helper_socket is None else HelperClient(helper_socket)
    remedy = REMEDY_FOR_OWN if helper_is_own else REMEDY
    owners = OwnerLookup(host, helper, is_root=os.geteuid() == 0, remedy=remedy)
    diag = DiagSocket()
    ways = open_ways(host, helper, wanted=namespaces)
    events = Events(host, events_buffer_bytes, ways if isinstance(ways, Namespaces) else None, helper)
    followed = follow_all(diag, host.boottime_us, host.proc)
    return Watch(host, owners, followed, diag, events, Budget(ceilings), namespaces=ways)
