"""The engine: looks at the kernel's socket tables and tells what changed since the look before.

    watch = open_watch(this_host(), helper_socket=Path("/run/fleetnet/helper.sock"), namespaces="own")
    while True:
        difference = watch.look()       # blocking: in a worker thread, never two at once
        ... send it unless difference.empty ...
        sleep(LOOK_EVERY_S)

`look()` is to be called every LOOK_EVERY_S at any size of the table. It decides by itself whether this time the whole
table is due or the listeners alone (see `interval_s`).

What must stay true:
- every difference is about the whole table at its `look_at_us`: applied to the snapshot before, it gives `snapshot()`;
- a look at the listeners alone that finds nothing new is an empty difference whose `look_at_us` is that of the last
  look at everything, for nothing more is known; one that finds something goes on to look at everything at once, as
  often as FULL_LOOK_SHARE allows;
- what the kernel's events tell is joined to a look at everything, so that each connection is told once;
- a source that fails closes nothing: its sockets stay as they were until it works again;
- a look at everything is one at all namespaces. What a namespace beside the own one does not show at a look stays as it
  was seen last, and the time until it shows again becomes a gap.
"""

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from fleetnet_agent.cgroups import CGroups
from fleetnet_agent.events import Events, Told
from fleetnet_agent.followed import OWN_NAMESPACE, Followed, follow_all
from fleetnet_agent.helper.client import HelperClient
from fleetnet_agent.holders import Holders, wanted
from fleetnet_agent.host import Host
from fleetnet_agent.namespaces import Namespaces
from fleetnet_agent.neighbour import Sight
from fleetnet_agent.neighbours import Neighbours
from fleetnet_agent.owners.lookup import OwnerLookup
from fleetnet_agent.records import (
    Brief,
    Closed,
    Difference,
    Gap,
    Namespace,
    Snapshot,
    Socket,
    SocketKey,
    SourceStatus,
)
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.events import BUFFER_BYTES

LOOK_EVERY_S = 1.0
FULL_LOOK_SHARE = 0.04  # of the time, for full looks ahead of their interval
SMALL, LARGE = 2_000, 10_000  # sockets
SHORTEST_S, LONGEST_S = 1.0, 5.0  # between full looks, up to SMALL and from LARGE on
STRETCHED_AT_MOST_S = 30.0  # where reading takes more than FULL_LOOK_SHARE of that


class Watch:
    """The host's sockets and their owners, followed from look to look. Not thread-safe."""

    def __init__(
        self,
        host: Host,
        owners: OwnerLookup,
        followed: Sequence[Followed],
        diag: DiagSocket,
        events: Events | None = None,
        namespaces: Namespaces | None = None,
    ) -> None:
        self._host = host
        self._owners = owners
        self._holders = Holders(host, owners, CGroups(host.cgroup_root, host.boottime_us))
        namespaces = namespaces or Namespaces(host, None, wanted="own")
        self._neighbours = Neighbours(namespaces, host, self._holders)
        self._followed = followed
        self._diag = diag
        self._events = events
        self._touched: set[int] = set()  # inodes about whose owners something is new since the last full look
        self._statuses: dict[str, SourceStatus] = {}
        self._look_at_us = 0
        self._previous_look_at_us = 0
        self._looked_at_us: int | None = None  # boottime at the end of the last full look
        self._look_took_us = 0
        self._readings_took_us = (0, 0)  # of the last two full looks
        self._told: Namespace | None = None  # of the own namespace

    def look(self, *, everything: bool = False) -> Difference:
        """Look once: at everything if that is due or asked for. The first time everything is in `opened` and
        previous_look_at_us is 0. Never raises for what the host does: a failing source travels in `sources`."""
        namespaces_moved = self._neighbours.ask()
        if not (
            everything
            or self._is_full_look_due()
            or self._has_events_to_explain()
            or self._has_early_news(namespaces_moved)
        ):
            return Difference(self._look_at_us, self._previous_look_at_us)
        began_us = self._host.boottime_us()
        difference = self._look_at_everything()
        self._looked_at_us = self._host.boottime_us()
        self._look_took_us = self._looked_at_us - began_us
        return difference

    def snapshot(self) -> Snapshot:
        """Everything that was open at the last look, with what the differences so far have told. May take
        some tenths of a second for 50,000 sockets. Empty, look_at_us 0, before the first look."""
        if self._looked_at_us is None:
            return Snapshot(0, (), ())
        own = (socket for followed in self._followed for socket in followed.sockets(self._holders))
        return Snapshot(
            self._look_at_us,
            (*own, *self._neighbours.sockets()),
            tuple(self._statuses.values()),
            (self._described(), *self._neighbours.described()),
        )

    def interval_s(self) -> float:
        """Seconds between two looks at the whole table at its present size: 1 up to 2,000 sockets, 5 from 10,000 on,
        in proportion between; more where reading it (many namespaces) would take more than FULL_LOOK_SHARE of that."""
        size = sum(map(len, self._followed)) + len(self._neighbours)
        share = (size - SMALL) / (LARGE - SMALL)
        by_size_s = SHORTEST_S + (LONGEST_S - SHORTEST_S) * min(1.0, max(0.0, share))
        reading_took_us = min(self._readings_took_us)  # one alone may have been held up, and the first decodes all
        return max(by_size_s, min(STRETCHED_AT_MOST_S, reading_took_us / FULL_LOOK_SHARE / 1_000_000))

    @property
    def sees_all_namespaces(self) -> bool:
        """True if other network namespaces than the own one are to be read."""
        return self._neighbours.wanted

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

    def _is_full_look_due(self) -> bool:
        if self._looked_at_us is None:
            return True
        # Half a call's distance of tolerance: the caller's clock and this one need not tick together.
        tolerance_s = LOOK_EVERY_S / 2
        return self._since_full_look_us() >= (self.interval_s() - tolerance_s) * 1_000_000

    def _has_events_to_explain(self) -> bool:
        return self._events is not None and self._events.urgent

    def _has_early_news(self, namespaces_moved: bool) -> bool:
        """Namespaces, listeners and owners, which are looked at each time; False while another full look would cost too
        much."""
        self._touched |= self._owners.update(self._inodes_still_there)
        if self._since_full_look_us() < self._look_took_us / FULL_LOOK_SHARE:
            return False
        return (
            namespaces_moved
            or bool(self._touched)
            or any(followed.listeners_moved() for followed in self._followed)
            or self._neighbours.listeners_moved()
        )

    def _since_full_look_us(self) -> int:
        return self._host.boottime_us() - (self._looked_at_us or 0)

    def _look_at_everything(self) -> Difference:
        # 1. What the kernel says: of ends, of everything, and of the ends meanwhile. The look ends here; what follows
        #    explains what it saw.
        before = self._take_ends()
        began_us = self._host.boottime_us()
        sights = [Sight(followed, followed.look(), self._holders) for followed in self._followed]
        others = self._neighbours.look()
        sights += others.sights
        self._readings_took_us = (self._readings_took_us[1], self._host.boottime_us() - began_us)
        after = self._take_ends()
        look_at_us = self._host.wall_clock_us()
        # 2. Sockets whose owners are wanted from now on, and no longer.
        self._owners.forget(inode for sight in sights for inode in sight.seen.inodes_left)
        self._owners.follow(wanted(sighting) for sight in sights for sighting in sight.seen.inodes_new)
        touched = self._touched | self._owners.update(self._inodes_still_there)
        self._touched = set()
        # 3. The rows: what moved, what stayed but changed hands, and what came and went unseen.
        opened: list[Socket] = []
        changed: list[Socket] = []
        closed: list[Closed] = []
        brief: list[Brief] = []
        entered_at_us: dict[SocketKey, int] = {}
        for sight in sights:
            followed, seen = sight.followed, sight.seen
            known = (before, after) if sight.hears else (Told(), Told())
            joined = followed.join(seen, *(told.of(followed.protocol, followed.netns) for told in known))
            opened += followed.open(seen, sight.holders)
            changed += followed.change(seen, touched, sight.holders)
            entered_at_us |= followed.entered(seen, joined)
            brief += followed.brief(seen, joined, sight.holders)
            closed += followed.close(seen, joined)
        sources = self._new_statuses()
        unread = (Gap(since_us, look_at_us, reason) for since_us, reason in others.unread)
        self._previous_look_at_us, self._look_at_us = self._look_at_us, look_at_us
        return Difference(
            look_at_us,
            self._previous_look_at_us,
            tuple(opened),
            tuple(changed),
            tuple(closed),
            tuple(brief),
            entered_at_us,
            tuple(sources),
            gaps=(*before.gaps, *after.gaps, *unread),
            namespaces=tuple(self._newly_described()),
            namespaces_gone=tuple(others.gone),
        )

    def _described(self) -> Namespace:
        """The own namespace beside its sockets. Interfaces and routes are put in here."""
        return Namespace(OWN_NAMESPACE, unread=True)

    def _newly_described(self) -> list[Namespace]:
        before, self._told = self._told, self._described()
        return [*([self._told] if self._told != before else []), *self._neighbours.newly_described()]

    def _take_ends(self) -> Told:
        return self._events.take() if self._events else Told()

    def _new_statuses(self) -> list[SourceStatus]:
        statuses = [*(followed.status for followed in self._followed), self._owners.status()]
        if self._events:
            statuses.append(self._events.status)
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
    host: Host, *, helper_socket: Path | None, namespaces: str, events_buffer_bytes: int = BUFFER_BYTES
) -> Watch:
    """A watch on the host's sockets: with the helper that listens on `helper_socket`, or without one (None).

    `namespaces` is "all", "own", or "" for what makes sense here (see `namespaces.Namespaces`). Never raises because
    something is missing on the host: that is told by the sources of the first look.
    """
    helper = None if helper_socket is None else HelperClient(helper_socket)
    owners = OwnerLookup(host, helper, is_root=os.geteuid() == 0)
    diag = DiagSocket()
    known = Namespaces(host, helper, wanted=namespaces)
    events = Events(host, events_buffer_bytes, known, helper)
    return Watch(host, owners, follow_all(diag, host.boottime_us), diag, events, known)
