"""Stores batches, each of another host: one, or many at one stroke, and both by the same way.

What must stay true: a batch leaves the same rows whether it is stored alone or with others. So everything here is done
of all of them before the next thing is, in the order in which it is done of one, and nothing of one host concerns
another.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager

import structlog

from fleetnet_server.errors import BadBatch
from fleetnet_server.records import Stored
from fleetnet_server.services import breaks, digests, handovers, namespaces
from fleetnet_server.services.intervals import ClosedAtIs, OpenedAtIs, plan
from fleetnet_server.services.snapshots import Named
from fleetnet_server.services.steps import Rows, Step
from fleetnet_server.storage import counts, holders, hosts, sessions, sockets, sources
from fleetnet_server.storage.counts import Tally
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.spans import Ending, Restated

MAX_SOURCES = 64

_log = structlog.get_logger()


def store(conn: Connection, told: Sequence[Rows]) -> list[Stored]:
    """Store them. Raises BadBatch."""
    broken = breaks.note(conn, told)
    for one in told:
        one.resolve(after_gap=one.host_id in broken)
    with _tally(conn, told) as tally:
        _end_earlier_boots(conn, [one.step for one in told], tally)
        holders.keep(conn, [one.holders for one in told])
        _store_reports(conn, told, tally)
        namespaces.store(conn, [one.step.told for one in told])
        _store_endings(conn, [one for one in told if one.named is None], tally)
    _end_unnamed_namespaces(conn, told)
    _restate(conn, told)
    _store_sources(conn, told)
    differ = digests.differing(conn, [one.step for one in told if one.whole])
    # What a snapshot named is held open by definition; after a difference that does not agree, it is in doubt.
    doubted = {one.host_id for one in told if one.named is None and (not one.whole or one.host_id in differ)}
    _note_looks(conn, [one.step for one in told if one.host_id not in doubted])
    _note_parts(conn, [one.step for one in told if one.host_id in doubted])
    return [
        Stored(one.step.batch.sequence, snapshot_wanted=digests.DRIFTED if one.host_id in differ else "")
        for one in told
    ]


def _tally(conn: Connection, told: Sequence[Rows]) -> AbstractContextManager[Tally]:
    step = told[0].step
    return counts.kept(conn) if step.first and step.last else counts.kept_amid(conn, step.host_id, last=step.last)


def _end_earlier_boots(conn: Connection, steps: Sequence[Step], tally: Tally) -> None:
    """No socket outlives its boot, so the first word from the next one ends all, whole snapshot or not."""
    booted = [step for step in steps if step.standing.boot_id not in (None, step.session.boot_id)]
    if booted:
        ends = {
            step.host_id: Ending(step.host_id, step.batch.look_at_us, ClosedAtIs.GAP, step.last_look_us)
            for step in booted
        }
        were_open = sockets.open_ids(conn, ends)
        sockets.end(conn, [_ending(ends[host_id], i) for host_id, some in were_open.items() for i in some], tally)
        namespaces.end_unnamed(conn, {host_id: (end, ()) for host_id, end in ends.items()})


def _ending(end: Ending, socket_id: int) -> sockets.Ending:
    return sockets.Ending(end.host_id, socket_id, end.at_us, end.how, end.seen_at_us)


def _store_reports(conn: Connection, told: Sequence[Rows], tally: Tally) -> None:
    """What is open, and what a whole snapshot did not name and so is no longer. What the same batch opens and ends goes
    to history at once, and its ends are taken out."""
    were_open = sockets.open_ids(conn, [one.host_id for one in told if one.named is not None])
    known = sockets.known(
        conn, {one.host_id: _may_be_open(one, were_open.get(one.host_id)) for one in told if one.reports}
    )
    endings: list[sockets.Ending] = []
    opened: list[sockets.OpenSocket] = []
    passed: list[tuple[sockets.OpenSocket, sockets.Ending]] = []
    others: list[handovers.Other] = []
    updated: list[sockets.OpenSocket] = []
    for one in told:
        if one.named is not None:
            end = one.step.told.ending
            endings += [_ending(end, i) for i in were_open[one.host_id] - one.named.sockets]
        if not one.reports:
            continue
        step, its_own = one.step, known[one.host_id]
        _take_out_what_has_passed(conn, one, its_own)
        ended = _ended(conn, one, its_own)
        writes = plan(one.reports.values(), its_own, ended, step.unreported_end, step.seen_at_us)
        endings += writes.endings
        others += writes.others
        updated += writes.updated
        for row in writes.opened:
            if ending := one.endings.pop(row.socket_id, None):
                passed.append((row, ending))
            else:
                opened.append(row)
    sockets.end(conn, endings, tally)
    sockets.open_new(conn, opened, tally)
    sockets.pass_through(conn, passed)
    handovers.store(conn, others, {one.host_id: one.step.session.boot_id for one in told})
    sockets.update_open(conn, updated)


def _may_be_open(one: Rows, were_open: set[int] | None) -> Collection[int]:
    return one.reports if were_open is None else one.reports.keys() & were_open


def _take_out_what_has_passed(conn: Connection, told: Rows, known: Collection[int]) -> None:
    """What the batch opens and ends, and is in history already, for the batch was stored in part before."""
    passing = [i for i in told.reports if i in told.endings and i not in known] if told.step.may_be_stored else []
    if not passing:
        return
    kept = sockets.ends(conn, told.host_id, passing)
    if kept is None:
        raise BadBatch(f"it came twice, and of its sockets more than {sockets.MOST_ENDS} intervals are kept")
    for socket_id, state, ended_us in kept:
        report, ending = told.reports.get(socket_id), told.endings.get(socket_id)
        # In one boot a socket has one time in that state that ends so late.
        if report and ending and report.socket.state == state and ended_us >= ending.at_us:
            del told.reports[socket_id], told.endings[socket_id]


def _ended(conn: Connection, told: Rows, known: Collection[int]) -> dict[int, int]:
    """When those that are not open, and are said to have opened before what is stored, last ended."""
    # Only a clock that was set back, or an exact time told late, can reach behind what is stored already.
    up_to_us = told.step.stored_up_to_us
    late = [i for i, report in told.reports.items() if report.opened_at_us < up_to_us and i not in known]
    found: dict[int, int] = {}
    if (kept := sockets.ends(conn, told.host_id, late)) is None:
        # Where it is not looked through when each ended, none began before all that is stored.
        return dict.fromkeys(late, told.step.standing.latest_us)
    for socket_id, _, ended_us in kept:
        found[socket_id] = max(ended_us, found.get(socket_id, 0))
    return found


def _store_endings(conn: Connection, told: Sequence[Rows], tally: Tally) -> None:
    """The other ends; after the reports, for a batch may tell of a socket's change and end."""
    endings = [ending for one in told for ending in one.endings.values()]
    ended = sockets.end(conn, endings, tally)
    if ended < len(endings):
        _log.debug("ends of sockets that were not open were passed over", count=len(endings) - ended)


def _whole(told: Sequence[Rows]) -> list[tuple[Step, Named]]:
    return [(one.step, one.named) for one in told if one.named is not None]


def _end_unnamed_namespaces(conn: Connection, told: Sequence[Rows]) -> None:
    namespaces.end_unnamed(conn, {step.host_id: (step.told.ending, named.namespaces) for step, named in _whole(told)})


def _restate(conn: Connection, told: Sequence[Rows]) -> None:
    """The parts before the last, and its pieces, could not know of a gap that only the last declares."""
    # Nor could a difference of the same look.
    late = [
        (step, named)
        for step, named in _whole(told)
        if step.unreported_end is ClosedAtIs.GAP
        and (not step.first or step.batch.look_at_us <= step.standing.latest_us)
    ]
    looks = [(step.host_id, step.batch.look_at_us) for step, _ in late]
    sockets.restate_ends(conn, looks, was=ClosedAtIs.SEEN, becomes=ClosedAtIs.GAP)
    known = Restated(OpenedAtIs.SEEN, OpenedAtIs.BEFORE, ClosedAtIs.SEEN, ClosedAtIs.GAP)
    namespaces.restate(conn, [(step.host_id, named.namespaces, step.batch.look_at_us) for step, named in late], known)


def _store_sources(conn: Connection, told: Sequence[Rows]) -> None:
    anew = {step.host_id for step, _ in _whole(told)}
    some = {one.host_id: (one.step.batch.sources, one.step.batch.look_at_us) for one in told if one.step.batch.sources}
    sources.record(conn, some, anew)
    # A snapshot has no more than a batch may have.
    if sources.most(conn, some.keys() - anew) > MAX_SOURCES:
        # Each answer about hosts names all that are not whole.
        raise BadBatch(f"a host has more than {MAX_SOURCES} sources")


def _note_looks(conn: Connection, steps: Sequence[Step]) -> None:
    """They have made looks whole."""
    if not steps:
        return
    looks = []
    for step in steps:
        session = step.session
        look = hosts.Look(session.boot_id, session.epoch, step.batch.look_at_us)
        looks.append((session.host_id, look, step.received_at_us))
        if (offset_us := step.clock_offset_us) is not None:
            sessions.correct_clock(conn, session, offset_us)
    hosts.note_looks(conn, looks)
    sessions.note_looks(conn, [step.progress() for step in steps])


def _note_parts(conn: Connection, steps: Sequence[Step]) -> None:
    for step in steps:
        hosts.note_part(conn, step.host_id, step.session.boot_id, step.batch.look_at_us)
        if step.last:
            sessions.note_sequence(conn, step.session, step.batch.sequence)
