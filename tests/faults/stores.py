"""The collector's database as the faults and the judge reach it: SQLite or PostgreSQL, each by a way of its own.

Beside the collector and never through it. The witness is a trigger: it fires inside the transaction that stores a
batch, so it says what was stored and how often, whatever the collector believes.
"""

import contextlib
import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psycopg
from server.postgresql import Server
from server.standbys import Pair

Rows = list[tuple[Any, ...]]

_TABLE = (
    "CREATE TABLE faults_stored (number {number} PRIMARY KEY, host_id BIGINT, epoch BIGINT, was BIGINT, is_now BIGINT)"
)
_INSERT = (
    "INSERT INTO faults_stored (host_id, epoch, was, is_now) "
    "VALUES (NEW.host_id, NEW.epoch, OLD.last_sequence, NEW.last_sequence)"
)
_TRIGGER = "CREATE TRIGGER faults_witness AFTER UPDATE OF last_sequence ON sessions"
_WAL_WRITE_LOCK = 120  # byte of the -shm file: https://www.sqlite.org/walformat.html, WAL locks


class Store(Protocol):
    """A database."""

    @property
    def options(self) -> tuple[str, ...]:
        """What the collector is told to use it."""

    def witness(self) -> None:
        """Have it write down each batch that it stores. The collector must have made its tables and must not run."""

    def moment(self) -> contextlib.AbstractContextManager["Questions"]:
        """Questions that are all answered as of one moment."""

    def lock(self) -> bool:
        """Hold what a writer needs, as another process would that writes for long; False where that is not free."""

    def unlock(self) -> None:
        """Let go of it."""

    def kill(self) -> bool:
        """End it at once; False where it is no process of its own."""

    def start(self) -> None:
        """Start it again."""

    def remove(self) -> None:
        """Leave nothing of it."""


class Questions(Protocol):
    """See `Store.moment`."""

    def ask(self, sql: str, *values: object) -> Rows:
        """All rows; `?` stands for a value."""


class SqliteStore:
    """The file in the collector's data directory."""

    options: tuple[str, ...] = ()

    def __init__(self, data: Path) -> None:
        self._path = data / "fleetnet.db"
        self._held: Any = None

    def witness(self) -> None:
        with contextlib.closing(sqlite3.connect(self._path)) as opened:
            opened.executescript(f"{_TABLE.format(number='INTEGER')}; {_TRIGGER} FOR EACH ROW BEGIN {_INSERT}; END;")

    @contextlib.contextmanager
    def moment(self) -> Iterator[Questions]:
        # Read-only and by another process than the collector, so nothing is checkpointed and no lock of it dropped.
        with contextlib.closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30.0)) as opened:
            opened.execute("BEGIN")
            yield _Sqlite(opened)

    def lock(self) -> bool:
        path = self._path.with_name("fleetnet.db-shm")
        if not path.exists():
            return False
        file = path.open("r+b")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _WAL_WRITE_LOCK)
        except OSError:  # the collector is writing
            file.close()
            return False
        self._held = file
        return True

    def unlock(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def kill(self) -> bool:
        return False

    def start(self) -> None:
        pass

    def remove(self) -> None:
        self.unlock()


class _Sqlite:
    def __init__(self, opened: sqlite3.Connection) -> None:
        self._opened = opened

    def ask(self, sql: str, *values: object) -> Rows:
        return self._opened.execute(sql, values).fetchall()


class PostgresqlStore:
    """A server of its own on a unix socket."""

    def __init__(self) -> None:
        self._only = Server()
        self._holder: psycopg.Connection[Any] | None = None

    @property
    def _server(self) -> Server:
        return self._only

    @property
    def options(self) -> tuple[str, ...]:
        return ("--database", self._server.url())

    def witness(self) -> None:
        self._server.execute(
            _TABLE.format(number="BIGSERIAL"),
            "CREATE FUNCTION faults_witness() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_INSERT}; RETURN NULL; END $$",
            f"{_TRIGGER} FOR EACH ROW EXECUTE FUNCTION faults_witness()",
        )

    @contextlib.contextmanager
    def moment(self) -> Iterator[Questions]:
        with self._connect() as opened:
            opened.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield _Postgresql(opened)

    def lock(self) -> bool:
        self._holder = self._connect()
        try:
            self._holder.execute("LOCK TABLE hosts IN EXCLUSIVE MODE NOWAIT")
        except psycopg.Error:
            self.unlock()
            return False
        return True

    def unlock(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    def kill(self) -> bool:
        self._server.kill()
        return True

    def start(self) -> None:
        self._server.start()

    def remove(self) -> None:
        self.unlock()
        self._server.remove()

    def _connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self._server.conninfo())


class FailoverStore(PostgresqlStore):
    """A server with a standby, which takes its place when it is killed."""

    def __init__(self) -> None:
        self._pair = Pair()
        self._holder = None

    @property
    def _server(self) -> Server:
        return self._pair.primary

    @property
    def options(self) -> tuple[str, ...]:
        return ("--database", self._pair.local_url())

    def start(self) -> None:
        self._pair.fail_over()

    def remove(self) -> None:
        self.unlock()
        self._pair.remove()


class _Postgresql:
    def __init__(self, opened: "psycopg.Connection[Any]") -> None:
        self._opened = opened

    def ask(self, sql: str, *values: object) -> Rows:
        return self._opened.execute(sql.replace("?", "%s").encode(), values).fetchall()
