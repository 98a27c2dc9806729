"""Takes what agents kept while nobody took their reports: gaps that are kept, and what is told of them afterwards.

What must stay true: what a whole look has confirmed is not rewritten, whatever a host says that it kept; the present
stands as it stood, for nothing here is a look; a gap goes only when its host has said that all is told.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import structlog

from fleetnet_server.errors import BadBatch
from fleetnet_server.records import Backlog, Gap, PastSocket
from fleetnet_server.services.intervals import ClosedAtIs, scope_of
from fleetnet_server.services.past import Span, Timeline, Window, looked_from
from fleetnet_server.services.quarantine import NOT_STORED
from fleetnet_server.storage import gaps, history, holders, ids, kept, sessions
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.history import Interval
from fleetnet_server.storage.sockets import OpenSocket

# A batch finds about as many rows as it tells of, if it was told before.
MOST_ROWS = 200_000

_log = structlog.get_logger()


def declared(conn: Connection, host_id: int, told: Sequence[Gap], confirmed_us: int) -> list[Gap]:
    """The gaps to record for those that a host tells of.

    One that is kept is recorded as such from the last whole look on: what that has confirmed is not told anew. Where
    nothing is left of it then, and none within it waits, it is a gap like others, for nobody can say that it was told.
    """
    found: list[Gap] = []
    for gap in told:
        if gap.kept and max(gap.from_us, confirmed_us) < gap.to_us:
            found.append(Gap(max(gap.from_us, confirmed_us), gap.to_us, gaps.KEPT))
        elif not (gap.kept and gaps.kept_within(conn, host_id, gap.from_us, gap.to_us)):
            # Those words are ours: they mean that the host's word is taken about that time.
            reason = gap.reason if gap.reason != gaps.KEPT else _NOT_KEPT
            found.append(Gap(gap.from_us, gap.to_us, reason))
    return found


_NOT_KEPT = "told by the host"


def beside(from_us: int, to_us: int, told: Iterable[Gap]) -> list[tuple[int, int]]:
    """What is left of a time beside the gaps in it that are kept, for these will be told."""
    if from_us > to_us:
        return [(from_us, to_us)]  # turned round by a clock that was set back: nothing was kept in it
    left = []
    for gap in sorted((gap for gap in told if gap.kept), key=lambda gap: gap.from_us):
        if gap.from_us > from_us:
            left.append((from_us, min(gap.from_us, to_us)))
        from_us = max(from_us, gap.to_us)
    return [*(piece for piece in left if piece[0] < piece[1]), *([(from_us, to_us)] if from_us < to_us else [])]


def store(conn: Connection, host_id: int, told: Backlog) -> None:
    """Put what a batch tells of the past where it belongs. Raises BadBatch."""
    waiting = gaps.kept_within(conn, host_id, told.from_us, told.to_us)
    unlooked = _unlooked(conn, host_id, told)
    windows = _windows(waiting, unlooked)
    seen = {to_us: from_us for from_us, to_us in sorted(unlooked, reverse=True)}
    intervals = _intervals(conn, host_id, told, seen)
    ended = {ids.socket_id(told.boot_id, closed.key): closed for closed in told.ended}
    before = _kept(conn, host_id, told, intervals, ended.keys())
    after: dict[int, list[Interval]] = {}
    for socket_id in intervals.keys() | ended.keys():
        timeline = Timeline(before.get(socket_id, ()))
        if closed := ended.get(socket_id):
            timeline.tell_end(closed.closed_at_us, closed.closed_at_is, seen.get(closed.closed_at_us, 0), windows)
        for interval in sorted(intervals.get(socket_id, ()), key=lambda one: one.opened_at_us):
            timeline.tell(interval, windows, told.to_us, unlooked)
        after[socket_id] = timeline.rows
    stored = history.replace_rows(conn, host_id, before, after)
    # What is too old already goes with the next walk through what is kept.
    ends = [*(past.closed_at_us for past in told.sockets), *(closed.closed_at_us for closed in told.ended)]
    kept.set_back(conn, host_id, min([told.from_us, *filter(None, ends)]))
    if told.last:
        for window in windows:
            sessions.cover(conn, host_id, window.from_us, window.to_us)
        gaps.withdraw_kept(conn, host_id, told.from_us, told.to_us)
        for window in windows:
            # Whatever ended in it since then has been told, so what a snapshot behind it did not find was gone before.
            since_us = _whole_since(conn, host_id, window)
            for look_us in {gap.to_us for gap in waiting if since_us < gap.to_us <= window.to_us}:
                history.end_earlier(conn, host_id, window.from_us, since_us, look_us)
    if not windows:
        _log.debug("a backlog is of no gap that waits for one; it filled only what was free", host_id=host_id)
    _log.debug("backlog stored", host_id=host_id, told=len(told.sockets), ended=len(ended), rows=stored)


def _whole_since(conn: Connection, host_id: int, window: Window) -> int:
    """From when on all of a gap that was kept has been told: the host's first look in it, or the end of the last gap in
    it that was not. What ended while an agent was restarted is told by the next one, as far as anybody knows."""
    lost = [
        gap.to_us
        for gap in gaps.around(conn, window.from_us, window.to_us, host_id).get(host_id, [])
        if gap.from_us < window.to_us and gap.reason not in (gaps.KEPT, gaps.AGENT_RESTARTED)
    ]
    return max([window.looked_us, *lost])


def _unlooked(conn: Connection, host_id: int, told: Backlog) -> list[Span]:
    """The times in which the host did not look, as it says itself: from a look to the next."""
    around = gaps.around(conn, told.from_us, told.to_us, host_id).get(host_id, [])
    return [(gap.from_us, gap.to_us) for gap in around if gap.reason not in (gaps.KEPT, NOT_STORED)]


def _windows(kept: Iterable[Gap], unlooked: Collection[Span]) -> list[Window]:
    spans: list[Span] = []
    for gap in kept:
        if spans and gap.from_us < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], gap.to_us))
        else:
            spans.append((gap.from_us, gap.to_us))
    return [Window(from_us, to_us, looked_from(from_us, unlooked)) for from_us, to_us in spans]


def _intervals(conn: Connection, host_id: int, told: Backlog, seen: Mapping[int, int]) -> dict[int, list[Interval]]:
    sockets = [past.socket for past in told.sockets]
    holder_ids = holders.record(conn, host_id, told.boot_id, (socket.holder for socket in sockets))
    found: dict[int, list[Interval]] = {}
    for past in told.sockets:
        socket_id = ids.socket_id(told.boot_id, past.socket.key)
        interval = _interval(host_id, socket_id, past, holder_ids[id(past.socket.holder)], seen)
        found.setdefault(socket_id, []).append(interval)
    return found


def _interval(host_id: int, socket_id: int, past: PastSocket, holder_id: int, seen: Mapping[int, int]) -> Interval:
    """Of an end that is known the looks up to it are; of another that which found the socket, or the last before the
    host did not look."""
    socket = past.socket
    seen_us = socket.opened_at_us
    row = OpenSocket(host_id, socket_id, socket, holder_id, scope_of(socket), seen_us, seen_us)
    known = past.closed_at_us and past.closed_at_is != ClosedAtIs.GAP
    last_seen_us = past.closed_at_us if known else max(socket.opened_at_us, seen.get(past.closed_at_us, 0))
    return history.of_socket(row, past.closed_at_us, past.closed_at_is, last_seen_us)


def _kept(
    conn: Connection, host_id: int, told: Backlog, intervals: dict[int, list[Interval]], ended: Iterable[int]
) -> dict[int, list[Interval]]:
    """What is kept of the sockets of a batch at the time that it tells of."""
    times = [us for some in intervals.values() for one in some for us in (one.opened_at_us, one.closed_at_us)]
    times = [us or told.to_us for us in times]
    if some_ended := set(ended):
        times.append(told.from_us)
        times += [closed.closed_at_us for closed in told.ended]
    if not times:
        return {}
    found = history.between(conn, host_id, intervals.keys() | some_ended, min(times), max(times), MOST_ROWS)
    if found is None:
        raise BadBatch(f"a backlog tells of sockets of which more than {MOST_ROWS} intervals are kept in its time")
    return found
