"""How many hosts there are, for monitoring."""

from typing import Final

from fleetnet_server.storage import certificates, hosts
from fleetnet_server.storage.database import Database

# One is renewed with ten days left at the latest (identity/certificates.py): with less than a week it was not.
ENDING_US: Final = 7 * 86_400_000_000


async def counts(db: Database) -> tuple[int, int]:
    """Active hosts, and how many of them have been heard whole. Raises StorageError."""
    return await db.read(hosts.count)


async def ending(db: Database, now_us: int) -> list[str]:
    """The hosts whose certificates end within a week, for they did not renew them. Raises StorageError."""
    return await db.read(certificates.ending, now_us, now_us + ENDING_US)
