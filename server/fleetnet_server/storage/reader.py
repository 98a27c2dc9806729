"""One reading of the database in one snapshot, taken a page at a time.

What must stay true: steps of one reading never run at the same time, whoever calls; a reading that is closed while a
step runs ends right after it; the connection goes back exactly once. A reading that nobody continues would keep the
WAL from shrinking, so its owner closes it after a while (database.py).
"""

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine

from fleetnet_server.errors import StorageUnavailable

T = TypeVar("T")


class Reading(Generic[T]):
    """The pages of a generator over a read-only snapshot. All methods block: call them in a reader thread."""

    def __init__(self, engine: Engine, begin: Callable[[Connection], Iterator[T]]) -> None:
        self._engine = engine
        self._begin = begin
        self._lock = threading.Lock()
        self._conn: Connection | None = None
        self._pages: Iterator[T] | None = None
        self._given_up = False

    def step(self) -> tuple[T] | None:
        """The next page in a tuple of one, or None at the end. Raises StorageUnavailable after `give_up`."""
        with self._lock:
            if self._given_up:
                raise StorageUnavailable("the answer was given up, for it was not read on for too long; ask again")
            if self._pages is None:
                self._conn = self._engine.connect()
                self._conn.begin()
                self._pages = self._begin(self._conn)
            for page in self._pages:
                return (page,)
            return None

    def give_up(self) -> None:
        """Close, and refuse to go on."""
        with self._lock:
            self._given_up = True
        self.close()

    def close(self) -> None:
        """Give the connection back; the second time does nothing."""
        with self._lock:
            self._pages = None
            if self._conn is not None:
                conn, self._conn = self._conn, None
                conn.close()
