"""What becomes of batches: delivery, intervals, gaps, and a host's clock that jumps."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from fleetnet_server.errors import BadBatch, Fenced, ForeignBatch, HostUnknown, SequenceHole
from fleetnet_server.records import ClosedSocket, Gap, Socket, SocketKey, SourceStatus
from fleetnet_server.storage import schema
from fleetnet_server.storage.postgresql_rows import COPY_FROM
from server.costs import asked_of, pieces
from server.databases import spread
from server.reports import (
    BEFORE,
    CLOSE_WAIT,
    ESTABLISHED,
    EXACT,
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
    key,
    snapshot,
    sock,
)
from server.stories import connected, tell
from sqlalchemy import update


def test_a_listener_leaves_one_interval(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(
            session,
            snapshot(1, T0),
            difference(2, T0 + S, previous_us=T0, opened=(sock(7, T0 + S),)),
            difference(3, T0 + 2 * S, previous_us=T0 + S, changed=(sock(7, T0 + 2 * S, recv_queue=3),)),
            difference(4, T0 + 5 * S, previous_us=T0 + 4 * S, closed=(gone(7, T0 + 5 * S),)),
        )
        assert await c.intervals() == [Interval(7, LISTEN, T0 + S, SEEN, T0 + 5 * S, SEEN, T0 + 4 * S)]

    tell(tmp_path, story)


def test_a_connection_leaves_adjoining_intervals_one_for_each_state(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(
            session,
            snapshot(1, T0, sock(7, T0, ESTABLISHED, how=BEFORE)),
            difference(2, T0 + S, previous_us=T0, changed=(sock(7, T0 + S, CLOSE_WAIT),)),
            difference(3, T0 + 2 * S, previous_us=T0 + S, changed=(sock(7, T0 + 2 * S - 5, TIME_WAIT, how=EXACT),)),
            difference(4, T0 + 3 * S, previous_us=T0 + 2 * S, closed=(gone(7, T0 + 3 * S - 9, EXACT),)),
        )
        assert await c.intervals() == [
            Interval(7, ESTABLISHED, T0, BEFORE, T0 + S, SEEN, T0),
            Interval(7, CLOSE_WAIT, T0 + S, SEEN, T0 + 2 * S - 5, EXACT, T0 + S),
            Interval(7, TIME_WAIT, T0 + 2 * S - 5, EXACT, T0 + 3 * S - 9, EXACT, T0 + 2 * S),
        ]

    tell(tmp_path, story)


def test_a_batch_sent_again_changes_nothing(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        batches = [
            snapshot(1, T0, sock(7, T0, ESTABLISHED), sources=(SourceStatus("tcp", True, ""),)),
            difference(2, T0 + S, changed=(sock(7, T0 + S, CLOSE_WAIT),), gaps=(Gap(T0, T0 + 5, "lost"),)),
            difference(3, T0 + 2 * S, closed=(gone(7, T0 + 2 * S),)),
        ]
        await c.report(session, *batches)
        before = await c.dump()
        for batch in batches:
            assert (await c.ingest.commit(session, batch, T0 + 100 * S)).sequence == 3
        assert await c.dump() == before

    tell(tmp_path, story)


def test_a_hole_in_the_sequence_is_refused_and_stores_nothing(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        before = await c.dump()
        with pytest.raises(SequenceHole, match="batch 2 came where 1 was due"):
            await c.ingest.commit(session, difference(2, T0, opened=(sock(7, T0),)), T0)
        assert await c.dump() == before

    tell(tmp_path, story)


def test_a_batch_of_another_epoch_is_refused(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        with pytest.raises(BadBatch, match="another boot or epoch"):
            await c.ingest.commit(session, snapshot(1, T0, epoch=2), T0)

    tell(tmp_path, story)


def test_a_newer_stream_fences_the_older_one(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        older = await c.connect(host, hello(T0))
        await c.report(older, snapshot(1, T0, sock(7, T0)))
        newer = await c.connect(host, hello(T0))
        assert newer.committed_sequence == 1
        with pytest.raises(Fenced):
            await c.ingest.commit(older, difference(2, T0 + S, closed=(gone(7, T0 + S),)), T0 + S)
        assert [i.closed_at_us for i in await c.intervals()] == [0]
        await c.report(newer, difference(2, T0 + S, closed=(gone(7, T0 + S),)))
        await c.ingest.close(older, T0 + S)

    tell(tmp_path, story)


def test_hosts_that_are_not_active_open_no_stream(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        with pytest.raises(HostUnknown):
            await c.connect(replace(host, name="web2"), hello(T0))
        await c.db.write(lambda conn: conn.execute(update(schema.hosts).values(status="revoked")).rowcount)
        with pytest.raises(HostUnknown):
            await c.connect(host, hello(T0))

    tell(tmp_path, story)


def test_a_changed_socket_that_is_not_known_is_taken_as_opened_and_an_unknown_end_is_passed_over(
    tmp_path: Path,
) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(
            session,
            snapshot(1, T0),
            difference(2, T0 + S, changed=(sock(7, T0 + S),), closed=(gone(8, T0 + S), gone(8, T0 + S))),
        )
        assert await c.intervals() == [Interval(7, LISTEN, T0 + S, SEEN)]

    tell(tmp_path, story)


def test_a_socket_opened_again_in_the_same_state_goes_on_with_its_new_attributes(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, snapshot(1, T0, sock(7, T0)))
        await c.report(session, difference(2, T0 + S, opened=(sock(7, T0 + S, recv_queue=9),)))
        assert await c.intervals() == [Interval(7, LISTEN, T0, SEEN)]
        assert [item.recv_queue for item in (await c.ask()).items] == [9]

    tell(tmp_path, story)


def test_a_socket_connected_anew_leaves_an_interval_for_each_peer(tmp_path: Path) -> None:
    def to(peer: int, at_us: int) -> Socket:
        return sock(7, at_us, ESTABLISHED, protocol=UDP, port=40_000, remote=bytes([10, 0, 0, peer]), remote_port=53)

    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(
            session,
            snapshot(1, T0, to(1, T0)),
            difference(2, T0 + S, previous_us=T0, changed=(to(2, T0 + S),)),
            difference(3, T0 + 2 * S, previous_us=T0 + S, changed=(to(3, T0 + 2 * S),)),
        )
        assert await c.intervals() == [
            Interval(7, ESTABLISHED, T0, SEEN, T0 + S, SEEN, T0),
            Interval(7, ESTABLISHED, T0 + S, SEEN, T0 + 2 * S, SEEN, T0 + S),
            Interval(7, ESTABLISHED, T0 + 2 * S, SEEN),
        ]
        for seconds in range(3):
            answer = await c.ask(at_us=T0 + seconds * S, now_us=T0 + 9 * S)
            assert [item.remote_address[3] for item in answer.items] == [seconds + 1]

    tell(tmp_path, story)


def test_one_batch_may_tell_of_a_socket_and_of_its_end_once(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(
            session,
            snapshot(1, T0),
            difference(
                2, T0 + S, opened=(sock(7, T0 + 5, how=EXACT),), closed=(gone(7, T0 + 9, EXACT), gone(7, T0 + 9))
            ),
        )
        assert [(i.opened_at_us, i.closed_at_us) for i in await c.intervals()] == [(T0 + 5, T0 + 9)]

    tell(tmp_path, story)


def test_a_clock_set_back_never_makes_intervals_overlap(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        earlier = T0 - 3600 * S
        await c.report(
            session,
            snapshot(1, T0, sock(7, T0, ESTABLISHED), sock(8, T0), sock(9, T0)),
            difference(2, T0 + S, closed=(gone(9, T0 + S),)),
            difference(3, earlier, changed=(sock(7, earlier, CLOSE_WAIT),), closed=(gone(8, earlier),)),
            difference(4, earlier + S, opened=(sock(9, earlier + S),)),
        )
        assert [(i.cookie, i.opened_at_us, i.closed_at_us) for i in await c.intervals()] == [
            (7, T0, T0),
            (7, T0, 0),
            (8, T0, T0),
            (9, T0, T0 + S),
            (9, T0 + S, 0),
        ]

    tell(tmp_path, story)


def test_a_gap_ends_at_the_latest_look_there_ever_was(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        until_2100 = Gap(T0 - S, T0 + 10**15, "a host that lies")
        back = Gap(T0 - 3600 * S, T0, "the host's clock was set")
        await c.report(
            session,
            snapshot(1, T0, gaps=(until_2100,)),
            difference(2, T0 - 3600 * S + 5, gaps=(back,)),
        )
        assert await c.gaps() == [back, replace(until_2100, to_us=T0)]

    tell(tmp_path, story)


def test_sockets_without_a_cookie_are_named_by_inode_or_else_by_address(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        by_inode, by_address = SocketKey(0, 6, 0, 55, b""), SocketKey(0, 6, 0, 0, b"\x7f\0\0\1\1\xbb" * 2)
        named = [sock(0, T0, TIME_WAIT)._replace(key=k) for k in (by_inode, by_address)]
        await c.report(
            session, snapshot(1, T0, *named), difference(2, T0 + S, closed=(ClosedSocket(by_address, T0 + S, 2),))
        )
        assert sorted(bool(i.closed_at_us) for i in await c.intervals()) == [False, True]

    tell(tmp_path, story)


def test_what_is_told_of_sources_replaces_what_was_told_and_a_snapshot_replaces_all(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)

        async def degraded() -> tuple[str, ...]:
            return (await c.ask_hosts()).items[0].degraded

        broken, well = SourceStatus("owners", False, "no helper"), SourceStatus("owners", True, "")
        await c.report(session, snapshot(1, T0, sources=(broken, SourceStatus("udp", False, "denied"))))
        assert await degraded() == ("owners: no helper", "udp: denied")
        await c.report(session, difference(2, T0 + S, sources=(well,)))
        assert await degraded() == ("udp: denied",)
        await c.report(session, snapshot(3, T0 + 2 * S, sources=(broken,)))
        assert await degraded() == ("owners: no helper",)

    tell(tmp_path, story)


def test_batches_of_one_stream_may_be_on_their_way_together(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        batches = [snapshot(1, T0, sock(1, T0), last=False), snapshot(2, T0, sock(2, T0), part=1)]
        batches += [difference(n, T0 + n * S, opened=(sock(n, T0 + n * S),)) for n in range(3, 40)]
        done = await asyncio.gather(*(c.ingest.commit(session, b, b.look_at_us) for b in batches))
        assert [stored.sequence for stored in done] == [b.sequence for b in batches]
        assert len(await c.intervals()) == 39

    tell(tmp_path, story)


def test_after_a_refused_batch_those_behind_it_are_refused_too(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, snapshot(1, T0))
        bad = difference(2, T0 + S, boot_id=NEXT_BOOT)
        good = difference(3, T0 + 2 * S, opened=(sock(7, T0),))
        outcomes = await asyncio.gather(
            c.ingest.commit(session, bad, T0), c.ingest.commit(session, good, T0), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [ForeignBatch, SequenceHole]
        assert await c.intervals() == []

    tell(tmp_path, story)


@pytest.mark.parametrize("rows", [1, 160])  # three times that is what is stored at once
def test_the_statements_of_a_batch_do_not_grow_with_its_rows(tmp_path: Path, rows: int, engine: str) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, snapshot(1, T0, *(sock(1000 + n, T0, ESTABLISHED) for n in range(rows))))
        statements = asked_of(c.db._engines.writer)
        await c.report(session, difference(2, T0 + S))
        beat = len(statements)
        statements.clear()
        await c.report(
            session,
            difference(
                3,
                T0 + 2 * S,
                opened=tuple(sock(n + 1, T0 + 2 * S) for n in range(rows)),
                changed=tuple(sock(1000 + n, T0 + 2 * S, CLOSE_WAIT) for n in range(rows)),
                closed=tuple(ClosedSocket(key(n + 1), T0 + 2 * S, 2) for n in range(rows)),
            ),
        )
        # Savepoint, stream, host, session, release. On Citus its row is held by a statement of its own.
        assert beat == 5 + spread()
        # Beside those, for all rows: a look-up of all, ends of the states left, openings, and those that opened and
        # ended, which were never open here; removals, and counts. No holders: the snapshot has told them all.
        copied = 2 if engine == "postgresql" and rows >= COPY_FROM else 0  # not seen here: both kinds of new rows
        assert len(statements) == 5 + pieces(engine, 2 * rows) + 3 * pieces(engine, rows) + 2 - copied + spread()

    tell(tmp_path, story)
