"""What a host kept while nobody took its reports is put where it belongs, and nothing of the present moves."""

from dataclasses import replace
from pathlib import Path

import pytest
from fleetnet_server.errors import BadBatch, SequenceHole
from fleetnet_server.records import Gap, Holder, Process, Session, Socket
from fleetnet_server.services.pieces import cut
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.gaps import KEPT
from fleetnet_server.storage.schema import hosts, sessions
from server.costs import pieces
from server.reports import (
    BEFORE,
    BOOT,
    CLOSE,
    CLOSE_WAIT,
    ESTABLISHED,
    EXACT,
    GAP,
    LISTEN,
    NEXT_BOOT,
    SEEN,
    T0,
    TIME_WAIT,
    UDP,
    Collector,
    Interval,
    S,
    difference,
    gone,
    hello,
    kept,
    past,
    snapshot,
    sock,
)
from server.stories import tell
from sqlalchemy import event, select

HOUR = 3600 * S
BACK = T0 + HOUR  # when a collector took reports again
OUTAGE = Gap(T0, BACK, "collector unreachable", kept=True)
WAITS = Gap(T0, BACK, KEPT)


async def back(c: Collector, before: tuple[Socket, ...], after: tuple[Socket, ...], *gaps: Gap) -> Session:
    """A host that told of some sockets at T0, and of others an hour later; its next sequence is 3."""
    host = await c.enroll()
    first = await c.connect(host, hello(T0))
    await c.report(first, snapshot(1, T0, *before))
    await c.ingest.close(first, T0)
    session = await c.connect(host, hello(BACK), BACK)
    await c.report(session, snapshot(2, BACK, *after, gaps=gaps or (OUTAGE,)))
    return session


def test_an_end_that_only_the_gap_was_known_of_gets_its_time(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (sock(7, T0), sock(8, T0)), ())
        await c.report(session, kept(3, OUTAGE, ended=(gone(7, T0 + 5 * S, EXACT),), last=False))
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN, T0 + 5 * S, EXACT, T0 + 5 * S),
            Interval(8, LISTEN, T0, SEEN, BACK, GAP, T0),
        ]
        assert await c.gaps() == [WAITS]

    tell(tmp_path, story)


def test_what_came_and_went_is_in_history_and_what_came_and_stayed_began_when_it_did(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        stayed = sock(8, BACK, how=BEFORE)
        session = await back(c, (), (stayed,))
        brief = past(sock(7, T0 + 5 * S, ESTABLISHED), T0 + 9 * S, EXACT)
        await c.report(session, kept(3, OUTAGE, brief, past(sock(8, T0 + 7 * S, how=EXACT))))
        assert await c.intervals() == [
            Interval(7, ESTABLISHED, T0 + 5 * S, SEEN, T0 + 9 * S, EXACT, T0 + 9 * S),
            Interval(8, LISTEN, T0 + 7 * S, EXACT),
        ]
        assert await c.gaps() == []
        assert [item.cookie for item in (await c.ask(at_us=T0 + 8 * S, now_us=BACK)).items] == [7, 8]

    tell(tmp_path, story)


def test_a_time_that_was_told_afterwards_is_answered_as_fresh_and_not_before(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (sock(7, T0),), (sock(7, BACK, how=BEFORE),))
        at_us = T0 + HOUR // 2
        waiting = (await c.ask(at_us=at_us, now_us=BACK)).coverage
        assert (waiting.hosts_fresh, waiting.gaps) == (0, 1)
        await c.report(session, kept(3, OUTAGE, last=False))
        assert (await c.ask(at_us=at_us, now_us=BACK)).coverage == waiting
        await c.report(session, kept(4, OUTAGE))
        told = (await c.ask(at_us=at_us, now_us=BACK)).coverage
        assert (told.hosts_fresh, told.gaps) == (1, 0)

    tell(tmp_path, story)


def test_what_nothing_was_told_of_and_the_snapshot_did_not_find_was_gone_when_the_gap_began(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        begun = T0 + 60 * S  # an agent that was started anew keeps from its own first look on
        missed = Gap(T0, begun, "agent restarted")
        since = replace(OUTAGE, from_us=begun)
        changed = sock(9, BACK, CLOSE_WAIT, how=BEFORE)
        session = await back(c, (sock(7, T0), sock(8, T0), sock(9, T0, ESTABLISHED)), (changed,), missed, since)
        await c.report(session, kept(3, since, ended=(gone(8, begun + S, EXACT),)))
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN, begun, GAP, T0),
            Interval(8, LISTEN, T0, SEEN, begun + S, EXACT, begun + S),
            Interval(9, ESTABLISHED, T0, SEEN, BACK, GAP, T0),
            Interval(9, CLOSE_WAIT, BACK, BEFORE),
        ]
        assert [one.cookie for one in (await c.ask(at_us=begun + HOUR // 2, now_us=BACK)).items] == [9]

    tell(tmp_path, story)


def test_so_it_is_if_the_connection_broke_after_the_snapshot_and_another_came(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        begun, again = T0 + 60 * S, BACK + 9 * S
        missed, since = Gap(T0, begun, "agent restarted"), replace(OUTAGE, from_us=begun)
        await back(c, (sock(7, T0),), (), missed, since)
        session = await c.connect(await c.enroll(), hello(again), again)
        longer = replace(since, to_us=again)
        await c.report(session, snapshot(3, again, gaps=(missed, longer)), kept(4, longer))
        assert await c.gaps() == [missed]
        assert await c.intervals() == [Interval(7, LISTEN, T0, SEEN, begun, GAP, T0)]

    tell(tmp_path, story)


def test_where_some_of_a_gap_was_lost_what_nothing_was_told_of_may_have_ended_at_any_time(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        lost = Gap(T0 + 9 * S, T0 + 500 * S, "spool full")
        session = await back(c, (sock(7, T0),), (), lost, OUTAGE)
        await c.report(session, kept(3, OUTAGE))
        assert await c.intervals() == [Interval(7, LISTEN, T0, SEEN, T0 + 500 * S, GAP, T0)]

    tell(tmp_path, story)


def test_a_second_restart_within_the_gap_does_not_make_it_later(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        begun = T0 + 60 * S
        restarts = Gap(T0, begun, "agent restarted"), Gap(begun + 9 * S, begun + 12 * S, "agent restarted")
        since = replace(OUTAGE, from_us=begun)
        session = await back(c, (sock(7, T0), sock(8, T0)), (), *restarts, since)
        told = gone(8, begun + 12 * S, GAP)
        await c.report(session, kept(3, since, past(sock(8, begun, how=BEFORE), begun + 12 * S, GAP), ended=()))
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN, begun, GAP, T0),
            Interval(8, LISTEN, T0, SEEN, told.closed_at_us, GAP, begun + 9 * S),
        ]

    tell(tmp_path, story)


def test_what_ended_in_a_restart_that_the_snapshot_ended_did_not_end_before_it(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        restarted = Gap(T0 + 9 * S, BACK, "agent restarted")
        session = await back(c, (sock(7, T0), sock(8, T0 - S)), (), restarted, OUTAGE)
        await c.report(session, kept(3, OUTAGE, ended=(gone(7, BACK, GAP), gone(8, T0 + S))))
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN, BACK, GAP, T0 + 9 * S),
            Interval(8, LISTEN, T0 - S, SEEN, T0 + S, SEEN, T0 + S),
        ]
        assert await c.gaps() == [restarted]
        assert [one.cookie for one in (await c.ask(at_us=T0 + 5 * S, now_us=BACK)).items] == [7]

    tell(tmp_path, story)


def test_nor_if_the_agent_was_restarted_behind_the_look_that_the_gap_begins_with(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        restarted = Gap(T0, BACK, "agent restarted")
        session = await back(c, (sock(7, T0), sock(8, T0 - S)), (), restarted, OUTAGE)
        await c.report(session, kept(3, OUTAGE, ended=(gone(7, BACK, GAP), gone(8, BACK, GAP))))
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN, BACK, GAP, T0),
            Interval(8, LISTEN, T0 - S, SEEN, BACK, GAP, T0),
        ]

    tell(tmp_path, story)


def test_nor_if_it_began_with_the_first_look_of_an_agent_that_found_no_collector(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        begun = T0 + 60 * S
        restarts = Gap(T0, begun, "agent restarted"), Gap(begun + 9 * S, BACK, "agent restarted")
        since = replace(OUTAGE, from_us=begun)
        session = await back(c, (sock(7, T0), sock(8, T0)), (), *restarts, since)
        told = past(sock(8, begun, how=BEFORE), BACK, GAP), past(sock(9, begun, how=BEFORE), BACK, GAP)
        await c.report(session, kept(3, since, *told))
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN, begun, GAP, T0),
            Interval(8, LISTEN, T0, SEEN, BACK, GAP, begun + 9 * S),
            Interval(9, LISTEN, begun, BEFORE, BACK, GAP, begun + 9 * S),
        ]

    tell(tmp_path, story)


@pytest.mark.parametrize("last_look_us", [T0, T0 + 9 * S])
def test_nor_where_what_was_lost_was_before_that(tmp_path: Path, last_look_us: int) -> None:
    async def story(c: Collector) -> None:
        lost, restarted = Gap(T0 + 2 * S, T0 + 5 * S, "spool full"), Gap(last_look_us, BACK, "agent restarted")
        session = await back(c, (sock(7, T0),), (), lost, restarted, OUTAGE)
        await c.report(session, kept(3, OUTAGE, ended=(gone(7, BACK, GAP),)))
        assert await c.intervals() == [Interval(7, LISTEN, T0, SEEN, BACK, GAP, last_look_us)]

    tell(tmp_path, story)


def test_a_gap_within_a_gap_stays_when_the_rest_has_been_told(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        lost = Gap(T0 + 9 * S, T0 + 500 * S, "spool full")
        session = await back(c, (), (), lost, OUTAGE)
        await c.report(session, kept(3, OUTAGE))
        assert await c.gaps() == [lost]
        assert (await c.ask(at_us=T0 + 300 * S, now_us=BACK)).coverage.hosts_fresh == 0

    tell(tmp_path, story)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_a_socket_that_looks_as_if_it_had_stayed_had_another_life_in_between(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (sock(7, T0),), (sock(7, BACK, how=BEFORE),))
        assert await c.intervals() == [Interval(7, LISTEN, T0, SEEN)]
        parts = [
            lambda n: kept(n, OUTAGE, ended=(gone(7, T0 + 5 * S),), last=False),
            lambda n: kept(n, OUTAGE, past(sock(7, T0 + 6 * S, CLOSE_WAIT), T0 + 7 * S), last=False),
            lambda n: kept(n, OUTAGE, past(sock(7, T0 + 9 * S)), last=False),
        ]
        for sequence, which in enumerate((*order, *order), 3):
            await c.report(session, parts[which](sequence))
        assert [replace(i, last_seen_us=0) for i in await c.intervals()] == [
            Interval(7, LISTEN, T0, SEEN, T0 + 5 * S, SEEN),
            Interval(7, CLOSE_WAIT, T0 + 6 * S, SEEN, T0 + 7 * S, SEEN),
            Interval(7, LISTEN, T0 + 9 * S, SEEN),
        ]

    tell(tmp_path, story)


def test_what_the_snapshot_found_and_has_ended_since_began_in_the_gap(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (), (sock(7, BACK, how=BEFORE),))
        await c.report(session, difference(3, BACK + S, previous_us=BACK, closed=(gone(7, BACK + S),)))
        for sequence in (4, 5):
            await c.report(session, kept(sequence, OUTAGE, past(sock(7, T0 + 9 * S)), last=False))
        assert await c.intervals() == [Interval(7, LISTEN, T0 + 9 * S, SEEN, BACK + S, SEEN, BACK)]

    tell(tmp_path, story)


def test_without_the_rest_what_is_known_of_a_socket_ends_where_another_state_of_it_is_told(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (sock(7, T0, ESTABLISHED),), ())
        told = past(sock(7, T0 + 9 * S, CLOSE_WAIT), T0 + 20 * S)
        await c.report(session, kept(3, OUTAGE, told, last=False))
        assert await c.intervals() == [
            Interval(7, ESTABLISHED, T0, SEEN, T0 + 9 * S, GAP, T0),
            Interval(7, CLOSE_WAIT, T0 + 9 * S, SEEN, T0 + 20 * S, SEEN, T0 + 20 * S),
        ]

    tell(tmp_path, story)


def test_a_connected_udp_socket_that_turned_to_another_peer_is_two_intervals(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        def udp(at_us: int, peer: int) -> Socket:
            return sock(7, at_us, ESTABLISHED, protocol=UDP, remote=bytes([10, 0, 0, peer]), remote_port=53)

        session = await back(c, (), (udp(BACK, 2),))
        await c.report(session, kept(3, OUTAGE, past(udp(T0 + 5 * S, 1), T0 + 9 * S), past(udp(T0 + 9 * S, 2))))
        assert await c.intervals() == [
            Interval(7, ESTABLISHED, T0 + 5 * S, SEEN, T0 + 9 * S, SEEN, T0 + 9 * S),
            Interval(7, ESTABLISHED, T0 + 9 * S, SEEN),
        ]

    tell(tmp_path, story)


def test_a_connection_that_no_look_saw_is_kept_once(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (), ())
        unseen = past(sock(7, T0 + 5 * S, CLOSE, how=4), T0 + 5 * S, EXACT)
        for sequence in (3, 4):
            await c.report(session, kept(sequence, OUTAGE, unseen, last=False))
        assert await c.intervals() == [Interval(7, CLOSE, T0 + 5 * S, 4, T0 + 5 * S, EXACT, T0 + 5 * S)]

    tell(tmp_path, story)


def test_sockets_of_an_earlier_boot_stay_those_of_that_boot(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await c.report(await c.connect(host, hello(T0)), snapshot(1, T0, sock(7, T0)))
        session = await c.connect(host, hello(BACK, epoch=2, boot_id=NEXT_BOOT), BACK)
        rebooted = Gap(T0 + 20 * S, T0 + 60 * S, "host rebooted")
        told = snapshot(
            1, BACK, sock(7, BACK, how=BEFORE), epoch=2, boot_id=NEXT_BOOT, gaps=(OUTAGE, rebooted)
        )  # fmt: skip
        await c.report(session, told)
        assert await c.gaps() == [WAITS, rebooted]  # and none of the collector's own
        old = Holder(0, "root", "old.service", "", 1, (Process(9, T0, "old", "/bin/old", "old"),))
        before = kept(
            2, OUTAGE, past(sock(9, T0 + 2 * S, holder=old), T0 + 60 * S, GAP), ended=(gone(7, T0 + 4 * S, EXACT),),
            last=False, of_boot=BOOT, epoch=2, boot_id=NEXT_BOOT,
        )  # fmt: skip
        since = kept(3, OUTAGE, past(sock(7, T0 + 60 * S, how=BEFORE)), of_boot=NEXT_BOOT, epoch=2, boot_id=NEXT_BOOT)
        await c.report(session, before, since)
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN, T0 + 4 * S, EXACT, T0 + 4 * S),
            Interval(7, LISTEN, T0 + 60 * S, BEFORE),
            Interval(9, LISTEN, T0 + 2 * S, SEEN, T0 + 60 * S, GAP, T0 + 20 * S),
        ]
        [item] = (await c.ask(at_us=T0 + 10 * S, now_us=BACK)).items
        assert (item.holder.unit, item.holder.owners[0].name) == ("old.service", "old")

    tell(tmp_path, story)


def test_an_agent_that_kept_from_its_own_start_leaves_the_time_before_as_a_gap(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await c.report(await c.connect(host, hello(T0)), snapshot(1, T0, sock(7, T0), sock(8, T0)))
        started = T0 + 60 * S
        session = await c.connect(host, hello(BACK, epoch=2), BACK)
        gap = replace(OUTAGE, from_us=started)
        await c.report(session, snapshot(1, BACK, gaps=(gap,), epoch=2))
        told = past(sock(7, started, how=BEFORE), started + 9 * S)
        await c.report(session, kept(2, gap, told, epoch=2))
        assert await c.gaps() == [Gap(T0, started, "agent restarted")]
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN, started + 9 * S, SEEN, started + 9 * S),
            Interval(8, LISTEN, T0, SEEN, started, GAP, T0),
        ]

    tell(tmp_path, story)


def test_a_backlog_moves_nothing_of_the_present(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (sock(7, T0),), (sock(8, BACK, how=BEFORE),))

        def present(conn: Connection) -> list[tuple[object, ...]]:
            streams = select(sessions.c.first_at_us, sessions.c.last_at_us, sessions.c.clock_offset_us)
            newest = streams.order_by(sessions.c.generation.desc()).limit(1)
            return [tuple(row) for query in (select(hosts), newest) for row in conn.execute(query)]

        before = await c.db.read(present)
        for sequence, boot in enumerate((BOOT, NEXT_BOOT), 3):
            told = kept(sequence, OUTAGE, past(sock(9, T0 + S), T0 + 2 * S), of_boot=boot, last=boot is NEXT_BOOT)
            await c.report(session, replace(told, look_at_us=BACK + 900 * S))
        assert await c.db.read(present) == before
        await c.report(session, difference(5, BACK + S, previous_us=BACK, closed=(gone(8, BACK + S),)))
        assert (await c.ask(now_us=BACK + S)).coverage.hosts_fresh == 1

    tell(tmp_path, story)


def test_a_backlog_may_come_between_two_parts_of_a_snapshot(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (sock(7, T0),), (sock(7, BACK, how=BEFORE), sock(8, BACK, how=BEFORE)))
        look = BACK + 60 * S
        await c.report(
            session,
            snapshot(3, look, sock(7, look, how=BEFORE), last=False),
            kept(4, OUTAGE, past(sock(8, T0 + S))),
            snapshot(5, look, part=1),
        )
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN),
            Interval(8, LISTEN, T0 + S, SEEN, look, SEEN, BACK),
        ]
        assert (await c.ask(now_us=look)).coverage.hosts_fresh == 1

    tell(tmp_path, story)


def test_a_backlog_is_stored_in_its_place_in_the_sequence_and_once(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (), ())
        told = kept(3, OUTAGE, past(sock(7, T0 + S), T0 + 2 * S))
        with pytest.raises(SequenceHole):
            await c.ingest.commit(session, replace(told, sequence=4), BACK)
        await c.report(session, told)
        before = await c.dump()
        assert (await c.ingest.commit(session, told, BACK + S)).sequence == 3
        assert await c.dump() == before

    tell(tmp_path, story)


def test_told_again_by_an_agent_that_did_not_hear_it_was_taken_it_changes_nothing(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (sock(7, T0), sock(6, T0)), (sock(6, BACK, how=BEFORE), sock(8, BACK, how=BEFORE)))
        told = kept(
            3, OUTAGE, past(sock(7, T0 + 9 * S), T0 + 10 * S), past(sock(8, T0 + S)), past(sock(6, T0 + 4 * S)),
            ended=(gone(7, T0 + 5 * S), gone(6, T0 + 3 * S)),
        )  # fmt: skip
        await c.report(session, told)
        before = await c.intervals(), await c.gaps()
        await c.restart()
        again = await c.connect(await c.enroll(), hello(BACK + S, epoch=2), BACK + S)
        after = snapshot(1, BACK + S, sock(6, BACK, how=BEFORE), sock(8, BACK, how=BEFORE), epoch=2)
        await c.report(again, after, replace(told, sequence=2, epoch=2))
        assert await c.intervals() == before[0]
        assert await c.gaps() == [Gap(BACK, BACK + S, "agent restarted")]

    tell(tmp_path, story)


def test_a_gap_that_is_declared_anew_from_an_earlier_look_waits_from_the_last_look_that_told(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        # The agent was killed before it heard that its snapshot was taken; its spool begins where it was.
        session = await back(c, (sock(7, T0),), (sock(8, BACK, how=BEFORE),))
        await c.report(session, difference(3, BACK + S, previous_us=BACK))
        later = BACK + 60 * S
        longer = Gap(T0, later, "collector unreachable", kept=True)
        again = await c.connect(await c.enroll(), hello(later, epoch=2), later)
        await c.report(again, snapshot(1, later, sock(8, later, how=BEFORE), epoch=2, gaps=(longer,)))
        assert await c.gaps() == [WAITS, Gap(BACK + S, later, KEPT)]
        told = kept(2, longer, past(sock(8, T0 + S)), ended=(gone(7, T0 + 5 * S),), epoch=2)
        await c.report(again, told)
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN, T0 + 5 * S, SEEN, T0 + 5 * S),
            Interval(8, LISTEN, T0 + S, SEEN),
        ]
        assert await c.gaps() == []

    tell(tmp_path, story)


def test_what_ended_behind_a_snapshot_that_its_agent_did_not_hear_was_taken_does_not_live_on_in_the_backlog(
    tmp_path: Path,
) -> None:
    async def story(c: Collector) -> None:
        # The agent was killed; on its disk is what it saw until BACK, and what the next one did not find.
        found = sock(8, BACK, how=BEFORE), sock(9, T0), sock(10, BACK, how=BEFORE), sock(11, BACK, how=BEFORE)
        session = await back(c, (sock(9, T0),), found)
        changed = sock(10, BACK + S, CLOSE_WAIT)
        ended = (gone(8, BACK + S), gone(9, BACK + S))
        await c.report(session, difference(3, BACK + S, previous_us=BACK, changed=(changed,), closed=ended))
        await c.report(session, difference(4, BACK + 2 * S, previous_us=BACK + S))
        later = BACK + 60 * S
        longer, restarted = Gap(T0, later, "collector unreachable", kept=True), Gap(BACK, later, "agent restarted")
        again = await c.connect(await c.enroll(), hello(later, epoch=2), later)
        present = snapshot(1, later, sock(10, later, CLOSE_WAIT, how=BEFORE), epoch=2, gaps=(longer, restarted))
        told = kept(
            2, longer, *(past(sock(n, T0 + 5 * S), later, GAP) for n in (8, 10, 11)),
            past(sock(10, later, CLOSE_WAIT, how=BEFORE)), ended=(gone(9, later, GAP),), epoch=2,
        )  # fmt: skip
        await c.report(again, present)
        for sequence in (2, 3):  # the second time behind the gap's withdrawal
            await c.report(again, replace(told, sequence=sequence))
            assert await c.intervals() == [
                Interval(8, LISTEN, T0 + 5 * S, SEEN, BACK + S, SEEN, BACK),
                Interval(9, LISTEN, T0, SEEN, BACK + S, SEEN, BACK),
                Interval(10, LISTEN, T0 + 5 * S, SEEN, BACK + S, SEEN, BACK),
                Interval(10, CLOSE_WAIT, BACK + S, SEEN),
                Interval(11, LISTEN, T0 + 5 * S, SEEN, later, GAP, BACK + 2 * S),
            ]
            assert await c.gaps() == [restarted]

    tell(tmp_path, story)


def test_but_what_the_backlog_saw_after_that_is_there(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        # The connection broke, and the agent went on: of what it found behind the last report the backlog alone tells.
        session = await back(c, (), (sock(8, BACK, how=BEFORE),))
        await c.report(session, difference(3, BACK + S, previous_us=BACK, closed=(gone(8, BACK + S),)))
        seen, later = BACK + 30 * S, BACK + 60 * S
        longer, restarted = Gap(T0, later, "collector unreachable", kept=True), Gap(seen, later, "agent restarted")
        again = await c.connect(await c.enroll(), hello(later, epoch=2), later)
        told = kept(
            2, longer, past(sock(8, T0 + 5 * S), BACK + S), past(sock(8, BACK + 9 * S), later, GAP),
            past(sock(9, BACK + 2 * S, TIME_WAIT), BACK + 9 * S), epoch=2,
        )  # fmt: skip
        await c.report(again, snapshot(1, later, epoch=2, gaps=(longer, restarted)), told, replace(told, sequence=3))
        assert await c.intervals() == [
            Interval(8, LISTEN, T0 + 5 * S, SEEN, BACK + S, SEEN, BACK),
            Interval(8, LISTEN, BACK + 9 * S, SEEN, later, GAP, seen),
            Interval(9, TIME_WAIT, BACK + 2 * S, SEEN, BACK + 9 * S, SEEN, BACK + 9 * S),
        ]

    tell(tmp_path, story)


@pytest.mark.parametrize("ended_first", [True, False])
@pytest.mark.parametrize("how", [EXACT, SEEN])
def test_an_end_that_was_stored_and_is_told_again_ends_not_what_came_of_it(
    tmp_path: Path, how: int, *, ended_first: bool
) -> None:
    async def story(c: Collector) -> None:
        # Two reports were stored, and their agent, which did not hear it, kept them when its memory was full.
        host = await c.enroll()
        first = await c.connect(host, hello(T0))
        entered = T0 + S - 9 if how == EXACT else T0 + S
        left = sock(7, entered, TIME_WAIT, how=how)
        waits = sock(8, entered, CLOSE_WAIT, how=how), sock(8, T0 + 2 * S, TIME_WAIT)
        await c.report(
            first,
            snapshot(1, T0, sock(7, T0, ESTABLISHED), sock(8, T0, ESTABLISHED)),
            difference(2, T0 + S, previous_us=T0, changed=(left, waits[0])),
            difference(3, T0 + 2 * S, previous_us=T0 + S, changed=waits[1:]),
        )
        again = await c.connect(host, hello(BACK), BACK)
        here = sock(7, BACK, TIME_WAIT, how=BEFORE)
        await c.report(again, snapshot(4, BACK, here, gaps=(OUTAGE,)))
        parts = [
            kept(5, OUTAGE, ended=(gone(7, entered, how), gone(8, entered, how)), last=False),
            kept(6, OUTAGE, past(left), past(waits[0], T0 + 2 * S), past(waits[1], T0 + 9 * S), last=False),
        ]
        for sequence, part in enumerate((*parts, *parts) if ended_first else (*parts[::-1], *parts[::-1]), 5):
            await c.report(again, replace(part, sequence=sequence))
        assert [replace(i, last_seen_us=0) for i in await c.intervals()] == [
            Interval(7, ESTABLISHED, T0, SEEN, entered, how),
            Interval(7, TIME_WAIT, entered, how),
            Interval(8, ESTABLISHED, T0, SEEN, entered, how),
            Interval(8, CLOSE_WAIT, entered, how, T0 + 2 * S, SEEN),
            Interval(8, TIME_WAIT, T0 + 2 * S, SEEN, T0 + 9 * S, SEEN),
        ]

    tell(tmp_path, story)


@pytest.mark.parametrize("together", [True, False])
def test_a_state_that_was_left_before_the_end_of_the_look_that_saw_it_cuts_nothing_out(
    tmp_path: Path, *, together: bool
) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (), (sock(7, BACK, TIME_WAIT, how=BEFORE),))
        look = T0 + 5 * S
        passing = past(sock(7, look, ESTABLISHED), look, EXACT)
        entered = past(sock(7, look - 9, TIME_WAIT, how=EXACT))
        parts = ((passing, entered),) if together else ((entered,), (passing,))
        for sequence, part in enumerate((*parts, *parts), 3):
            await c.report(session, kept(sequence, OUTAGE, *part, last=False))
        assert (await c.intervals())[-1] == Interval(7, TIME_WAIT, look - 9, EXACT)
        assert [row.state for row in (await c.intervals())[:-1]] in ([], [ESTABLISHED])

    tell(tmp_path, story)


def test_what_was_open_when_the_disk_filled_up_goes_on_if_the_snapshot_found_it(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        unlooked = Gap(T0 + 9 * S, BACK, "nothing can be kept")
        found = sock(7, T0), sock(8, BACK, how=BEFORE), sock(9, BACK, CLOSE_WAIT, how=BEFORE)
        session = await back(c, (sock(7, T0), sock(6, T0)), found, OUTAGE, unlooked)
        told = kept(3, OUTAGE, *(past(sock(n, T0 + n * S, ESTABLISHED if n == 9 else LISTEN)) for n in (4, 8, 9)))
        await c.report(session, told, replace(told, sequence=4))
        assert [replace(i, last_seen_us=0) for i in await c.intervals()] == [
            Interval(4, LISTEN, T0 + 4 * S, SEEN, BACK, GAP),
            Interval(6, LISTEN, T0, SEEN, BACK, GAP),
            Interval(7, LISTEN, T0, SEEN),
            Interval(8, LISTEN, T0 + 8 * S, SEEN),
            Interval(9, ESTABLISHED, T0 + 9 * S, SEEN, BACK, GAP),
            Interval(9, CLOSE_WAIT, BACK, BEFORE),
        ]
        assert await c.gaps() == [unlooked]

    tell(tmp_path, story)


def test_what_had_ended_by_a_stored_report_does_not_live_on_because_the_disk_was_full(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (), (sock(8, BACK, how=BEFORE),))
        await c.report(session, difference(3, BACK + S, previous_us=BACK, closed=(gone(8, BACK + S),)))
        later = BACK + 60 * S
        longer, unlooked = replace(OUTAGE, to_us=later), Gap(BACK, later, "nothing can be kept")
        again = await c.connect(await c.enroll(), hello(later), later)
        told = kept(5, longer, past(sock(8, T0 + 5 * S)))
        await c.report(again, snapshot(4, later, gaps=(longer, unlooked)), told, replace(told, sequence=6))
        assert await c.intervals() == [Interval(8, LISTEN, T0 + 5 * S, SEEN, BACK + S, SEEN, BACK)]

    tell(tmp_path, story)


def test_a_host_cannot_rewrite_what_its_looks_have_confirmed(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        look = T0 + 60 * S
        lie = Gap(T0 - HOUR, look, "collector unreachable", kept=True)
        await c.report(
            session,
            snapshot(1, T0, sock(7, T0), sock(8, T0)),
            difference(2, T0 + S, previous_us=T0, closed=(gone(7, T0 + S),)),
            difference(3, look, previous_us=T0 + S, gaps=(lie,)),
        )
        before = await c.intervals()
        told = kept(
            4, lie, past(sock(7, T0 - S, CLOSE_WAIT), T0 + S // 2), past(sock(8, T0 + 5 * S)),
            ended=(gone(7, T0 + 2), gone(8, T0 + 2)), last=False,
        )  # fmt: skip
        await c.report(session, told, replace(told, sequence=5, backlog=replace(told.backlog, from_us=1)))  # type: ignore[type-var]  # it has one
        rows = await c.intervals()
        assert [row for row in rows if row.opened_at_us >= T0 and row.closed_at_us <= T0 + S] != []
        for was in before:
            assert any(
                now.opened_at_us <= was.opened_at_us and (now.closed_at_us or 1 << 62) >= (was.closed_at_us or T0 + S)
                for now in rows
                if now.cookie == was.cookie and now.state == was.state
            )

    tell(tmp_path, story)


def test_the_words_for_a_gap_that_waits_are_the_collectors_own(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        await c.report(session, snapshot(1, T0, sock(7, T0)))
        forged = Gap(T0 - 9 * S, T0 + S, KEPT)
        await c.report(session, difference(2, T0 + S, previous_us=T0, gaps=(forged,)))
        assert await c.gaps() == [Gap(T0 - 9 * S, T0 + S, "told by the host")]

    tell(tmp_path, story)


def test_what_is_kept_of_a_time_that_a_clock_set_back_has_lived_before_is_a_gap_like_others(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        await c.report(session, snapshot(1, T0, sock(7, T0)))
        gap = Gap(T0 - 60 * S, T0, "collector unreachable", kept=True)
        await c.report(session, snapshot(2, T0 - 60 * S, sock(7, T0 - 60 * S, how=BEFORE), gaps=(gap,)))
        await c.report(session, kept(3, gap, past(sock(9, T0 - 30 * S), T0 - 20 * S)))
        assert await c.gaps() == [replace(gap, kept=False)]
        assert [row.cookie for row in await c.intervals()] == [7, 9]

    tell(tmp_path, story)


def test_a_backlog_about_no_gap_fills_only_what_is_free(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        await c.report(session, snapshot(1, T0, sock(7, T0 - 20 * S), sock(8, T0)))
        gap = Gap(T0 - 60 * S, T0 + 9 * S, "")
        told = kept(2, gap, past(sock(7, T0 - 30 * S, CLOSE_WAIT), T0 - 10 * S), ended=(gone(8, T0 + S),))
        await c.report(session, told)
        assert await c.intervals() == [
            Interval(7, CLOSE_WAIT, T0 - 30 * S, SEEN, T0 - 20 * S, GAP, T0 - 20 * S),
            Interval(7, LISTEN, T0 - 20 * S, SEEN),
            Interval(8, LISTEN, T0, SEEN),
        ]

    tell(tmp_path, story)


def test_intervals_that_lie_over_one_another_are_refused_before_they_cost_much(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (), ())
        moments = [past(sock(7, T0 + n, how=4), T0 + n, EXACT) for n in range(1, 4_001)]
        over = [past(sock(7, T0 + n, CLOSE_WAIT), BACK - n) for n in range(1, 4_001)]
        await c.report(session, kept(3, OUTAGE, *moments, last=False))
        with pytest.raises(BadBatch, match="over one another"):
            await c.ingest.commit(session, kept(4, OUTAGE, *over), BACK)
        assert len(await c.intervals()) == 4_000

    tell(tmp_path, story)


def statements_of(c: Collector) -> list[str]:
    """What the writer executes from now on, in order."""
    said: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    event.listen(c.db._engines.writer, "before_cursor_execute", note)
    return said


def test_sockets_of_the_past_take_a_dozen_statements_for_each_piece_of_a_report(tmp_path: Path, engine: str) -> None:
    async def story(c: Collector) -> None:
        before = tuple(sock(n, T0) for n in range(1, 5_001))
        session = await back(c, before, ())
        said = statements_of(c)
        sockets = [past(sock(n, T0 + n, ESTABLISHED), T0 + n + S) for n in range(10_001, 20_001)]
        ended = tuple(gone(n, T0 + n) for n in range(1, 5_001))
        report = kept(3, OUTAGE, *sockets, ended=ended)
        await c.report(session, report)
        # Fifteen thousand sockets, five hundred at a time, each five hundred in a transaction of their own; and rows
        # that are put in, on SQLite 256 at a time.
        parts, put_in = len(cut(report)), pieces(engine, 500)
        assert parts == 30
        assert len(said) <= parts * (12 + put_in)
        assert len(await c.intervals()) == 15_000

    tell(tmp_path, story)


@pytest.mark.engine("sqlite")
def test_rows_are_found_by_their_socket(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c, (sock(7, T0),), ())
        said = statements_of(c)
        await c.report(session, kept(3, OUTAGE, ended=(gone(7, T0 + S),)))
        touched = [one for one in said if "FROM history" in one]
        assert len(touched) == 2  # looked for, and taken away to be put in anew
        for statement in touched:
            [plan] = await c.db.read(
                lambda conn, said=statement: [  # type: ignore[misc]  # bound now
                    row[3] for row in conn.exec_driver_sql("EXPLAIN QUERY PLAN " + said, (1,) * said.count("?"))
                ]
            )
            assert "ix_history_sockets (<expr>=?)" in plan

    tell(tmp_path, story)
