"""A writer that is kept busy."""

import asyncio
import threading

from fleetnet_server.storage.database import Database
from sqlalchemy import Connection


class Held:
    """Keeps the writer busy until released, so that what comes meanwhile queues up as one group."""

    def __init__(self, db: Database) -> None:
        self._begun, self._release = threading.Event(), threading.Event()
        self._task = asyncio.ensure_future(db.write(self._hold))

    def _hold(self, _conn: Connection) -> None:
        self._begun.set()
        assert self._release.wait(20)

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, 20)

    async def end(self) -> None:
        self._release.set()
        await self._task
