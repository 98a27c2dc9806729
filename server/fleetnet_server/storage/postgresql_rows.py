"""Many rows at one stroke, for PostgreSQL, where each statement costs a journey to the server and back.

A statement that is written for one row is turned into one for all of them: each of its values becomes a column of a
table that the server unfolds from arrays, one array per value. New rows, where there are many, go by COPY instead.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import psycopg
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Connection,
    Delete,
    Dialect,
    Insert,
    LargeBinary,
    Select,
    String,
    Table,
    TableValuedAlias,
    Text,
    Update,
    bindparam,
    column,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NullType, TypeEngine

# In the info of a connection: whether its database is a Citus cluster's.
CITUS: Final = "fleetnet citus"
# COPY takes a third of the time a row, and two journeys where arrays take one.
COPY_FROM = 8

_COPIED_AS = {
    "BIGINT": "int8",
    "INTEGER": "int4",
    "SMALLINT": "int2",
    "BYTEA": "bytea",
    "BOOLEAN": "bool",
    "DOUBLE PRECISION": "float8",
}
_NONE: ColumnElement[int] = literal_column("0", BigInteger)


@cache
def insert_new(table: Table) -> Insert:
    """An INSERT that leaves a row alone whose key is there already."""
    return postgresql.insert(table).on_conflict_do_nothing()


@cache
def insert_or_clear(table: Table, mark: str) -> Insert:
    """The same, but where the row has this mark (not 0), that is taken from it; only then is it written."""
    return postgresql.insert(table).on_conflict_do_update(
        index_elements=list(table.primary_key.columns), set_={mark: _NONE}, where=table.c[mark] != _NONE
    )


@cache
def insert_or_set(table: Table, becomes: Callable[[Any], dict[str, ColumnElement[Any]]]) -> Insert:
    """An INSERT that changes the row whose key is there already."""
    made = postgresql.insert(table)
    return made.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=becomes(made.excluded))


def execute_rows(
    conn: Connection, statement: Insert | Update | Delete, keys: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> int:
    """See dialect.py. One statement, whatever the number of rows."""
    if len(rows) >= COPY_FROM and type(statement) is Insert and statement.select is None:
        return _copy(conn, _copying(conn.dialect, statement.table, keys), rows)
    unfolding = _unfolding(conn.dialect, statement, keys, _alone(conn, statement, keys, rows))
    return conn.exec_driver_sql(unfolding.sql, unfolding.values(rows)).rowcount


def _alone(conn: Connection, statement: object, keys: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> bool:
    """Whether rows are of one host, which stands in the statement then. Citus sees by that which machine has them, and
    puts the statement to no other."""
    if not conn.info.get(CITUS) or keys[0] != "of_host" or isinstance(statement, Insert):
        return False
    return all(row[0] == rows[0][0] for row in rows)


def select_each(
    conn: Connection, statement: Select[Any] | Insert, keys: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """See dialect.py. One statement, whatever the number of rows."""
    alone = _alone(conn, statement, keys, rows)
    unfolding = _unfolding(conn.dialect, statement, keys, alone)
    found = conn.exec_driver_sql(unfolding.sql, unfolding.values(rows)).cursor
    assert found is not None
    return list(found.fetchall())


def hold_each(
    conn: Connection, statement: Select[Any], held: Table, keys: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """See dialect.py. One statement; on Citus two."""
    if not conn.info.get(CITUS):
        return select_each(conn, _for_update(statement, held), keys, rows)
    execute_rows(conn, _changing_nothing(held, keys[0]), keys[:1], [row[:1] for row in rows])
    return select_each(conn, statement, keys, rows)


@cache
def _for_update(statement: Select[Any], held: Table) -> Select[Any]:
    return statement.order_by(*held.primary_key.columns).with_for_update(of=held)


@cache
def _changing_nothing(held: Table, key: str) -> Update:
    """Citus lets nobody else hold rows of a table of which each machine has a copy, whichever these are, while one
    collector holds some; but two may change it (postgresql.py). What is changed is held too, and on every machine: so
    nobody goes on from what another has committed on some of them only."""
    [name] = held.primary_key.columns
    return update(held).where(name == bindparam(key, type_=name.type)).values({name: name})


def select_constant(
    conn: Connection, statement: Select[Any] | CompoundSelect[Any], values: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """See dialect.py."""
    found = conn.exec_driver_sql(_constant(conn.dialect, statement), values).cursor
    assert found is not None
    return list(found.fetchall())


@cache
def _constant(dialect: Dialect, statement: Select[Any] | CompoundSelect[Any]) -> str:
    return str(statement.compile(dialect=dialect))


_Written = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class _Unfolding:
    sql: str
    written: dict[str, _Written]  # each value of a row as an element of its array
    first: str | None  # the value that all rows have in common, which is no array

    def values(self, rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        columns = zip(*rows, strict=True)
        return {
            key: column[0] if key == self.first else _array(column, written)
            for (key, written), column in zip(self.written.items(), columns, strict=True)
        }


# The driver's own way with arrays asks each element what it is, which costs ten times as much.
def _array(values: Sequence[Any], written: _Written) -> str:
    """https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO"""
    if None in values:
        return "{" + ",".join(["NULL" if value is None else written(value) for value in values]) + "}"
    return "{" + ",".join(map(written, values)) + "}"


def _bytes(value: bytes) -> str:
    return f'"\\\\x{value.hex()}"'


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _written(kind: TypeEngine[Any]) -> _Written:
    if isinstance(kind, LargeBinary):
        return _bytes
    return _text if isinstance(kind, String) else str  # of a number, or a truth


@cache
def _unfolding(
    dialect: Dialect, statement: Insert | Update | Delete | Select[Any], keys: tuple[str, ...], alone: bool
) -> _Unfolding:
    """The statement for all rows: its parameters are the arrays. With `alone` the first stands in it as it is."""
    types = _types(dialect, statement, keys)
    first = keys[0] if alone else None
    arrays = {key: kind for key, kind in types.items() if key != first}
    told = _unfolded(arrays)
    if isinstance(statement, Insert) and statement.select is None:
        all_rows: Any = statement.from_select(keys, select(*(told.c[key] for key in keys)))
    else:

        def column_of(element: object, **_: object) -> object:
            if element is told:
                return told
            return told.c[element.key] if isinstance(element, BindParameter) and element.key in arrays else None

        all_rows = visitors.replacement_traverse(statement, {"stop_on": [told]}, column_of)
    compiled = all_rows.compile(dialect=dialect)
    assert set(compiled.params) == set(keys), "a value that is in the statement and not in the rows would be lost"
    return _Unfolding(str(compiled), {key: _written(kind) for key, kind in types.items()}, first)


def _unfolded(types: dict[str, TypeEngine[Any]]) -> TableValuedAlias:
    arrays = (bindparam(key, type_=postgresql.ARRAY(kind)) for key, kind in types.items())
    return func.unnest(*arrays).table_valued(*(column(key, kind) for key, kind in types.items())).render_derived()


def _types(
    dialect: Dialect, statement: Insert | Update | Delete | Select[Any], keys: tuple[str, ...]
) -> dict[str, TypeEngine[Any]]:
    """What each value of a row is: told by the column that it is written to or compared with."""
    if isinstance(statement, Insert) and statement.select is None:
        found = {key: statement.table.c[key].type for key in keys}
    else:
        compiled = statement.compile(dialect=dialect, column_keys=None if isinstance(statement, Select) else [])
        assert isinstance(compiled, SQLCompiler)
        every = [e for e in visitors.iterate(statement) if isinstance(e, BindParameter)]
        found = {
            bind.key: bind.type for bind in [*compiled.binds.values(), *every] if not isinstance(bind.type, NullType)
        }
        assert found.keys() >= set(keys), f"give a type to the parameters {set(keys) - found.keys()}"
    # A collation belongs to the column and not to what is put into it.
    return {key: Text() if isinstance(found[key], String) else found[key] for key in keys}


@dataclass(frozen=True, slots=True)
class _Copying:
    sql: str
    types: list[str]


@cache
def _copying(dialect: Dialect, table: Table, keys: tuple[str, ...]) -> _Copying:
    quote = dialect.identifier_preparer.quote
    names = ", ".join(map(quote, keys))
    types = [_COPIED_AS.get(table.c[key].type.compile(dialect=dialect), "text") for key in keys]
    return _Copying(f"COPY {quote(table.name)} ({names}) FROM STDIN (FORMAT BINARY)", types)


def _copy(conn: Connection, copying: _Copying, rows: Sequence[tuple[Any, ...]]) -> int:
    connection = conn.connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    try:
        with connection.cursor() as cursor:
            with cursor.copy(copying.sql) as copy:
                copy.set_types(copying.types)
                for row in rows:
                    copy.write_row(row)
            return cursor.rowcount
    except psycopg.Error as error:
        # SQLAlchemy knows nothing of this: what it does with an error of its own statements is done here.
        broken = connection.closed or connection.broken
        if broken:
            conn.invalidate(error)
        raise DBAPIError.instance(copying.sql, None, error, psycopg.Error, connection_invalidated=broken) from error
