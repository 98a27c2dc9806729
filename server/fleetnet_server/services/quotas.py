"""How much one host may report: so many rows and bytes a minute, and a minute's worth at once; and so many reports, for
each is some statements, whatever is in it, and of those of one host no two can be done at one stroke.

What must stay true: nothing is dropped. What has come is taken, and the host is read again only when its debt is paid;
a stream that ends and comes back finds the debt as it was. Who is held back is said: in the log, and to who asks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from fleetnet_server.limits import MIB, Limits
from fleetnet_server.services.buckets import FORGET_EVERY, Bucket, Buckets
from fleetnet_server.services.load import Load

# A host opens one stream and keeps it; one whose agent is restarted again and again may open these, and then fewer.
_STREAMS_AT_ONCE = 30.0
_STREAMS_PER_S = 0.5
# A line about a host that is slowed down, at most so often.
_QUIET_S = 600.0
# Less than this is no news.
_WORTH_A_LINE_S = 1.0
# An agent looks once a second, and at most four times where it is asked to.
_REPORTS_AT_ONCE_S = 10.0
# Who has been held back for less since it was not for so long is not worth telling of: a large host that has come back.
WORTH_TELLING_S = 30.0
_LATELY_S = 600.0
# Reports with new listeners that go before others. An agent looks for those every second.
_HURRIES_PER_S = 4.0
_HURRIES_AT_ONCE = 20.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A host that was read more slowly than it could have been, lately and by this collector."""

    host: str
    over: str  # what it last had too much of: "rows", "bytes", "reports", or "large reports"
    held_s: float  # for how long it was not read
    since_s: float  # so many seconds ago that began
    last_s: float  # and so many ago it was last


@dataclass(slots=True)
class _Host:
    rows: Bucket
    bytes_: Bucket
    reports: Bucket
    streams: Bucket
    rests_until_s: float = float("-inf")
    said_at_s: float = float("-inf")
    # Since it was not held back for _LATELY_S.
    held_s: float = 0.0
    held_since_s: float = float("-inf")
    held_last_s: float = float("-inf")
    over: str = ""

    def hold(self, for_s: float, over: str, now_s: float) -> None:
        if now_s - self.held_last_s > _LATELY_S:
            self.held_s, self.held_since_s = 0.0, now_s
        self.held_s += for_s
        self.held_last_s, self.over = now_s, over

    def owes_s(self, now_s: float) -> float:
        owed = (one.owes_s(now_s) for one in (self.rows, self.bytes_, self.reports))
        return max(0.0, self.rests_until_s - now_s, *owed)

    def held_lately(self, now_s: float) -> bool:
        return now_s - self.held_last_s <= _LATELY_S

    def forgettable(self, now_s: float) -> bool:
        rested = now_s >= self.rests_until_s and not self.held_lately(now_s)
        return rested and all(one.full(now_s) for one in (self.rows, self.bytes_, self.reports, self.streams))


class Quotas:
    """What each host has spent."""

    def __init__(self, limits: Limits, load: Load, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._load = load
        self._clock = clock
        self._hosts: dict[str, _Host] = {}
        self._forget_at = FORGET_EVERY

    def report(self, host: str, rows: int, bytes_: int, reports: int = 1) -> float:
        """A host has reported so much; seconds before it is to be read again."""
        now_s = self._clock()
        its = self._of(host, now_s)
        # What an earlier report owes is not counted again.
        owed_s = its.owes_s(now_s)
        wait_s, over = max(
            (its.rows.spend(rows, now_s), "rows"),
            (its.bytes_.spend(bytes_, now_s), "bytes"),
            (its.reports.spend(reports, now_s), "reports"),
        )
        if wait_s > 0:
            self._held(host, its, max(0.0, wait_s - owed_s), over, now_s)
        return wait_s

    def rest(self, host: str, for_s: float, rested_s: float = 0.0) -> None:
        """A host is not to be read for so long, whatever it has spent; beside what it has rested already."""
        now_s = self._clock()
        its = self._of(host, now_s)
        its.rests_until_s = max(its.rests_until_s, now_s + for_s)
        self._held(host, its, for_s + rested_s, "large reports", now_s)

    def held_back(self) -> list[HeldBack]:
        """The hosts that were held back lately, and for longer than a large one is that comes back; by name."""
        now_s = self._clock()
        return [
            HeldBack(host, its.over, its.held_s, now_s - its.held_since_s, now_s - its.held_last_s)
            for host, its in sorted(self._hosts.items())
            if its.held_s >= WORTH_TELLING_S and its.held_lately(now_s)
        ]

    def _held(self, host: str, its: _Host, for_s: float, over: str, now_s: float) -> None:
        self._load.slowed += 1
        self._load.slowed_s += for_s
        its.hold(for_s, over, now_s)
        is_news = (for_s >= _WORTH_A_LINE_S and over != "large reports") or its.held_s >= WORTH_TELLING_S
        if is_news and now_s - its.said_at_s >= _QUIET_S:
            its.said_at_s = now_s
            _log.warning(
                "a host reports more than its quota and is read more slowly",
                host=host,
                rows_per_minute=self._limits.rows_per_minute,
                mib_per_minute=self._limits.mib_per_minute,
                reports_per_minute=self._limits.reports_per_minute,
                over=over,
                held_s=round(its.held_s, 1),
            )

    def owes_s(self, host: str) -> float:
        """Seconds before a host is to be read again."""
        now_s = self._clock()
        return self._of(host, now_s).owes_s(now_s)

    def stream(self, host: str) -> float:
        """A host wants a stream; seconds before it may have one, 0 for at once."""
        now_s = self._clock()
        streams = self._of(host, now_s).streams
        wait_s = streams.spend(1, now_s)
        if wait_s > 0:
            streams.give_back(1)
        return wait_s

    def _of(self, host: str, now_s: float) -> _Host:
        its = self._hosts.get(host)
        if its is None:
            if len(self._hosts) >= self._forget_at:
                self._hosts = {name: other for name, other in self._hosts.items() if not other.forgettable(now_s)}
                self._forget_at = len(self._hosts) + FORGET_EVERY
            rows, bytes_ = float(self._limits.rows_per_minute), float(self._limits.mib_per_minute * MIB)
            reports_per_s = self._limits.reports_per_minute / 60
            its = self._hosts[host] = _Host(
                Bucket(rows / 60, rows, now_s),
                Bucket(bytes_ / 60, bytes_, now_s),
                Bucket(reports_per_s, max(1.0, _REPORTS_AT_ONCE_S * reports_per_s), now_s),
                Bucket(_STREAMS_PER_S, _STREAMS_AT_ONCE, now_s),
            )
        return its


class Hurries:
    """How often what a host tells may go before what others have told: who always hurries waits like them."""

    def __init__(self) -> None:
        self._hosts = Buckets[int](_HURRIES_PER_S, _HURRIES_AT_ONCE)

    def may(self, host_id: int, now_s: float) -> bool:
        """Whether this may; if so it counts."""
        return self._hosts.spend_one(host_id, now_s)
