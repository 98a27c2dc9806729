"""How often one host or person may have a certificate renewed.

Each renewal is a signature and a commit, which everybody else waits for, and puts an end to the certificate before. A
machine renews once in days, a person once in weeks; some more are let be at once, for an answer may be lost and asked
for again.

What must stay true: this is asked only for who has shown a certificate of the fleet, so that the table is bounded.
"""

import time
from collections.abc import Callable
from typing import Final

from fleetnet_server.errors import TooMuchAtOnce
from fleetnet_server.services.buckets import Buckets

AT_ONCE: Final = 5
A_MINUTE: Final = 1


class RenewalBudget:
    """What was renewed lately, by this collector."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of = Buckets[str](A_MINUTE / 60, AT_ONCE)

    def spend(self, name: str) -> None:
        """The one of this name renews. Raises TooMuchAtOnce where it has done so too often."""
        if not self._of.spend_one(name, self._clock()):
            raise TooMuchAtOnce(
                f"{name} has asked for a new certificate {AT_ONCE} times within minutes; use the newest, and come back "
                "in a minute"
            )
