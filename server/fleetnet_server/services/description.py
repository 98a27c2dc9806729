"""What a collector says of itself to whoever looks for what is wrong: its version, its clock, how long its certificates
last, of which hosts it could not store reports lately, and which it reads more slowly.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from typing import Final

from fleetnet_server import microseconds
from fleetnet_server.services.quotas import HeldBack, Quotas
from fleetnet_server.storage import quarantine
from fleetnet_server.storage.database import Database

# As long as `fleetnet-server doctor` calls them a problem.
_LATELY: Final = datetime.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Refused:
    """Reports of a host that could not be stored."""

    host: str
    reports: int
    last_at_us: int  # collector's clock
    reason: str  # of the last


@dataclass(frozen=True, slots=True)
class Described:
    """All of it; times by the collector's clock."""

    version: str
    at_us: int
    server_certificate_until_us: int
    ca_certificate_until_us: int
    refused: tuple[Refused, ...]
    held_back: tuple[HeldBack, ...]


class Description:
    """Of one collector."""

    def __init__(
        self,
        db: Database,
        quotas: Quotas,
        ca_until: Callable[[], datetime.datetime],
        server_until: Callable[[], datetime.datetime],
        clock: Callable[[], datetime.datetime],
    ) -> None:
        """Certificates change while the collector runs, so when they end is asked anew."""
        self._db = db
        self._quotas = quotas
        self._ca_until = ca_until
        self._server_until = server_until
        self._clock = clock

    async def describe(self) -> Described:
        """As it is now. Raises StorageError."""
        since_us = microseconds.of(self._clock() - _LATELY)
        kept = [one for one in await self._db.read(quarantine.listed) if one.set_aside_at_us >= since_us]
        refused = [list(some) for _, some in groupby(kept, key=lambda one: one.host)]
        return Described(
            version=version("fleetnet-server"),
            at_us=microseconds.of(self._clock()),
            server_certificate_until_us=microseconds.of(self._server_until()),
            ca_certificate_until_us=microseconds.of(self._ca_until()),
            refused=tuple(
                Refused(some[-1].host, len(some), some[-1].set_aside_at_us, some[-1].reason) for some in refused
            ),
            held_back=tuple(self._quotas.held_back()),
        )
