"""What is done to a collector's database while the collector does not run."""

import asyncio

from fleetnet_server.config import Config
from fleetnet_server.run.directory import prepare
from fleetnet_server.storage.database import Database


def migrate(config: Config) -> None:
    """Bring the tables up to date, as `run` does when it starts. Raises StartRefused, StorageError."""
    lock = prepare(config.data)
    try:
        asyncio.run(Database.open(config.database).close())
    finally:
        lock.release()
