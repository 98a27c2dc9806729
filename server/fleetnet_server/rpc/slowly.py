"""Who is refused again and again on the report port hears so late: refused at once it asks again at once, and what gRPC
does for each call keeps all others waiting. As rpc/enroll.py does it for strangers.

What must stay true: whoever is refused now and then hears so at once; so many calls wait at most, for each takes
memory, and beyond that all hear at once; the table of those who were refused is bounded by those who have a certificate
of the fleet.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from fleetnet_server.services.quotas import Bucket

AT_ONCE: Final = 30
_PER_S: Final = 0.5
WAIT_S: Final = 1.0
MOST_WAITING: Final = 256
_FORGET_EVERY: Final = 1_000


class Slowly:
    """One per collector."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: dict[str, Bucket] = {}
        self._forget_at = _FORGET_EVERY
        self._waiting = 0

    async def refused(self, who: str) -> None:
        """Somebody is refused something: wait before it is said, if that is too often."""
        now_s = self._clock()
        its = self._of.get(who)
        if its is None:
            if len(self._of) >= self._forget_at:
                self._of = {other: bucket for other, bucket in self._of.items() if not bucket.full(now_s)}
                self._forget_at = len(self._of) + _FORGET_EVERY
            its = self._of[who] = Bucket(_PER_S, AT_ONCE, now_s)
        if its.level(now_s) >= 1:
            its.spend(1, now_s)
            return
        if self._waiting >= MOST_WAITING:
            return
        self._waiting += 1
        try:
            await asyncio.sleep(WAIT_S)
        finally:
            self._waiting -= 1
