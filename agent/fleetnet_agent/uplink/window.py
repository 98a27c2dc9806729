"""Batches that were made and are not yet acknowledged, in order.

What must stay true:
- a batch leaves only when the collector says that it is stored;
- sequence numbers on a stream go up by one, from the one after the last stored batch;
- no more than `credit` batches are held, so memory stays flat while the collector is away or slow: as many as the
  collector says while there is a stream, and as many as were given at the beginning while there is none;
- parts of a snapshot live and die with their stream. The collector knows from all the parts together what has ended,
  and it collects them per stream: half a snapshot on another stream would end every socket of the other half.

Pure: no clock, no gRPC, no locks (one event loop uses it).
"""

import enum
from collections import deque
from dataclasses import dataclass
from typing import Final

DEFAULT_CREDIT: Final = 32
MAX_CREDIT: Final = 64  # whatever a collector allows: a batch may be 1 MB


class Kind(enum.Enum):
    """What a batch is, as far as its way matters."""

    DIFFERENCE = enum.auto()
    PART = enum.auto()
    LAST_PART = enum.auto()
    BACKLOG = enum.auto()  # what the spool told; it tells it again on another stream


@dataclass(frozen=True, slots=True)
class Entry:
    """One batch. `body` is an encoded Batch that wants its boot id, epoch and sequence."""

    sequence: int
    kind: Kind
    body: bytes
    look_us: int = 0  # of which it tells


class Window:
    """The unacknowledged batches of one epoch."""

    def __init__(self, credit: int = DEFAULT_CREDIT) -> None:
        self._alone = self._credit = credit
        self._entries: deque[Entry] = deque()
        self._sent = 0  # how many from the left this stream has written
        self._acknowledged = 0
        self._moved = 0  # from the right, since the last stream began
        self._behind = 0  # behind parts that were lost

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def acknowledged(self) -> int:
        """Highest sequence that the collector has stored."""
        return self._acknowledged

    @property
    def room(self) -> bool:
        """True if another batch may be put."""
        return len(self._entries) < self._credit

    @property
    def all_sent(self) -> bool:
        """True if there is room and nothing waits to be written."""
        return self.room and self._sent == len(self._entries)

    @property
    def oldest(self) -> Entry | None:
        """The first batch that is not acknowledged."""
        return self._entries[0] if self._entries else None

    @property
    def in_flight(self) -> int:
        """How many were written to this stream and not yet acknowledged."""
        return self._sent

    def put(self, kind: Kind, body: bytes, look_us: int = 0) -> int:
        """Append a batch; returns its sequence, which may change when a stream breaks."""
        sequence = self._acknowledged + len(self._entries) + 1
        self._entries.append(Entry(sequence, kind, body, look_us))
        return sequence

    def next_unsent(self) -> Entry | None:
        """The batch to write next, which then counts as sent; None when all are, or when the credit is used up."""
        if self._sent >= min(len(self._entries), self._credit):
            return None
        entry = self._entries[self._sent]
        self._sent += 1
        return entry

    def acknowledge(self, sequence: int) -> list[Entry]:
        """The collector has stored everything up to here. Returns what this frees. Raises ValueError for a number
        that was never sent."""
        if sequence > self._acknowledged + self._sent:
            raise ValueError(f"acknowledged {sequence}, sent up to {self._acknowledged + self._sent}")
        freed = [self._entries.popleft() for _ in range(max(0, sequence - self._acknowledged))]
        self._sent -= len(freed)
        self._acknowledged += len(freed)
        return freed

    def begin_stream(self, committed: int, credit: int) -> list[Entry]:
        """A new stream is welcomed with what is stored and with its credit. Returns what is now known to be stored.

        What remains is unsent again and numbered from there. Raises ValueError if the collector has stored less than it
        acknowledged, or more than was ever made: then it speaks of another past, and `restart` is the way on.
        """
        made = len(self._entries) + self._moved
        if not self._acknowledged <= committed <= self._acknowledged + made:
            raise ValueError(f"stored {committed}, acknowledged {self._acknowledged}, made {made} more")
        self._sent = len(self._entries)
        freed = self.acknowledge(min(committed, self._acknowledged + len(self._entries)))
        self._acknowledged = max(self._acknowledged, committed)
        self._sent = self._moved = 0
        self._credit = min(max(1, credit), MAX_CREDIT)
        kept = [entry for entry in self._entries if entry.kind is Kind.DIFFERENCE]
        self._behind = sum(entry.kind is Kind.DIFFERENCE for entry in self._entries_from_snapshot())
        self._entries.clear()
        for entry in kept:
            self.put(entry.kind, entry.body, entry.look_us)
        return freed

    def end_stream(self) -> None:
        """The collector is away: how much it wants to have on its way is no matter any more."""
        self._credit = self._alone

    def differences(self, *, behind_snapshot: bool = False) -> list[bytes]:
        """Bodies of all differences that wait, or of those behind the first part of a snapshot."""
        entries = self._entries_from_snapshot() if behind_snapshot else self._entries
        return [entry.body for entry in entries if entry.kind is Kind.DIFFERENCE]

    def move_out(self, *, behind_snapshot: bool = False) -> None:
        """What waits is somebody else's now: all of it, or from the first part of a snapshot on. The collector may have
        stored some of it all the same."""
        stay = len(self._entries) - (len(self._entries_from_snapshot()) if behind_snapshot else len(self._entries))
        self._moved += len(self._entries) - stay
        self._sent = min(self._sent, stay)
        while len(self._entries) > stay:
            self._entries.pop()

    def take_back(self) -> list[bytes]:
        """The differences that came behind a snapshot whose last part was lost with its stream, as `begin_stream` has
        found. They leave; only before anything was written to the new stream."""
        out = [self._entries.pop().body for _ in range(self._behind)]
        self._behind = 0
        return out[::-1]

    def _entries_from_snapshot(self) -> list[Entry]:
        entries = list(self._entries)
        parts = [number for number, entry in enumerate(entries) if entry.kind in (Kind.PART, Kind.LAST_PART)]
        return entries[parts[0] :] if parts else []

    def drop(self) -> None:
        """Forget what is not acknowledged. Only before anything of it was written to this stream."""
        self._entries.clear()
        self._sent = self._behind = 0

    def restart(self) -> None:
        """Forget everything, for a new epoch begins."""
        self.drop()
        self._acknowledged = self._moved = 0
