"""Answers what one host's sockets did in a time, with its gaps and the starts of its agent, the latest first.

What must stay true: what ended in the time stands where it ended, what was open at its end where it began, so that one
order holds for all; each kind is read as the answer goes on, and only gaps, of which few are kept, are held.
"""

import heapq
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from itertools import islice

from fleetnet_server.lives import Life, LivesQuestion
from fleetnet_server.records import Coverage, End, Gap, SocketQuestion
from fleetnet_server.services.coverage import kinds_of, outline
from fleetnet_server.services.cutting import cut
from fleetnet_server.storage import gaps, lives, search, starts
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.lives import Span
from fleetnet_server.storage.moments import Moment

_LATEST_US = 1 << 62


def answer(
    conn: Connection, question: LivesQuestion, now_us: int
) -> Generator[Coverage | tuple[Life, ...] | End, None, End]:
    """Coverage, pages of at most search.PAGE, End. Raises HostUnknown."""
    asked = question.sockets
    # What a host did does not end with its leaving.
    selection = replace(asked.selection, though_left=True)
    kinds = () if question.without_sockets else kinds_of(replace(asked, opened_since_us=question.since_us))
    scene = outline(conn, selection, now_us, kinds, question.since_us)
    assert scene.since is not None
    assert scene.only is not None
    (host_id,) = scene.only
    from_us = _by_clock(scene.since, host_id)
    span = Span(host_id, from_us, None if scene.moment is None else _by_clock(scene.moment, host_id))
    unseen = 0 if question.without_sockets else lives.unseen_holders(conn, asked, span)
    yield replace(scene.coverage, unseen_holders=unseen)
    told_of: tuple[Iterable[tuple[int, Life]], ...] = (
        ((start.at_us, start) for start in starts.within(conn, span)),
        *(() if question.without_sockets else _sockets(conn, asked, span, scene.moment)),
        _gaps(conn, span),
    )
    happened = heapq.merge(*told_of, key=lambda one: one[0], reverse=True)
    return (yield from cut(_pages(happened), selection.limit))


def _sockets(
    conn: Connection, asked: SocketQuestion, span: Span, moment: Moment | None
) -> tuple[Iterator[tuple[int, Life]], ...]:
    at_most = asked.selection.limit + 1 if asked.selection.limit else None
    return (
        ((life.opened_at_us, life) for life in lives.still_open(conn, asked, span, moment, at_most)),
        ((life.closed_at_us, life) for life in lives.ended(conn, asked, span, moment, at_most)),
    )


def _gaps(conn: Connection, span: Span) -> list[tuple[int, Gap]]:
    """Likewise by their ends, or by their beginnings if they last beyond it."""
    latest_us = _LATEST_US if span.to_us is None else span.to_us
    found = gaps.around(conn, span.from_us, latest_us, span.host_id).get(span.host_id, [])
    told = ((gap.to_us if span.holds(gap.to_us) else gap.from_us, gap) for gap in found)
    return sorted(told, key=lambda one: (one[0], one[1].from_us, one[1].reason), reverse=True)


def _pages(happened: Iterable[tuple[int, Life]]) -> Iterator[tuple[Life, ...]]:
    items = (life for _, life in happened)
    return iter(lambda: tuple(islice(items, search.PAGE)), ())


def _by_clock(moment: Moment, host_id: int) -> int:
    return moment.by_host.get(host_id, moment.at_us)
