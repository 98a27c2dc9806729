"""The door between what all engines have in common and each engine's own module.

An engine is a module with the functions of `Own`. `sqlite` is the embedded default; `postgresql` is loaded only where
it is asked for, for its driver takes as long to import as all of SQLAlchemy's core.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Protocol, TypeAlias

from sqlalchemy import (
    URL,
    ColumnElement,
    CompoundSelect,
    Connection,
    Delete,
    Engine,
    Insert,
    Select,
    Table,
    Update,
    make_url,
)
from sqlalchemy.exc import ArgumentError, DBAPIError

from fleetnet_server.errors import StorageError
from fleetnet_server.storage import sqlite

READERS = 16  # connections that may be answering questions at the same time
OWN_READERS = 3  # beside these, for what the collector reads itself

_EXAMPLES = (
    "give one such as sqlite:////var/lib/fleetnet/fleetnet.db or postgresql+psycopg://fleetnet@db.example.com/fleetnet"
)


_Row: TypeAlias = tuple[Any, ...]
# What becomes of columns of a row that is there, given the columns of what was to be put in.
Becomes: TypeAlias = Callable[[Any], dict[str, ColumnElement[Any]]]


class Own(Protocol):
    """What the module of an engine has; the functions below say what each is for."""

    ELSEWHERE: str  # what to do about a database that is somebody else's
    ON_A_SERVER: bool  # which may stop to answer, while another takes its place

    def engines(self, url: URL, readers: int, question_s: float) -> tuple[str, Engine, Engine]: ...
    def exists(self, name: str) -> bool: ...
    def version(self, conn: Connection) -> str: ...
    def lock_tables(self, conn: Connection) -> None: ...
    def insert_new(self, table: Table) -> Insert: ...
    def insert_or_clear(self, table: Table, mark: str) -> Insert: ...
    def insert_or_set(self, table: Table, becomes: Becomes) -> Insert: ...
    def execute_rows(
        self, conn: Connection, statement: Insert | Update | Delete, keys: tuple[str, ...], rows: Sequence[_Row]
    ) -> int: ...
    def select_each(
        self, conn: Connection, statement: Select[Any] | Insert, keys: tuple[str, ...], rows: Sequence[_Row]
    ) -> list[_Row]: ...
    def hold_each(
        self, conn: Connection, statement: Select[Any], held: Table, keys: tuple[str, ...], rows: Sequence[_Row]
    ) -> list[_Row]: ...
    def select_constant(
        self, conn: Connection, statement: Select[Any] | CompoundSelect[Any], values: dict[str, Any]
    ) -> list[_Row]: ...
    def is_spread(self, conn: Connection) -> bool: ...
    def check(self, conn: Connection, name: str) -> None: ...
    def interrupt(self, connection: Any) -> None: ...  # noqa: ANN401  # the driver's own
    def contended(self, error: DBAPIError) -> bool: ...
    def translate(self, error: DBAPIError, name: str) -> StorageError | None: ...


@dataclass(frozen=True, slots=True)
class Engines:
    """A database, opened for one writer and some readers."""

    name: str  # as people know it
    writer: Engine
    readers: Engine

    def may_exist(self) -> bool:
        """False if there is certainly no such database; opening an embedded one would make it."""
        return _of(self.writer.dialect.name).exists(self.name)

    def dispose(self) -> None:
        """Close all connections, the writer's last."""
        self.readers.dispose()
        self.writer.dispose()


def engines(url: str, question_s: float = 0.0) -> Engines:
    """The engines of a database that may not exist yet. Opens nothing. Raises StorageError for a URL it cannot use.

    Who asks ends a question himself that takes longer than `question_s`; a server that outlives him is told besides.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is told as the latter
        # It may hold a password all the same, so it is not repeated.
        raise StorageError(f"--database is not a database URL; {_EXAMPLES}") from None
    if parsed.drivername in sqlite.DRIVERS and parsed.database not in (None, "", ":memory:"):
        return Engines(*sqlite.engines(parsed, READERS + OWN_READERS, question_s))
    if parsed.drivername in ("postgresql+psycopg", "postgresql") and (parsed.database or "service" in parsed.query):
        return Engines(*_of("postgresql").engines(parsed, READERS + OWN_READERS, question_s))
    shown = parsed.set(query={}).render_as_string(hide_password=True)
    raise StorageError(f"--database {shown} cannot be used by this version; {_EXAMPLES}")


def embedded(url: str) -> bool:
    """Whether the database of a URL is a file, which one process at a time may write."""
    return make_url(url).drivername in sqlite.DRIVERS


def _of(name: str) -> Own:
    if name == "sqlite":
        return sqlite
    from fleetnet_server.storage import postgresql

    return postgresql


def lock_tables(conn: Connection) -> None:
    """Keep other collectors from changing the tables' shape until the end of the transaction."""
    _of(conn.dialect.name).lock_tables(conn)


def version(conn: Connection) -> str:
    """The engine that keeps the database, and its version."""
    return _of(conn.dialect.name).version(conn)


def elsewhere(conn: Connection) -> str:
    """What to do where the database is somebody else's."""
    return _of(conn.dialect.name).ELSEWHERE


def insert_new(conn: Connection, table: Table) -> Insert:
    """An INSERT that leaves a row alone whose key is there already."""
    return _of(conn.dialect.name).insert_new(table)


def insert_or_clear(conn: Connection, table: Table, mark: str) -> Insert:
    """The same, but where the row has this mark, a column that is not 0, that is taken from it."""
    return _of(conn.dialect.name).insert_or_clear(table, mark)


def insert_or_set(conn: Connection, table: Table, becomes: Becomes) -> Insert:
    """An INSERT that changes the row whose key is there already. `becomes` must be a function of its module."""
    return _of(conn.dialect.name).insert_or_set(table, becomes)


def execute_rows(
    conn: Connection, statement: Insert | Update | Delete, keys: tuple[str, ...], rows: Sequence[_Row]
) -> int:
    """Execute a statement for each of some rows, at least one, of the values that `keys` names; the number of rows that
    it touched.

    For the hot path: what SQLAlchemy does to each row (defaults, types) costs more than the insert and is not needed,
    for drivers take int, str, bytes, bool and None as they are. `statement` must be a constant of its module, so that
    it is compiled once. No two rows may concern the same row of a table: an engine may take all at one stroke.
    """
    return _of(conn.dialect.name).execute_rows(conn, statement, keys, rows)


def execute_many(conn: Connection, statement: Insert | Update | Delete, rows: Sequence[dict[str, Any]]) -> int:
    """As execute_rows, where a few dictionaries more do not matter; all have the same keys."""
    keys = tuple(rows[0])
    values = itemgetter(*keys)
    return execute_rows(conn, statement, keys, [values(row) if len(keys) > 1 else (values(row),) for row in rows])


def select_each(
    conn: Connection, statement: Select[Any] | Insert, keys: tuple[str, ...], rows: Sequence[_Row]
) -> list[_Row]:
    """What a SELECT, or an INSERT from one that returns what it puts in, finds for each of some rows of values, in no
    order; it is written for one.

    For the hot path, as execute_rows: values come as the driver has them (a truth may be 0 or 1).
    """
    return _of(conn.dialect.name).select_each(conn, statement, keys, rows)


def hold_each(
    conn: Connection, statement: Select[Any], held: Table, keys: tuple[str, ...], rows: Sequence[_Row]
) -> list[_Row]:
    """As select_each, and what it finds of the table `held` is held until the end of the transaction. The first of the
    keys is that table's. Give the rows ascending, so that two collectors that want the same do not each hold what the
    other one waits for."""
    return _of(conn.dialect.name).hold_each(conn, statement, held, keys, rows)


def select_constant(
    conn: Connection, statement: Select[Any] | CompoundSelect[Any], values: dict[str, Any]
) -> list[_Row]:
    """What a SELECT finds that is a constant of its module, given its values by their names.

    For what every answer begins with: what SQLAlchemy does around a statement costs more than most of them do. Values
    come as the driver has them, as with select_each.
    """
    return _of(conn.dialect.name).select_constant(conn, statement, values)


def is_spread(conn: Connection) -> bool:
    """Whether the tables are spread over machines (spread.py), where a subquery that looks at a row outside of it finds
    only what lies with that row."""
    return _of(conn.dialect.name).is_spread(conn)


def check(conn: Connection, name: str) -> None:
    """Whether the database is fit for use, as far as can be told at once. Raises StorageError."""
    _of(conn.dialect.name).check(conn, name)


def on_a_server(engine: str) -> bool:
    """Whether the database is another process's, which may stop to answer, and another may take its place."""
    return _of(engine).ON_A_SERVER


def interrupt(engine: str, connection: Any) -> None:  # noqa: ANN401  # the driver's own
    """End what a connection of the driver is busy with, from another thread, without waiting: whoever uses
    it hears an error, and uses it no more. Where it is busy with nothing this may do nothing."""
    _of(engine).interrupt(connection)


def contended(error: DBAPIError) -> bool:
    """Whether another collector was in the way of this one piece of work: undone and begun anew, it may succeed."""
    return _of(_engine_of(error)).contended(error)


def translate(error: DBAPIError, name: str) -> StorageError | None:
    """The error in our words; None if it is no matter of the database's health but a mistake of ours."""
    return _of(_engine_of(error)).translate(error, name)


def _engine_of(error: DBAPIError) -> str:
    return "sqlite" if type(error.orig).__module__ == "sqlite3" else "postgresql"
