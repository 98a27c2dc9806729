"""How many hosts there are, for monitoring."""

from fleetnet_server.storage import hosts
from fleetnet_server.storage.database import Database


async def counts(db: Database) -> tuple[int, int]:
    """Active hosts, and how many of them have been heard whole. Raises StorageError."""
    return await db.read(hosts.count)
