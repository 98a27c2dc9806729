"""Ends the streams here of hosts that are kept out, and those of a machine in whose place another has joined as the
host, whichever collector was told of it.

Collectors share nothing but the database, so each reads twice a second who was kept out or let in lately. Where there
is no other collector that is done only for a while after it was told something here: a stream that was being opened
just then may not have been there yet when the others were ended.

What must stay true: nothing rests on this but how soon a stream ends, for each report is judged where it is stored. So
it does not matter that clocks of collectors differ, as long as they do by less than LATELY_S.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

from fleetnet_server import microseconds
from fleetnet_server.records import GoodCertificates
from fleetnet_server.storage import hosts
from fleetnet_server.storage.database import Database

LOOK_S: Final = 0.5
LATELY_S: Final = 600.0
_AFTERWARDS_S: Final = 10.0


class KeptOut:
    """One per collector."""

    def __init__(
        self,
        db: Database,
        end: Callable[[Collection[str]], None],
        judge: Callable[[Collection[GoodCertificates]], None],
    ) -> None:
        """`end` ends the streams of hosts of these names, where they have any, `judge` those that were opened with
        other certificates than these."""
        self._db = db
        self._end = end
        self._judge = judge
        self._told = asyncio.Event()
        self._until_s = 0.0

    def note(self, names: Collection[str]) -> None:
        """These are kept out from now on; somebody said so here."""
        self.note_joined()
        self._end(names)

    def note_joined(self) -> None:
        """Some host has joined, maybe anew."""
        self._until_s = time.monotonic() + _AFTERWARDS_S
        self._told.set()

    async def due(self) -> None:
        """Wait until it is time to look."""
        if not self._db.shared and time.monotonic() >= self._until_s:
            self._told.clear()
            await self._told.wait()
        await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """End the streams that may not be of those that were kept out or let in lately. Raises StorageError."""
        self._judge(await self._db.read(hosts.judged_since, microseconds.now() - int(LATELY_S * 1e6)))
