"""Takes what hosts report into the database.

What must stay true: a batch counts as stored once all of it is, in the order of its epoch, and only from the newest
stream of its host; all of that is judged inside the transaction that stores it, or each of its pieces (pieces.py):
one that comes again after some pieces of it were stored leaves what it would have left at once. History never says
"closed" where it means "unknown": what ended while nobody looked ends with `gap`, and the gap is recorded.

A look is *whole* when current holds exactly what the host held open at it: after the last part of a snapshot, and
after every difference that follows without a break. Only whole looks count as hearing from a host.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, TypeGuard

import structlog

from fleetnet_server import failpoints, metrics
from fleetnet_server.errors import (
    BadBatch,
    Cloned,
    Fenced,
    ForeignBatch,
    HostUnknown,
    PeerRefused,
    SequenceHole,
    StorageError,
)
from fleetnet_server.logs import failure
from fleetnet_server.records import Batch, Hello, Holder, RefusedBatch, Session, Stored
from fleetnet_server.services import arrivals, backlog, pieces, quarantine, storing, together
from fleetnet_server.services.arrivals import Came
from fleetnet_server.services.pieces import Piece
from fleetnet_server.services.quotas import Hurries
from fleetnet_server.services.snapshots import Named, Snapshots
from fleetnet_server.services.steps import Rows, Step, is_next, rows
from fleetnet_server.services.together import Opening, Telling
from fleetnet_server.storage import holders, sessions
from fleetnet_server.storage.database import Connection, Database
from fleetnet_server.storage.holders import StoredHolders
from fleetnet_server.storage.writer import Haste

# What is not the fault of the one batch, so that setting it aside would be no help.
_NOT_OF_ONE_BATCH = (Fenced, PeerRefused, SequenceHole, ForeignBatch, StorageError, MemoryError)

# Looked up once, and not for each batch.
_counter = functools.cache(metrics.ROWS.labels)

_log = structlog.get_logger()


class _Turns:
    """Who waits for whom in one stream."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # it wakes who waits in the order in which they came
        self.waiting = 0


class Ingest:
    """Takes the report streams of all hosts into the database."""

    def __init__(self, db: Database, stored: Callable[[Session, Batch], None] | None = None) -> None:
        """`stored` is called with the stream and each batch of the present once that is committed."""
        self._db = db
        self._tell = stored
        self._snapshots = Snapshots()
        self._stored = StoredHolders()
        self._hurries = Hurries()
        self._turns: dict[tuple[int, int], _Turns] = {}  # of streams that are amid a batch of several pieces

    async def open(self, host: str, hello: Hello, received_at_us: int, serial: str) -> Session:
        """Begin a stream of the host of this name, which has shown the certificate of this serial; an older one of it
        is fenced from here on.

        Raises HostUnknown if it has not enrolled or is not active, or has another certificate, Cloned if another
        machine is this host (whose stream goes on), and StorageError.
        """
        opening = (host, hello, received_at_us, serial)
        session: Session | str = await self._db.write(_open, *opening, together=self._do_together)
        if isinstance(session, str):
            raise Cloned(session)
        self._snapshots.drop_host(session.host_id)
        return session

    async def commit(
        self, session: Session, batch: Batch, received_at_us: int, as_it_came: bytes | None = None
    ) -> Stored:
        """Store a batch; returns what is committed, after the COMMIT. A batch already stored changes nothing.

        With its message at hand, one that cannot be stored is set aside instead. Call in the order of the stream; the
        next call may begin before the last has returned, and then shares its commit. After any error the stream is to
        be ended. Raises PeerRefused, Fenced, SequenceHole, BadBatch, StorageError.
        """
        some = pieces.cut(batch)
        try:
            async with self._in_turn(session, long=len(some) > 1):
                stored = await self._commit(session, some, received_at_us, as_it_came)
        except BaseException:
            # What the snapshot's parts have named may now differ from what was stored.
            self._forget(session)
            raise
        if stored.sequence == batch.sequence and not stored.refused:
            _count(batch)
            if self._tell is not None and batch.backlog is None:
                self._tell(session, batch)
        return stored

    async def _commit(
        self, session: Session, some: Sequence[Piece], received_at_us: int, as_it_came: bytes | None
    ) -> Stored:
        instead = None if as_it_came is None else self._store_not
        if len(some) == 1:
            [piece] = some
            stored: Stored = await self._db.write(
                self._store,
                session,
                piece.batch,
                received_at_us,
                as_it_came,
                instead=instead,
                together=self._do_together,
                rows=piece.rows,
                haste=self._haste(session, piece.batch),
                host_id=session.host_id,
            )
            return stored
        before: sessions.Standing | None = None
        rested_s = 0.0
        for piece in some:
            done = await self._db.write(
                self._store_piece,
                session,
                some[0].batch,
                received_at_us,
                as_it_came,
                piece,
                before,
                instead=instead and self._store_not_whole,
                rows=piece.rows,
                host_id=session.host_id,
            )
            if isinstance(done, Stored):
                return replace(done, rested_s=rested_s)
            standing, took_s = done
            before = before or standing
            # Others come between; and the host, whose next word waits for this one, rests by it.
            rest_s = pieces.rest_s(took_s)
            rested_s += rest_s
            await asyncio.sleep(rest_s)
            failpoints.reached("between-pieces", session.host_id)
        raise AssertionError("unreachable: the last piece stores the batch")

    def _haste(self, session: Session, batch: Batch) -> Haste:
        """A new listener does not wait behind the connections of a thousand other hosts."""
        if together.beat(batch):
            return Haste.NONE
        anew = together.listens_anew(batch) and self._hurries.may(session.host_id, time.monotonic())
        return Haste.MOST if anew else Haste.SOME

    @contextlib.asynccontextmanager
    async def _in_turn(self, session: Session, *, long: bool) -> AsyncIterator[None]:
        """Where a batch of a stream takes several transactions, what the stream tells next waits for the last."""
        name = session.host_id, session.generation
        turns = self._turns.get(name)
        if turns is None:
            if not long:
                yield
                return
            turns = self._turns[name] = _Turns()
        turns.waiting += 1
        try:
            async with turns.lock:
                yield
        finally:
            turns.waiting -= 1
            if not turns.waiting:
                del self._turns[name]

    async def set_aside(self, session: Session, batch: RefusedBatch, received_at_us: int) -> Stored:
        """Put a batch into quarantine that could not even be read; otherwise as `commit`."""
        async with self._in_turn(session, long=False):
            return await self._db.write(self._set_aside, session, batch, received_at_us, host_id=session.host_id)

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

    def _do_together(self, conn: Connection, works: Sequence[Opening | Telling]) -> list[Any]:
        """Runs in the writer thread, inside the transaction, for some that come after one another; None of what is to
        be done alone."""
        found: list[Any] = [None] * len(works)
        came = arrivals.came(conn, {place: work for place, work in enumerate(works) if _opens(work)})
        told = {place: work for place, work in enumerate(works) if _tells(work)}
        host_ids = {place: one[0].host_id for place, one in sorted((came | told).items(), key=itemgetter(0))}
        left: set[int] = set()
        try:
            for turn in together.turns(host_ids, lambda place: place in told and self._alone(*told[place][:2])):
                places = [place for place in turn if host_ids[place] not in left]
                for place, done in self._do_turn(conn, places, came, told).items():
                    found[place] = done
                    if done is None:
                        left.add(host_ids[place])
        except BaseException:
            for session, *_ in told.values():
                self._stored.forget(session)
            raise
        return found

    def _alone(self, session: Session, batch: Batch) -> bool:
        return not together.ordinary(batch) or self._snapshots.underway(session)

    def _do_turn(
        self, conn: Connection, places: Sequence[int], came: Mapping[int, Came], told: Mapping[int, Telling]
    ) -> dict[int, Session | str | Stored | None]:
        """What comes of those at these places, each of another host."""
        found: dict[int, Session | str | Stored | None] = dict.fromkeys(places)
        openings = [place for place in places if place in came]
        found.update(zip(openings, arrivals.open_streams(conn, [came[place] for place in openings]), strict=True))
        tellings = [place for place in places if place in told]
        steps = zip(tellings, together.steps(conn, [told[place] for place in tellings]), strict=True)
        due = {place: step for place, step in steps if step is not None}
        found.update(zip(due, self._store_steps(conn, list(due.values())), strict=True))
        return found

    def _store_steps(self, conn: Connection, steps: Sequence[Step]) -> list[Stored]:
        """Store what is next of some streams, each of another host. Raises BadBatch."""
        if not steps:
            return []
        told = [self._rows(step) for step in steps]
        stored = storing.store(conn, told)
        for one in told:
            self._stored.add(one.step.session, one.step.standing.holder_doubts, one.holders.holders)
        return stored

    def _rows(self, step: Step) -> Rows:
        session, batch = step.session, step.batch
        stored = self._stored.of(session, step.standing.holder_doubts)
        told = rows(step, holders.tell(session.host_id, session.boot_id, _holders(batch), stored))
        if batch.snapshot is not None or self._snapshots.underway(session):
            named = Named(set(told.reports), {namespace.netns for namespace in batch.namespaces})
            told.named = self._snapshots.follow(session, batch.snapshot, named, first=step.first, last=step.last)
        return told

    def _store(self, conn: Connection, session: Session, batch: Batch, received_at_us: int, _: bytes | None) -> Stored:
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
        [stored] = self._store_steps(conn, [Step(session, batch, standing, received_at_us)])
        return stored

    def _store_piece(
        self,
        conn: Connection,
        session: Session,
        batch: Batch,
        received_at_us: int,
        _: bytes | None,
        piece: Piece,
        before: sessions.Standing | None,
    ) -> Stored | tuple[sessions.Standing, float]:
        """Runs in the writer thread, inside the transaction of this piece; `before` is how the stream stood before the
        first. Where others are to come, how it stood before this one, and how long this one took; else what became of
        the batch."""
        began_s = time.perf_counter()
        try:
            standing = sessions.standing(conn, session)
            if not is_next(session, piece.batch, standing):
                return Stored(standing.last_sequence)
            if piece.batch.backlog is not None:
                backlog.store(conn, session.host_id, piece.batch.backlog)
                stored = Stored(piece.batch.sequence)
                if piece.last:
                    sessions.note_sequence(conn, session, piece.batch.sequence)
                return _of_piece(piece, stored, standing, began_s)
            # All of them are judged by what was stored before the batch.
            judged = standing if before is None else standing._replace(whole=before.whole, latest_us=before.latest_us)
            step = Step(session, piece.batch, judged, received_at_us, piece.first, piece.last)
            [stored] = self._store_steps(conn, [step])
        except BaseException:
            self._stored.forget(session)
            raise
        return _of_piece(piece, stored, standing, began_s)

    def _store_not_whole(
        self,
        conn: Connection,
        error: Exception,
        session: Session,
        batch: Batch,
        received_at_us: int,
        as_it_came: bytes | None,
        _piece: Piece,
        _before: sessions.Standing | None,
    ) -> Stored:
        """In place of _store_piece. What was stored of the batch is so, and stays; the rest is what is missing."""
        return self._store_not(conn, error, session, batch, received_at_us, as_it_came)

    def _store_not(
        self,
        conn: Connection,
        error: Exception,
        session: Session,
        batch: Batch,
        received_at_us: int,
        as_it_came: bytes | None,
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
            as_it_came,
            None if batch.backlog is None else (batch.backlog.from_us, batch.backlog.to_us),
            batch.backlog is not None and batch.backlog.last,
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


def _of_piece(
    piece: Piece, stored: Stored, standing: sessions.Standing, began_s: float
) -> Stored | tuple[sessions.Standing, float]:
    took_s = time.perf_counter() - began_s
    return replace(stored, took_s=took_s) if piece.last else (standing, took_s)


def why_refused(error: Exception) -> str:
    """One sentence on why a batch cannot be stored. What nobody expected is named with its place, and logged."""
    if isinstance(error, BadBatch):
        return str(error)
    told = failure(error)
    _log.error("a report could not be stored for a mistake of the collector's", **told)
    return f"a mistake of the collector's, {' '.join(str(told['error']).split())[:200]}, in {told['where']}"


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


def _opens(work: Opening | Telling) -> TypeGuard[Opening]:
    return isinstance(work[0], str)


def _tells(work: Opening | Telling) -> TypeGuard[Telling]:
    return isinstance(work[0], Session)


def _open(conn: Connection, host: str, hello: Hello, received_at_us: int, serial: str) -> Session | str:
    came = arrivals.came(conn, {0: (host, hello, received_at_us, serial)})
    # Returned and not raised: that another machine came is to be kept.
    for opened in arrivals.open_streams(conn, list(came.values())):
        if opened is not None:
            return opened
    raise HostUnknown(host)
