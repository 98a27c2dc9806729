"""A whole SQLite database copied while it is in use, and what belongs to it kept beside it in one file.

The copy is of one moment: one read transaction, of a connection of its own that only reads. The writer goes on
meanwhile, but its log grows until the copy is made. The file is a database like the one it came from, with one table
more; of a database that is on a server, it has that table alone.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from fleetnet_server.errors import StorageDamaged, StorageError
from fleetnet_server.storage import sqlite

# What the collector has beside its database, each under its name.
_TABLE = "backup"


def embedded(url: str) -> Path | None:
    """The file of an embedded database; None of one that is on a server."""
    parsed = make_url(url)
    return Path(str(parsed.database)) if parsed.drivername in sqlite.DRIVERS else None


def write(source: Path | None, beside: Mapping[str, bytes], to: Path) -> None:
    """Copy a database, if one is given, to a new file of mode 0600 that is on the disk when this returns, and is then
    whole. Raises StorageError; leaves nothing behind then."""
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        with _told(to), _opened(to) as copy:
            if source is not None:
                with _opened(source, readonly=True) as conn:
                    conn.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
            # At one stroke: who finds the table finds all that is to be in it.
            copy.execute("BEGIN")
            copy.execute(f"CREATE TABLE {_TABLE} (name TEXT PRIMARY KEY, content BLOB NOT NULL)")
            copy.executemany(f"INSERT INTO {_TABLE} VALUES (?, ?)", sorted(beside.items()))  # noqa: S608
            copy.execute("COMMIT")
            _check(copy, to)
        _sync(to)
        _sync(to.absolute().parent)
    except BaseException:
        to.unlink()
        raise


def beside(backup: Path) -> dict[str, bytes]:
    """What a backup has beside the database. Raises StorageDamaged if it is none, or not whole."""
    try:
        with _told(backup), _opened(backup, readonly=True) as conn:
            _check(conn, backup)
            if not conn.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (_TABLE,)).fetchall():
                raise StorageDamaged("it has no table of that kind")
            return dict(conn.execute(f"SELECT name, content FROM {_TABLE}"))  # noqa: S608
    except StorageDamaged as error:
        # Not in the words for a database that is in use: nothing is to be moved away here.
        raise StorageDamaged(
            f"{backup} is no backup made by fleetnet-server, or is damaged; nothing was changed: take another"
        ) from error


def has_database(backup: Path) -> bool:
    """Whether there is more in a backup than what stands beside a database on a server."""
    with _told(backup), _opened(backup, readonly=True) as conn:
        return bool(conn.execute("SELECT 1 FROM sqlite_schema WHERE name = 'hosts'").fetchall())


def read(backup: Path, to: Path) -> None:
    """Write the database of a backup to a file that is not there. Raises StorageError; leaves nothing behind then."""
    fresh = to.with_name(f"{to.name}.new")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        with _told(fresh), _opened(backup, readonly=True) as conn, _opened(fresh) as copy:
            conn.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
            copy.execute(f"DROP TABLE {_TABLE}")
            _check(copy, fresh)
        _sync(fresh)
        fresh.rename(to)
        _sync(to.parent)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _opened(file: Path, readonly: bool = False) -> Iterator[sqlite3.Connection]:
    uri = f"file:{quote(str(file.absolute()))}?mode={'ro' if readonly else 'rw'}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None)) as conn:
        yield conn


@contextlib.contextmanager
def _told(file: Path) -> Iterator[None]:
    """Errors of SQLite as this package's."""
    try:
        yield
    except sqlite3.Error as error:
        told = sqlite.translate(DBAPIError(None, None, error), str(file))
        raise told or StorageError(f"{file} cannot be used: {error}") from error


def _check(conn: sqlite3.Connection, file: Path) -> None:
    if conn.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise StorageDamaged(f"{file} is damaged; it was left out, and nothing was changed")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
