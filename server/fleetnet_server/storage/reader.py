"""One reading of the database in one snapshot, taken a page at a time.

What must stay true: steps of one reading never run at the same time, whoever calls; a reading that is closed while a
step runs ends right after it; the connection goes back exactly once, and never to another question while somebody may
still interrupt this one. A reading that nobody continues would keep the WAL from shrinking, so its owner closes it
after a while (database.py).
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from fleetnet_server.errors import AnswerGivenUp
from fleetnet_server.storage import dialect

T = TypeVar("T")


class Reading(Generic[T]):
    """The pages of a generator over a read-only snapshot, of which what it returns is the last. All methods but
    `interrupt` and `used_s` block: call them in a reader thread."""

    def __init__(self, engine: Engine, begin: Callable[[Connection], Iterator[T]]) -> None:
        self._engine = engine
        self._begin = begin
        self._lock = threading.Lock()
        self._conn: Connection | None = None
        self._pages: Iterator[T] | None = None
        self.given_up = ""  # why; empty while it goes on
        self.ended = False  # there is no other page, and it is closed
        self._began_s: float | None = None  # of the step that is running
        self._used_s = 0.0  # by the steps before
        # What a step talks to the database through, while it may be interrupted; a lock of its own, held for a moment.
        self._talking: Any = None
        self._talks = threading.Lock()

    def used_s(self) -> float:
        """How long its steps have taken by now."""
        began_s = self._began_s
        return self._used_s + (0.0 if began_s is None else time.monotonic() - began_s)

    def step(self) -> tuple[T] | None:
        """The next page in a tuple of one, or None if there is none. Raises AnswerGivenUp after `interrupt`."""
        with self._lock:
            self._began_s = began_s = time.monotonic()
            try:
                return self._step()
            finally:
                with self._talks:
                    self._talking = None
                    self._used_s += time.monotonic() - began_s
                    self._began_s = None

    def _step(self) -> tuple[T] | None:
        if self.ended:
            return None
        first = self._pages is None
        try:
            return self._next()
        except DBAPIError as error:
            if self.given_up:
                raise AnswerGivenUp(self.given_up) from error
            # The server was restarted, or another has taken its place, while the connection lay idle: nothing of the
            # answer has been told, so it may begin with another connection.
            if not (first and error.connection_invalidated):
                raise
            self._let_go()
        return self._next()

    def _next(self) -> tuple[T] | None:
        if self._conn is None:
            self._conn = self._engine.connect()
            self._pages = None
        with self._talks:
            self._talking = self._conn.connection.dbapi_connection
            if self.given_up:
                raise AnswerGivenUp(self.given_up)
        if self._pages is None:
            self._conn.begin()
            self._pages = self._begin(self._conn)
        try:
            return (next(self._pages),)
        except StopIteration as end:
            # At once, for each way to a reader thread and back takes time.
            self.ended = True
            self._let_go()
            return None if end.value is None else (end.value,)

    def interrupt(self, why: str) -> bool:
        """Refuse to go on, for this reason, and have the step that is running end; True if none is. Never waits. To be
        called again until it is true: between two statements of a step there may be nothing to interrupt."""
        with self._talks:
            self.given_up = self.given_up or why
            if self._talking is not None:
                dialect.interrupt(self._engine.dialect.name, self._talking)
            return self._began_s is None

    def give_up(self, why: str) -> None:
        """Close, and refuse to go on, for this reason."""
        self.interrupt(why)
        self.close()

    def close(self) -> None:
        """Give the connection back; the second time does nothing."""
        with self._lock:
            self._pages = None
            self._let_go()

    def _let_go(self) -> None:
        if self._conn is not None:
            conn, self._conn = self._conn, None
            with self._talks:
                self._talking = None
            if self.given_up:
                # It may have been interrupted, and what is still on its way is for no other question.
                conn.invalidate()
            conn.close()
