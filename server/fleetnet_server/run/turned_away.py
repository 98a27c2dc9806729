"""How often somebody was turned away from administration is logged as long as the collector runs, and at its end."""

from typing import NoReturn

from fleetnet_server.run.rounds import tried
from fleetnet_server.services.health import Health
from fleetnet_server.services.turned_away import TurnedAway

_NOT_DONE = "who was turned away from administration is not logged"


async def keep_logging(turned_away: TurnedAway, health: Health) -> NoReturn:
    """Until cancelled."""
    while True:
        await turned_away.due()
        await tried(turned_away.put_down(), health, _NOT_DONE)


async def log_the_rest(turned_away: TurnedAway, health: Health) -> None:
    """Nobody comes any more."""
    await tried(turned_away.put_down(at_once=True), health, _NOT_DONE)
