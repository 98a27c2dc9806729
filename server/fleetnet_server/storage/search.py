"""Finds sockets, now or at a time past, and counts them.

Every filter and the order are SQL's, so that an answer can be cut and sent a page at a time. What little there is in
the whole fleet is looked for first, without any order, and if that is few rows their hosts are asked at once. Else
hosts are asked one after the other, in the order of their names (walk.py), so that the first page waits for some of
them alone. A page costs a statement for its holders, however many they are; one more where it shows namespaces other
than the hosts' own. A host may claim thousands of owners for each of its sockets: then pages are shorter.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Subquery, case, func, select, union_all

from fleetnet_server.counted import StateCount
from fleetnet_server.records import Holder, SocketAnswer, SocketQuestion
from fleetnet_server.storage import holders as holder_rows
from fleetnet_server.storage import namespaces, sought, usual, walk
from fleetnet_server.storage.counts import IP
from fleetnet_server.storage.moments import Moment
from fleetnet_server.storage.sought import Times as Times

PAGE = 500
# Rows that are looked for in the whole fleet before hosts are asked one after the other.
LOOK: Final = 300
# Of sockets whose holders nobody saw so many are counted: beyond, how many they are says nothing more.
MOST_UNSEEN: Final = 1_001

_HOST_NETNS = 0
_HOLDER_AT = 2 + sought.BEFORE_HOLDER
_OWNER_GONE = 7  # of OwnerStatus, the wire's number
# Instead of a holder that is not there: no row keeps an answer from being given.
_GONE = Holder(None, "", "", "", _OWNER_GONE, ())


def pages(
    conn: Connection, question: SocketQuestion, times: Times, host_ids: Sequence[int] | None
) -> Iterator[tuple[SocketAnswer, ...]]:
    """The sockets asked for, at most PAGE a page, at most one more than the limit (so that cutting is noticed).

    `host_ids` are in the order of the hosts' names; None asks about all hosts.
    """
    left = question.selection.limit + 1 if question.selection.limit else None
    few = _few(conn, question, times, host_ids)
    if few is not None:
        if few:
            # Not by these hosts: an engine might read all that they have, and what found the few finds their rows.
            at_most = left if few is host_ids else LOOK
            yield from answered(conn, sought.in_order(question, times, host_ids, few, left), times.moment, at_most)
        return
    way = walk.Walk(conn, host_ids)
    while step := way.step():
        found = 0
        for page in answered(conn, sought.in_order(question, times, step, step, left), times.moment, left):
            found += len(page)
            yield page
        if left is not None and (left := left - found) <= 0:
            return
        way.found(found)


def unseen_holders(conn: Connection, question: SocketQuestion, times: Times, host_ids: Sequence[int] | None) -> int:
    """How many sockets a question for holders may mean but does not find, for nobody saw who holds them; MOST_UNSEEN
    at most."""
    query = sought.unseen(question, times, host_ids, MOST_UNSEEN)
    return 0 if query is None else conn.execute(query).scalar_one()


def _few(
    conn: Connection, question: SocketQuestion, times: Times, host_ids: Sequence[int] | None
) -> Sequence[int] | None:
    """The hosts to ask, where all are few or what may be asked for is; None where that is not known."""
    if host_ids is not None and len(host_ids) <= walk.FIRST_STEP:
        return host_ids
    query = sought.hosts_of(question, times, host_ids, LOOK + 1)
    if query is None:
        return None
    rows = conn.execute(query).scalars().all()
    return None if len(rows) > LOOK else sorted(set(rows))


def answered(
    conn: Connection, query: sought.Query, moment: Moment | None, at_most: int | None
) -> Iterator[tuple[SocketAnswer, ...]]:
    """What a query finds, of which there are so many at most (None: that is not known), PAGE a page; namespaces are
    called what they were at the moment."""
    if at_most is not None and at_most <= PAGE:
        # A cursor of the server's costs three journeys more.
        if rows := conn.execute(query).all():
            yield from _answers(conn, rows, moment)
        return
    with conn.execute(query, execution_options={"stream_results": True, "max_row_buffer": PAGE}) as result:
        while rows := result.fetchmany(PAGE):
            yield from _answers(conn, rows, moment)
            if len(rows) < PAGE:
                return


def counts(conn: Connection, moment: Moment, host_ids: Collection[int] | None) -> dict[int, tuple[int, int]]:
    """Per host how many IP sockets were open and how many of them listeners; hosts without any are left out."""
    found = _were_open(moment, host_ids)
    query = select(found.c.host_id, *_how_many(found)).where(found.c.protocol.in_(IP)).group_by(found.c.host_id)
    return {row[0]: (row[1], row[2]) for row in conn.execute(query)}


def counts_by_state(conn: Connection, moment: Moment, host_ids: Collection[int] | None) -> tuple[StateCount, ...]:
    """Over these hosts, or all (None), how many sockets were open in each state, by protocol and state."""
    found = _were_open(moment, host_ids)
    kind = (found.c.protocol, found.c.state)
    query = select(*kind, *_how_many(found)).group_by(*kind).order_by(*kind)
    return tuple(StateCount(*row) for row in conn.execute(query))


def _were_open(moment: Moment, host_ids: Collection[int] | None) -> Subquery:
    told = ("host_id", "protocol", "state", "scope")
    parts = [
        select(*(usual.told(table, name) for name in told)).where(*conditions)
        for table, conditions in sought.were_open(moment, host_ids)
    ]
    return union_all(*parts).subquery()


def _how_many(found: Subquery) -> tuple[ColumnElement[int], ColumnElement[int]]:
    return func.count(), func.sum(case((found.c.scope != 0, 1), else_=0))


def _answers(conn: Connection, rows: Sequence[Row[Any]], moment: Moment | None) -> Iterator[tuple[SocketAnswer, ...]]:
    """In one piece, or where that would be too many owners at once in as few as it takes."""
    named = holder_rows.load(conn, {(row.host_id, row.holder_id) for row in rows})
    if named is None:
        half = len(rows) // 2
        yield from _answers(conn, rows[:half], moment)
        yield from _answers(conn, rows[half:], moment)
        return
    others = {(row.host_id, row.netns) for row in rows if row.netns != _HOST_NETNS}
    called = namespaces.names(conn, others, moment)
    # By place, for what is asked by name costs ten times as much, and a page has hundreds of rows of many values.
    yield tuple(
        SocketAnswer._make(
            (
                *row[2:_HOLDER_AT],
                named.get((row.host_id, row.holder_id), _GONE),
                *row[_HOLDER_AT:],
                called.get((row.host_id, row.netns), "") if called else "",
            )
        )
        for row in rows
    )
