"""Who may open a stream now: a fleet that lost its collector comes back at one moment, and each stream costs the
database a transaction and a snapshot.

So many are let in a second. A few more wait in line; the rest are told when to come back, each at a time of its own,
which is when those before it will be through.
"""

import asyncio
import random
import time
from collections.abc import Callable

from fleetnet_server.services.load import Load
from fleetnet_server.services.quotas import Bucket, Quotas

_LINE_S = 2.0
# Nobody is sent away for longer: who knows how many of those before it come at all.
_AWAY_AT_MOST_S = 600.0
_JITTER_S = 1.0


class Admission:
    """The door. Nothing has been done for a host before it is through."""

    def __init__(
        self, per_second: int, quotas: Quotas, load: Load, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = float(per_second)
        self._quotas = quotas
        self._load = load
        self._clock = clock
        # A tenth of a second's worth at once: enough for one loop of the event loop, and no wave.
        self._bucket = Bucket(self._per_s, max(1.0, self._per_s / 10), clock())
        self._promised_s = 0.0
        self._closed = False

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    async def enter(self, host: str) -> float | None:
        """Wait in line and be let in (None), or be told after how many seconds to come back."""
        if self._closed:
            return self._put_off(_JITTER_S)
        if (wait_s := self._quotas.stream(host)) > 0:
            return self._put_off(wait_s)
        now_s = self._clock()
        if (wait_s := self._bucket.spend(1, now_s)) > _LINE_S:
            self._bucket.give_back(1)
            self._promised_s = max(self._promised_s, now_s + wait_s) + 1 / self._per_s
            return self._put_off(self._promised_s - now_s)
        # Whoever came before waits less, so the line keeps its order.
        await asyncio.sleep(wait_s)
        self._load.streams_admitted += 1
        return None

    def _put_off(self, after_s: float) -> float:
        self._load.streams_put_off += 1
        return min(after_s, _AWAY_AT_MOST_S) + random.uniform(0, _JITTER_S)  # noqa: S311  # only jitter
