"""What a collector may ask for, and how often it is done: early looks, and snapshots on the same stream; and when the
agent tells its digest.

What must stay true: however often a collector asks, a host is not kept busy by it; what it asked for too soon is done
later, and once. Pure but for the clock.
"""

import math
import random
import time
from typing import Final

LOOK_NOW_AT_MOST_EVERY_S: Final = 0.25
SNAPSHOT_AT_MOST_EVERY_S: Final = 30.0
DIGEST_EVERY_S: Final = 600.0


class Seldom:
    """When something was done last, and whether it is wanted again."""

    def __init__(self, at_most_every_s: float) -> None:
        self._every_s = at_most_every_s
        self._done_at_s = -math.inf
        self._wanted = False

    def want(self) -> bool:
        """Somebody asks for it. False if that was known already."""
        news, self._wanted = not self._wanted, True
        return news

    def done(self) -> None:
        """It is done now; whoever asked before has it."""
        self._done_at_s = time.monotonic()
        self._wanted = False

    def due_in_s(self) -> float:
        """Seconds until it is to be done; infinite where nobody asks."""
        if not self._wanted:
            return math.inf
        return max(0.0, self._done_at_s + self._every_s - time.monotonic())


class Phase:
    """Something to be done every so often, at a time of each host's own: a fleet that connected at one moment does not
    do it at one moment."""

    def __init__(self, every_s: float, draw: random.Random) -> None:
        self._every_s = every_s
        self._draw = draw
        self._next_s = math.inf

    def begin(self) -> None:
        """The first time is somewhere in the next `every_s`."""
        self._next_s = time.monotonic() + self._draw.uniform(0, self._every_s)

    def done(self) -> None:
        """The next time is one `every_s` from now, more or less."""
        self._next_s = time.monotonic() + self._every_s * self._draw.uniform(0.9, 1.1)

    @property
    def due(self) -> bool:
        """True if it is time."""
        return time.monotonic() >= self._next_s
