"""What one batch says, resolved against how its stream stands: pure, and the same whether it is stored alone or with
others.
"""

from dataclasses import dataclass, field, replace

from fleetnet_server.errors import KEPT_OUT, Fenced, ForeignBatch, PeerRefused, SequenceHole
from fleetnet_server.records import Batch, RefusedBatch, Session
from fleetnet_server.services import namespaces
from fleetnet_server.services.intervals import ClosedAtIs, OpenedAtIs, scope_of
from fleetnet_server.services.snapshots import Named
from fleetnet_server.storage import holders, ids, sessions, sockets
from fleetnet_server.storage.spans import Ending

_WORTH_CORRECTING_US = 100_000  # of a host's clock: less than what is let be, and not at every batch (coverage.py)


@dataclass(frozen=True, slots=True)
class Step:
    """One batch on its way into the database."""

    session: Session
    batch: Batch
    standing: sessions.Standing
    received_at_us: int  # collector's clock
    first: bool = True  # of the pieces of a batch (pieces.py), each of which is a step
    last: bool = True
    unreported_end: ClosedAtIs = ClosedAtIs.SEEN  # how an end is known that the agent did not report as such

    @property
    def host_id(self) -> int:
        return self.session.host_id

    @property
    def last_look_us(self) -> int:
        """The host's last whole look; 0 before the first."""
        return self.standing.last_look.at_us if self.standing.last_look else 0

    @property
    def stored_up_to_us(self) -> int:
        """The look up to which this batch's sockets may have intervals already.

        What one look finds may take several batches, each of other sockets: those before this one do not count.
        """
        if self.batch.look_at_us == self.standing.latest_us and not self.batch.snapshot:
            return min(self.batch.previous_look_at_us, self.standing.latest_us)
        return self.standing.latest_us

    @property
    def seen_at_us(self) -> int:
        """The last look known to have confirmed what this batch ends.

        The look before a snapshot may lie in a gap that only its last part tells of, so there it proves nothing. Nor
        does one whose batch is not stored.
        """
        if self.batch.snapshot or self.unreported_end is ClosedAtIs.GAP:
            return self.last_look_us
        return max(self.last_look_us, self.batch.previous_look_at_us)

    @property
    def may_be_stored(self) -> bool:
        """Whether some pieces of the batch may have been stored before, by a stream that ended then."""
        return not self.standing.whole and self.batch.look_at_us <= self.standing.latest_us

    @property
    def told(self) -> namespaces.Told:
        """The batch as its namespaces have it, of which the agent says what there is and not since when."""
        batch, how = self.batch, self.unreported_end
        return namespaces.Told(
            ending=Ending(self.host_id, batch.look_at_us, how, self.seen_at_us),
            opened_at_is=OpenedAtIs.BEFORE if how is ClosedAtIs.GAP else OpenedAtIs.SEEN,
            clock_set_back=batch.look_at_us < self.standing.latest_us,
            namespaces=batch.namespaces,
            gone=batch.namespaces_gone,
        )

    @property
    def same_agent(self) -> bool:
        """Whether the last whole look was of the agent's as well."""
        session, last = self.session, self.standing.last_look
        return last is not None and (last.boot_id, last.epoch) == (session.boot_id, session.epoch)

    @property
    def goes_on(self) -> bool:
        """Whether it is a difference that follows a whole look without a break."""
        return self.batch.snapshot is None and self.standing.whole and self.same_agent

    def progress(self) -> sessions.Progress:
        """What the stream has come to by a whole look."""
        # By the collector's clock a look was not taken later than it was received, wherever the host's clock has gone.
        at_us, standing = min(self._taken_at_us, self.received_at_us), self.standing
        first_at_us = at_us if standing.first_at_us is None else min(standing.first_at_us, at_us)
        last_at_us = at_us if standing.last_at_us is None else max(standing.last_at_us, at_us)
        return sessions.Progress(self.session, self.batch.sequence, first_at_us, last_at_us)

    @property
    def _taken_at_us(self) -> int:
        """The look by the collector's clock: as long after the Hello as by the host's clock that nothing sets."""
        session, batch = self.session, self.batch
        if batch.look_boottime_us and session.boottime_us:
            return session.started_at_us + batch.look_boottime_us - session.boottime_us
        return batch.look_at_us - self.standing.clock_offset_us

    @property
    def clock_offset_us(self) -> int | None:
        """The offset of the host's clock, if the batch was quicker on its way than the Hello was.

        What travels makes a clock look late and never early, so the most that any message says is the nearest. Reckoned
        by the clock that nothing sets: a wall clock that was set since the Hello says nothing of the time before.
        """
        lead_us = self.session.clock_lead_us
        if lead_us is None or not self.batch.look_boottime_us:
            return None
        offset_us = lead_us + self.batch.look_boottime_us - self.received_at_us
        better = _WORTH_CORRECTING_US < offset_us - self.standing.clock_offset_us < sessions.LONGEST_WAY_US
        return offset_us if better else None


@dataclass(slots=True)
class Rows:
    """The sockets that a batch tells of, by id. What it opens and ends is taken out of the ends when that is stored."""

    step: Step
    holders: holders.Told
    reports: dict[int, sockets.OpenSocket]  # `opened` and `changed` differ only in what was told before
    named: Named | None = None  # all that a snapshot named, if the batch makes it whole
    endings: dict[int, sockets.Ending] = field(default_factory=dict)  # that the agent reports, once that is resolved

    @property
    def host_id(self) -> int:
        return self.step.host_id

    @property
    def whole(self) -> bool:
        """Whether what is open is then known, unless the digest says otherwise."""
        return self.named is not None or (self.step.goes_on and self.step.last)

    def resolve(self, *, after_gap: bool) -> None:
        """Say what the batch ends; `after_gap`, what it does not report as ended may have been long before."""
        if after_gap:
            self.step = replace(self.step, unreported_end=ClosedAtIs.GAP)
        step = self.step
        host_id, boot_id, seen_at_us = step.host_id, step.session.boot_id, step.seen_at_us
        for closed in step.batch.closed:
            socket_id = ids.socket_id(boot_id, closed.key)
            at_us = min(closed.closed_at_us, step.batch.look_at_us)
            self.endings[socket_id] = sockets.Ending(host_id, socket_id, at_us, closed.closed_at_is, seen_at_us)


def rows(step: Step, told: holders.Told) -> Rows:
    """What a batch says of sockets, its ends still to be resolved; `told` has the holders of all of them."""
    batch, host_id, boot_id = step.batch, step.host_id, step.session.boot_id
    look_at_us, names = batch.look_at_us, told.names
    reports = {}
    for some in (batch.opened, batch.changed):
        for socket in some:
            socket_id = ids.socket_id(boot_id, socket.key)
            opened_at_us = min(socket.opened_at_us, look_at_us)
            reports[socket_id] = sockets.OpenSocket(
                host_id, socket_id, socket, names[id(socket.holder)], scope_of(socket), opened_at_us, look_at_us
            )
    return Rows(step, told, reports)


def is_next(session: Session, batch: Batch | RefusedBatch, standing: sessions.Standing) -> bool:
    """Whether the batch is to be stored now; False if it has been already.

    Raises PeerRefused, Fenced, ForeignBatch, SequenceHole.
    """
    if not standing.admitted:
        raise PeerRefused(KEPT_OUT)
    if standing.fenced:
        raise Fenced("a newer stream of this host has taken over; this one is to end")
    if (batch.boot_id, batch.epoch) != (session.boot_id, session.epoch):
        raise ForeignBatch("a batch belongs to another boot or epoch than its stream; reconnect")
    if batch.sequence > standing.last_sequence + 1:
        raise SequenceHole(f"batch {batch.sequence} came where {standing.last_sequence + 1} was due; reconnect")
    return batch.sequence > standing.last_sequence
