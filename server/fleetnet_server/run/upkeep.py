"""What is done to a collector's database, or looked up in it, from the command line."""

import asyncio
import datetime
from collections.abc import Iterator

from fleetnet_server.config import Config
from fleetnet_server.errors import StartRefused
from fleetnet_server.logs import escaped
from fleetnet_server.run.directory import prepare
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.inspection import inspect
from fleetnet_server.storage.migrate import steps_after


def migrate(config: Config, *, only_plan: bool) -> Iterator[str]:
    """Bring the tables up to date, as `run` does when it starts; first a line for each step of that, then one for how
    they are. Raises StartRefused, StorageError."""
    if not config.data.exists():
        raise StartRefused(f"there is no {config.data}; give the directory that the collector runs on with --data")
    database = inspect(config.database)
    due = steps_after(database.step)
    for number, sentence in due:
        yield f"step {number}: {sentence}"
    if only_plan:
        yield f"{len(due)} steps are due; nothing was changed" if due else "the database is up to date"
        return
    lock = prepare(config.data)
    try:
        asyncio.run(Database.open(config.database).close())
    finally:
        lock.release()
    yield "the database is up to date"


def quarantined(config: Config) -> Iterator[str]:
    """A line for each report that could not be stored, collector running or not. Raises StartRefused, StorageError."""
    database = inspect(config.database)
    if not database.exists or database.step != database.newest_step:
        raise StartRefused(
            f"the database {database.name} is not there or not up to date; `fleetnet-server doctor` says more"
        )
    for report in database.set_aside:
        at = datetime.datetime.fromtimestamp(report.set_aside_at_us / 1e6, datetime.UTC)
        kept = "kept" if report.kept_bytes else "no longer kept"
        yield (
            f"{at:%Y-%m-%dT%H:%M:%SZ} {report.host} epoch {report.epoch} sequence {report.sequence} "
            f"{report.size_bytes} bytes, {kept}: {escaped(report.reason)}"
        )
