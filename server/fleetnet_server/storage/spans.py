"""Intervals of namespaces, interfaces and routes: a row each, open while its `closed_at_us` is empty.

What must stay true: of one thing no two intervals overlap, and each lasts for some time. One that would end at or
before its beginning, because a clock was set back or because a look was told twice, is taken away: it holds no moment
that could be asked about.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Delete,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    select,
    tuple_,
    union_all,
    update,
)

from fleetnet_server.storage.dialect import execute_rows, select_each
from fleetnet_server.storage.moments import Moment, by_clock

T = TypeVar("T", int, tuple[int, int])

# Engines bound how many values a statement may carry.
_PER_STATEMENT = 500


class Beginning(NamedTuple):
    """Where an interval begins: on which host, when and how exactly that is known, and the look that tells it."""

    host_id: int
    at_us: int
    how: int
    seen_at_us: int


class Ending(NamedTuple):
    """Where intervals end: on which host, when and how; `seen_at_us` is a look known to have confirmed them."""

    host_id: int
    at_us: int
    how: int
    seen_at_us: int


BEGINNING = ("host_id", "opened_at_us", "opened_at_is", "seen_at_us")  # the columns of a Beginning


@dataclass(frozen=True, slots=True)
class Restated:
    """How exactly beginnings and ends are known: as was said, and as it is."""

    beginning_was: int
    beginning_is: int
    end_was: int
    end_is: int


def known(
    conn: Connection, table: Table, pairs: Collection[tuple[int, int]], columns: tuple[str, ...]
) -> list[tuple[Any, ...]]:
    """Of what is open in some namespaces, each given as (host_id, netns): those two and these columns."""
    return select_each(conn, _open_in(table, columns), ("of_host", "of_netns"), sorted(pairs)) if pairs else []


@cache
def _open_in(table: Table, columns: tuple[str, ...]) -> Select[Any]:
    return select(*(table.c[name] for name in ("host_id", "netns", *columns))).where(
        table.c.host_id == bindparam("of_host"),
        table.c.netns == bindparam("of_netns"),
        table.c.closed_at_us.is_(None),
    )


def end(conn: Connection, table: Table, which: Sequence[tuple[Mapping[str, int], Ending]]) -> None:
    """End what is open, each named by its namespace and whatever else, all by the same; one that is not open is passed
    over."""
    if not which:
        return
    names = tuple(which[0][0])
    take_away, close = _endings(table, names)
    keys = ("of_host", *(f"of_{name}" for name in names), "at_us")
    rows = [(ending.host_id, *one.values(), ending.at_us) for one, ending in which]
    execute_rows(conn, take_away, keys, rows)
    more = [(*row, ending.how, ending.seen_at_us) for row, (_, ending) in zip(rows, which, strict=True)]
    execute_rows(conn, close, (*keys, "how", "seen_us"), more)


@cache
def _endings(table: Table, names: tuple[str, ...]) -> tuple[Delete, Update]:
    """What takes away an interval that would not last, and what ends one; each row names it by these columns."""
    this = (
        table.c.host_id == bindparam("of_host"),
        *(table.c[name] == bindparam(f"of_{name}") for name in names),
        table.c.closed_at_us.is_(None),
    )
    at_us: BindParameter[int] = bindparam("at_us", type_=BigInteger)
    seen_us: BindParameter[int] = bindparam("seen_us", type_=BigInteger)
    seen = case((table.c.seen_at_us > seen_us, table.c.seen_at_us), else_=seen_us)
    return (
        delete(table).where(*this, table.c.opened_at_us >= at_us),
        update(table)
        .where(*this)
        .values(
            closed_at_us=at_us,
            closed_at_is=bindparam("how"),
            seen_at_us=case((seen < at_us, seen), else_=at_us),
        ),
    )


def last_ends(
    conn: Connection, table: Table, host_id: int, netns: Collection[int], key: Sequence[str], after_us: int
) -> dict[tuple[int, ...], int]:
    """When things of some namespaces last ended, by the columns that name them, where that was after a time."""
    names = [table.c[name] for name in key]
    query = (
        select(func.max(table.c.closed_at_us), *names)
        .where(table.c.host_id == host_id, table.c.closed_at_us > after_us)
        .group_by(*names)
    )
    return {
        tuple(row[1:]): row[0] for some in _chunks(netns) for row in conn.execute(query.where(table.c.netns.in_(some)))
    }


def restate(conn: Connection, table: Table, looks: Sequence[tuple[int, int, int]], known: Restated) -> None:
    """Of what began or ended in some namespaces at a look, given as (host_id, netns, at_us), say otherwise how exactly
    that is known."""
    if looks:
        ends, beginnings = _restated(table)
        keys = ("of_host", "of_netns", "at_us", "was", "becomes")
        execute_rows(conn, ends, keys, [(*look, known.end_was, known.end_is) for look in looks])
        execute_rows(conn, beginnings, keys, [(*look, known.beginning_was, known.beginning_is) for look in looks])


@cache
def _restated(table: Table) -> tuple[Update, Update]:
    """What says of ends, and what says of beginnings, otherwise how exactly they are known."""
    here = (table.c.host_id == bindparam("of_host"), table.c.netns == bindparam("of_netns"))
    at_us: BindParameter[int] = bindparam("at_us")
    was: BindParameter[int] = bindparam("was")
    becomes: BindParameter[int] = bindparam("becomes")
    return (
        update(table)
        .where(*here, table.c.closed_at_us == at_us, table.c.closed_at_is == was)
        .values(closed_at_is=becomes),
        update(table)
        .where(*here, table.c.closed_at_us.is_(None), table.c.opened_at_us == at_us, table.c.opened_at_is == was)
        .values(opened_at_is=becomes),
    )


def at(table: Table, moment: Moment | None, columns: Sequence[ColumnElement[Any]]) -> list[Select[Any]]:
    """What was open at a time, None being now, in parts that are to be put together: each has an index of its own."""
    is_open = table.c.closed_at_us.is_(None)
    if moment is None:
        return [select(*columns).where(is_open)]
    at_us = by_clock(table, moment)
    begun = table.c.opened_at_us <= at_us
    # The last condition says nothing new; it is the one that the index understands.
    ended_later = and_(table.c.closed_at_us > at_us, table.c.closed_at_us > literal(moment.earliest_us))
    return [select(*columns).where(begun, is_open), select(*columns).where(begun, ended_later)]


def load(
    conn: Connection,
    table: Table,
    pairs: Collection[tuple[int, int]],
    moment: Moment | None,
    columns: Sequence[str],
    order: Sequence[str],
) -> dict[tuple[int, int], list[Any]]:
    """What was open in some namespaces, each given as (host_id, netns), at a time; each row without its first two."""
    found: dict[tuple[int, int], list[Any]] = {}
    asked = ("host_id", "netns", *columns)
    for some in _chunks(pairs):
        here = tuple_(table.c.host_id, table.c.netns).in_(some)
        parts = [part.where(here) for part in at(table, moment, [table.c[name] for name in asked])]
        rows = union_all(*parts).subquery()
        for row in conn.execute(select(rows).order_by(*(rows.c[name] for name in order))):
            found.setdefault((row[0], row[1]), []).append(row)
    return found


def _chunks(wanted: Collection[T]) -> list[list[T]]:
    ordered = iter(sorted(wanted))
    return list(iter(lambda: list(islice(ordered, _PER_STATEMENT)), []))
