"""Puts down what the counts of hosts have come to, in steps that hold up nobody.

What must stay true: of each count at most one row is put down in a time of EVERY_US, whichever of several collectors
does it, and none where nothing has changed. A step is a piece of the writer's work like any other, and rests in
proportion to what it took.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from fleetnet_server.services.retention import Pace
from fleetnet_server.storage import trends
from fleetnet_server.storage.database import Connection, Database

EVERY_US: Final = 300_000_000
# Of one host as many counts change as its sockets have protocols and states: ten or so.
_HOSTS_AT_ONCE: Final = 50


class Trends:
    """One per collector."""

    def __init__(self, db: Database, rest: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """`rest` is given seconds."""
        self._db = db
        self._rest = rest
        self._pace = Pace()

    async def round(self, now: Callable[[], int]) -> int:
        """Put down what has changed since the time began in which now, in microseconds, is; how many rows. Raises
        StorageError, and then goes on another time."""
        since_us = now() // EVERY_US * EVERY_US
        changed = await self._db.read(trends.changed, since_us, now())
        put = 0
        for at in range(0, len(changed), _HOSTS_AT_ONCE):
            some = changed[at : at + _HOSTS_AT_ONCE]
            rows, took_s = await self._db.write(_timed, some, since_us, now(), rows=len(some))
            put += rows
            await self._rest(self._pace.rest_s(rows, took_s))
        return put


def _timed(conn: Connection, host_ids: list[int], since_us: int, now_us: int) -> tuple[int, float]:
    began_s = time.perf_counter()
    return trends.put_down(conn, host_ids, since_us, now_us), time.perf_counter() - began_s
