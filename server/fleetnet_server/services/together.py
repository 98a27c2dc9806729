"""Batches of many hosts that are stored at one stroke: what each costs on its own is paid once for all.

Only what is ordinary is stored so: a difference that follows a whole look without a break and tells of nothing but
sockets. Of each host the next batch at a time, in turns, so that a later one finds what an earlier one has stored.
Whatever else there is, or seems wrong, is left to be stored alone, and with it what comes after it of the same host.

What must stay true: a batch leaves the same rows as when it is stored alone.
"""

from collections.abc import Callable, Collection, Sequence

import structlog

from fleetnet_server.records import Batch, Session
from fleetnet_server.services.intervals import plan
from fleetnet_server.services.steps import Rows, Step
from fleetnet_server.storage import hosts, sessions, sockets
from fleetnet_server.storage.database import Connection

_log = structlog.get_logger()


def ordinary(batch: Batch) -> bool:
    """Whether a batch tells of nothing but sockets that changed."""
    return not (
        batch.snapshot
        or batch.backlog
        or batch.gaps
        or batch.sources
        or batch.namespaces
        or batch.namespaces_gone
        or batch.digest
    )


def turns(
    works: Sequence[tuple[Session, Batch, *tuple[object, ...]]], alone: Callable[[Session, Batch], bool]
) -> list[list[int]]:
    """The places of the works that may be stored together, of each host one in a turn."""
    found: list[list[int]] = []
    turn_of: dict[int, int] = {}
    left: set[int] = set()
    for place, (session, batch, *_) in enumerate(works):
        host_id = session.host_id
        if host_id in left or alone(session, batch):
            left.add(host_id)
            continue
        turn = turn_of[host_id] = turn_of.get(host_id, -1) + 1
        if turn == len(found):
            found.append([])
        found[turn].append(place)
    return found


def steps(conn: Connection, works: Sequence[tuple[Session, Batch]]) -> list[Step | None]:
    """Each as a step, each of another host; None of one that is no ordinary next one as its stream stands."""
    standings = sessions.standings(conn, [session for session, _ in works])
    return [_step(session, batch, standings.get(session.host_id)) for session, batch in works]


def _step(session: Session, batch: Batch, standing: sessions.Standing | None) -> Step | None:
    # What is refused, or belongs to no stream, is refused where it is stored alone.
    if standing is None:
        return None
    step = Step(session, batch, standing)
    due = not standing.fenced and batch.sequence == standing.last_sequence + 1 and step.goes_on
    named = (batch.boot_id, batch.epoch) == (session.boot_id, session.epoch) and standing.boot_id == session.boot_id
    return step if due and named else None


def store_reports(conn: Connection, told: Sequence[Rows]) -> None:
    """What is open; what the same batch opens and ends goes to history at once, and its ends are taken out."""
    known = sockets.known(conn, {one.step.session.host_id: one.reports for one in told if one.reports})
    endings: list[sockets.Ending] = []
    opened: list[sockets.OpenSocket] = []
    passed: list[tuple[sockets.OpenSocket, sockets.Ending]] = []
    updated: list[sockets.OpenSocket] = []
    for one in told:
        if not one.reports:
            continue
        step, its_own = one.step, known[one.step.session.host_id]
        ended = _ended(conn, one, its_own)
        writes = plan(one.reports.values(), its_own, ended, step.unreported_end, step.seen_at_us)
        endings += writes.endings
        updated += writes.updated
        for row in writes.opened:
            if ending := one.endings.pop(row.socket_id, None):
                passed.append((row, ending))
            else:
                opened.append(row)
    sockets.end(conn, endings)
    sockets.open_new(conn, opened)
    sockets.pass_through(conn, passed)
    sockets.update_open(conn, updated)


def _ended(conn: Connection, told: Rows, known: Collection[int]) -> dict[int, int]:
    """When those that are not open, and are said to have opened before what is stored, last ended."""
    # Only a clock that was set back, or an exact time told late, can reach behind what is stored already.
    up_to_us = told.step.stored_up_to_us
    late = {
        socket_id: report.opened_at_us
        for socket_id, report in told.reports.items()
        if report.opened_at_us < up_to_us and socket_id not in known
    }
    return sockets.ended_after(conn, told.step.session.host_id, late, min(late.values())) if late else {}


def store_endings(conn: Connection, told: Sequence[Rows]) -> None:
    """The other ends; after the reports, for a batch may tell of a socket's change and end."""
    endings = [ending for one in told for ending in one.endings.values()]
    ended = sockets.end(conn, endings)
    if ended < len(endings):
        _log.debug("ends of sockets that were not open were passed over", count=len(endings) - ended)


def note_looks(conn: Connection, made: Sequence[tuple[Step, int]]) -> None:
    """Steps, each of another host, have made a look whole; with each, when its batch was received."""
    looks = []
    for step, received_at_us in made:
        session = step.session
        looks.append(
            (session.host_id, hosts.Look(session.boot_id, session.epoch, step.batch.look_at_us), received_at_us)
        )
        offset_us = step.clock_offset_us(received_at_us)
        if offset_us is not None:
            sessions.correct_clock(conn, session, offset_us)
    hosts.note_looks(conn, looks)
    sessions.note_looks(conn, [step.progress(received_at_us) for step, received_at_us in made])
