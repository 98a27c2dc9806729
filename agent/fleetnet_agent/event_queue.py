"""Reads the kernel's events of closed sockets as they come, in a thread of its own, and keeps them for the next look.

The kernel's buffer is small without privilege (some hundreds of events), so it cannot wait for a look. The thread
sleeps until an event comes, waits a moment for more (see `pause_s`), and reads all of them at once.

What must stay true: memory is bounded, by MOST_WAITING. Whatever is lost, in the kernel or here, is counted and told
by the next `take`, never passed over; and it is told when it happens, through `urgent`.
"""

import errno
import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol as Interface

from fleetnet_agent.records import Gap
from fleetnet_agent.sources.source import SourceError

PAUSE_S = 0.02  # in which the least buffer that a kernel gives by default takes 330 events
LONG_PAUSE_S = 0.15  # waking up is nearly all that a few events cost; their times are that much less exact
MANY_BYTES = 16 * 2**20  # a buffer that takes 80,000 events a second for LONG_PAUSE_S
MOST_WAITING = 65_536  # each some 140 bytes: 9 MB at the worst, while no look takes them
URGENT_AT = 24_576  # waiting events that call for a look; each look costs a dump, at any number of them
_READS_AT_ONCE = 64  # so that a flood cannot keep a look waiting


@dataclass(frozen=True, slots=True)
class Received:
    """Datagrams of the kernel that were read at once: at most the pause and a moment after they were sent."""

    at_us: int  # host's wall clock
    datagrams: list[bytes]
    numbers: list[int] | None = None  # of the namespace of each, see `EventSocket.numbers`


@dataclass(frozen=True, slots=True)
class Taken:
    """What came since the last time."""

    events: list[Received]
    gap: Gap | None = None  # a time in which events were lost, and how many
    trouble: str = ""  # why events come no longer, as one sentence


@dataclass(slots=True)
class _Loss:
    """Events that were lost."""

    from_us: int
    to_us: int
    count: int = 0
    uncounted: str = ""  # why the kernel's count is not known

    def gap(self) -> Gap:
        number = f"{self.count} and more ({self.uncounted})" if self.uncounted else f"{self.count}"
        reason = f"{number} events of closed sockets lost: they came faster than they were read"
        return Gap(self.from_us, self.to_us, reason)


class Receiver(Interface):
    """Where events come from; see `sources.events.EventSocket`."""

    def fileno(self) -> int: ...
    def receive(self) -> list[bytes]: ...
    def numbers(self) -> list[int] | None: ...
    def newly_lost(self) -> int: ...
    def close(self) -> None: ...


def pause_s(buffer_bytes: int) -> float:
    """How long to wait for more events, with so much room for them in the kernel."""
    return LONG_PAUSE_S if buffer_bytes >= MANY_BYTES else PAUSE_S


class EventQueue:
    """Events that wait for a look."""

    def __init__(
        self,
        receiver: Receiver,
        clock_us: Callable[[], int],
        *,
        most: int = MOST_WAITING,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._receiver = receiver
        self._pause_ms = pause_s * 1000
        self._clock_us = clock_us
        self._most = most
        self._lock = threading.Lock()
        self._waiting: list[Received] = []
        self._count = 0  # of all their datagrams
        self._loss: _Loss | None = None
        self._trouble = ""
        self._read_at_us = clock_us()  # when the kernel's queue was last seen empty
        self._urge: Callable[[], object] = lambda: None
        self._urged = False
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    @property
    def urgent(self) -> bool:
        """True if a look should not wait: events were lost, or many wait."""
        return self._urged

    def when_urgent(self, urge: Callable[[], object]) -> None:
        """Call this, in a thread of ours, when `urgent` becomes true."""
        self._urge = urge

    def keep_at_most(self, most: int) -> None:
        """So many may wait from now on; what comes beyond is lost, and counted."""
        self._most = most

    def take(self) -> Taken:
        """All that came up to now."""
        with self._lock:
            self._read()
            # Whether or not a loss was noticed: the kernel says so first and counts then, so a count may lag by one.
            self._count_lost(self._clock_us(), noticed=False)
            taken = Taken(self._waiting, self._loss.gap() if self._loss else None, self._trouble)
            self._waiting, self._count, self._loss, self._urged = [], 0, None, False
        return taken

    def close(self) -> None:
        """End the thread and leave the groups."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)
        self._receiver.close()

    def _run(self) -> None:
        poll, stop = select.poll(), select.poll()
        poll.register(self._receiver.fileno(), select.POLLIN)
        for each in (poll, stop):
            each.register(self._stop, select.POLLIN)
        while not self._trouble:
            poll.poll()
            if stop.poll(self._pause_ms):
                return
            with self._lock:
                self._read()
                urge = not self._urged and (self._loss is not None or self._count >= min(URGENT_AT, self._most // 2))
                self._urged = self._urged or urge
            if urge:
                self._urge()

    def _read(self) -> None:
        """Read what waits in the kernel."""
        lost = False
        for _ in range(_READS_AT_ONCE):
            try:
                datagrams = self._receiver.receive()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    self._trouble = f"the kernel's events of closed sockets have ended: {error.strerror}"
                    return
                lost = True
                continue
            now_us = self._clock_us()
            if not datagrams:
                if lost:
                    self._count_lost(now_us, noticed=True)
                self._read_at_us = now_us
                return
            self._keep(now_us, datagrams)
        if lost:
            self._count_lost(self._clock_us(), noticed=True)

    def _keep(self, now_us: int, datagrams: list[bytes]) -> None:
        kept = datagrams[: max(0, self._most - self._count)]
        if kept:
            numbers = self._receiver.numbers()
            self._waiting.append(Received(now_us, kept, numbers and numbers[: len(kept)]))
        self._count += len(kept)
        if len(kept) < len(datagrams):
            self._lost(now_us).count += len(datagrams) - len(kept)

    def _count_lost(self, now_us: int, *, noticed: bool) -> None:
        try:
            count = self._receiver.newly_lost()
        except SourceError as error:
            if noticed:
                self._lost(now_us).uncounted = str(error)
            return
        if count:
            self._lost(now_us).count += count

    def _lost(self, now_us: int) -> _Loss:
        """The loss of this time between two looks, grown up to now."""
        if self._loss is None:
            self._loss = _Loss(self._read_at_us, now_us)
        self._loss.to_us = now_us
        return self._loss
