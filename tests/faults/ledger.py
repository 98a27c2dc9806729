"""What truly happened on a host, in the time of its own wall clock: the truth that history is held against.

The workload wrote when each socket changed, as bounds by CLOCK_BOOTTIME. The host's wall clock is ahead of that by an
amount that faults change; each change of it is noted with bounds too. What comes out is for each name its changes, each
with the earliest moment at which it can have happened and the latest at which history may show it: the end of the
second look after it. (The first look that ends after it may have begun before it. What the agent's trace says of its
looks is only used for how late history may be, never for what it must say.)
"""

import bisect
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from faults.spans import Span
from faults.workload import Name

SLACK_US = 20_000
"""By how much the clocks of harness and host may differ in what they call the same moment."""

FAR_US = 2**62
"""A moment that never comes."""

# TCP_TIMEWAIT_LEN in include/net/tcp.h is 60 s; timers are late, and never early by more than a tick.
_TIME_WAIT_US = (59_000_000, 75_000_000)


@dataclass(frozen=True, slots=True)
class Change:
    """A name's state from here on, None for "no such socket"; host's wall clock."""

    state: str | None
    earliest_us: int
    latest_us: int  # by now history shows it
    at: str  # bounds by CLOCK_BOOTTIME, for a message to people


@dataclass(slots=True)
class Steering:
    """How the machine's own wall clock was steered meanwhile, by whoever keeps it right: it may go faster or slower by
    percents, and a run of half a minute is then off by a tenth of a second."""

    base_us: int  # by how much it was ahead of CLOCK_BOOTTIME when the run began
    readings: list[tuple[int, int]] = field(default_factory=list)  # CLOCK_BOOTTIME, and the lead at that time

    def note(self, at_us: int, lead_us: int) -> None:
        """Once more, later than the one before. Often: between two readings either is taken for possible."""
        self.readings.append((at_us, lead_us))

    def between(self, before_us: int, after_us: int) -> Span:
        """The least and the most that it had moved from where it was, at some moment between two."""
        first = max(bisect.bisect_right(self.readings, before_us, key=_at) - 1, 0)
        last = bisect.bisect_left(self.readings, after_us, key=_at) + 1
        moved = [lead_us - self.base_us for _, lead_us in self.readings[first:last]]
        return min(moved, default=0), max(moved, default=0)


def _at(reading: tuple[int, int]) -> int:
    return reading[0]


@dataclass(slots=True)
class HostClock:
    """By how much the host's wall clock was ahead of CLOCK_BOOTTIME, and when that changed. Leads are counted without
    what the machine's own clock was steered."""

    lead_us: int
    changes: list[tuple[int, int, int]] = field(default_factory=list)  # CLOCK_BOOTTIME before, after, and lead since
    steering: Steering = field(default_factory=lambda: Steering(0))

    def wall(self, before_us: int, after_us: int) -> Span:
        """The host's wall clock at some moment between two, as the least and the most it can have shown."""
        leads = [self.lead_us]
        for began_us, ended_us, lead_us in self.changes:
            if ended_us < before_us:
                leads = [lead_us]
            elif began_us <= after_us:
                leads.append(lead_us)
        least_us, most_us = self.steering.between(before_us, after_us)
        return before_us + min(leads) + least_us, after_us + max(leads) + most_us

    def set_between(self, *, back: bool = False) -> list[Span]:
        """What at most lies between the two times of each change; or what at least does, of those that set it back."""
        found, lead_us = [], self.lead_us
        for began_us, ended_us, new_us in self.changes:
            least_us, most_us = self.steering.between(began_us, ended_us)
            if not back:
                found.append((began_us + min(lead_us, new_us) + least_us, ended_us + max(lead_us, new_us) + most_us))
            elif new_us < lead_us:
                found.append((ended_us + new_us + most_us, began_us + lead_us + least_us))
            lead_us = new_us
        return found


@dataclass(frozen=True, slots=True)
class Truth:
    """All that happened on a host up to some moment."""

    changes: dict[Name, list[Change]]
    cookies: dict[int, Name]


def read(path: Path, looks: Path, clock: HostClock) -> Truth:
    """The ledger of a host, with the trace of its agent's looks."""
    looked = look_times(looks)
    changes: dict[Name, list[Change]] = defaultdict(list)
    cookies: dict[int, Name] = {}
    time_waits: dict[Name, tuple[int, int]] = {}
    for line in path.read_text().splitlines():
        cookie, (protocol, family, local, port, remote, remote_port), state, before_us, after_us = json.loads(line)
        name: Name = (protocol, family, local, port, remote, remote_port)
        if cookie:
            cookies[cookie] = name
        _append(changes[name], state, before_us, after_us, clock, looked, time_waits.pop(name, None))
        if state == "TIME_WAIT":
            time_waits[name] = (before_us + _TIME_WAIT_US[0], after_us + _TIME_WAIT_US[1])
    for name, end in time_waits.items():
        _append(changes[name], None, *end, clock, looked, None)
    return Truth(dict(changes), cookies)


def look_times(path: Path) -> list[int]:
    """When each look at everything had ended, CLOCK_BOOTTIME in microseconds, ascending."""
    times, last = [], ""
    for line in path.read_text().splitlines() if path.exists() else []:
        at_us, look_at_us = line.split()
        if look_at_us != last:  # else not everything was due, and the look before was told again
            times.append(int(at_us))
            last = look_at_us
    return times


def _append(
    changes: list[Change],
    state: str | None,
    before_us: int,
    after_us: int,
    clock: HostClock,
    looked: list[int],
    time_wait: tuple[int, int] | None,
) -> None:
    if time_wait:  # a new connection with the addresses of an old one: that is the end of its TIME_WAIT, or after it
        # Between two ends on one host a second is enough for that (tcp_tw_reuse).
        begin_us, end_us = (min(at_us, before_us) for at_us in time_wait)
        _append(changes, None, begin_us, end_us, clock, looked, None)
    seen = bisect.bisect_right(looked, after_us) + 1
    earliest_us, latest_us = clock.wall(before_us, after_us)
    # Where it was not looked at since, nothing is expected yet.
    seen_us = clock.wall(looked[seen], looked[seen])[1] if seen < len(looked) else FAR_US
    at = f"{before_us}..{after_us}"
    changes.append(Change(state, earliest_us - SLACK_US, max(latest_us, seen_us) + SLACK_US, at))
