"""Who may open a stream now: a fleet that lost its collector comes back at one moment, and each stream costs the
database a transaction and a snapshot.

So many are let in a second, and so many are at work at once: an arrival is over when its host has told everything. A
collector that is slower than its rate (few cores, a slow disk, large hosts) so lets in as many as it gets through, and
those who are in are done soon; taking all of them in would make all of them late. A few more wait in line; the rest are
told when to come back, each at a time of its own, which is when those before it will be through.

What must stay true: a host has one place at most, however often it comes, and for no longer than one arrival may take.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

from fleetnet_server.services.buckets import Bucket
from fleetnet_server.services.load import Load
from fleetnet_server.services.quotas import Quotas

_LINE_S = 2.0
# Nobody is sent away for longer: who knows how many of those before it come at all.
_AWAY_AT_MOST_S = 600.0
_JITTER_S = 1.0
# More than these at once do not go faster, whatever the machine; a host that takes long to tell all gives its place up.
MOST_ARRIVING = 64
ARRIVES_WITHIN_S = 3.0
# How fast they get through is what these last seconds have shown.
_PACE_S = 5.0


class Arrival:
    """A host that was let in, until it has told everything, or is gone, or comes again."""

    def __init__(self, over: Callable[[], None], before: "Arrival | None" = None) -> None:
        """In the place of the one `before`, if it has one: for what is left of its time."""
        loop = asyncio.get_running_loop()
        self._over = over
        self._until_s: float = before._until_s if before else loop.time() + ARRIVES_WITHIN_S
        self._late = loop.call_at(self._until_s, self.over)
        if before:
            before._late.cancel()

    def over(self) -> None:
        """Let the next one in. Once is enough, and more do nothing."""
        if not self._late.cancelled():
            self._late.cancel()
            self._over()


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
        self._places = asyncio.Semaphore(MOST_ARRIVING)
        self._arriving: dict[str, Arrival] = {}  # by host: who holds a place
        self._over_at_s: deque[float] = deque()
        self._closed = False

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    async def enter(self, host: str) -> Arrival | float:
        """Wait in line and be let in, or be told after how many seconds to come back."""
        if self._closed:
            return self._put_off(_JITTER_S)
        if (wait_s := self._quotas.stream(host)) > 0:
            return self._put_off(wait_s)
        now_s = self._clock()
        if (wait_s := self._bucket.spend(1, now_s)) > _LINE_S:
            self._bucket.give_back(1)
            return self._put_off(self._promise(now_s + wait_s) - now_s)
        # Whoever came before waits less, so the line keeps its order.
        await asyncio.sleep(wait_s)
        if host not in self._arriving:
            try:
                async with asyncio.timeout(_LINE_S):
                    await self._places.acquire()
            except TimeoutError:
                self._bucket.give_back(1)
                now_s = self._clock()
                return self._put_off(self._promise(now_s + _LINE_S) - now_s)
            if self._closed or host in self._arriving:  # since it waited
                self._places.release()
        if self._closed:
            return self._put_off(_JITTER_S)
        self._load.streams_admitted += 1
        arrival = self._arriving[host] = Arrival(lambda: self._arrived(host), self._arriving.get(host))
        return arrival

    def _arrived(self, host: str) -> None:
        del self._arriving[host]
        self._over_at_s.append(self._clock())
        self._forget()
        self._places.release()

    def _forget(self) -> None:
        while self._over_at_s and self._over_at_s[0] < self._clock() - _PACE_S:
            self._over_at_s.popleft()

    def _promise(self, at_least_s: float) -> float:
        """When the next of those who are sent away is to come."""
        self._promised_s = max(self._promised_s, at_least_s) + 1 / self._pace()
        return self._promised_s

    def _pace(self) -> float:
        """How many get through in a second: the rate, or what was seen of those who filled all places."""
        self._forget()
        if not self._places.locked():
            return self._per_s
        return min(self._per_s, max(1.0, len(self._over_at_s) / _PACE_S))

    def _put_off(self, after_s: float) -> float:
        self._load.streams_put_off += 1
        return min(after_s, _AWAY_AT_MOST_S) + random.uniform(0, _JITTER_S)  # noqa: S311  # only jitter
