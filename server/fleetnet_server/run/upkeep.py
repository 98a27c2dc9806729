"""What is done to a collector's database while the collector does not run."""

import asyncio

from fleetnet_server.config import Config
from fleetnet_server.errors import StartRefused
from fleetnet_server.run.directory import prepare
from fleetnet_server.storage.database import Database


def migrate(config: Config) -> None:
    """Bring the tables up to date, as `run` does when it starts. Raises StartRefused, StorageError."""
    if not config.data.exists():
        raise StartRefused(f"there is no {config.data}; give the directory that the collector runs on with --data")
    lock = prepare(config.data)
    try:
        asyncio.run(Database.open(config.database).close())
    finally:
        lock.release()
