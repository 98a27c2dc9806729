"""How the counts of hosts went between two times, from what was put down of them.

What must stay true: a host counts at a time only if it was heard then, as it happened. Its last count stands for no
time in which nobody heard it; nor when it is heard again, until its counts could be put down anew. What its host tells
afterwards of a time changes nothing here: then nobody counted.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from fleetnet_server.counted import Trend, TrendCount, TrendPoint, TrendQuestion
from fleetnet_server.records import Gap
from fleetnet_server.services.coverage import survey
from fleetnet_server.services.trends import EVERY_US
from fleetnet_server.storage import gaps, kept, sessions, trends
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.kept import Kind
from fleetnet_server.storage.moments import Moment
from fleetnet_server.storage.sessions import Heard
from fleetnet_server.storage.trends import Step

MOST_POINTS = 1_000
# So late at most is what changed put down, where a collector has much to do.
PUT_DOWN_WITHIN_US = EVERY_US + 60_000_000
_MS_US = 1_000

Span = tuple[int, int]
Name = tuple[int, int]  # protocol, state


def trend(conn: Connection, question: TrendQuestion, now_us: int) -> Trend:
    """The trend asked for, up to now at most; steps are longer where there would be more than MOST_POINTS. Raises
    HostUnknown."""
    to_us = min(question.to_us, now_us)
    selection = replace(question.selection, at_us=to_us if to_us < now_us else 0)
    scene = survey(conn, selection, now_us)
    asked = [host.host_id for host in scene.asked]
    only = asked if selection.of_some else None
    from_us = min(question.from_us, to_us)
    points = Points(points_of(from_us, to_us, question.step_us))
    known = _known(conn, asked, only, (from_us, to_us), selection.max_age_ms * _MS_US)
    # A host at a time, for of a fleet they may be more than fit into memory.
    for host_id, steps in trends.steps(conn, only, from_us, to_us, question.protocols, question.states):
        if one := known.pop(host_id, None):
            points.add(steps, one.spans(step.at_us for step in steps))
    for one in known.values():
        points.add((), one.spans(()))
    not_kept = kept.lacking(conn, Moment(from_us), (Kind.TRENDS,), only, to_us)
    return Trend(replace(scene.coverage, not_kept=not_kept), points.told())


def points_of(from_us: int, to_us: int, step_us: int) -> list[int]:
    """From the one time in steps to the other, both told; a step that is too short for MOST_POINTS is longer."""
    step_us = max(step_us, -(-(to_us - from_us) // (MOST_POINTS - 1)), 1)
    found = list(range(from_us, to_us, step_us))
    return [*found, to_us]


@dataclass(frozen=True, slots=True)
class Known:
    """When a host was heard, by the collector's clock, and how that lets its counts be known."""

    heard: Sequence[Heard]
    gaps: Sequence[Gap]  # host's clock
    since_us: int  # before that nothing was put down, or is kept
    max_age_us: int

    def spans(self, put_down: Iterable[int]) -> list[Span]:
        """The times of which its counts are known, given when some were put down; ascending, ends not included."""
        rows = sorted(put_down)
        found = []
        for from_us, to_us in self._stretches():
            at = bisect_right(rows, from_us - 1)
            settled_us = min([from_us + PUT_DOWN_WITHIN_US, *rows[at : at + 1]])
            if (begin_us := max(settled_us, self.since_us)) < to_us:
                found.append((begin_us, to_us))
        return found

    def _stretches(self) -> list[Span]:
        """The times in which it was heard and no gap lasted for longer than what counts as fresh."""
        found: list[Span] = []
        for one in self.heard:
            # A look stands for some time after it, and so do those before a gap; the end of that is one of it.
            until_us = one.to_us + self.max_age_us + 1
            if found and one.from_us <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], until_us))
            elif one.from_us < until_us:
                found.append((one.from_us, until_us))
        for gap in self.gaps:
            found = [piece for span in found for piece in self._without(gap, span)]
        return found

    def _without(self, gap: Gap, span: Span) -> list[Span]:
        offset_us = next((one.clock_offset_us for one in reversed(self.heard) if one.from_us <= span[1]), 0)
        from_us, to_us = gap.from_us - offset_us + self.max_age_us + 1, gap.to_us - offset_us
        if from_us >= to_us:
            return [span]
        pieces = ((span[0], min(span[1], from_us)), (max(span[0], to_us), span[1]))
        return [piece for piece in pieces if piece[0] < piece[1]]


@dataclass(slots=True)
class Points:
    """What some hosts come to at some times, ascending; each host is added once."""

    at_us: list[int]
    _known: list[int] = field(init=False)
    _sums: list[dict[str, Counter[Name]]] = field(init=False)

    def __post_init__(self) -> None:
        self._known = [0] * len(self.at_us)
        self._sums = [{name: Counter() for name in ("sockets", "listeners", "highest")} for _ in self.at_us]

    def add(self, steps: Sequence[Step], spans: Sequence[Span]) -> None:
        """Add a host with what was put down of it, in its order, and the times of which that is known."""
        begins = [from_us for from_us, _ in spans]
        now: dict[Name, Step] = {}
        behind = 0
        for place, at_us in enumerate(self.at_us):
            # At the first point nothing is said of the time before.
            highest = {name: step.sockets for name, step in now.items()}
            while behind < len(steps) and steps[behind].at_us <= at_us:
                step = steps[behind]
                name = (step.protocol, step.state)
                now[name] = step
                highest[name] = max(highest.get(name, 0), step.highest) if place else step.sockets
                behind += 1
            at = bisect_right(begins, at_us) - 1
            if at >= 0 and at_us < spans[at][1]:
                self._add_at(place, now, highest)

    def _add_at(self, place: int, now: dict[Name, Step], highest: dict[Name, int]) -> None:
        self._known[place] += 1
        sums = self._sums[place]
        for name, step in now.items():
            sums["sockets"][name] += step.sockets
            sums["listeners"][name] += step.listeners
            sums["highest"][name] += highest[name]

    def told(self) -> tuple[TrendPoint, ...]:
        """Each time, with what the hosts that were known then come to together."""
        return tuple(
            TrendPoint(
                at_us,
                known,
                tuple(
                    TrendCount(*name, sums["sockets"][name], sums["listeners"][name], highest)
                    for name, highest in sorted(sums["highest"].items())
                    if highest
                ),
            )
            for at_us, known, sums in zip(self.at_us, self._known, self._sums, strict=True)
        )


def _known(
    conn: Connection, asked: Iterable[int], only: list[int] | None, time: Span, max_age_us: int
) -> dict[int, Known]:
    """Of each host of which something was put down."""
    from_us, to_us = time
    # What began before, and is not settled yet.
    heard = sessions.heard(conn, only, from_us - PUT_DOWN_WITHIN_US - max_age_us, to_us)
    begun, since = trends.begun(conn, only), kept.since(conn, Kind.TRENDS, only)
    offsets_us = [one.clock_offset_us for some in heard.values() for one in some] or [0]
    one_host = only[0] if only is not None and len(only) == 1 else None
    around = gaps.around(conn, from_us + min(offsets_us) - PUT_DOWN_WITHIN_US, to_us + max(offsets_us), one_host)
    return {
        host_id: Known(
            heard.get(host_id, ()), around.get(host_id, ()), max(begun[host_id], since.get(host_id, 0)), max_age_us
        )
        for host_id in asked
        if host_id in begun
    }
