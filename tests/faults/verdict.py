"""History held against the ledger. Pure.

Outside of what is uncertain, history must say at every moment what is true of every name: that it is in its state, and
that it is not there where it is not. Uncertain is, around each change, the time up to the second look after it, and
every recorded gap. Besides, whatever the gaps are:

- nothing is called closed, nor in another state, at a time when it certainly went on as it was: not exactly, not as
  seen, and not as ended in a gap either;
- what ended in a gap has a recorded gap to have ended in;
- no two intervals of one socket overlap, and no two of one name;
- a life too short for any look is there all the same, by its end;
- nothing is there that the ledger does not know, but for the agent's own connections.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from faults.history import CLOSED_AT_IS, GAP, OPEN, UNSEEN, History, Interval
from faults.ledger import SLACK_US, Change, HostClock, Truth
from faults.spans import Span, common, length_us, minus, touches, union
from faults.workload import Name

CLOCK_SET = "the host's clock was set"  # as fleetnet_agent.uplink.looks has it
AGENT_RESTARTED = "agent restarted"  # as fleetnet_server.services.ingest has it

A_LOOK_US = 10_000_000
"""As far may the last look lie back before a clock is set; on a busy machine some seconds."""


@dataclass(slots=True)
class Verdict:
    """What is wrong, one sentence each, and how much was judged."""

    wrong: list[str] = field(default_factory=list)
    judged_us: int = 0  # of all names together, in which they were open; of hosts whose clock was never set
    excused_us: int = 0  # likewise, inside of gaps
    lives: int = 0
    excused_lives: int = 0  # of which nothing could be judged but what follows from gaps
    unknown: int = 0  # intervals of the agent's own connections
    asked: int = 0  # questions about the past

    def add(self, other: "Verdict") -> None:
        """Take in another host's."""
        self.wrong += other.wrong
        self.judged_us += other.judged_us
        self.excused_us += other.excused_us
        self.lives += other.lives
        self.excused_lives += other.excused_lives
        self.unknown += other.unknown
        self.asked += other.asked


@dataclass(frozen=True, slots=True)
class Horizon:
    """What is judged: from the first look to where all had been told, host's wall clock."""

    from_us: int
    to_us: int


def judge(
    truth: Truth, history: History, horizon: Horizon, collector: tuple[str, int], clock: HostClock | None = None
) -> Verdict:
    """All of one host; `collector` is where its agent reports."""
    clock = clock or HostClock(0)
    verdict = Verdict()
    gaps = union((gap.from_us - SLACK_US, gap.to_us + SLACK_US) for gap in history.gaps)
    by_name: dict[Name, list[Interval]] = defaultdict(list)
    by_cookie: dict[int, list[Interval]] = defaultdict(list)
    for interval in history.intervals:
        by_name[interval.name].append(interval)
        by_cookie[interval.cookie].append(interval)
    of_clock = union((begin - SLACK_US, end + SLACK_US) for begin, end in clock.set_between())
    # Of hours leapt over nothing can be wrong, for the host had no such moments. Others it had twice. Of those
    # after the last look before it was set nobody knows: the collector tells of no moment that no look has reached.
    for begin, end in minus(union((begin, end - A_LOOK_US) for begin, end in clock.set_between(back=True)), gaps):
        verdict.wrong.append(f"the clock was set back, and no gap tells of what lies between {begin} and {end}")
    for name, changes in truth.changes.items():
        _judge_name(verdict, name, changes, by_name.get(name, []), gaps, horizon)
        verdict.wrong += _ended_too_early(changes, by_name.get(name, []), of_clock, horizon)
    cookies_of: dict[Name, set[int]] = defaultdict(set)
    for cookie, name in truth.cookies.items():
        cookies_of[name].add(cookie)
    for name, changes in truth.changes.items():
        told = [*by_name.get(name, []), *(one for cookie in cookies_of[name] for one in by_cookie.get(cookie, []))]
        _judge_lives(verdict, name, changes, told, gaps, horizon)
    verdict.wrong += _gapless(history)
    verdict.wrong += _doubled(history, of_clock)
    _judge_strangers(verdict, truth, history, collector)
    return verdict


def certain(changes: list[Change], horizon: Horizon) -> Iterator[tuple[str | None, Span]]:
    """The times in which a name certainly is in a state."""
    state, since_us = None, horizon.from_us
    for change in changes:
        yield state, (since_us, min(change.earliest_us, horizon.to_us))
        state, since_us = change.state, max(change.latest_us, horizon.from_us)
    yield state, (since_us, horizon.to_us)


def _judge_name(
    verdict: Verdict, name: Name, changes: list[Change], intervals: list[Interval], gaps: list[Span], horizon: Horizon
) -> None:
    for state, span in certain(changes, horizon):
        if span[0] >= span[1]:
            continue
        known = minus([span], gaps)
        if state is not None:
            verdict.judged_us += length_us(known)
            verdict.excused_us += length_us(common([span], gaps))
            there = union((one.opened_at_us, one.closed_at_us) for one in intervals if one.state == state)
            for begin, end in minus(known, there):
                verdict.wrong.append(f"{name} is {state} from {begin} to {end}, and history does not say so: "
                                     f"{_shown(intervals)}; truth: {_told(changes)}")  # fmt: skip
        for one in intervals:
            if one.state != state and _lies_in(one, known) and not _nameless(one):
                verdict.wrong.append(f"{name} is {state or 'not there'} from {span[0]} to {span[1]}, but history has "
                                     f"{one}; truth: {_told(changes)}")  # fmt: skip


def _nameless(one: Interval) -> bool:
    """Whether it is the end of a connection that has lost its addresses, or of a socket that never had others: gRPC
    binds one to ::1 to see whether there is IPv6. What is left may be another's name."""
    return one.opened_at_is == UNSEEN and one.name[0] == "tcp" and not one.name[5]


def _lies_in(one: Interval, spans: list[Span]) -> bool:
    if one.opened_at_us == one.closed_at_us:
        return any(begin < one.opened_at_us < end for begin, end in spans)
    return bool(common([(one.opened_at_us, one.closed_at_us)], spans))


def _ended_too_early(
    changes: list[Change], intervals: list[Interval], of_clock: list[Span], horizon: Horizon
) -> Iterator[str]:
    """Ends of what certainly went on: the one thing that no gap excuses, but one in which the clock was set."""
    for one in intervals:
        if one.closed_at_is == OPEN or touches((one.closed_at_us, one.closed_at_us), of_clock):
            continue
        for state, (begin, end) in certain(changes, horizon):
            if state == one.state and begin < one.closed_at_us < end and one.opened_at_us != one.closed_at_us:
                yield f"called closed ({CLOSED_AT_IS[one.closed_at_is]}) while it went on from {begin} to {end}: {one}"


def _judge_lives(
    verdict: Verdict, name: Name, changes: list[Change], told: list[Interval], gaps: list[Span], horizon: Horizon
) -> None:
    for began, ended in _lives(changes):
        # A clock that was set back meanwhile has it end before it began.
        span = (min(began.earliest_us, ended.earliest_us), max(began.latest_us, ended.latest_us))
        if span[0] < horizon.from_us or span[1] > horizon.to_us:
            continue
        verdict.lives += 1
        there = any(one.opened_at_us <= span[1] and one.closed_at_us >= span[0] for one in told)
        if touches(span, gaps):
            verdict.excused_lives += not there
        elif not there:
            verdict.wrong.append(f"{name} lived from {began.at} to {ended.at} and is not in history")


def _lives(changes: list[Change]) -> Iterator[tuple[Change, Change]]:
    began = None
    for change in changes:
        if change.state is None:
            if began is not None:
                yield began, change
            began = None
        elif began is None:
            began = change


def _gapless(history: History) -> Iterator[str]:
    gaps = [(gap.from_us, gap.to_us) for gap in history.gaps]
    for one in history.intervals:
        if one.closed_at_is == GAP and not touches((one.last_seen_us, one.closed_at_us), gaps):
            yield f"ended in a gap that is not recorded: {one}"


def _doubled(history: History, of_clock: list[Span]) -> Iterator[str]:
    for key in ("socket_id", "name"):
        grouped: dict[object, list[Interval]] = defaultdict(list)
        for one in history.intervals:
            grouped[getattr(one, key)].append(one)
        for group in grouped.values():
            for first, second in itertools.pairwise(group):
                overlap = (second.opened_at_us, first.closed_at_us)
                if overlap[0] < overlap[1] and not touches(overlap, of_clock):
                    yield f"two intervals of one {key} overlap: {first} and {second}"


def _judge_strangers(verdict: Verdict, truth: Truth, history: History, collector: tuple[str, int]) -> None:
    for one in history.intervals:
        if one.name in truth.changes or one.cookie in truth.cookies:
            continue
        if (_plain(one.name[4]), one.name[5]) == collector or _nameless(one):
            verdict.unknown += 1
        else:
            verdict.wrong.append(f"nobody opened this: {one}")


def _plain(address: str | None) -> str | None:
    """Without what makes an IPv4 address one of IPv6: gRPC's sockets are of both families."""
    return address.removeprefix("::ffff:") if address else None


def _shown(intervals: list[Interval]) -> str:
    return " | ".join(map(str, intervals[:6])) or "nothing"


def _told(changes: list[Change]) -> str:
    return " | ".join(f"{one.state} {one.earliest_us}..{one.latest_us} ({one.at})" for one in changes[:8])


def judge_sequence(history: History, acknowledged: list[tuple[int, int]]) -> list[str]:
    """Whether every acknowledged batch, as (epoch, sequence), is stored exactly once, in order."""
    wrong, last = [], dict[int, int]()
    for epoch, was, now in history.stored:
        if was != last.get(epoch, 0) or now != was + 1:
            wrong.append(f"epoch {epoch}: batch {now} was stored after {last.get(epoch, 0)} (its stream said {was})")
        last[epoch] = now
    for epoch, sequence in acknowledged:
        if sequence > last.get(epoch, 0):
            wrong.append(f"epoch {epoch}: batch {sequence} was acknowledged, and {last.get(epoch, 0)} are stored")
    return wrong


def judge_answer(truth: Truth, horizon: Horizon, at_us: int, items: list[dict[str, Any]], own: set[Name]) -> list[str]:
    """What is wrong with an answer about a past moment that lies in no gap; `own` are the agent's own connections."""
    wrong = []
    shown = {_name_of(item): str(item["state"]) for item in items}
    for name, changes in truth.changes.items():
        for state, (begin, end) in certain(changes, horizon):
            if begin < at_us < end and shown.get(name) != state:
                wrong.append(f"asked about {at_us}, {name} is {shown.get(name)} and was {state}: {_told(changes)}")
    strangers = shown.keys() - truth.changes.keys() - own
    return wrong + [f"asked about {at_us}, there is {name}, which nobody opened" for name in strangers]


def _name_of(item: dict[str, Any]) -> Name:
    fields = ("protocol", "family", "local_address", "local_port", "remote_address", "remote_port")
    protocol, family, local, port, remote, remote_port = (item[field] for field in fields)
    return protocol, family, local, port, remote, remote_port


def own_names(history: History, collector: tuple[str, int]) -> set[Name]:
    """The agent's own connections."""
    return {one.name for one in history.intervals if (_plain(one.name[4]), one.name[5]) == collector}


def judge_gaps(history: History, restarts: int, clock_changes: int) -> list[str]:
    """Gaps excuse much, so there may be no more of them than there were causes."""
    causes = {AGENT_RESTARTED: restarts, CLOCK_SET: clock_changes}
    counted = Counter(gap.reason for gap in history.gaps)
    return [
        f"{counted[reason]} gaps say {reason!r}, which happened {number} times"
        for reason, number in causes.items()
        if counted[reason] > number
    ]
