"""How far answers reach: which hosts were fresh at the time asked about, and whose clock tells it."""

from dataclasses import replace
from pathlib import Path

import pytest
from fleetnet_server.records import (
    Gap,
)
from fleetnet_server.storage import sessions
from server.reports import (
    T0,
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
