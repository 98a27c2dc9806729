"""What the kernel told of closed sockets between two looks, decoded, and how that source is doing.

Connections that nobody sees open are known by these events alone. Where the kernel refuses them all else works on,
and the status says what is missing.

What must stay true: an event of another namespace is told as of that one or not at all; those of which it is not sure
where they came from are counted and become a gap.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol as Interface

from fleetnet_agent.event_queue import EventQueue, Received, pause_s
from fleetnet_agent.helper.client import HelperClient, HelperUnavailableError
from fleetnet_agent.host import Host
from fleetnet_agent.numbering import AmbiguousError
from fleetnet_agent.records import OWN_NAMESPACE, Gap, Protocol, SourceStatus
from fleetnet_agent.sources.events import BUFFER_BYTES, OWN, EventSocket
from fleetnet_agent.sources.inet_event import decode_end
from fleetnet_agent.sources.source import End, MalformedError, RefusedError

NAME = "events"
MOST_WAITING = 32_768  # events whose namespace is not known yet


class Names(Interface):
    """What is known of the numbers of namespaces; see `namespaces.Namespaces`."""

    @property
    def all(self) -> bool: ...
    @property
    def lists(self) -> int: ...
    def meaning(self, nsid: int | None, /) -> int | None: ...
    def is_nameless(self, nsid: int, /) -> bool: ...
    def settle(self, waiting: Collection[int], /) -> None: ...


@dataclass(frozen=True, slots=True)
class Told:
    """What came since the last time."""

    ends: dict[tuple[int, Protocol], list[End]] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    sure: bool = False  # True if those of all namespaces that are followed came, at this time and the time before

    def of(self, protocol: Protocol, netns: int = OWN_NAMESPACE) -> Collection[End]:
        """The ends of one protocol in one namespace, in the order in which they were told."""
        return self.ends.get((netns, protocol), ())


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Events of a namespace that no list has had yet."""

    number: int
    since_list: int
    received: Received


class Events:
    """The events of this process's network namespace, or of all."""

    def __init__(
        self,
        host: Host,
        buffer_bytes: int = BUFFER_BYTES,
        names: Names | None = None,
        helper: HelperClient | None = None,
    ) -> None:
        """Of all where `names` wants all and the helper gives the socket for them. Never raises because the kernel or
        the helper refuses: that is the status."""
        self.status = SourceStatus(NAME, ok=True, detail="")
        self._queue: EventQueue | None = None
        self._names: Names | None = None  # None where all events are of the own namespace
        self._waiting: list[_Waiting] = []
        self._clock_us = host.wall_clock_us
        self._taken_at_us = host.wall_clock_us()
        self._was_sure = False  # at the last time
        try:
            opened = self._of_all(host, buffer_bytes, names, helper) or EventSocket(host.proc, buffer_bytes)
            self._queue = EventQueue(opened, host.wall_clock_us, pause_s=pause_s(opened.buffer_bytes))
        except RefusedError as refusal:
            self._trouble(str(refusal))

    @property
    def urgent(self) -> bool:
        """True if a look should not wait."""
        return self._queue is not None and self._queue.urgent

    def when_urgent(self, urge: Callable[[], object]) -> None:
        """Call this, in some thread, when `urgent` becomes true."""
        if self._queue:
            self._queue.when_urgent(urge)

    def keep_at_most(self, most: int) -> None:
        """So many may wait from now on; what comes beyond is lost, and counted."""
        if self._queue:
            self._queue.keep_at_most(most)

    def take(self) -> Told:
        """All that came up to now."""
        if self._queue is None:
            return Told()
        taken = self._queue.take()
        if taken.trouble:
            self._trouble(taken.trouble)
        ends: dict[tuple[int, Protocol], list[End]] = defaultdict(list)
        lost = 0
        waiting, self._waiting = self._waiting, []
        for old in waiting:
            lost += self._sort(ends, old.number, old.received, old.since_list)
        for received in taken.events:
            for number, some in _by_number(received):
                lost += self._sort(ends, number, some, None)
        gaps = [taken.gap] if taken.gap else []
        now_us = self._clock_us()
        if lost:
            reason = "their network namespaces were gone, or replaced, before they were known"
            gaps.append(Gap(self._taken_at_us, now_us, f"{lost} events of closed sockets lost: {reason}"))
        self._taken_at_us = now_us
        if self._names:
            self._names.settle({each.number for each in self._waiting})
        # Of namespaces that were gone before they were known nobody follows anything.
        sure = self._names is not None and self.status.ok and taken.gap is None
        told = Told(ends, tuple(gaps), sure and self._was_sure)
        self._was_sure = sure
        return told

    def close(self) -> None:
        """Listen no longer."""
        if self._queue:
            self._queue.close()

    def _of_all(
        self, host: Host, buffer_bytes: int, names: Names | None, helper: HelperClient | None
    ) -> EventSocket | None:
        if names is None or helper is None or not names.all:
            return None
        try:
            passed = EventSocket(host.proc, passed=helper.events(buffer_bytes))
        except HelperUnavailableError as error:
            self._trouble(f"those of other network namespaces are not ({error})")
            return None
        self._names = names
        return passed

    def _sort(
        self, ends: dict[tuple[int, Protocol], list[End]], number: int, received: Received, since_list: int | None
    ) -> int:
        """Put events of the namespace with this number where they belong; how many are lost."""
        names, count = self._names, len(received.datagrams)
        try:
            netns = names.meaning(None if number == OWN else number) if names else OWN_NAMESPACE
        except AmbiguousError:
            return count
        if netns is not None:
            self._decode(ends, netns, received)
            return 0
        assert names is not None
        known_in_vain = since_list is not None and names.lists > since_list + 1
        if (
            known_in_vain
            or names.is_nameless(number)
            or sum(len(each.received.datagrams) for each in self._waiting) + count > MOST_WAITING
        ):
            return count
        self._waiting.append(_Waiting(number, names.lists if since_list is None else since_list, received))
        return 0

    def _decode(self, ends: dict[tuple[int, Protocol], list[End]], netns: int, received: Received) -> None:
        for datagram in received.datagrams:
            try:
                end = decode_end(datagram, received.at_us)
            except MalformedError as error:
                self._trouble(f"an event was not understood: {error}")
                continue
            if end is not None:
                ends[netns, end.protocol].append(end)

    def _trouble(self, why: str) -> None:
        self.status = SourceStatus(NAME, ok=False, detail=f"not all connections between two looks are seen: {why}")


def _by_number(received: Received) -> Iterable[tuple[int, Received]]:
    """The events of each namespace, in their order."""
    if received.numbers is None:
        return ((OWN, received),)
    datagrams: dict[int, list[bytes]] = defaultdict(list)
    for number, datagram in zip(received.numbers, received.datagrams, strict=True):
        datagrams[number].append(datagram)
    return [(number, Received(received.at_us, some)) for number, some in datagrams.items()]
