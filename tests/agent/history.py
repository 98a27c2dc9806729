"""What a collector makes of batches: intervals and gaps, put together from what was committed, backlog included.

Written apart from the collector itself, as decision 0017 has it; slow and plain.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from fleetnet_proto.v1 import report_pb2, sockets_pb2

GAP = sockets_pb2.CLOSED_AT_IS_GAP
FOR_EVER = 1 << 62
EPOCH = "another agent"
RESTARTED = "agent restarted"  # as fleetnet_agent.uplink.outage has it


@dataclass
class Interval:
    """A socket in one state."""

    key: bytes
    state: int
    opened_us: int
    closed_us: int = FOR_EVER
    how: int = 0
    is_told: bool = False  # its end came as backlog, even if it is not known exactly


@dataclass
class History:
    """Of one host."""

    intervals: list[Interval] = field(default_factory=list)
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    kept: list[tuple[int, int]] = field(default_factory=list)  # declared, and not yet withdrawn
    backlogs: int = 0

    @classmethod
    def of(cls, batches: Iterable[report_pb2.Batch]) -> "History":
        """Of these, in the order in which they were committed."""
        history = cls()
        named: set[bytes] = set()
        epoch, last_look_us = 0, 0
        for batch in batches:
            if batch.HasField("backlog"):
                history._take_backlog(batch.backlog)
                continue
            history.gaps += [(gap.from_us, gap.to_us, gap.reason) for gap in batch.gaps if not gap.kept]
            history.kept += [(gap.from_us, gap.to_us) for gap in batch.gaps if gap.kept]
            if batch.HasField("snapshot"):
                named = set() if batch.snapshot.part == 0 else named
                named |= {socket.key.SerializeToString() for socket in batch.opened}
                history._take_snapshot(batch, named)
                if batch.snapshot.last and epoch != batch.epoch:
                    if epoch and not any(gap.kept and gap.from_us <= last_look_us for gap in batch.gaps):
                        kept_from = [gap.from_us for gap in batch.gaps if gap.kept]
                        history.gaps.append((last_look_us, min([batch.look_at_us, *kept_from]), EPOCH))
                    epoch = batch.epoch
            else:
                history._take_difference(batch)
            last_look_us = batch.look_at_us
        return history

    def at(self, at_us: int) -> dict[bytes, int]:
        """States of what was open then."""
        return {one.key: one.state for one in self.intervals if one.opened_us <= at_us < one.closed_us}

    def is_unknown(self, at_us: int) -> bool:
        """True if a gap says that nothing is sure then. A gap is open at its ends, for both are looks."""
        gaps = [*((from_us, to_us) for from_us, to_us, _ in self.gaps), *self.kept]
        return any(from_us < at_us < to_us for from_us, to_us in gaps)

    def _open(self, key: bytes) -> Interval | None:
        return next((one for one in self.intervals if one.key == key and one.closed_us == FOR_EVER), None)

    def _close(self, key: bytes, at_us: int, how: int) -> None:
        one = self._open(key)
        if one:
            one.closed_us, one.how = max(at_us, one.opened_us), how

    def _take_difference(self, batch: report_pb2.Batch) -> None:
        for socket in (*batch.opened, *batch.changed):
            key, at_us = socket.key.SerializeToString(), socket.opened_at_us or batch.look_at_us
            one = self._open(key)
            if one and one.state == socket.state:
                continue
            self._close(key, at_us, sockets_pb2.CLOSED_AT_IS_SEEN)
            self.intervals.append(Interval(key, socket.state, at_us))
        for closed in batch.closed:
            self._close(
                closed.key.SerializeToString(), closed.closed_at_us or batch.look_at_us, closed.closed_at_is or 2
            )

    def _take_snapshot(self, batch: report_pb2.Batch, named: set[bytes]) -> None:
        for socket in batch.opened:
            key = socket.key.SerializeToString()
            one = self._open(key)
            if one is None or one.state != socket.state:
                self._close(key, batch.look_at_us, GAP)
                self.intervals.append(Interval(key, socket.state, batch.look_at_us))
        if batch.snapshot.last:
            for one in self.intervals:
                if one.closed_us == FOR_EVER and one.key not in named:
                    one.closed_us, one.how = batch.look_at_us, GAP

    def _take_backlog(self, backlog: report_pb2.Backlog) -> None:
        self.backlogs += 1
        for closed in backlog.ended:
            assert closed.closed_at_us
            for one in self.intervals:
                was_open = one.opened_us <= min(backlog.from_us, closed.closed_at_us) <= one.closed_us
                if one.key == closed.key.SerializeToString() and was_open and one.how == GAP:
                    one.closed_us, one.how, one.is_told = closed.closed_at_us, closed.closed_at_is, True
        for past in backlog.sockets:
            self._take_past(past, backlog.to_us)
        if backlog.last:
            # Not told is what was lost; what ended while an agent was restarted is.
            lost = [(f, t) for f, t, reason in self.gaps if f < backlog.to_us and reason not in (RESTARTED, EPOCH)]
            since_us = max([backlog.from_us, *(to_us for _, to_us in lost)])
            for one in self.intervals:
                # The snapshot did not find it, and no end was kept: it had ended before anything was.
                was_open = one.closed_us == backlog.to_us and one.opened_us <= backlog.from_us
                if one.how == GAP and was_open and not one.is_told:
                    one.closed_us = min(since_us, one.closed_us)
            self.kept = [gap for gap in self.kept if gap != (backlog.from_us, backlog.to_us)]

    def _take_past(self, past: report_pb2.PastSocket, to_us: int) -> None:
        key, opened_us = past.socket.key.SerializeToString(), past.socket.opened_at_us
        assert opened_us
        closed_us = past.closed_at_us or to_us
        for one in self.intervals:
            same = one.key == key and one.state == past.socket.state
            if same and one.opened_us <= closed_us and opened_us <= one.closed_us:
                one.opened_us = min(one.opened_us, opened_us)
                if past.closed_at_us and one.how == GAP:
                    one.closed_us, one.how = min(one.closed_us, past.closed_at_us), past.closed_at_is
                    one.is_told = True
                return
        self.intervals.append(Interval(key, past.socket.state, opened_us, closed_us, past.closed_at_is, is_told=True))
