"""The rounds in which a collector deletes what is too old, for as long as it runs."""

import asyncio
import time
from typing import Final, NoReturn

import structlog

from fleetnet_server import microseconds
from fleetnet_server.run.rounds import tried
from fleetnet_server.services.health import Health
from fleetnet_server.services.retention import Retention

# Agents that have just lost this collector come back first.
_FIRST_S: Final = 5.0
EVERY_S: Final = 3600.0
_AGAIN_S: Final = 60.0  # after one that failed; twice as long after the next

_log = structlog.get_logger()


async def keep_clearing(retention: Retention, health: Health) -> NoReturn:
    """Until cancelled. What fails is tried again, for history that grows ends nothing else."""
    await asyncio.sleep(_FIRST_S)
    again_s = _AGAIN_S
    while True:
        began_s = time.monotonic()
        clearing = retention.round(microseconds.now())
        deleted, works = await tried(clearing, health, "what is too old could not be deleted")
        if deleted:
            _log.info("deleted what is too old", seconds=round(time.monotonic() - began_s), **deleted)
        # One host may fail for good, and a round goes through all of them.
        await asyncio.sleep(EVERY_S if works else again_s)
        again_s = _AGAIN_S if works else min(2 * again_s, EVERY_S)
