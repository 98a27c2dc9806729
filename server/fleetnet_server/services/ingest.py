"""Takes what hosts report into the database.

What must stay true: a batch is stored whole or not at all, once, in the order of its epoch, and only from the newest
stream of its host; all of that is judged inside the transaction that stores it. History never says "closed" where it
means "unknown": what ended while nobody looked ends with `gap`, and the gap is recorded.

A look is *whole* when current holds exactly what the host held open at it: after the last part of a snapshot, and
after every difference that follows without a break. Only whole looks count as hearing from a host.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import structlog

from fleetnet_server import metrics
from fleetnet_server.errors import BadBatch, Cloned, Fenced, ForeignBatch, HostUnknown, SequenceHole, StorageError
from fleetnet_server.logs import failure
from fleetnet_server.records import Batch, Gap, Hello, Holder, Host, RefusedBatch, Session, Stored
from fleetnet_server.services import backlog, digests, machines, namespaces, quarantine, together
from fleetnet_server.services.intervals import ClosedAtIs, OpenedAtIs
from fleetnet_server.services.snapshots import Named, Snapshots
from fleetnet_server.services.steps import Rows, Step, is_next, rows
from fleetnet_server.storage import gaps, holders, hosts, sessions, sockets, sources
from fleetnet_server.storage.database import Connection, Database
from fleetnet_server.storage.holders import StoredHolders
from fleetnet_server.storage.spans import Ending, Restated

HOST_REBOOTED = "host rebooted"

MAX_SOURCES = 64

# What is not the fault of the one batch, so that setting it aside would be no help.
_NOT_OF_ONE_BATCH = (Fenced, SequenceHole, ForeignBatch, StorageError, MemoryError)

# Looked up once, and not for each batch.
_counter = functools.cache(metrics.ROWS.labels)

_log = structlog.get_logger()

_Args: TypeAlias = tuple[Session, Batch, int, Callable[[], bytes] | None]  # of Ingest.commit


class Ingest:
    """Takes the report streams of all hosts into the database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._snapshots = Snapshots()
        self._stored = StoredHolders()

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
            stored = await self._db.write(
                self._store,
                session,
                batch,
                received_at_us,
                as_it_came,
                instead=instead,
                together=self._store_together,
                rows=_rows(batch),
            )
        except BaseException:
            # What the snapshot's parts have named may now differ from what was stored.
            self._forget(session)
            raise
        if stored.sequence == batch.sequence and not stored.refused:
            _count(batch)
        return stored

    async def set_aside(self, session: Session, batch: RefusedBatch, received_at_us: int) -> Stored:
        """Put a batch into quarantine that could not even be read; otherwise as `commit`."""
        return await self._db.write(self._set_aside, session, batch, received_at_us)

    async def close(self, session: Session, at_us: int) -> None:
        """Note the end of a stream. Never raises: it is a note only, and whoever ends a stream has other worries."""
        self._forget(session)
        try:
            await self._db.write(sessions.close, session, at_us)
        except StorageError as error:
            _log.warning("the end of a stream could not be noted", host_id=session.host_id, error=str(error))

    def _forget(self, session: Session) -> None:
        self._snapshots.drop(session)
        self._stored.forget(session)

    def _store_together(self, conn: Connection, works: Sequence[_Args]) -> list[Stored | None]:
        """Runs in the writer thread, inside the transaction, for some that come after one another; None of what is to
        be stored alone."""
        found: list[Stored | None] = [None] * len(works)
        alone: set[int] = set()
        try:
            for turn in together.turns(works, self._alone):
                places = [place for place in turn if works[place][0].host_id not in alone]
                made = zip(places, together.steps(conn, [works[place][:2] for place in places]), strict=True)
                good = []
                for place, step in made:
                    if step is None:
                        alone.add(works[place][0].host_id)
                    else:
                        good.append((step, works[place][2]))
                        found[place] = Stored(step.batch.sequence)
                if good:
                    self._store_steps(conn, good)
        except BaseException:
            for session, *_ in works:
                self._stored.forget(session)
            raise
        return found

    def _alone(self, session: Session, batch: Batch) -> bool:
        return not together.ordinary(batch) or self._snapshots.underway(session)

    def _store_steps(self, conn: Connection, made: Sequence[tuple[Step, int]]) -> None:
        told = []
        for step, _ in made:
            told.append(rows(step, self._tell_holders(step)))
        self._keep_holders(conn, told)
        together.store_reports(conn, told)
        together.store_endings(conn, told)
        together.note_looks(conn, made)

    def _tell_holders(self, step: Step) -> holders.Told:
        stored = self._stored.of(step.session, step.standing.holder_doubts)
        return holders.tell(step.session.host_id, step.session.boot_id, _holders(step.batch), stored)

    def _keep_holders(self, conn: Connection, told: Sequence[Rows]) -> None:
        holders.keep(conn, [one.holders for one in told])
        for one in told:
            self._stored.add(one.step.session, one.step.standing.holder_doubts, one.holders.holders)

    def _store(
        self, conn: Connection, session: Session, batch: Batch, received_at_us: int, _: Callable[[], bytes] | None
    ) -> Stored:
        """Runs in the writer thread, inside the transaction."""
        try:
            return self._store_alone(conn, session, batch, received_at_us)
        except BaseException:
            self._stored.forget(session)
            raise

    def _store_alone(self, conn: Connection, session: Session, batch: Batch, received_at_us: int) -> Stored:
        standing = sessions.standing(conn, session)
        if not is_next(session, batch, standing):
            return Stored(standing.last_sequence)
        if batch.backlog is not None:
            # Nothing in it is of the present, so nothing but the sequence goes on.
            backlog.store(conn, session.host_id, batch.backlog)
            sessions.note_sequence(conn, session, batch.sequence)
            return Stored(batch.sequence)
        step = Step(session, batch, standing)
        holders_told = self._tell_holders(step)
        rows_told = rows(step, holders_told)
        told = Named(set(rows_told.reports), {namespace.netns for namespace in batch.namespaces})
        named = self._snapshots.follow(session, batch.snapshot, told)
        if _note_gaps(conn, session, batch, standing, named is not None):
            step = replace(step, unreported_end=ClosedAtIs.GAP)
            rows_told = rows(step, holders_told)
        _end_earlier_boot(conn, step)
        self._keep_holders(conn, [rows_told])
        together.store_reports(conn, [rows_told])
        namespaces.store(conn, step.told, batch.namespaces, batch.namespaces_gone)
        if named is None:
            together.store_endings(conn, [rows_told])
        else:
            _end_unnamed(conn, step, named)
            sources.forget(conn, session.host_id)
        sources.record(conn, session.host_id, batch.sources, batch.look_at_us)
        if batch.sources and sources.count(conn, session.host_id) > MAX_SOURCES:
            # Each answer about hosts names all that are not whole.
            raise BadBatch(f"a host has more than {MAX_SOURCES} sources")
        whole = named is not None or step.goes_on
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
        if not is_next(session, batch, standing):
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


def _rows(batch: Batch) -> int:
    late = len(batch.backlog.sockets) + len(batch.backlog.ended) if batch.backlog else 0
    return 1 + len(batch.opened) + len(batch.changed) + len(batch.closed) + late


def _holders(batch: Batch) -> Iterator[Holder]:
    return (socket.holder for some in (batch.opened, batch.changed) for socket in some)


def _count(batch: Batch) -> None:
    metrics.BATCHES.inc()
    metrics.LAST_STORED.set_to_current_time()
    past = (*batch.backlog.sockets, *batch.backlog.ended) if batch.backlog else ()
    kinds = (("opened", batch.opened), ("changed", batch.changed), ("closed", batch.closed), ("past", past))
    for kind, told in kinds:
        if told:
            _counter(kind).inc(len(told))
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


def _end_earlier_boot(conn: Connection, step: Step) -> None:
    """No socket outlives its boot, so the first word from the next one ends all, whole snapshot or not."""
    host_id, at_us = step.session.host_id, step.batch.look_at_us
    if step.standing.boot_id not in (None, step.session.boot_id):
        ended = sockets.open_ids(conn, host_id)
        sockets.end(conn, [sockets.Ending(host_id, i, at_us, ClosedAtIs.GAP, step.last_look_us) for i in ended])
        told = replace(step.told, ending=Ending(at_us, ClosedAtIs.GAP, step.last_look_us))
        namespaces.end_unnamed(conn, told, set())


def _end_unnamed(conn: Connection, step: Step, named: Named) -> None:
    """What a whole snapshot did not name has ended, and so has what its parts found in another state."""
    host_id, look_at_us, how = step.session.host_id, step.batch.look_at_us, step.unreported_end
    gone = sockets.open_ids(conn, host_id) - named.sockets
    sockets.end(conn, [sockets.Ending(host_id, socket_id, look_at_us, how, step.seen_at_us) for socket_id in gone])
    namespaces.end_unnamed(conn, step.told, named.namespaces)
    if how is ClosedAtIs.GAP:
        # The parts before the last could not know of a gap that only the last declares.
        sockets.restate_ends(conn, host_id, look_at_us, was=ClosedAtIs.SEEN, becomes=ClosedAtIs.GAP)
        known = Restated(OpenedAtIs.SEEN, OpenedAtIs.BEFORE, ClosedAtIs.SEEN, ClosedAtIs.GAP)
        namespaces.restate(conn, step.told, named.namespaces, known)


def _note_progress(conn: Connection, step: Step, whole: bool, received_at_us: int) -> None:
    if whole:
        together.note_looks(conn, [(step, received_at_us)])
        return
    hosts.note_part(conn, step.session.host_id, step.session.boot_id, step.batch.look_at_us)
    sessions.note_sequence(conn, step.session, step.batch.sequence)
