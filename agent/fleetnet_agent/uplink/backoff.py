"""How long to wait before the next attempt.

    1. A connection that breaks is tried again within half a second, and then within a second each, for 2.5 s: mostly
       the collector is there, or starts again.
    2. Then it may be on its way: the agent draws a place of its own in a round of 8 s, full jitter, and tries there in
       every round until 20 s have gone. A fleet that comes back in these is held by the collector's door.
    3. Then it is away. The agent draws a place in a round of CAP_S, full jitter drawn after the cap. There it tries in
       every round, one address after the other.
    4. Who was sent away comes when it was told to, a little later each time, and if nobody is there takes such a place.

What must stay true: whenever a collector comes back later than that, the next attempts of a fleet lie evenly over one
round. So a place is drawn by each agent for itself, and kept: times are reckoned from it and never from the failure
before, else a collector that accepts many and dies of them would make them come together ever after. Only an
acknowledgement makes it quick again.
"""

import math
import random
import time
from collections.abc import Callable
from typing import Final

BASE_S: Final = 0.5
QUICK: Final = 5.0  # bases, 2.5 s: a collector that was killed is there again by then, if it is started at once
NEAR: Final = 16.0  # bases, 8 s: a round while a collector may be on its way
NEAR_UNTIL: Final = 40.0  # bases, 20 s since the first failure
CAP_S: Final = 50.0  # a minute after a collector is back all have something stored, the connecting included
MAX_FLOOR_S: Final = 3600.0  # no collector sends its agents away for longer


class Backoff:
    """Delays of one agent."""

    def __init__(
        self,
        draw: random.Random,
        base_s: float = BASE_S,
        cap_s: float = CAP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._draw = draw
        self._base_s = base_s
        self._cap_s = cap_s
        self._clock = clock
        self._failures = 0
        self._sent_away = 0
        self._failed_at_s: float | None = None  # the first time; None before that
        self._tried = 0  # since it is not quick any more: addresses, at places in the round
        self._round_s = 0.0  # the present one
        self._place_s: float | None = None  # of the last attempt that was made, or is to be made, in the round

    def acknowledged(self) -> None:
        """The collector stored something: the next failure is the first."""
        self._failures = self._sent_away = self._tried = 0
        self._failed_at_s = self._place_s = None

    def after_failure(self, addresses: int = 1) -> float:
        """Seconds to wait now, where so many addresses are tried in turn."""
        now_s = self._clock()
        if self._failed_at_s is None:
            self._failed_at_s = now_s
        if now_s < self._failed_at_s + QUICK * self._base_s:
            self._failures += 1
            return self._draw.uniform(0.0, self._base_s * min(self._failures, 2))
        self._tried += 1
        if (self._tried - 1) % addresses:
            return self._draw.uniform(0.0, self._base_s)
        is_near = now_s < self._failed_at_s + NEAR_UNTIL * self._base_s
        return self._until_place(now_s, min(NEAR * self._base_s, self._cap_s) if is_near else self._cap_s)

    def after_sent_away(self, floor_s: float) -> float:
        """Seconds to wait when the collector says after how many; never under these, with the jitter on top."""
        bound_s = min(self._cap_s, self._base_s * 2.0 ** min(self._sent_away, 64))
        self._sent_away += 1
        self._failed_at_s = -math.inf
        self._tried = 1  # the other addresses come first, should the next one be dead
        return min(max(floor_s, 0.0), MAX_FLOOR_S) + self._draw.uniform(0.0, bound_s)

    def after_refusal(self) -> float:
        """Seconds to wait when the collector refuses this host: somebody has to act first, so no hurry."""
        self._failed_at_s = -math.inf
        return self._draw.uniform(self._cap_s / 2, self._cap_s)

    def _until_place(self, now_s: float, round_s: float) -> float:
        if self._place_s is None or round_s != self._round_s:
            self._place_s, self._round_s = now_s + self._draw.uniform(0.0, round_s), round_s
        else:
            # The next round at least, for a timer may be early; and none that is over, for an attempt may hang.
            rounds = max(1, math.floor((now_s - self._place_s) / round_s) + 1)
            self._place_s += rounds * round_s
        return self._place_s - now_s
