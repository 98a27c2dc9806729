"""The CAs of a test's fleet, as a collector begins with them."""

import datetime
from pathlib import Path

from fleetnet_server.identity import ca
from fleetnet_server.identity.keyring import Keyring
from fleetnet_server.records import TrustedAuthority
from fleetnet_server.services.authorities import Authorities
from fleetnet_server.storage import authorities
from fleetnet_server.storage.database import Database


def only_one(db: Database, directory: Path, now: datetime.datetime) -> Authorities:
    """That of a directory, made if it is not there; the database does not know of it yet."""
    authority = ca.open_authority(directory, now)
    return Authorities(db, Keyring(directory), (TrustedAuthority(authorities.ISSUING, authority.der, 0),))


async def trusting(db: Database, directory: Path, now: datetime.datetime) -> Authorities:
    """The same, and those of the database where it knows of some already."""
    der = ca.open_authority(directory, now).der
    trusted = await db.write(authorities.adopt, der, int(now.timestamp() * 1e6))
    return Authorities(db, Keyring(directory), trusted)
