"""How far answers reach: which hosts were fresh at the time asked about, and whose clock tells it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fleetnet_server.records import Coverage, Gap, Net, Selection, SocketQuestion
from fleetnet_server.services.coverage import kinds_of, outline, survey
from fleetnet_server.storage import gaps, kept, sessions
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.kept import SOCKETS, Kind
from server.costs import asked_of, plan
from server.reports import (
    CLOSE,
    CLOSE_WAIT,
    LISTEN,
    SCTP,
    T0,
    TCP,
    TIME_WAIT,
    UDP,
    UNIX,
    Collector,
    S,
    difference,
    gone,
    hello,
    snapshot,
    sock,
)
from server.stories import reporting, tell


def test_a_host_is_fresh_now_if_it_was_heard_at_most_max_age_ago(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await reporting(c, "web1", sock(1, T0))
        await c.enroll("mute")
        for seconds, fresh in ((120, 1), (121, 0)):
            coverage = (await c.ask(now_us=T0 + seconds * S)).coverage
            assert (coverage.hosts_asked, coverage.hosts_fresh, coverage.as_of_us) == (2, fresh, T0 + seconds * S)
        assert [(s.host, s.last_seen_us) for s in coverage.hosts_stale] == [("mute", 0), ("web1", T0)]
        # What a stale host was last known to hold is answered all the same.
        assert len((await c.ask(now_us=T0 + 9999 * S)).items) == 1

    tell(tmp_path, story)


def test_patterns_that_match_no_host_are_named(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await reporting(c, "web1", sock(1, T0))
        for at_us in (0, T0):
            for globs, unmatched in (
                (("web*", "db9", "WEB1"), ("db9", "WEB1")),
                (("w*", "web1"), ()),
                (("nobody",), ("nobody",)),
                ((), ()),
            ):
                for answer in (
                    await c.ask(at_us=at_us, host_globs=globs),
                    await c.ask_hosts(at_us=at_us, host_globs=globs),
                ):
                    assert answer.coverage.unmatched_globs == unmatched
        # Who came later is no part of the fleet as it was.
        await c.enroll("db9", at_us=T0 + 9 * S)
        then = await c.ask(at_us=T0 + S, now_us=T0 + 10 * S, host_globs=("web1", "db9"))
        assert then.coverage.unmatched_globs == ("db9",)
        assert (await c.ask(now_us=T0 + 10 * S, host_globs=("web1", "db9"))).coverage.unmatched_globs == ()

    tell(tmp_path, story)


def test_freshness_in_the_past_follows_the_streams_and_their_gaps(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0))
        await c.report(session, difference(2, T0 + 60 * S))
        # Silence for ten minutes, then what was kept for a minute of it, and a snapshot that says what was lost.
        back = T0 + 660 * S
        session = await c.connect(await c.enroll("web1"), hello(back), back)
        lost = Gap(T0 + 120 * S, back, "queue full")
        await c.report(session, difference(3, T0 + 120 * S), delay_us=back - (T0 + 120 * S))
        await c.report(session, snapshot(4, back, sock(1, back), gaps=(lost,)))
        told = {}
        for seconds in (-1, 0, 60, 100, 120, 240, 241, 659, 660, 780, 781):
            coverage = (await c.ask(at_us=T0 + seconds * S, now_us=T0 + 9999 * S)).coverage
            told[seconds] = (coverage.hosts_fresh, coverage.gaps)
        assert told == {
            -1: (0, 0), 0: (1, 0), 60: (1, 0), 100: (1, 0), 120: (1, 1), 240: (1, 1), 241: (0, 1), 659: (0, 1),
            660: (1, 0), 780: (1, 0), 781: (0, 0),
        }  # fmt: skip
        [stale] = (await c.ask(at_us=T0 + 400 * S, now_us=T0 + 9999 * S)).coverage.hosts_stale
        assert stale.last_seen_us == T0 + 120 * S

    tell(tmp_path, story)


@pytest.mark.parametrize("offset_us", [0, -3600 * S])
def test_an_answer_about_what_began_counts_the_gaps_of_all_that_time_and_what_is_gone_of_it(
    tmp_path: Path, offset_us: int
) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0 + offset_us), offset_us=offset_us)
        over = Gap(T0 + offset_us + 20 * S, T0 + offset_us + 30 * S, "queue full")
        await c.report(session, difference(2, T0 + offset_us + 60 * S, gaps=(over,)), delay_us=-offset_us)
        await c.db.write(kept.begin, session.host_id)
        await c.db.write(kept.note_deleted, session.host_id, {int(Kind.LISTENERS): T0 + offset_us + 10 * S})
        told: dict[tuple[int, int], list[tuple[int, bool]]] = {}
        for since, until in ((5, 0), (9, 25), (10, 20), (15, 19), (25, 40), (29, 0), (30, 0)):
            for host in ("", "web1"):
                asked = SocketQuestion(
                    Selection(host=host, at_us=until and T0 + until * S),
                    listeners_only=True,
                    opened_since_us=T0 + since * S,
                )
                coverage = (await c.ask(asked, now_us=T0 + 60 * S)).coverage
                told.setdefault((since, until), []).append((coverage.gaps, bool(coverage.not_kept)))
        assert told == {
            (5, 0): [(1, True)] * 2, (9, 25): [(1, True)] * 2, (10, 20): [(1, False)] * 2, (15, 19): [(0, False)] * 2,
            (25, 40): [(1, False)] * 2, (29, 0): [(1, False)] * 2, (30, 0): [(0, False)] * 2,
        }  # fmt: skip

    tell(tmp_path, story)


def test_who_enrolled_later_is_no_part_of_the_fleet_as_it_was_unless_asked_for_by_name(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await reporting(c, "web1", sock(1, T0))
        await c.enroll("late", at_us=T0 + 100 * S)
        assert (await c.ask(at_us=T0 + S, now_us=T0 + 200 * S)).coverage.hosts_asked == 1
        coverage = (await c.ask(at_us=T0 + S, now_us=T0 + 200 * S, host="late")).coverage
        assert (coverage.hosts_asked, coverage.hosts_fresh) == (1, 0)

    tell(tmp_path, story)


@pytest.mark.parametrize("offset_us", [3600 * S, -3600 * S])
def test_the_past_of_a_host_whose_clock_is_wrong_is_found_by_its_clock(tmp_path: Path, offset_us: int) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "skewed", sock(1, T0 + offset_us), offset_us=offset_us)
        await reporting(c, "right", sock(2, T0))
        end = T0 + offset_us + 60 * S
        await c.report(session, difference(2, end, closed=(gone(1, end),)), delay_us=-offset_us)
        told = {}
        for seconds in (-1, 0, 59, 60):
            answer = await c.ask(at_us=T0 + seconds * S, now_us=T0 + 99 * S)
            told[seconds] = ([i.host for i in answer.items], answer.coverage.hosts_fresh)
        assert told == {-1: ([], 0), 0: (["right", "skewed"], 2), 59: (["right", "skewed"], 2), 60: (["right"], 2)}
        assert [h.clock_offset_us for h in (await c.ask_hosts()).items] == [0, offset_us]

    tell(tmp_path, story)


@pytest.mark.parametrize(("set_by_us", "late_us"), [(0, 4 * S), (3_600 * S, 4 * S), (-3_600 * S, 0)])
def test_a_hello_that_was_long_on_its_way_is_no_clock_that_is_late(
    tmp_path: Path, set_by_us: int, late_us: int
) -> None:
    """And a wall clock that was set meanwhile moves nothing: a new Hello tells it."""

    async def story(c: Collector) -> None:
        host = await c.enroll()
        said = hello(T0)
        session = await c.connect(host, said, at_us=T0 + late_us)
        whole = replace(snapshot(1, T0 + 5 * S + set_by_us), look_boottime_us=said.boottime_us + 5 * S)
        await c.ingest.commit(session, whole, T0 + 5 * S + 20_000)
        slow = difference(2, T0 + 6 * S + set_by_us, look_boottime_us=said.boottime_us + 6 * S)
        await c.ingest.commit(session, slow, T0 + 9 * S)
        (item,) = (await c.ask_hosts(T0 + 9 * S)).items
        assert item.clock_offset_us == (-20_000 if late_us else 0)

    tell(tmp_path, story)


@pytest.mark.parametrize(("what", "at_s"), [("slow", 0), ("behind", 0), ("set in between", 4), ("long ago", 4)])
def test_a_stream_of_which_all_was_slow_is_judged_by_the_streams_beside_it(
    tmp_path: Path, what: str, at_s: int
) -> None:
    """A socket that opened 30 s after T0 by its host's clock, on a stream whose messages came 4 s late: `at_s` seconds
    after that by the collector's clock it is there."""
    behind_us = -4 * S if what == "behind" else 0
    apart_us = 2 * 3_600 * S if what == "long ago" else 0

    async def story(c: Collector) -> None:
        host = await c.enroll()
        first = await c.connect(host, hello(T0 - apart_us, clock_offset_us=behind_us), at_us=T0 - apart_us)
        await c.report(first, snapshot(1, T0 - apart_us), delay_us=20_000 - behind_us)
        said = hello(T0 + 20 * S, epoch=2, clock_offset_us=behind_us)
        if what == "set in between":
            said = replace(said, facts=replace(said.facts, booted_at_us=said.facts.booted_at_us - 4 * S))
        late_us = 0 if what == "behind" else 4 * S
        session = await c.connect(host, said, at_us=T0 + 20 * S + late_us)
        opened = sock(1, T0 + 30 * S + behind_us)
        for batch in (
            snapshot(1, T0 + 20 * S + behind_us, epoch=2),
            difference(2, T0 + 30 * S + behind_us, previous_us=T0 + 20 * S, opened=(opened,), epoch=2),
        ):
            boottime_us = said.boottime_us + batch.look_at_us - behind_us - T0 - 20 * S
            await c.ingest.commit(session, replace(batch, look_boottime_us=boottime_us), batch.look_at_us + 4 * S)
        for seconds, there in ((at_s - 0.1, False), (at_s + 0.1, True)):
            answer = await c.ask(at_us=T0 + 30 * S + round(seconds * S), now_us=T0 + 99 * S)
            assert bool(answer.items) is there, seconds

    tell(tmp_path, story)


def test_how_a_clock_is_judged_is_the_same_whoever_else_is_asked_about(tmp_path: Path) -> None:
    hour, late_us = 3_600 * S, -10 * S

    async def story(c: Collector) -> None:
        # It tells of four hours ago on a stream that looks late, and opens one beside it that does not.
        host = await c.enroll("web1")
        session = await c.connect(host, hello(T0 + 4 * hour, clock_offset_us=late_us), T0 + 4 * hour)
        await c.report(session, snapshot(1, T0 + late_us), delay_us=4 * hour)
        await c.connect(host, hello(T0 + 4 * hour + 60 * S), T0 + 4 * hour + 60 * S)
        other = await c.connect(await c.enroll("web2"), hello(T0 + 3 * hour, clock_offset_us=late_us), T0 + 3 * hour)
        await c.report(other, snapshot(1, T0 + 3 * hour + late_us), delay_us=-late_us)

        async def offset_us(*host_ids: int) -> int:
            covered = await c.db.read(sessions.covering, T0 + 3 * hour, host_ids)
            return covered[host.host_id].clock_offset_us

        assert await offset_us(host.host_id) == await offset_us(host.host_id, other.host_id) == late_us

    tell(tmp_path, story)


def test_when_a_look_was_is_told_by_the_clock_that_nothing_sets(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        said = replace(hello(T0), boottime_us=500 * S)
        session = await c.connect(await c.enroll(), said, T0)

        async def covered() -> tuple[int, int]:
            stream = await c.db.read(lambda conn: sessions.newest(conn)[session.host_id])
            return stream.first_at_us, stream.last_at_us

        # Read before the Hello, and received long after it.
        first = replace(snapshot(1, T0 - 40 * S, sock(7, T0)), look_boottime_us=497 * S)
        await c.ingest.commit(session, first, T0 + 3600 * S)
        assert await covered() == (T0 - 3 * S, T0 - 3 * S)
        # The host's wall clock has run away since.
        await c.ingest.commit(
            session, replace(difference(2, T0 + 900 * S), look_boottime_us=510 * S), T0 + 3600 * S
        )  # fmt: skip
        assert await covered() == (T0 - 3 * S, T0 + 10 * S)
        # No look was taken after it was received, and an agent that does not tell is believed as before.
        await c.ingest.commit(session, replace(difference(3, T0 + 901 * S), look_boottime_us=9999 * S), T0 + 20 * S)
        assert await covered() == (T0 - 3 * S, T0 + 20 * S)
        await c.ingest.commit(session, difference(4, T0 + 902 * S), T0 + 3600 * S)
        assert await covered() == (T0 - 3 * S, T0 + 902 * S)

    tell(tmp_path, story)


@pytest.mark.parametrize("offsets_us", [(0, S - 1, -7 * S, 3600 * S, 0), (0, S - 1, 0, 1 - S, 0)])
def test_what_the_database_counts_is_what_going_through_all_hosts_finds(
    tmp_path: Path, offsets_us: tuple[int, ...]
) -> None:
    async def story(c: Collector) -> None:
        now_us = T0 + 500 * S
        heard_each_us = (now_us, now_us - 119 * S, now_us, now_us - 121 * S, T0)
        await c.enroll("mute")
        for number, (offset_us, heard_us) in enumerate(zip(offsets_us, heard_each_us, strict=True)):
            host = await c.enroll(f"web{number}")
            session = await c.connect(host, hello(T0, clock_offset_us=offset_us), T0)
            its_now_us = now_us + offset_us
            over = (Gap(its_now_us - S, its_now_us + S, "over"), Gap(its_now_us - 9 * S, its_now_us - 8 * S, "past"))
            for row in over:
                await c.db.write(gaps.record, host.host_id, [row])
            await c.ingest.commit(session, snapshot(1, heard_us + offset_us, sock(1, T0)), heard_us)

        def both(conn: Connection, since_us: int, host: str = "") -> tuple[Coverage, Coverage]:
            said = (conn, Selection(host=host), now_us, SOCKETS, since_us)
            return survey(*said).coverage, outline(*said).coverage

        for since_us, overlap in ((0, 5), (now_us - 7 * S, 5), (now_us - 9 * S, 10)):
            surveyed, outlined = await c.db.read(both, since_us)
            assert surveyed == outlined
            assert (outlined.hosts_asked, outlined.hosts_fresh, outlined.gaps) == (6, 3, overlap)
            assert [stale.host for stale in outlined.hosts_stale] == ["mute", "web3", "web4"]
            # And so of each by its name.
            for name in ("mute", *(f"web{number}" for number in range(5))):
                surveyed, outlined = await c.db.read(both, since_us, name)
                assert surveyed == outlined, (since_us, name)

    tell(tmp_path, story)


def test_what_is_counted_of_the_past_is_what_going_through_all_hosts_finds(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await c.enroll("mute")
        await c.enroll("late", at_us=T0 + 300 * S)
        for number, offset_us in enumerate((0, S - 1, -7 * S, 3600 * S, 0, -3600 * S)):
            host = await c.enroll(f"web{number}")
            for stream, begins_us in enumerate((T0, T0 + 200 * S, T0 + 600 * S)[: 1 + number % 3], start=1):
                said = hello(begins_us, epoch=stream, clock_offset_us=offset_us)
                session = await c.connect(host, said, begins_us)
                its_us = begins_us + offset_us
                await c.report(session, snapshot(1, its_us, epoch=stream), delay_us=-offset_us)
                last = difference(2, its_us + 150 * S, epoch=stream, previous_us=its_us)
                await c.report(session, last, delay_us=-offset_us)
            lost = Gap(T0 + offset_us + number * 40 * S, T0 + offset_us + 400 * S, "queue full")
            await c.db.write(gaps.record, host.host_id, [lost])
        session = await reporting(c, "web9", sock(1, T0))
        await c.db.write(kept.begin, session.host_id)
        await c.db.write(kept.note_deleted, session.host_id, {int(Kind.SOCKETS): T0 + 100 * S})

        def both(conn: Connection, chosen: Selection, since_us: int) -> tuple[Coverage, Coverage, bool]:
            scene = survey(conn, chosen, T0 + 999 * S, SOCKETS, since_us)
            outlined = outline(conn, chosen, T0 + 999 * S, SOCKETS, since_us)
            same = (outlined.moment, outlined.since) == (scene.moment, scene.since)
            return scene.coverage, outlined.coverage, same

        seen = set()
        for seconds in (-5, 0, 40, 119, 121, 160, 250, 299, 301, 350, 400, 401, 640, 900):
            for since_us in (0, T0 + (seconds - 90) * S):
                surveyed, outlined, same = await c.db.read(both, Selection(at_us=T0 + seconds * S), since_us)
                assert surveyed == outlined, (seconds, since_us)
                assert same
                seen.add((outlined.hosts_asked, outlined.hosts_fresh, outlined.gaps, bool(outlined.not_kept)))
        assert len(seen) > 12

    tell(tmp_path, story)


@pytest.mark.engine("sqlite")
def test_an_answer_about_now_goes_through_the_hosts_alone(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        for number in range(3):
            await reporting(c, f"web{number}", sock(1, T0))
        asked = asked_of(c.db._engines.readers)
        answer = await c.ask(SocketQuestion(Selection(), local_ports=((9, 9),)), now_us=T0)
        assert answer.coverage.hosts_fresh == 3

        def plans(conn: Connection) -> list[str]:
            return [step for sql, values in tuple(asked) for step in plan(conn, sql, values)]

        steps = await c.db.read(plans)
        assert [step for step in steps if "gaps" in step and "ix_gaps_to_us" not in step] == []
        assert [step for step in steps if "sessions" in step and "ix_sessions_skewed" not in step] == []
        assert sum("SCAN hosts" in step for step in steps) == 1  # the fresh ones are counted

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        ({}, "LISTENERS SOCKETS BRIEF"),
        ({"listeners_only": True}, "LISTENERS"),
        ({"exposed_only": True, "states": (TIME_WAIT,)}, "LISTENERS"),
        # A UNIX socket listens too, and is no listener.
        ({"states": (LISTEN,)}, "LISTENERS SOCKETS"),
        ({"states": (CLOSE_WAIT,)}, "SOCKETS"),
        ({"states": (CLOSE_WAIT, TIME_WAIT)}, "SOCKETS BRIEF"),
        ({"states": (TIME_WAIT,)}, "BRIEF"),
        ({"states": (CLOSE,), "protocols": (UDP,)}, "LISTENERS SOCKETS"),
        ({"protocols": (UDP, UNIX)}, "LISTENERS SOCKETS"),
        # What is known by its end alone began some time.
        ({"states": (CLOSE,), "opened_since_us": T0}, "LISTENERS SOCKETS BRIEF"),
        ({"listeners_only": True, "opened_since_us": T0}, "LISTENERS BRIEF"),
        ({"listeners_only": True, "opened_since_us": T0, "protocols": (TCP, UDP)}, "LISTENERS BRIEF"),
        ({"listeners_only": True, "opened_since_us": T0, "protocols": (TCP, SCTP)}, "LISTENERS"),
        ({"exposed_only": True, "opened_since_us": T0, "states": (LISTEN,)}, "LISTENERS"),
        ({"remotes": (Net(bytes(4), 0),)}, "SOCKETS BRIEF"),
        ({"remote_ports": ((25, 25),), "states": (CLOSE_WAIT, CLOSE)}, "SOCKETS"),
        ({"protocols": (TCP,), "local_ports": ((443, 443),)}, "LISTENERS SOCKETS BRIEF"),
    ],
)
def test_what_a_question_could_find_is_of_these_kinds(asked: dict[str, Any], kinds: str) -> None:
    found = kinds_of(SocketQuestion(Selection(), **asked))
    assert {kind.name for kind in found} == set(kinds.split())
