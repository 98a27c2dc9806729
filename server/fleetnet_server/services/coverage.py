"""How far an answer reaches: which hosts it concerns, which of them were fresh, and where history has gaps.

About now, a host is fresh if its last whole look was committed at most `max_age` ago, all by the collector's clock.

About a time T in the past, which is the collector's, a host is fresh if one of its streams covers T: its first whole
look was at or before T and its last at most `max_age` before T, both looks converted to the collector's clock with
the offset that the stream's Hello told, or a batch that was quicker. Within a stream looks follow each other without a
break, unless a gap is recorded: one that began more than `max_age` before T and lasts beyond it makes the host stale
at T.

What has ended is kept for a time and then goes (retention.py). Of what had gone by its end after T, an answer about T
lacks what was open at T: the kinds asked about of which that is so are named.

About what began from a time on, up to T, all of this is as for T, but that gaps count which lie anywhere in between,
and that what had gone by its end since that time is lacking.

Intervals and gaps are kept by the host's clock, so T is converted the other way to look them up. Offsets of less
than SKEW_US are mostly the time that a Hello travels, and are let be.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from fleetnet_server.errors import HostLeft, HostUnknown
from fleetnet_server.records import (
    PENDING,
    RETIRED,
    Coverage,
    Gap,
    Label,
    NotKept,
    Selection,
    SocketQuestion,
    StaleHost,
)
from fleetnet_server.storage import gaps, heard, hosts, kept, labels, reach, sessions
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.kept import Kind
from fleetnet_server.storage.moments import Moment
from fleetnet_server.storage.schema import SKEW_US

_MS_US = 1_000
_TCP, _TIME_WAIT, _CLOSE, _LISTEN = 6, 6, 7, 10  # IANA; include/net/tcp_states.h
_STREAMS = frozenset({_TCP, 132})  # with SCTP, IANA


@dataclass(frozen=True, slots=True)
class Asked:
    """A host that a question concerns."""

    host_id: int
    name: str
    enrolled_at_us: int
    last_seen_us: int  # collector's clock; 0 if never
    fresh: bool
    gaps: int  # that overlap the time asked about, or lie between the two asked about
    session: sessions.Covered | None  # the stream that tells of the host at that time
    status: str  # as it is now


@dataclass(frozen=True, slots=True)
class Scene:
    """The hosts that a question concerns, and the time that it is about."""

    asked: tuple[Asked, ...]
    moment: Moment | None  # None: now
    as_of_us: int
    since: Moment | None = None  # from when on, where it is about what began
    not_kept: tuple[NotKept, ...] = ()
    unmatched_globs: tuple[str, ...] = ()
    unmatched_labels: tuple[Label, ...] = ()
    waiting: tuple[Asked, ...] = ()  # now for approval, where that is asked for: hosts that would concern it

    @property
    def coverage(self) -> Coverage:
        return Coverage(
            as_of_us=self.as_of_us,
            hosts_asked=len(self.asked),
            hosts_fresh=sum(host.fresh for host in self.asked),
            hosts_stale=tuple(StaleHost(host.name, host.last_seen_us) for host in self.asked if not host.fresh),
            gaps=sum(host.gaps for host in self.asked),
            not_kept=self.not_kept,
            unmatched_globs=self.unmatched_globs,
            unmatched_labels=self.unmatched_labels,
        )


@dataclass(frozen=True, slots=True)
class Outline:
    """What a question needs to know of its hosts that is not about each of them."""

    coverage: Coverage
    moment: Moment | None  # None: now
    since: Moment | None  # from when on, if it is about what began
    only: list[int] | None  # the hosts that it concerns, in the order of their names; None: all


def kinds_of(question: SocketQuestion) -> frozenset[Kind]:
    """The kinds of history that could have an answer to a question about sockets at a time past.

    What is known by its end alone has none, so of what is kept briefly it is TIME_WAIT that could; but it began some
    time, and is part of an answer about that.
    """
    states, protocols = set(question.states), set(question.protocols)
    by_its_end = bool(question.opened_since_us) and (not states or _CLOSE in states)
    if question.listeners_only or question.exposed_only:
        # A socket of a protocol that knows no LISTEN waits for others in CLOSE, and may be known by its end alone.
        brief = by_its_end and (not protocols or not protocols <= _STREAMS)
        return frozenset({Kind.LISTENERS, Kind.BRIEF} if brief else {Kind.LISTENERS})
    kinds = set() if states == {_TIME_WAIT} else {Kind.SOCKETS}
    if not (question.remotes or question.remote_ports) and (not states or not states.isdisjoint({_LISTEN, _CLOSE})):
        kinds.add(Kind.LISTENERS)
    if (not states or _TIME_WAIT in states) and (not protocols or _TCP in protocols):
        kinds.add(Kind.BRIEF)
    if by_its_end:
        kinds.add(Kind.BRIEF)
    return frozenset(kinds)


def outline(
    conn: Connection, selection: Selection, now_us: int, kinds: Collection[Kind] = (), since_us: int = 0
) -> Outline:
    """The outline of a question's scene, which is about these kinds of history; with `since_us` about what began from
    then on. Who has left the fleet and is asked all the same tells nothing any more, so it is not fresh now. Raises as
    `survey`.

    Of all hosts the database counts, for going through ten thousand of them takes longer than most answers.
    """
    if selection.host and not selection.at_us:
        return _outline_of_one(conn, selection, now_us, kinds, since_us)
    if selection.of_some:
        return _outline_of_some(conn, selection, now_us, kinds, since_us)
    if selection.at_us:
        return _outline_of_past(conn, selection, kinds, since_us)
    oldest_us = now_us - selection.max_age_ms * _MS_US
    found = reach.now(conn, oldest_us, since_us or now_us, now_us)
    if since_us and found.outside:
        # What began since then may have begun on a host that has left the fleet; nobody asks it any more.
        return _outline_of_some(conn, selection, now_us, kinds, since_us)
    skewed = _skewed(now_us, found.skewed)
    since = skewed.moved_to(since_us) if since_us else None
    coverage = Coverage(
        as_of_us=now_us,
        hosts_asked=found.known,
        hosts_fresh=found.heard,
        hosts_stale=hosts.not_heard(conn, oldest_us) if found.heard < found.known else (),
        gaps=gaps.count_between(conn, since or skewed, skewed) if found.skewed else found.gaps,
        not_kept=kept.lacking(conn, since, kinds, None, now_us) if since else (),
    )
    return Outline(coverage, None, since, None)


def _outline_of_some(
    conn: Connection, selection: Selection, now_us: int, kinds: Collection[Kind], since_us: int
) -> Outline:
    """Of the hosts that are meant, each looked at."""
    scene = survey(conn, selection, now_us, kinds, since_us)
    return Outline(scene.coverage, scene.moment, scene.since, [host.host_id for host in scene.asked])


def _outline_of_one(
    conn: Connection, selection: Selection, now_us: int, kinds: Collection[Kind], since_us: int
) -> Outline:
    """Of one host, now."""
    one = reach.of_one(conn, selection.host)
    if one is None:
        raise HostUnknown(selection.host)
    has_left = one.status == RETIRED
    if has_left and not selection.though_left:
        raise HostLeft(selection.host)
    skewed = _skewed(now_us, {one.host_id: one.clock_offset_us})
    since = skewed.moved_to(since_us) if since_us else None
    begin_us, end_us = (moment.by_host.get(one.host_id, moment.at_us) for moment in (since or skewed, skewed))
    fresh = not has_left and one.heard_us > 0 and one.heard_us >= now_us - selection.max_age_ms * _MS_US
    coverage = Coverage(
        as_of_us=now_us,
        hosts_asked=1,
        hosts_fresh=int(fresh),
        hosts_stale=() if fresh else (StaleHost(selection.host, one.heard_us),),
        gaps=reach.gaps_of_one(conn, one.host_id, begin_us, end_us),
        not_kept=kept.lacking(conn, since, kinds, [one.host_id], now_us) if since else (),
    )
    return Outline(coverage, None, since, [one.host_id])


def _outline_of_past(conn: Connection, selection: Selection, kinds: Collection[Kind], since_us: int) -> Outline:
    """Of all hosts at a time past. Streams are looked at of those that are not as most are."""
    at_us, oldest_us = selection.at_us, selection.at_us - selection.max_age_ms * _MS_US
    streams = sessions.covering(conn, at_us, heard.ever_skewed(conn))
    moment = _skewed(at_us, _offsets(streams))
    since = moment.moved_to(since_us) if since_us else None
    begin = since or moment
    stale = heard.silent(conn, at_us, oldest_us)
    over = gaps.between(conn, moment, moment)
    streams |= sessions.covering(conn, at_us, over.keys() - streams.keys())
    broken = {
        host_id: last_seen_us
        for host_id, some in over.items()
        if (last_seen_us := _last_seen(at_us, streams.get(host_id), some, at_us - oldest_us)) < oldest_us
    }
    stale |= {host_id: (name, broken[host_id]) for host_id, name in heard.names(conn, broken.keys(), at_us).items()}
    asked = heard.count_enrolled(conn, at_us)
    coverage = Coverage(
        as_of_us=at_us,
        hosts_asked=asked,
        hosts_fresh=asked - len(stale),
        hosts_stale=tuple(StaleHost(*one) for one in sorted(stale.values())),
        gaps=gaps.count_between(conn, begin, moment, at_us),
        not_kept=kept.lacking(conn, begin, kinds, None, at_us),
    )
    return Outline(coverage, moment, since, None)


def survey(
    conn: Connection,
    selection: Selection,
    now_us: int,
    kinds: Collection[Kind] = (),
    since_us: int = 0,
    *,
    and_waiting: bool = False,
) -> Scene:
    """The scene of a question about these kinds of history; with `and_waiting` also who waits to be approved now.
    Raises HostUnknown if it names a host that has not enrolled, HostLeft if it had left by then."""
    asked = hosts.heard(conn, selection, and_pending=and_waiting)
    waiting = [host for host in asked if host.status == PENDING] if and_waiting and not selection.at_us else []
    if waiting:
        asked = [host for host in asked if host.status != PENDING]
    if selection.host and not asked:
        there = hosts.find(conn, selection.host)
        raise (HostLeft if there and there.status == RETIRED else HostUnknown)(selection.host)
    only = asked[0].host_id if selection.host else None
    if selection.at_us and not selection.host:
        # Who came later is no part of the fleet as it was.
        asked = [host for host in asked if host.enrolled_at_us <= selection.at_us]
    if selection.at_us:
        scene = _past(conn, asked, only, selection, since_us)
    else:
        scene = _now(conn, asked, only, selection, now_us, since_us)
    scene = replace(
        scene,
        waiting=tuple(map(_waiting, waiting)),
        unmatched_globs=hosts.unmatched(selection.host_globs, [host.name for host in (*asked, *waiting)]),
        unmatched_labels=() if asked or waiting else labels.nobodys(conn, selection.labels),
    )
    begin = scene.since or scene.moment
    if begin is None:
        return scene
    some = [host.host_id for host in asked] if selection.of_some else None
    return replace(scene, not_kept=kept.lacking(conn, begin, kinds, some, scene.as_of_us))


def _waiting(host: hosts.Heard) -> Asked:
    return Asked(
        host_id=host.host_id, name=host.name, enrolled_at_us=host.enrolled_at_us, last_seen_us=0, fresh=False, gaps=0,
        session=None, status=host.status,
    )  # fmt: skip


def _now(
    conn: Connection, known: list[hosts.Heard], only: int | None, selection: Selection, now_us: int, since_us: int
) -> Scene:
    streams = sessions.newest(conn, _one(only))
    skewed = _skewed(now_us, _offsets(streams))
    since = skewed.moved_to(since_us) if since_us else None
    begin = since or skewed
    found = gaps.between(conn, begin, skewed, only)
    oldest_us = now_us - selection.max_age_ms * _MS_US
    asked = tuple(
        Asked(
            host_id=host.host_id,
            name=host.name,
            enrolled_at_us=host.enrolled_at_us,
            last_seen_us=host.last_heard_us,
            fresh=host.last_heard_us > 0 and host.last_heard_us >= oldest_us,
            gaps=len(found.get(host.host_id, ())),
            session=streams.get(host.host_id),
            status=host.status,
        )
        for host in known
    )
    return Scene(asked, None, now_us, since)


def _past(conn: Connection, known: list[hosts.Heard], only: int | None, selection: Selection, since_us: int) -> Scene:
    at_us, max_age_us = selection.at_us, selection.max_age_ms * _MS_US
    streams = sessions.covering(conn, at_us, _one(only))
    moment = _skewed(at_us, _offsets(streams))
    since = moment.moved_to(since_us) if since_us else None
    begin = since or moment
    found = gaps.between(conn, begin, moment, only)
    over = found if since is None else gaps.between(conn, moment, moment, only)
    asked = []
    for host in known:
        stream = streams.get(host.host_id)
        last_seen_us = _last_seen(at_us, stream, over.get(host.host_id, ()), max_age_us)
        asked.append(
            Asked(
                host_id=host.host_id,
                name=host.name,
                enrolled_at_us=host.enrolled_at_us,
                last_seen_us=last_seen_us,
                fresh=stream is not None and last_seen_us >= at_us - max_age_us,
                gaps=len(found.get(host.host_id, ())),
                session=stream,
                status=host.status,
            )
        )
    return Scene(tuple(asked), moment, at_us, since)


def _last_seen(at_us: int, stream: sessions.Covered | None, over: Sequence[Gap], max_age_us: int) -> int:
    """The last look at or before a time, as far as is known; 0 if there was none. Collector's clock."""
    if stream is None:
        return 0
    broken_off_us = [gap.from_us - stream.clock_offset_us for gap in over]
    return min([at_us, stream.last_at_us, *(us for us in broken_off_us if us < at_us - max_age_us)])


def _one(host_id: int | None) -> list[int] | None:
    return None if host_id is None else [host_id]


def _offsets(streams: Mapping[int, sessions.Covered]) -> dict[int, int]:
    return {host_id: stream.clock_offset_us for host_id, stream in streams.items()}


def _skewed(at_us: int, offsets_us: Mapping[int, int]) -> Moment:
    return Moment(
        at_us,
        {
            # To the second: hosts that are wrong alike then share a condition.
            host_id: at_us + round(offset_us / SKEW_US) * SKEW_US
            for host_id, offset_us in offsets_us.items()
            if abs(offset_us) >= SKEW_US
        },
    )
