"""The rounds in which a collector puts down what counts have come to, for as long as it runs."""

import asyncio
from typing import Final, NoReturn

from fleetnet_server import microseconds
from fleetnet_server.run.rounds import tried
from fleetnet_server.services.health import Health
from fleetnet_server.services.trends import EVERY_US, Trends

_AGAIN_S: Final = 60.0  # after one that failed


async def keep_putting_down(trends: Trends, health: Health) -> NoReturn:
    """Until cancelled, once in each time of EVERY_US."""
    while True:
        await asyncio.sleep((EVERY_US - microseconds.now() % EVERY_US) / 1e6)
        while True:
            putting_down = trends.round(microseconds.now)
            _, works = await tried(putting_down, health, "what counts have come to could not be put down")
            if works:
                break
            await asyncio.sleep(_AGAIN_S)
