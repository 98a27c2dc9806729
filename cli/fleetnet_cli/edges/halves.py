"""The halves of connections, set aside until the other half may have come.

An answer comes host by host, so the other half of a connection may be a million sockets away. They wait in an SQLite
database without a name: in memory while they are few, and beyond that in a file under TMPDIR that is gone when this
process is. What must stay true: memory does not grow with their number.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from typing import NamedTuple, Self

from fleetnet_cli.errors import OutputFailed

_ROWS_A_WRITE = 1000

# Two sockets of one namespace with the same ends (SO_REUSEPORT) are one half.
_TOGETHER = """
SELECT connection, side, place, MIN(program), MAX(asked) FROM half
GROUP BY connection, side, place ORDER BY connection, side, place
"""


class Half(NamedTuple):
    """A socket of a connection."""

    side: int  # 0 or 1
    place: int  # its namespace
    end: int  # its program
    asked: bool  # it is one of those that were asked for, and not only an other half


class Halves:
    """All halves so far; close it in the end."""

    def __init__(self) -> None:
        # An empty name is a database of this connection's own (sqlite.org/inmemorydb.html, "Temporary databases").
        self._db = sqlite3.connect("", isolation_level=None)
        self._unwritten: list[tuple[bytes, int, int, int, bool]] = []
        with _explained():
            for statement in (
                "PRAGMA journal_mode = OFF",  # nothing is taken back
                "PRAGMA synchronous = OFF",
                "CREATE TABLE half (connection BLOB, side INTEGER, place INTEGER, program INTEGER, asked INTEGER)",
                "BEGIN",
            ):
                self._db.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, connection: bytes, half: Half) -> None:
        """One more half of the connection with this key."""
        self._unwritten.append((connection, *half))
        if len(self._unwritten) >= _ROWS_A_WRITE:
            self._write()

    def together(self) -> Iterator[tuple[bytes, list[Half]]]:
        """Every connection with the halves that there are of it, each namespace's once."""
        self._write()
        with _explained(), closing(self._db.execute(_TOGETHER)) as rows:
            for connection, found in groupby(rows, key=lambda row: row[0]):
                yield connection, [Half(side, place, end, bool(asked)) for _, side, place, end, asked in found]

    def _write(self) -> None:
        with _explained():
            self._db.executemany("INSERT INTO half VALUES (?, ?, ?, ?, ?)", self._unwritten)
        self._unwritten.clear()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OutputFailed(
            f"connections could not be set aside ({error}); make room for temporary files, or name another place by "
            "SQLITE_TMPDIR"
        ) from error
