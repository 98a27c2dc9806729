"""How often to look at everything, and what to leave out, for what looking costs and what the budget allows.

What must stay true: what is left out for the budget's sake is told, as that source's standing and as a gap when it is
read again.
"""

from collections.abc import Callable, Sequence

from fleetnet_agent.budget import LOCAL, Allowance, Budget, Usage
from fleetnet_agent.followed import Followed
from fleetnet_agent.records import Gap, SourceStatus

LOOK_EVERY_S = 1.0
FULL_LOOK_SHARE = 0.04  # of the time, for full looks ahead of their interval
SHARE_BY_PROC = 0.01  # the same where other namespaces are read through /proc, at some 5 ms each
SMALL, LARGE = 2_000, 10_000  # sockets
SHORTEST_S, LONGEST_S = 1.0, 5.0  # between full looks, up to SMALL and from LARGE on
STRETCHED_AT_MOST_S = 30.0  # where reading takes more than FULL_LOOK_SHARE of that
NOT_WITHIN_BUDGET = "UNIX and packet sockets were not read, to stay within the budget"


class Pacing:
    """Says what is due, told what each look took. Not thread-safe."""

    def __init__(
        self,
        budget: Budget,
        usage: Callable[[], Usage],
        clock_us: Callable[[], int],
        share: float = FULL_LOOK_SHARE,
    ) -> None:
        """`clock_us` is CLOCK_BOOTTIME; `share` of the time may be taken by full looks ahead of their interval."""
        self._share = share
        self._budget = budget
        self._usage = usage
        self._clock_us = clock_us
        self._looked_at_us: int | None = None  # at the end of the last full look
        self._look_took_us = 0
        self._readings_took_us = (0, 0)  # of the last two full looks
        self._left_out_since_us: int | None = None

    @property
    def has_looked(self) -> bool:
        """True after the first look at everything."""
        return self._looked_at_us is not None

    @property
    def allowance(self) -> Allowance:
        """What the budget allows."""
        return self._budget.allowance

    @property
    def status(self) -> SourceStatus | None:
        """How the budget is doing; None where there is none."""
        return self._budget.status

    def looked(self, began_us: int) -> None:
        """A look at everything that began then has ended."""
        self._looked_at_us = self._clock_us()
        self._look_took_us = self._looked_at_us - began_us

    def read(self, began_us: int) -> None:
        """What the kernel says has been read, from then on."""
        self._readings_took_us = (self._readings_took_us[1], self._clock_us() - began_us)

    def interval_s(self, sockets: int) -> float:
        """See `watch.Watch.interval_s`."""
        return self._budget.stretched_s(self._asked_for_s(sockets))

    def is_over(self, sockets: int) -> bool:
        """Have what is used judged; whether memory is to be given back now."""
        return self._budget.judge(self._usage(), self._asked_for_s(sockets))

    def is_full_look_due(self, sockets: int) -> bool:
        """True if a look at everything is due by its interval."""
        if self._looked_at_us is None:
            return True
        # Half a call's distance of tolerance: the caller's clock and this one need not tick together.
        tolerance_s = LOOK_EVERY_S / 2
        return self._since_full_look_us() >= (self.interval_s(sockets) - tolerance_s) * 1_000_000

    def may_look_early(self) -> bool:
        """False while another full look, ahead of its interval, would cost too much."""
        share = self._share / self.allowance.look_factor
        return self._since_full_look_us() >= self._look_took_us / share

    def leaves_out(self, followed: Followed) -> bool:
        """True if these sockets are not to be read now."""
        return followed.protocol in LOCAL and not self.allowance.reads_local

    def left_out(self, followed: Sequence[Followed], previous_look_at_us: int, look_at_us: int) -> list[Gap]:
        """The time in which sockets were left out, once it is over. To be called once for each look."""
        since_us = self._left_out_since_us
        if any(map(self.leaves_out, followed)):
            self._left_out_since_us = since_us or previous_look_at_us or look_at_us
            return []
        self._left_out_since_us = None
        return [Gap(since_us, look_at_us, NOT_WITHIN_BUDGET)] if since_us else []

    def _asked_for_s(self, sockets: int) -> float:
        """The interval for a table of this size."""
        share = (sockets - SMALL) / (LARGE - SMALL)
        by_size_s = SHORTEST_S + (LONGEST_S - SHORTEST_S) * min(1.0, max(0.0, share))
        reading_took_us = min(self._readings_took_us)  # one alone may have been held up, and the first decodes all
        return max(by_size_s, min(STRETCHED_AT_MOST_S, reading_took_us / self._share / 1_000_000))

    def _since_full_look_us(self) -> int:
        return self._clock_us() - (self._looked_at_us or 0)
