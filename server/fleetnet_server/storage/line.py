"""The writer's line to its database: how long it has waited at the other end, and hanging up.

A server may stop to answer without being gone: its machine is frozen, its disk hangs, its standby is awaited. Where
another has taken its place meanwhile, only a new connection finds that. What must stay true: who hangs up has stored
nothing that he knows of; what was committed all the same is known by its sequence when it comes again. Each time in
turn it waits twice as long, for a server that only waits keeps all that was ever begun.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Engine, event

from fleetnet_server.storage import dialect

# Some hundred times what the largest groups take.
COMMIT_S: Final = 60.0


class Line:
    """Of one writer, whose engine has one connection."""

    def __init__(self, engine: Engine) -> None:
        """Blocks: it connects, if nobody has."""
        self._name = engine.dialect.name
        self._connection: Any = None
        self._since_s: float | None = None
        self._at_most_s = COMMIT_S
        self._hung_up = False
        self._lock = threading.Lock()
        event.listen(engine, "connect", self._connected)
        held = engine.raw_connection()
        self._connected(held.dbapi_connection)
        held.close()

    def _connected(self, connection: object, _record: object = None) -> None:
        with self._lock:
            self._connection = connection

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Around all that is done with the database for one commit."""
        with self._lock:
            self._since_s, self._hung_up = time.monotonic(), False
        try:
            yield
            self._at_most_s = COMMIT_S
        finally:
            with self._lock:
                self._since_s = None

    def waited_s(self) -> float:
        """For how long it has been at one commit; 0 while at none."""
        since_s = self._since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def hang_up_if_overdue(self) -> None:
        """Never waits."""
        with self._lock:
            if self._hung_up or not dialect.on_a_server(self._name) or self.waited_s() < self._at_most_s:
                return
            self._hung_up = True
            self._at_most_s *= 2
            # Within the lock, for the next commit may have begun after it.
            dialect.interrupt(self._name, self._connection)

    def hang_up(self) -> None:
        """Never waits; does nothing where nobody is at the other end."""
        with self._lock:
            if dialect.on_a_server(self._name):
                dialect.interrupt(self._name, self._connection)
