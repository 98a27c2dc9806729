"""How the database is doing, as the collector's rooms met it: said once per change, and fatal when it is damaged.

Whoever gets a StorageError reports it here. Nothing is decided from it but the log, what monitoring is told, and the
collector's own end: each
request is judged by its own outcome, so that work goes on by itself as soon as there is room on the disk again.
"""

import asyncio
import time
from typing import Final

import structlog

from fleetnet_server.errors import AnswerGivenUp, StorageDamaged, StorageError

_log = structlog.get_logger()


STILL_S: Final = 180.0
"""Every agent beats once a minute: if hosts are connected and nothing was stored for this long, something hangs."""

SLOW_S: Final = 20.0
"""No commit takes that long but where the database hangs, or has far too much to do."""


class Health:
    """One per collector, on its event loop."""

    def __init__(self) -> None:
        # The last trouble as a sentence; empty while all is well.
        self._trouble = ""
        self._worked_at_s = time.monotonic()
        self.damaged: asyncio.Future[StorageDamaged] = asyncio.get_running_loop().create_future()

    def failed(self, error: StorageError) -> None:
        """The database refused something."""
        if isinstance(error, AnswerGivenUp):
            return  # that one answer was too much says nothing of others, nor of what hosts report
        if isinstance(error, StorageDamaged) and not self.damaged.done():
            self.damaged.set_result(error)
        if str(error) != self._trouble:
            self._trouble = str(error)
            _log.error("storage failed", error=self._trouble)

    def works(self) -> None:
        """The database has just stored something."""
        self._worked_at_s = time.monotonic()
        if self._trouble:
            self._trouble = ""
            _log.info("storage works again")

    def wrong(self, connected: int, waited_s: float = 0.0) -> str:
        """What keeps data from moving while this many hosts are connected and one commit has taken so long, in a
        sentence; empty where nothing does."""
        if self._trouble:
            return self._trouble
        if waited_s > SLOW_S:
            return f"the database has been at one commit for {waited_s:.0f} s; look at its server, or at the disk"
        still_s = time.monotonic() - self._worked_at_s
        if connected and still_s > STILL_S:
            return f"{connected} hosts are connected, and nothing has been stored for {still_s:.0f} s"
        return ""
