"""What is done to a collector's database, or looked up in it, from the command line."""

import asyncio
import datetime
from collections.abc import Iterator

from fleetnet_server.config import Config
from fleetnet_server.errors import StartRefused
from fleetnet_server.logs import escaped
from fleetnet_server.run.directory import prepare
from fleetnet_server.storage import counts, hosts
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.inspection import inspect
from fleetnet_server.storage.migrate import steps_after

_HOSTS_AT_ONCE = 100


def migrate(config: Config, *, only_plan: bool, recount: bool = False) -> Iterator[str]:
    """Bring the tables up to date, as `run` does when it starts; first a line for each step of that, then one for how
    they are. With `recount`, what is open is counted anew. Raises StartRefused, StorageError."""
    if not config.data.is_dir():
        raise StartRefused(f"there is no directory {config.data}; give the one that the collector runs on with --data")
    database = inspect(config.database)
    due = steps_after(database.step)
    for number, sentence in due:
        yield f"step {number}: {sentence}"
    if only_plan:
        if recount:
            yield "what hosts hold open would be counted anew"
        yield f"{len(due)} steps are due; nothing was changed" if due else "the database is up to date"
        return
    lock = prepare(config.data)
    try:
        counted = asyncio.run(_brought_up(config, recount=recount))
    finally:
        lock.release()
    if recount:
        yield f"what hosts hold open was counted anew (hosts: {counted})"
    yield "the database is up to date"


async def _brought_up(config: Config, *, recount: bool) -> int:
    database = Database.open(config.database)
    try:
        host_ids = [host_id for host_id, _ in await database.read(hosts.all_heard)] if recount else []
        for at in range(0, len(host_ids), _HOSTS_AT_ONCE):
            await database.write(counts.recount, sorted(host_ids)[at : at + _HOSTS_AT_ONCE])
        return len(host_ids)
    finally:
        await database.close()


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
