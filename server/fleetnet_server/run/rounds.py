"""What a collector does again and again beside its other work: what fails is tried again, and ends nothing else."""

from collections.abc import Awaitable
from typing import TypeVar

import structlog

from fleetnet_server.errors import StorageError
from fleetnet_server.logs import failure
from fleetnet_server.services.health import Health

T = TypeVar("T")

_log = structlog.get_logger()


async def tried(round: Awaitable[T], health: Health, not_done: str) -> tuple[T | None, bool]:
    """What a round came to, if it came to an end; False if the database failed. `not_done` says what else did not."""
    try:
        return await round, True
    except StorageError as error:
        health.failed(error)
        return None, False
    except Exception as error:  # whatever it is, it must not be the last that is heard of this
        _log.error(f"{not_done} for a mistake of the collector's", **failure(error))
        return None, True
