"""Many rows at one stroke, for SQLite: past SQLAlchemy, straight to the driver.

What SQLAlchemy does around each statement costs more than most of them do here, where no journey to a server is saved.
Statements stay SQLAlchemy's: each is compiled once, and what the driver says of an error is told as SQLAlchemy would.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Connection,
    Delete,
    Dialect,
    Insert,
    Select,
    Table,
    Update,
    column,
    literal_column,
    table,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler

# Of a table of values that a statement carries; each number of rows is a statement that the driver keeps prepared.
_MOST_AT_ONCE = 256

_NONE: ColumnElement[int] = literal_column("0", BigInteger)


@cache
def insert_new(table: Table) -> Insert:
    """An INSERT that leaves a row alone whose key is there already."""
    return sqlite.insert(table).on_conflict_do_nothing()


@cache
def insert_or_clear(table: Table, mark: str) -> Insert:
    """The same, but where the row has this mark (not 0), that is taken from it; only then is it written."""
    return sqlite.insert(table).on_conflict_do_update(
        index_elements=list(table.primary_key.columns), set_={mark: _NONE}, where=table.c[mark] != _NONE
    )


@cache
def insert_or_set(table: Table, becomes: Callable[[Any], dict[str, ColumnElement[Any]]]) -> Insert:
    """An INSERT that changes the row whose key is there already."""
    made = sqlite.insert(table)
    return made.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=becomes(made.excluded))


def execute_rows(
    conn: Connection, statement: Insert | Update | Delete, keys: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> int:
    """See dialect.py. Many rows are put in by one statement; any other is run for each row, inside the process."""
    if isinstance(statement, Insert):
        return sum(_insert(conn, statement, keys, some) for some in _powers_of_two(rows))
    sql, in_order = _compiled(conn.dialect, statement, keys)
    values = rows if in_order is None else list(map(in_order, rows))
    with _driver(conn, sql, values) as driver:
        return driver.executemany(sql, values).rowcount


def _insert(conn: Connection, statement: Insert, keys: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> int:
    # A statement for each row would do with as much CPU, but it lets go of the interpreter's lock and asks for it again
    # each time: where the event loop is busy, that takes four times as long.
    in_order = None
    if statement.select is None:
        one, in_order = _compiled(conn.dialect, statement, keys)
        sql = _many(one, len(keys), len(rows))
    else:
        sql = _unfolded(conn.dialect, statement, keys, len(rows))
    values = list(chain.from_iterable(rows if in_order is None else map(in_order, rows)))
    with _driver(conn, sql, values) as driver:
        return driver.execute(sql, values).rowcount


def select_each(
    conn: Connection, statement: Select[Any] | Insert, keys: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """See dialect.py. The rows are a table of values that the statement is joined with."""
    found: list[tuple[Any, ...]] = []
    for some in _powers_of_two(rows):
        sql = _unfolded(conn.dialect, statement, keys, len(some))
        values = list(chain.from_iterable(some))
        with _driver(conn, sql, values) as driver:
            found += driver.execute(sql, values)
    return found


def hold_each(
    conn: Connection, statement: Select[Any], _held: Table, keys: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """See dialect.py. One connection writes, so all is held."""
    return select_each(conn, statement, keys, rows)


def select_constant(
    conn: Connection, statement: Select[Any] | CompoundSelect[Any], values: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """See dialect.py."""
    sql, in_order = _compiled(conn.dialect, statement, tuple(values))
    told = tuple(values.values())
    told = told if in_order is None else in_order(told)
    with _driver(conn, sql, told) as driver:
        return driver.execute(sql, told).fetchall()


@contextmanager
def _driver(conn: Connection, sql: str, values: Sequence[Any]) -> Iterator[sqlite3.Connection]:
    driver = conn.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    # Whoever listens to what is executed hears of this as well.
    for hear in conn.dispatch.before_cursor_execute:
        hear(conn, None, sql, values, None, False)
    try:
        yield driver
    except sqlite3.Error as error:
        # SQLAlchemy knows nothing of this: what it does with an error of its own statements is done here.
        raise DBAPIError.instance(sql, None, error, sqlite3.Error) from error


@cache
def _compiled(
    dialect: Dialect, statement: Insert | Update | Delete | Select[Any] | CompoundSelect[Any], keys: tuple[str, ...]
) -> tuple[str, Callable[[tuple[Any, ...]], tuple[Any, ...]] | None]:
    """The statement, and what puts the values of a row into its order; None where they are."""
    compiled = statement.compile(dialect=dialect, column_keys=[] if statement.is_update else keys)
    assert isinstance(compiled, SQLCompiler)
    assert set(compiled.params) == set(keys), "a value that is in the statement and not in the rows would be lost"
    assert compiled.positiontup
    if tuple(compiled.positiontup) == keys:
        return compiled.string, None
    return compiled.string, itemgetter(*map(keys.index, compiled.positiontup))


def _powers_of_two(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows in as few pieces as can be, of few different lengths."""
    at = 0
    while left := len(rows) - at:
        size = min(_MOST_AT_ONCE, 1 << (left.bit_length() - 1))
        yield rows[at : at + size]
        at += size


@cache
def _many(sql: str, values: int, rows: int) -> str:
    """An INSERT of one row as one of several."""
    one = f"({', '.join('?' * values)})"
    before, after = sql.split(one)
    return before + ", ".join([one] * rows) + after


@cache
def _unfolded(dialect: Dialect, statement: Select[Any] | Insert, keys: tuple[str, ...], rows: int) -> str:
    told = table("told", *map(column, keys))

    def column_of(element: object, **_: object) -> object:
        return told.c[element.key] if isinstance(element, BindParameter) and element.key in keys else None

    all_rows: Any = visitors.replacement_traverse(statement, {"stop_on": [told]}, column_of)
    compiled = all_rows.compile(dialect=dialect)
    assert not compiled.params, "a value that is in the statement and not in the rows would be lost"
    one = f"({', '.join('?' * len(keys))})"
    return f"WITH told ({', '.join(keys)}) AS (VALUES {', '.join([one] * rows)}) {compiled}"
