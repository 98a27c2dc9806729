"""Which hosts have told other collectors of the same database something, noticed by comparing.

A look that is stored moves its host's row on, whoever stores it: the rows of all hosts, read twice a second while
somebody is interested, say which hosts were heard, and the number of its stream says of each whether it was heard
here. Where a database has one collector there is nothing to notice, and nothing is read.

What must stay true: what is committed after `noticed` was entered is told, once at least.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection
from typing import Final

from fleetnet_server.errors import ServerError
from fleetnet_server.storage import hosts
from fleetnet_server.storage.database import Database

LOOK_S: Final = 0.5
# So many times as long as a look took, the next one waits at least: a database that is slow is not asked more.
_REST: Final = 4


class Elsewhere:
    """What other collectors store."""

    def __init__(self, db: Database, tell: Callable[[Collection[int]], None]) -> None:
        self._db, self._tell = db, tell
        self._here: dict[int, int] = {}  # the newest stream of each host that told us something
        self._interested = 0
        self._looking: asyncio.Task[None] | None = None
        self._known: asyncio.Future[None] | None = None

    def heard_here(self, host_id: int, generation: int) -> None:
        """What this stream of a host told was stored by this collector."""
        self._here[host_id] = generation

    @contextlib.asynccontextmanager
    async def noticed(self) -> AsyncIterator[None]:
        """While somebody is interested. Raises StorageError at its beginning."""
        if not self._db.shared:
            yield
            return
        self._interested += 1
        try:
            if self._looking is None or self._looking.done():
                self._known = asyncio.get_running_loop().create_future()
                self._looking = asyncio.create_task(self._look(self._known))
            assert self._known is not None
            await asyncio.shield(self._known)
            yield
        finally:
            self._interested -= 1
            if not self._interested and self._looking is not None:
                looking, self._looking = self._looking, None
                looking.cancel()
                # It leaves the database before this is over.
                await asyncio.wait((looking,))

    async def _look(self, known: asyncio.Future[None]) -> None:
        try:
            before = await self._db.read(hosts.reported)
        except ServerError as error:
            known.set_exception(error)
            known.exception()  # who waits for it is told, and nobody may be waiting any more
            return
        known.set_result(None)
        rest_s = LOOK_S
        while True:
            await asyncio.sleep(rest_s)
            began_s = time.monotonic()
            # What is watched asks the database too, and says itself that it cannot.
            with contextlib.suppress(ServerError):
                now = await self._db.read(hosts.reported)
                moved = dict(now.items() - before.items())
                before = now
                if heard := [host_id for host_id, (stream, _) in moved.items() if self._here.get(host_id) != stream]:
                    self._tell(heard)
            rest_s = max(LOOK_S, _REST * (time.monotonic() - began_s))
