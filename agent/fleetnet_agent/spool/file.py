"""The spool's SQLite file: its tables, opening and checking it.

What must stay true: every error of SQLite leaves here as a SpoolError; a transaction is on the disk when it returns
(synchronous=FULL); one process at a time has the file, until it closes it; the file is its owner's alone, and never
larger than was allowed. Its write-ahead log, which goes when the file is closed, comes to that: LOG_SHARE of it (within
LOG_PAGES) and the last transaction.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from fleetnet_agent import failpoints
from fleetnet_agent.spool.errors import SpoolDamagedError, SpoolError, SpoolUnavailableError
from fleetnet_agent.spool.paths import NAME, all_of

APPLICATION: Final = 0x666E7370  # "fnsp"
SCHEMA: Final = 1
PAGE_BYTES: Final = 4096
LEAST_PAGES: Final = 64
LOG_SHARE: Final = 8
LOG_PAGES: Final = (64, 1000)  # the latter is SQLite's own; each return to the file costs two more fsyncs
_CACHE_KIB: Final = 1024
_DAMAGED_CODES: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

TABLES: Final = """
-- One row: the boot, the last look that is kept, and for how long was looked in all.
CREATE TABLE standing (
    id INTEGER PRIMARY KEY CHECK (id = 1), boot BLOB, look_us INTEGER, look_boottime_us INTEGER, kept_us INTEGER
);
-- A time without a collector. `to_us` is NULL until a collector has stored a snapshot that declares it.
CREATE TABLE segment (id INTEGER PRIMARY KEY AUTOINCREMENT, from_us INTEGER NOT NULL, to_us INTEGER);
-- Each time that a snapshot declared it, stored or not: all of them are withdrawn at the end.
CREATE TABLE declared (id INTEGER PRIMARY KEY, segment INTEGER NOT NULL, from_us INTEGER, to_us INTEGER);
-- What is open at the last look, by the bytes of its SocketKey. `body` is a row as in rows.py, or NULL for what was
-- open, and told, when the segment began. `stand` stands for state and addresses.
CREATE TABLE open (
    name BLOB PRIMARY KEY, stand INTEGER NOT NULL, body BLOB, checksum INTEGER NOT NULL
) WITHOUT ROWID;
-- Ends of what was open and told when the segment began: a ClosedSocket each.
CREATE TABLE ended (
    id INTEGER PRIMARY KEY, segment INTEGER NOT NULL, boot BLOB NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL
);
-- Intervals that began in the segment: rows as in rows.py, compressed. `kept_us` is how long was looked in all before.
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY, segment INTEGER NOT NULL, boot BLOB NOT NULL, from_us INTEGER NOT NULL,
    to_us INTEGER NOT NULL, kept_us INTEGER NOT NULL, raw_bytes INTEGER NOT NULL, body BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
-- Times about which nothing is known, to be declared with the next snapshot.
CREATE TABLE gap (id INTEGER PRIMARY KEY, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, reason TEXT NOT NULL);
"""


class SpoolFile:
    """An open spool. Not thread-safe, but not bound to one thread."""

    def __init__(self, directory: Path, most_bytes: int) -> None:
        """Open it, or make it. Raises SpoolDamagedError, SpoolUnavailableError."""
        self._path = directory / NAME
        with _translated():
            is_new = _make_private(self._path)
            self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            with _translated():
                self._prepare(most_bytes)
        except BaseException as error:
            self.close()
            if is_new and not _is_anothers(error):
                self.remove()  # there is nothing in it, and it would look as if something was kept
            raise

    def run(self, sql: str, *values: object) -> list[Any]:
        """All rows of one statement."""
        with _translated():
            return self._connection.execute(sql, values).fetchall()

    def many(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        """One statement for each of the rows."""
        with _translated():
            self._connection.executemany(sql, rows)

    def each(self, sql: str, *values: object) -> Iterator[Any]:
        """Rows of a question, a few at a time: the table may be large. To be used up before anything is written."""
        with _translated():
            yield from self._connection.execute(sql, values)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is run inside is on the disk afterwards, or none of it."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            failpoints.reached("spool-before-fsync")
            self.run("COMMIT")
            failpoints.reached("spool-after-fsync")
        except BaseException:
            with contextlib.suppress(SpoolError):
                self.run("ROLLBACK")
            raise

    def used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        [(pages,)], [(free,)] = self.run("PRAGMA page_count"), self.run("PRAGMA freelist_count")
        return int(pages - free) * PAGE_BYTES

    def close(self) -> None:
        """Let go of it."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def remove(self) -> None:
        """Close it, and leave nothing of it."""
        self.close()
        for path in all_of(self._path):
            path.unlink(missing_ok=True)

    def _prepare(self, most_bytes: int) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run(f"PRAGMA page_size = {PAGE_BYTES}")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA cache_size = -{_CACHE_KIB}")
        run("PRAGMA temp_store = MEMORY")
        most_pages = max(LEAST_PAGES, most_bytes // PAGE_BYTES)
        log_pages = min(max(LOG_PAGES[0], most_pages // LOG_SHARE), LOG_PAGES[1])
        run(f"PRAGMA max_page_count = {most_pages}")
        run(f"PRAGMA wal_autocheckpoint = {log_pages}")
        run(f"PRAGMA journal_size_limit = {log_pages * PAGE_BYTES}")
        run("BEGIN EXCLUSIVE")
        (application,), (schema,) = (run(f"PRAGMA {what}").fetchone() for what in ("application_id", "user_version"))
        if (application, schema) == (0, 0) and not run("SELECT 1 FROM sqlite_schema").fetchone():
            for statement in TABLES.split(";"):
                run(statement)
            run("INSERT INTO standing VALUES (1, NULL, 0, 0, 0)")
            run(f"PRAGMA application_id = {APPLICATION}")
            run(f"PRAGMA user_version = {SCHEMA}")
        elif (application, schema) != (APPLICATION, SCHEMA):
            raise SpoolDamagedError(f"it is of another program or version ({application:x}, {schema})")
        run("COMMIT")
        (verdict,) = run("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise SpoolDamagedError(f"it is damaged: {verdict}")


def _make_private(path: Path) -> bool:
    """SQLite makes its other files with the mode of this one. True if it was not there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags | os.O_EXCL, 0o600))
    except FileExistsError:
        os.close(os.open(path, flags, 0o600))
        return False
    return True


def _is_anothers(error: BaseException) -> bool:
    """Whether it failed because another process has the file."""
    return getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED_CODES:
            raise SpoolDamagedError(f"it is damaged: {error}") from error
        raise SpoolUnavailableError(f"{error}") from error
    except OSError as error:
        raise SpoolUnavailableError(f"{error.strerror}") from error
