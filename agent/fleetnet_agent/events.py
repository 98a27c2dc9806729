"""What the kernel told of closed sockets between two looks, decoded, and how that source is doing.

Connections that nobody sees open are known by these events alone. Where the kernel refuses them all else works on,
and the status says what is missing.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from fleetnet_agent.event_queue import EventQueue
from fleetnet_agent.host import Host
from fleetnet_agent.records import Gap, Protocol, SourceStatus
from fleetnet_agent.sources.events import BUFFER_BYTES, EventSocket
from fleetnet_agent.sources.inet_event import decode_end
from fleetnet_agent.sources.source import End, MalformedError, RefusedError

NAME = "events"


@dataclass(frozen=True, slots=True)
class Told:
    """What came since the last time."""

    ends: dict[Protocol, list[End]] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()

    def of(self, protocol: Protocol) -> Collection[End]:
        """The ends of one protocol, in the order in which they were told."""
        return self.ends.get(protocol, ())


class Events:
    """The events of this process's network namespace."""

    def __init__(self, host: Host, buffer_bytes: int = BUFFER_BYTES) -> None:
        """Never raises because the kernel refuses: that is the status."""
        self.status = SourceStatus(NAME, ok=True, detail="")
        self._queue: EventQueue | None = None
        try:
            self._queue = EventQueue(EventSocket(host.proc, buffer_bytes), host.wall_clock_us)
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

    def take(self) -> Told:
        """All that came up to now."""
        if self._queue is None:
            return Told()
        taken = self._queue.take()
        if taken.trouble:
            self._trouble(taken.trouble)
        ends: dict[Protocol, list[End]] = {protocol: [] for protocol in Protocol}
        for received in taken.events:
            for datagram in received.datagrams:
                try:
                    end = decode_end(datagram, received.at_us)
                except MalformedError as error:
                    self._trouble(f"an event was not understood: {error}")
                    continue
                if end is not None:
                    ends[end.protocol].append(end)
        return Told(ends, (taken.gap,) if taken.gap else ())

    def close(self) -> None:
        """Listen no longer."""
        if self._queue:
            self._queue.close()

    def _trouble(self, why: str) -> None:
        self.status = SourceStatus(NAME, ok=False, detail=f"not all connections between two looks are seen: {why}")
