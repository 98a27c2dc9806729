"""Says of a namespace beside the own one which of its tables need not be read now, for nothing in them can have
changed since they were read last. The kernel walks over its whole table of TCP connections, that of all namespaces
together, for each namespace that asks; its counters are those of the namespace alone, and cost next to nothing.

    1. A kind of which the last reading showed none, and of which the kernel has none, is left out.
    2. So is TCP, where its counters stand as they stood before the table was read last, and its listeners, which are
       read in any case, are the same. The kernel counts before it acts, so a reading counts only if they had stood for
       SETTLES_US then: what was on its way has arrived.
    3. A socket that can change without being counted is read at every look (`inet_diag.is_calm`): one on its way in or
       out, one that waits to be accepted, one with anything in its queues.
    4. So is a table of whose sockets the kernel told an end, or of which an end waits to be explained, and every one
       while ends may be missing.
    5. What no counter shows (an owner by fchown(2), an interface by SO_BINDTODEVICE, or two processes that put
       connections there and take others away by TCP_REPAIR) is seen at the next reading, within AGAIN_US.

What must stay true: what is left out closes nothing and opens nothing, and what cannot be known is read.
"""

from collections.abc import Callable
from typing import Final

from fleetnet_agent.events import Told
from fleetnet_agent.followed import Followed
from fleetnet_agent.records import Protocol
from fleetnet_agent.sources.counts import Counts
from fleetnet_agent.sources.inet_diag import is_calm

SETTLES_US: Final = 500_000
AGAIN_US: Final = 60_000_000
_SPREAD: Final = 2_654_435_761  # of Knuth: neighbouring numbers come to lie far apart
_RANGE: Final = 2**32


class Quiet:
    """Of one namespace, from look to look. Not thread-safe."""

    def __init__(self, netns: int, clock_us: Callable[[], int]) -> None:
        """`clock_us` is CLOCK_BOOTTIME."""
        self._clock_us = clock_us
        # Between half of it and all, so that namespaces that were found together are not read together for ever.
        self._again_after_us = AGAIN_US // 2 * (_RANGE + netns * _SPREAD % _RANGE) // _RANGE
        self._counts: Counts | None = None
        self._began_us = 0  # the present look
        self._stood_since_us = 0  # when the counters of TCP were first read as they are
        self._read_at_us: int | None = None  # the table of TCP, when they had stood long enough
        self._calm: bool | None = None  # whether all of its sockets are; None before anybody asked

    def begin(self, counts: Counts | None) -> None:
        """A look begins; nothing has been read but these, None where they cannot be had."""
        self._began_us = self._clock_us()
        stand = counts is not None and self._counts is not None and counts.tcp == self._counts.tcp
        if not stand:
            self._stood_since_us = self._began_us
            self._read_at_us = None
        self._counts = counts

    def leaves_out(self, followed: Followed, told: Told) -> bool:
        """True if this one need not be read; `told` is what came up to now."""
        if (
            self._counts is None
            or not followed.was_read
            or followed.awaits_ends
            or (told.ends and told.of(followed.protocol, followed.netns))
        ):
            return False
        if followed.protocol is Protocol.TCP:
            return told.sure and self._stands(followed)
        return not len(followed) and self._counts.none_of(followed.protocol)

    def has_read(self, followed: Followed, *, whole: bool) -> None:
        """This one was read, if `whole`."""
        if followed.protocol is Protocol.TCP:
            settled = whole and self._began_us - self._stood_since_us >= SETTLES_US
            self._read_at_us = self._began_us if settled else None
            self._calm = None

    def _stands(self, followed: Followed) -> bool:
        """Steps 2, 3 and 5."""
        if self._read_at_us is None or self._began_us - self._read_at_us >= self._again_after_us:
            return False
        if self._calm is None:
            self._calm = followed.is_settled(is_calm)
        return self._calm and followed.listeners_stand()
