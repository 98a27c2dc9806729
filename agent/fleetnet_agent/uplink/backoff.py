"""How long to wait before the next attempt: full jitter, drawn after the cap.

What must stay true: the delay is drawn uniformly from zero to the capped bound, so that a fleet that lost its collector
at one moment does not come back at one moment; and only an acknowledgement makes the bound small again, for a collector
that accepts connections and dies of them must not be called ever faster.
"""

import random
from typing import Final

BASE_S: Final = 0.5
CAP_S: Final = 50.0  # a minute after a collector is back all have something stored, the connecting included
MAX_FLOOR_S: Final = 3600.0  # no collector sends its agents away for longer


class Backoff:
    """Delays of one agent."""

    def __init__(self, draw: random.Random, base_s: float = BASE_S, cap_s: float = CAP_S) -> None:
        self._draw = draw
        self._base_s = base_s
        self._cap_s = cap_s
        self._failures = 0

    def acknowledged(self) -> None:
        """The collector stored something: the next failure is the first."""
        self._failures = 0

    def after_failure(self, floor_s: float = 0.0) -> float:
        """Seconds to wait now; never under `floor_s`, with the jitter on top of it."""
        bound_s = min(self._cap_s, self._base_s * 2.0 ** min(self._failures, 64))
        self._failures += 1
        return min(max(floor_s, 0.0), MAX_FLOOR_S) + self._draw.uniform(0.0, bound_s)

    def after_refusal(self) -> float:
        """Seconds to wait when the collector refuses this host: somebody has to act first, so no hurry."""
        self._failures += 1
        return self._draw.uniform(self._cap_s / 2, self._cap_s)
