"""Takes what hosts report into the database.

What must stay true: a batch is stored whole or not at all, once, in the order of its epoch, and only from the newest
stream of its host; all of that is judged inside the transaction that stores it. History never says "closed" where it
means "unknown": what ended while nobody looked ends with `gap`, and the gap is recorded.

A look is *whole* when current holds exactly what the host held open at it: after the last part of a snapshot, and
after every difference that follows without a break. Only whole looks count as hearing from a host.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from fleetnet_server import metrics
from fleetnet_server.errors import BadBatch, Cloned, Fenced, ForeignBatch, HostUnknown, SequenceHole, StorageError
from fleetnet_server.logs import failure
from fleetnet_server.records import Batch, Gap, Hello, Host, RefusedBatch, Session, Stored
from fleetnet_server.services import backlog, digests, machines, namespaces, quarantine
from fleetnet_server.services.intervals import ClosedAtIs, OpenedAtIs, plan, scope_of
from fleetnet_server.services.snapshots import Named, Snapshots
from fleetnet_server.storage import gaps, holders, hosts, ids, sessions, sockets, sources
from fleetnet_server.storage.database import Connection, Database
from fleetnet_server.storage.spans import Ending, Restated

HOST_REBOOTED = "host rebooted"

MAX_SOURCES = 64
_WORTH_CORRECTING_US = 100_000  # of a host's clock: less than what is let be, and not at every batch (coverage.py)
_LONGEST_WAY_US = 25_000_000  # of a Hello; an agent does not wait longer for its answer

# What is not the fault of the one batch, so that setting it aside would be no help.
_NOT_OF_ONE_BATCH = (Fenced, SequenceHole, ForeignBatch, StorageError, MemoryError)

_log = structlog.get_logger()


class Ingest:
    """Takes the report streams of all hosts into the database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._snapshots = Snapshots()

    async def open(self, host: Host, hello: Hello, received_at_us: int) -> Session:
        """Begin a stream; an older one of the same host is fenced from here on.

        Raises HostUnknown if the host has not enrolled or is not active, Cloned if another machine is this host (whose
        stream goes on), and StorageError.
        """
        session = await self._db.write(_open, host, hello, received_at_us)
        if isinstance(session, str):
            raise Cloned(session)
        self._snapshots.drop_host(host.host_id)
        return session

    async def commit(
        self, session: Session, batch: Batch, received_at_us: int, as_it_came: Callable[[], bytes] | None = None
    ) -> Stored:
        """Store a batch; returns what is committed, after the COMMIT. A batch already stored changes nothing.

        With its message at hand, one that cannot be stored is set aside instead. Call in the order of the stream; the
        next call may begin before the last has returned, and then shares its commit. After any error the stream is to
        be ended. Raises Fenced, SequenceHole, BadBatch, StorageError.
        """
        try:
            instead = None if as_it_came is None else self._store_not
            stored = await self._db.write(self._store, session, batch, received_at_us, as_it_came, instead=instead)
        except BaseException:
            # What the snapshot's parts have named may now differ from what was stored.
            self._snapshots.drop(session)
            raise
        if stored.sequence == batch.sequence and not stored.refused:
            _count(batch)
        return stored

    async def set_aside(self, session: Session, batch: RefusedBatch, received_at_us: int) -> Stored:
        """Put a batch into quarantine that could not even be read; otherwise as `commit`."""
        return await self._db.write(self._set_aside, session, batch, received_at_us)

    async def close(self, session: Session, at_us: int) -> None:
        """Note the end of a stream. Never raises: it is a note only, and whoever ends a stream has other worries."""
        self._snapshots.drop(session)
        try:
            await self._db.write(sessions.close, session, at_us)
        except StorageError as error:
            _log.warning("the end of a stream could not be noted", host_id=session.host_id, error=str(error))

    def _store(
        self, conn: Connection, session: Session, batch: Batch, received_at_us: int, _: Callable[[], bytes] | None
    ) -> Stored:
        """Runs in the writer thread, inside the transaction."""
        standing = sessions.standing(conn, session)
        if not _is_next(session, batch, standing):
            return Stored(standing.last_sequence)
        if batch.backlog is not None:
            # Nothing in it is of the present, so nothing but the sequence goes on.
            backlog.store(conn, session.host_id, batch.backlog)
            sessions.note_sequence(conn, session, batch.sequence)
            return Stored(batch.sequence)
        reports = _reports(conn, session, batch)
        told = Named(set(reports), {namespace.netns for namespace in batch.namespaces})
        named = self._snapshots.follow(session, batch.snapshot, told)
        gap = _note_gaps(conn, session, batch, standing, named is not None)
        step = _Step(session, batch, standing, ClosedAtIs.GAP if gap else ClosedAtIs.SEEN)
        _end_earlier_boot(conn, step)
        endings = _endings(step)
        _store_reports(conn, step, reports, endings)
        namespaces.store(conn, step.told, batch.namespaces, batch.namespaces_gone)
        if named is None:
            _store_closed(conn, step, endings)
        else:
            _end_unnamed(conn, step, named)
            sources.forget(conn, session.host_id)
        sources.record(conn, session.host_id, batch.sources, batch.look_at_us)
        if batch.sources and sources.count(conn, session.host_id) > MAX_SOURCES:
            # Each answer about hosts names all that are not whole.
            raise BadBatch(f"a host has more than {MAX_SOURCES} sources")
        whole = named is not None or _goes_on(step)
        agreed = not whole or digests.agree(conn, session, batch, standing)
        # What a snapshot named is held open by definition; after a difference that does not agree, it is in doubt.
        _note_progress(conn, step, whole and (agreed or named is not None), received_at_us)
        return Stored(batch.sequence, snapshot_wanted="" if agreed else digests.DRIFTED)

    def _store_not(
        self,
        conn: Connection,
        error: Exception,
        session: Session,
        batch: Batch,
        received_at_us: int,
        as_it_came: Callable[[], bytes] | None,
    ) -> Stored:
        """In place of _store, which raised `error` and of which nothing is left."""
        if as_it_came is None or isinstance(error, _NOT_OF_ONE_BATCH):
            raise error
        refused = RefusedBatch(
            batch.boot_id,
            batch.epoch,
            batch.sequence,
            batch.look_at_us,
            batch.previous_look_at_us,
            why_refused(error),
            as_it_came(),
            None if batch.backlog is None else (batch.backlog.from_us, batch.backlog.to_us),
        )
        try:
            return self._set_aside(conn, session, refused, received_at_us)
        except BadBatch as too_many:
            # Too many. Where it is not the host's mistake, it is not told that the same will be refused again: so it
            # keeps what it has, and tries again.
            raise (too_many if isinstance(error, BadBatch) else error) from None

    def _set_aside(self, conn: Connection, session: Session, batch: RefusedBatch, received_at_us: int) -> Stored:
        standing = sessions.standing(conn, session)
        if not _is_next(session, batch, standing):
            return Stored(standing.last_sequence)
        quarantine.set_aside(conn, session, batch, standing, received_at_us)
        if batch.past_us is not None:
            return Stored(batch.sequence, refused=batch.reason)
        # A snapshot that lacks a part ends nothing: its other parts are stored, and another is asked for.
        self._snapshots.drop(session)
        return Stored(batch.sequence, refused=batch.reason, snapshot_wanted=quarantine.NOT_STORED)


def why_refused(error: Exception) -> str:
    """One sentence on why a batch cannot be stored. What nobody expected is named with its place, and logged."""
    if isinstance(error, BadBatch):
        return str(error)
    told = failure(error)
    _log.error("a report could not be stored for a mistake of the collector's", **told)
    return f"a mistake of the collector's, {' '.join(str(told['error']).split())[:200]}, in {told['where']}"


@dataclass(frozen=True, slots=True)
class _Step:
    """One batch on its way into the database."""

    session: Session
    batch: Batch
    standing: sessions.Standing
    unreported_end: ClosedAtIs  # how an end is known that the agent did not report as such

    @property
    def last_look_us(self) -> int:
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
    def told(self) -> namespaces.Told:
        """The batch as its namespaces have it, of which the agent says what there is and not since when."""
        look_at_us, how = self.batch.look_at_us, self.unreported_end
        return namespaces.Told(
            host_id=self.session.host_id,
            ending=Ending(look_at_us, how, self.seen_at_us),
            opened_at_is=OpenedAtIs.BEFORE if how is ClosedAtIs.GAP else OpenedAtIs.SEEN,
            clock_set_back=look_at_us < self.standing.latest_us,
        )


def _count(batch: Batch) -> None:
    metrics.BATCHES.inc()
    metrics.LAST_STORED.set_to_current_time()
    past = (*batch.backlog.sockets, *batch.backlog.ended) if batch.backlog else ()
    kinds = (("opened", batch.opened), ("changed", batch.changed), ("closed", batch.closed), ("past", past))
    for kind, rows in kinds:
        if rows:
            metrics.ROWS.labels(kind).inc(len(rows))
    if batch.gaps:
        metrics.GAPS.labels("agent").inc(len(batch.gaps))


def _open(conn: Connection, host: Host, hello: Hello, received_at_us: int) -> Session | str:
    # Returned and not raised: that another machine came is to be kept.
    if refusal := machines.refusal(conn, host, hello, received_at_us):
        return refusal
    generation = hosts.next_generation(conn, host.host_id)
    if generation is None:
        raise HostUnknown(host.name)
    return sessions.open_session(conn, host.host_id, generation, hello, received_at_us)


def _is_next(session: Session, batch: Batch | RefusedBatch, standing: sessions.Standing) -> bool:
    """Whether the batch is to be stored now; False if it has been already."""
    if standing.fenced:
        raise Fenced("a newer stream of this host has taken over; this one is to end")
    if (batch.boot_id, batch.epoch) != (session.boot_id, session.epoch):
        raise ForeignBatch("a batch belongs to another boot or epoch than its stream; reconnect")
    if batch.sequence > standing.last_sequence + 1:
        raise SequenceHole(f"batch {batch.sequence} came where {standing.last_sequence + 1} was due; reconnect")
    return batch.sequence > standing.last_sequence


def _reports(conn: Connection, session: Session, batch: Batch) -> dict[int, sockets.OpenSocket]:
    """The sockets that a batch tells of, by id; `opened` and `changed` differ only in what was told before."""
    told = [*batch.opened, *batch.changed]
    holder_ids = holders.record(conn, session.host_id, session.boot_id, (socket.holder for socket in told))
    reports: dict[int, sockets.OpenSocket] = {}
    for socket in told:
        socket_id = ids.socket_id(session.boot_id, socket.key)
        reports[socket_id] = sockets.OpenSocket(
            socket_id=socket_id,
            socket=socket,
            holder_id=holder_ids[id(socket.holder)],
            scope=scope_of(socket),
            opened_at_us=min(socket.opened_at_us, batch.look_at_us),
            seen_at_us=batch.look_at_us,
        )
    return reports


def _note_gaps(
    conn: Connection, session: Session, batch: Batch, standing: sessions.Standing, whole_snapshot: bool
) -> bool:
    """Record the gaps that a batch tells of or ends; whether one lies between the last whole look and this snapshot, or
    this difference.

    Before the last part of a snapshot only a new epoch can be known; a gap that the last part declares is made up for
    in _end_unnamed.
    """
    # Nobody knows of what no look has reached: a gap up to 2100 would mark every answer until then. What lies between
    # this look and a later one has been reached, though: by a clock that was set back since.
    latest_us = max(standing.latest_us, batch.look_at_us)
    told = [replace(gap, from_us=min(gap.from_us, latest_us), to_us=min(gap.to_us, latest_us)) for gap in batch.gaps]
    last = standing.last_look
    gaps.record(conn, session.host_id, backlog.declared(conn, session.host_id, told, last.at_us if last else 0))
    if batch.snapshot is None:
        if standing.whole or last is None:
            return False
        return quarantine.lacks(conn, session.host_id, last.at_us, batch.look_at_us)
    if last is None:
        return True
    if (last.boot_id, last.epoch) == (session.boot_id, session.epoch):
        if not whole_snapshot or not gaps.any_between(conn, session.host_id, last.at_us, batch.look_at_us):
            return False
        quarantine.lengthen_gap(conn, session.host_id, last.at_us, batch.look_at_us)
        return True
    if whole_snapshot:
        reason = gaps.AGENT_RESTARTED if last.boot_id == session.boot_id else HOST_REBOOTED
        unknown = backlog.beside(last.at_us, batch.look_at_us, told)
        gaps.record(conn, session.host_id, [Gap(from_us, to_us, reason) for from_us, to_us in unknown])
        metrics.GAPS.labels("collector").inc(len(unknown))
    return True


def _end_earlier_boot(conn: Connection, step: _Step) -> None:
    """No socket outlives its boot, so the first word from the next one ends all, whole snapshot or not."""
    host_id, at_us = step.session.host_id, step.batch.look_at_us
    if step.standing.boot_id not in (None, step.session.boot_id):
        ended = sockets.open_ids(conn, host_id)
        sockets.end(conn, host_id, [sockets.Ending(i, at_us, ClosedAtIs.GAP, step.last_look_us) for i in ended])
        told = replace(step.told, ending=Ending(at_us, ClosedAtIs.GAP, step.last_look_us))
        namespaces.end_unnamed(conn, told, set())


def _endings(step: _Step) -> dict[int, sockets.Ending]:
    """The ends that the agent reports, by socket."""
    look_at_us, boot_id = step.batch.look_at_us, step.session.boot_id
    return {
        socket_id: sockets.Ending(socket_id, min(closed.closed_at_us, look_at_us), closed.closed_at_is, step.seen_at_us)
        for closed in step.batch.closed
        for socket_id in [ids.socket_id(boot_id, closed.key)]
    }


def _store_reports(
    conn: Connection, step: _Step, reports: dict[int, sockets.OpenSocket], endings: dict[int, sockets.Ending]
) -> None:
    """What is open; what the same batch opens and ends goes to history at once, and its ends are taken out."""
    host_id = step.session.host_id
    known = sockets.known(conn, host_id, reports)
    # Only a clock that was set back, or an exact time told late, can reach behind what is stored already.
    late = {
        socket_id: report.opened_at_us
        for socket_id, report in reports.items()
        if socket_id not in known and report.opened_at_us < step.stored_up_to_us
    }
    ended = sockets.ended_after(conn, host_id, late, min(late.values(), default=0))
    writes = plan(reports.values(), known, ended, step.unreported_end, step.seen_at_us)
    sockets.end(conn, host_id, writes.endings)
    sockets.open_new(conn, host_id, [row for row in writes.opened if row.socket_id not in endings])
    passed = [(row, endings.pop(row.socket_id)) for row in writes.opened if row.socket_id in endings]
    sockets.pass_through(conn, host_id, passed)
    sockets.update_open(conn, host_id, writes.updated)


def _store_closed(conn: Connection, step: _Step, endings: dict[int, sockets.Ending]) -> None:
    """The other ends; after the reports, for a batch may tell of a socket's change and end."""
    ended = sockets.end(conn, step.session.host_id, list(endings.values()))
    if ended < len(endings):
        _log.debug(
            "ends of sockets that were not open were passed over",
            host_id=step.session.host_id,
            count=len(endings) - ended,
        )


def _end_unnamed(conn: Connection, step: _Step, named: Named) -> None:
    """What a whole snapshot did not name has ended, and so has what its parts found in another state."""
    host_id, look_at_us, how = step.session.host_id, step.batch.look_at_us, step.unreported_end
    gone = sockets.open_ids(conn, host_id) - named.sockets
    sockets.end(conn, host_id, [sockets.Ending(socket_id, look_at_us, how, step.seen_at_us) for socket_id in gone])
    namespaces.end_unnamed(conn, step.told, named.namespaces)
    if how is ClosedAtIs.GAP:
        # The parts before the last could not know of a gap that only the last declares.
        sockets.restate_ends(conn, host_id, look_at_us, was=ClosedAtIs.SEEN, becomes=ClosedAtIs.GAP)
        known = Restated(OpenedAtIs.SEEN, OpenedAtIs.BEFORE, ClosedAtIs.SEEN, ClosedAtIs.GAP)
        namespaces.restate(conn, step.told, named.namespaces, known)


def _goes_on(step: _Step) -> bool:
    """Whether a difference follows a whole look without a break."""
    session, last = step.session, step.standing.last_look
    return (
        step.batch.snapshot is None
        and step.standing.whole
        and last is not None
        and (last.boot_id, last.epoch) == (session.boot_id, session.epoch)
    )


def _taken_at(step: _Step) -> int:
    """When the look was, by the collector's clock: as long after the Hello as by the host's clock that nothing sets."""
    session, batch = step.session, step.batch
    if batch.look_boottime_us and session.boottime_us:
        return session.started_at_us + batch.look_boottime_us - session.boottime_us
    return batch.look_at_us - step.standing.clock_offset_us


def _note_progress(conn: Connection, step: _Step, whole: bool, received_at_us: int) -> None:
    session, batch, standing = step.session, step.batch, step.standing
    if not whole:
        hosts.note_part(conn, session.host_id, session.boot_id, batch.look_at_us)
        sessions.note_sequence(conn, session, batch.sequence)
        return
    look = hosts.Look(session.boot_id, session.epoch, batch.look_at_us)
    hosts.note_look(conn, session.host_id, look, received_at_us)
    _note_clock(conn, step, received_at_us)
    # By the collector's clock a look was not taken later than it was received, wherever the host's clock has gone.
    at_us = min(_taken_at(step), received_at_us)
    first_at_us = at_us if standing.first_at_us is None else min(standing.first_at_us, at_us)
    last_at_us = at_us if standing.last_at_us is None else max(standing.last_at_us, at_us)
    sessions.note_look(conn, session, batch.sequence, first_at_us, last_at_us)


def _note_clock(conn: Connection, step: _Step, received_at_us: int) -> None:
    """Correct the offset of the host's clock by a batch that was quicker on its way than the Hello was.

    What travels makes a clock look late and never early, so the most that any message says is the nearest. Reckoned by
    the clock that nothing sets: a wall clock that was set since the Hello says nothing of the time before.
    """
    lead_us = step.session.clock_lead_us
    if lead_us is not None and step.batch.look_boottime_us:
        offset_us = lead_us + step.batch.look_boottime_us - received_at_us
        if _WORTH_CORRECTING_US < offset_us - step.standing.clock_offset_us < _LONGEST_WAY_US:
            sessions.correct_clock(conn, step.session, offset_us)
