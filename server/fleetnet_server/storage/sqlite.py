"""SQLite: how a file is opened, its special statements, its errors.

Facts that must be minded with it:
- Only the writer's connection writes and checkpoints; readers are opened with mode=ro. (Before SQLite 3.51.3 two
  connections that write or checkpoint at once can corrupt the WAL.)
- The connection that closes last checkpoints and deletes the WAL: that must be the writer's.
- Nothing else in this process may open and close the file, not even to read it: closing it drops the locks that
  POSIX gives per process. So the header is checked by SQLite itself.
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from fleetnet_server.errors import StorageDamaged, StorageError, StorageUnavailable
from fleetnet_server.storage.compiled import Questions
from fleetnet_server.storage.sqlite_rows import execute_rows as execute_rows
from fleetnet_server.storage.sqlite_rows import hold_each as hold_each
from fleetnet_server.storage.sqlite_rows import insert_new as insert_new
from fleetnet_server.storage.sqlite_rows import insert_or_clear as insert_or_clear
from fleetnet_server.storage.sqlite_rows import insert_or_set as insert_or_set
from fleetnet_server.storage.sqlite_rows import select_constant as select_constant
from fleetnet_server.storage.sqlite_rows import select_each as select_each

DRIVERS = ("sqlite", "sqlite+pysqlite")
ELSEWHERE = "give another file to --database"
ON_A_SERVER = False

_BUSY_S = 5.0
_PRIVATE_UMASK = 0o077
# Questions are texts of many lengths, with a place for each of the rows that are looked up: some 30 kB when they are
# prepared. Of the 128 that Python keeps for a connection few are ever used again.
_READERS_STATEMENTS = 16
# quick_check reads the whole file, about 1 s for 300 MB; a larger file is checked where it is read.
_CHECK_AT_MOST_BYTES = 128 * 1024 * 1024


def engines(url: URL, readers: int, _question_s: float) -> tuple[str, Engine, Engine]:
    """The file's name, the engine of its writer and that of its readers. Opens nothing."""
    path = Path(str(url.database))
    return str(path), _writer(path), _readers(path, readers)


def exists(name: str) -> bool:
    """Whether there is such a file; asked before it is opened, which would make it."""
    return Path(name).exists()


def version(_conn: Connection) -> str:
    """See dialect.py."""
    return f"SQLite {sqlite3.sqlite_version}"


def is_spread(_conn: Connection) -> bool:
    """Never: it is one file."""
    return False


def lock_tables(conn: Connection) -> None:
    """Nothing to do: every transaction of a writer keeps other processes from writing."""


def check(conn: Connection, name: str) -> None:
    """Whether the file is whole, as far as can be told at once. Raises StorageDamaged or what `translate` knows."""
    pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
    page_bytes = conn.exec_driver_sql("PRAGMA page_size").scalar_one()
    if pages * page_bytes > _CHECK_AT_MOST_BYTES:
        return
    finding = conn.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if finding != "ok":
        raise _damaged(name)


def interrupt(connection: sqlite3.Connection) -> None:
    """See dialect.py."""
    connection.interrupt()


def contended(_error: DBAPIError) -> bool:
    """Whether another collector was in the way of one piece of work: never, for there is no other."""
    return False


def translate(error: DBAPIError, name: str) -> StorageError | None:
    """See dialect.py."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is None:
        return None
    primary = code & 0xFF  # https://www.sqlite.org/rescode.html: the low byte of an extended code
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(name)
    # SQLite calls it an error of the disk.
    reason = "is a directory; name a file in it" if Path(name).is_dir() else _UNAVAILABLE.get(primary)
    return None if reason is None else StorageUnavailable(f"the database {name} {reason}")


_LOCKED = "is locked by another process; nothing was stored; end that process if it does not end by itself"
_UNWRITABLE = "make sure that its folder exists and that the user of fleetnet-server may write there"
_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full; nothing was stored; free some space, and it goes on by itself",
    sqlite3.SQLITE_IOERR: "cannot be used: the disk reports an error; nothing was stored; look at the disk and its log",
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: f"cannot be written; {_UNWRITABLE}",
    sqlite3.SQLITE_PERM: f"cannot be opened; {_UNWRITABLE}",
    sqlite3.SQLITE_CANTOPEN: f"cannot be opened; {_UNWRITABLE}",
}


def _damaged(name: str) -> StorageDamaged:
    return StorageDamaged(
        f"the database {name} is damaged or is no SQLite file; it has been left as it is: stop fleetnet-server, move "
        "the file away, and put a backup in its place or start afresh without"
    )


def _writer(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        # SQLite gives its -wal and -shm files the mode of the database, so the umask at its birth settles all three.
        before = os.umask(_PRIVATE_UMASK)
        try:
            return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        finally:
            os.umask(before)

    writer = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0)
    event.listen(writer, "connect", _prepare_writer)
    # IMMEDIATE: a transaction that begins by reading could not turn into a writing one while another process writes.
    event.listen(writer, "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
    return writer


def _readers(path: Path, most: int) -> Engine:
    def connect() -> sqlite3.Connection:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        return sqlite3.connect(
            uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False,
            cached_statements=_READERS_STATEMENTS,
        )  # fmt: skip

    # The one that was used last is used next: each connection has caches of its own, and those that only a crowd needs
    # are to stay as they are when it is gone.
    readers = create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=most, max_overflow=0, pool_use_lifo=True,
        execution_options={"compiled_cache": Questions()},
    )  # fmt: skip
    event.listen(readers, "connect", _prepare_reader)
    # Python's sqlite3 begins no transaction for a SELECT, and each would see another moment.
    event.listen(readers, "begin", lambda conn: conn.exec_driver_sql("BEGIN"))
    return readers


def _prepare_writer(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # what is acknowledged survives a loss of power
        "journal_size_limit = 67108864",
        "cache_size = -65536",  # KiB
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _prepare_reader(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only = 1")
