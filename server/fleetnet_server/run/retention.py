"""The rounds in which a collector deletes what is too old, for as long as it runs."""

import asyncio
import time
from typing import Final, NoReturn

import structlog

from fleetnet_server.errors import StorageError
from fleetnet_server.logs import failure
from fleetnet_server.services.health import Health
from fleetnet_server.services.retention import Retention

# Agents that have just lost this collector come back first.
_FIRST_S: Final = 5.0
EVERY_S: Final = 3600.0
_AGAIN_S: Final = 60.0  # after one that failed

_log = structlog.get_logger()


async def keep_clearing(retention: Retention, health: Health) -> NoReturn:
    """Until cancelled. What fails is tried again, for history that grows ends nothing else."""
    await asyncio.sleep(_FIRST_S)
    while True:
        began_s, rest_s = time.monotonic(), EVERY_S
        try:
            deleted = await retention.round(time.time_ns() // 1_000)
        except StorageError as error:
            rest_s = _AGAIN_S
            health.failed(error)
        except Exception as error:  # whatever it is, it must not be the last that is heard of this
            _log.error("what is too old could not be deleted for a mistake of the collector's", **failure(error))
        else:
            if deleted:
                _log.info("deleted what is too old", seconds=round(time.monotonic() - began_s), **deleted)
        await asyncio.sleep(rest_s)
