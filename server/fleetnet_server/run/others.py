"""What other collectors of the same database ask of this one, or were told, looked for as long as it runs."""

import asyncio
from typing import NoReturn

from fleetnet_server.rpc.live import LiveDesk
from fleetnet_server.run.rounds import tried
from fleetnet_server.services.health import Health
from fleetnet_server.services.kept_out import KeptOut
from fleetnet_server.services.relayed import LOOK_S


async def keep_answering_others(live: LiveDesk, health: Health, *, shared: bool) -> NoReturn:
    """Until cancelled. Where no other collector can be, nothing is looked for."""
    while True:
        await (asyncio.sleep(LOOK_S) if shared else asyncio.Event().wait())
        await tried(live.answer_others(), health, "live looks for other collectors are not made")


async def keep_ending_kept_out(kept_out: KeptOut, health: Health) -> NoReturn:
    """Until cancelled."""
    while True:
        await kept_out.due()
        await tried(kept_out.look(), health, "streams of hosts that were kept out are not ended")
