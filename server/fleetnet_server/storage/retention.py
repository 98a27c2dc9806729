"""Finds what has ended too long ago, by its names, and deletes it by them.

What must stay true: finding only reads, so that it holds up nobody however long it takes; deleting costs what is
deleted and not what is kept; whatever has changed since it was found is left alone, and found again.

History is walked by host along the index of its ends: no index tells its kinds apart, for it would cost every row
more than the walk does. A row is passed once by the walk of each kind that is kept for less time than its own.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    SmallInteger,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
)

from fleetnet_server.storage import by_socket, ends
from fleetnet_server.storage.dialect import execute_rows
from fleetnet_server.storage.gaps import KEPT
from fleetnet_server.storage.kept import Kind
from fleetnet_server.storage.schema import (
    former_holders,
    gaps,
    history,
    hosts,
    interfaces,
    namespaces,
    routes,
    sessions,
    trends,
)

# Written into the statements, for those that are carried out for many rows take no values but theirs.
_TIME_WAIT: ColumnElement[int] = literal_column("6")  # include/net/tcp_states.h
_UNSEEN: ColumnElement[int] = literal_column("4")  # OpenedAtIs.UNSEEN of the wire
_NO_SCOPE: ColumnElement[int] = literal_column("0")
# What a walk goes through with one question: it is answered within seconds even where the pages lie on a slow disk.
_SLICE_US = 86_400_000_000


NO_KIND = 0
_LATER_US = 1 << 62


class Ended(NamedTuple):
    """A row that may go."""

    name: tuple[Any, ...]  # the values that name it in its table
    kind: int  # NO_KIND of what answers tell of by themselves when it is gone
    ended_us: int


class Found(NamedTuple):
    """Some rows that may go; before `up_to_us` there are no others."""

    rows: list[Ended]
    up_to_us: int


@dataclass(frozen=True, slots=True)
class _Beside:
    """A table beside history: small enough to be looked through whole."""

    table: Table
    ended_us: ColumnElement[int]
    kind: int
    also: tuple[ColumnElement[bool], ...] = ()
    began_us: ColumnElement[int] | None = None  # of rows whose end has to be looked for


_BESIDE = {table.name: _Beside(table, table.c.closed_at_us, Kind.NETWORK) for table in (interfaces, routes, namespaces)}
NETWORK = tuple(_BESIDE)
# A host is still telling of those that it has kept.
_BESIDE["gaps"] = _Beside(gaps, gaps.c.to_us, NO_KIND, (gaps.c.reason != KEPT,))
# A count is what it came to until it came to something else: the last stays.
_next = trends.alias()
_UNTIL = (
    select(func.min(_next.c.at_us))
    .where(*(_next.c[name] == trends.c[name] for name in ("host_id", "protocol", "state")))
    .where(_next.c.at_us > trends.c.at_us)
    .scalar_subquery()
)
_BESIDE["trends"] = _Beside(trends, _UNTIL, Kind.TRENDS, began_us=trends.c.at_us)


def slices(conn: Connection, host_id: int, from_us: int, before_us: int) -> Iterator[tuple[int, int]]:
    """The times in which a host has rows of history, each no longer than a question may be about."""
    while True:
        query = select(history.c.closed_at_us).where(*within(host_id, from_us, before_us))
        first_us = conn.execute(query.order_by(*ends.OLDEST_FIRST).limit(1)).scalar()
        if first_us is None:
            return
        from_us = min(first_us + _SLICE_US, before_us)
        yield first_us, from_us


def sockets(conn: Connection, host_id: int, kinds: Collection[int], from_us: int, before_us: int, most: int) -> Found:
    """Rows of history of these kinds that ended from one time on and before another; at most so many, the oldest."""
    rows: list[Ended] = []
    for first_us, until_us in slices(conn, host_id, from_us, before_us):
        query = select(*_SOCKET, _KIND).where(*within(host_id, first_us, until_us), _KIND.in_(list(kinds)))
        query = query.order_by(*ends.OLDEST_FIRST).limit(most - len(rows))
        rows += [Ended((host_id, *row), row[-1], row.closed_at_us) for row in conn.execute(query)]
        if len(rows) >= most:
            return Found(rows, rows[-1].ended_us)
    return Found(rows, before_us)


def beside(conn: Connection, table: str, host_id: int, before_us: int, most: int) -> list[Ended]:
    """Gaps, trends, or rows of one of NETWORK, that ended before a time."""
    what = _BESIDE[table]
    query = select(*what.table.primary_key.columns, what.ended_us).where(
        what.table.c.host_id == host_id, what.ended_us < before_us, *what.also
    )
    if what.began_us is not None:
        query = query.where(what.began_us < before_us)
    return [Ended(tuple(row[:-1]), what.kind, row[-1]) for row in conn.execute(query.limit(most))]


def handed_over(conn: Connection, host_id: int, kind: int, before_us: int, most: int) -> list[Ended]:
    """Who held sockets of this kind until some time before that; at most so many, the oldest days first.

    However many there are, it reads these and what ended in the ten minutes of that time. What has ended since has
    ended later, so none of its is left behind; what lasts loses those who held it too long ago.
    """
    rows: list[Ended] = []
    from_us = -_LATER_US
    until, names = former_holders.c.until_us, former_holders.primary_key.columns
    while len(rows) < most:
        oldest = select(until).where(*_former_within(host_id, kind, from_us, before_us))
        first_us = conn.execute(oldest.order_by(ends.OLDEST_FORMER_FIRST).limit(1)).scalar()
        if first_us is None:
            break
        # That one is of the first ten minutes, and there may be others in them before it.
        until_us = min(first_us + _SLICE_US, before_us)
        # In no order, for some engine might sort all of them to find the first.
        query = select(*names).where(*_former_within(host_id, kind, from_us, until_us)).limit(most - len(rows))
        rows += [Ended(tuple(row), kind, row.until_us) for row in conn.execute(query)]
        from_us = until_us
    return rows


def begun_us(conn: Connection, host_id: int, before_us: int) -> int:
    """When, by its host's clock, the oldest of the streams began that `streams` leaves; later than all, if all began
    after that time of the collector's."""
    query = select(sessions.c.first_at_us + sessions.c.clock_offset_us).where(
        sessions.c.host_id == host_id, sessions.c.first_at_us <= before_us
    )
    found = conn.execute(query.order_by(sessions.c.first_at_us.desc()).limit(1)).scalar()
    return _LATER_US if found is None else int(found)


def streams(conn: Connection, host_id: int, before_us: int, most: int) -> list[Ended]:
    """Streams that no question about a time from then on needs; collector's clock.

    It needs the last that had begun by its time, however long before: so that one stays, and the newest of all.
    """
    of_host = sessions.c.host_id == host_id
    begun = select(func.max(sessions.c.first_at_us)).where(of_host, sessions.c.first_at_us <= before_us)
    newest = select(hosts.c.generation).where(hosts.c.host_id == host_id)
    silent = and_(sessions.c.first_at_us.is_(None), sessions.c.started_at_us < before_us)
    query = select(*sessions.primary_key.columns).where(
        of_host,
        sessions.c.generation < newest.scalar_subquery(),
        or_(sessions.c.first_at_us < begun.scalar_subquery(), silent),
    )
    return [Ended(tuple(row), NO_KIND, 0) for row in conn.execute(query.limit(most))]


def remove(conn: Connection, table: str, rows: Collection[Ended]) -> int:
    """Delete rows that were found; how many there still were."""
    return execute_rows(conn, *_REMOVALS[table], [row.name for row in rows])


def within(host_id: int, from_us: int, before_us: int) -> tuple[ColumnElement[bool], ...]:
    """Rows of history of a host that ended from one time on and before another."""
    exactly = (history.c.closed_at_us >= from_us, history.c.closed_at_us < before_us)
    return (history.c.host_id == host_id, ends.since(from_us), ends.until(before_us), *exactly)


def _former_within(host_id: int, kind: int, from_us: int, before_us: int) -> tuple[ColumnElement[bool], ...]:
    """Who held sockets of a host and of this kind until some time from one on and before another."""
    former = former_holders.c
    exactly = (former.until_us >= from_us, former.until_us < before_us)
    around = (ends.former_since(from_us), ends.former_until(before_us))
    return (former.host_id == host_id, former.kind == kind, *around, *exactly)


def _removal(table: Table, names: Iterable[Column[Any]]) -> tuple[Delete, tuple[str, ...]]:
    """A deletion of one row, and what it takes."""
    by_key = {f"of_{column.key}": column for column in names}
    return delete(table).where(*(column == bindparam(key) for key, column in by_key.items())), tuple(by_key)


def _removal_of_sockets() -> tuple[Delete, tuple[str, ...]]:
    """The same of history, where the kind is part of what names a row."""
    removal, keys = _removal(history, (history.c.host_id, *_SOCKET))
    of_kind = bindparam("of_kind", type_=SmallInteger) == _KIND
    return removal.where(*by_socket.is_of("of_host_id", "of_socket_id"), of_kind), (*keys, "of_kind")


# What is known by its end alone lasted for no time, so no question about a moment misses it.
_BY_ITS_END = and_(history.c.opened_at_is == _UNSEEN, history.c.opened_at_us == history.c.closed_at_us)
_KIND = case(
    (or_(history.c.state == _TIME_WAIT, _BY_ITS_END), literal_column(str(int(Kind.BRIEF)))),
    (history.c.scope != _NO_SCOPE, literal_column(str(int(Kind.LISTENERS)))),
    else_=literal_column(str(int(Kind.SOCKETS))),
)
# Rows of one socket and kind that had all of these in common would be too old together.
_SOCKET = (history.c.socket_id, history.c.closed_at_us, history.c.opened_at_us, history.c.state)
_REMOVALS = {
    "history": _removal_of_sockets(),
    **{
        table.name: _removal(table, table.primary_key.columns)
        for table in (interfaces, routes, namespaces, gaps, sessions, trends, former_holders)
    },
}
