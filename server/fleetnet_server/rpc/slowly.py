"""Who is refused again and again on the report port hears so late: refused at once it asks again at once, and what gRPC
does for each call keeps all others waiting. As rpc/enroll.py does it for strangers.

What must stay true: whoever is refused now and then hears so at once; so many calls wait at most, for each takes
memory, and beyond that all hear at once; the table of those who were refused is bounded by those who have a certificate
of the fleet.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from fleetnet_server.services.buckets import Buckets

AT_ONCE: Final = 30
_PER_S: Final = 0.5
WAIT_S: Final = 1.0
MOST_WAITING: Final = 256


class Slowly:
    """One per collector."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of = Buckets[str](_PER_S, AT_ONCE)
        self._waiting = 0

    async def refused(self, who: str) -> None:
        """Somebody is refused something: wait before it is said, if that is too often."""
        if self._of.spend_one(who, self._clock()) or self._waiting >= MOST_WAITING:
            return
        self._waiting += 1
        try:
            # Not all of those who wait come back at one moment, which would keep others for as long as they are many.
            await asyncio.sleep(WAIT_S * random.uniform(0.5, 1.5))  # noqa: S311  # only jitter
        finally:
            self._waiting -= 1
