"""Quarantine has bounds, and a mistake of ours in one batch is not every batch's."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from fleetnet_server.errors import BadBatch, ForeignBatch
from fleetnet_server.records import Gap, RefusedBatch
from fleetnet_server.services.quarantine import NOT_STORED
from fleetnet_server.storage import quarantine
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.gaps import KEPT
from server.reports import (
    BEFORE,
    BOOT,
    CLOSE_WAIT,
    ESTABLISHED,
    EXACT,
    GAP,
    LISTEN,
    NEXT_BOOT,
    SEEN,
    T0,
    Collector,
    Interval,
    S,
    difference,
    gone,
    hello,
    interface,
    kept,
    past,
    snapshot,
    sock,
    space,
)
from server.stories import connected, tell

LARGE = 2**70  # no engine stores it, and no check of ours looks for it behind the wire's own


def refused(sequence: int, message: bytes = b"x") -> RefusedBatch:
    return RefusedBatch(BOOT, 1, sequence, T0, 0, "it is bad", message)


def test_a_batch_that_breaks_our_code_is_set_aside_and_its_neighbours_are_stored(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, snapshot(1, T0))
        bad = difference(2, T0 + S, previous_us=T0, opened=(sock(7, T0 + S, recv_queue=LARGE),))
        good = difference(3, T0 + 2 * S, previous_us=T0 + S, opened=(sock(8, T0 + 2 * S),))
        stored = await asyncio.gather(
            c.ingest.commit(session, bad, T0 + S, b"raw"), c.ingest.commit(session, good, T0 + 2 * S)
        )
        assert [(s.sequence, bool(s.refused)) for s in stored] == [(2, True), (3, False)]
        assert stored[0].refused.startswith("a mistake of the collector's, ")
        assert [interval.cookie for interval in await c.intervals()] == [8]
        assert await c.gaps() == [Gap(T0, T0 + S, NOT_STORED)]
        [kept] = await c.db.read(quarantine.listed)
        assert (kept.sequence, kept.kept_bytes) == (2, 3)

    tell(tmp_path, story)


def test_of_a_look_that_took_several_batches_one_that_is_set_aside_is_missed_up_to_the_next_snapshot(
    tmp_path: Path,
) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        first = difference(2, T0 + S, previous_us=T0, opened=(sock(8, T0 + S),))
        await c.report(session, snapshot(1, T0, sock(7, T0)), first)
        bad = replace(refused(3), look_at_us=T0 + S, previous_look_at_us=T0)
        await c.ingest.set_aside(session, bad, T0 + S)
        its_own = Gap(T0, T0 + S + 1, NOT_STORED)
        assert await c.gaps() == [its_own]
        await c.report(session, snapshot(4, T0 + 9 * S, sock(8, T0 + 9 * S, how=BEFORE)))
        assert await c.gaps() == [its_own, Gap(T0 + S, T0 + 9 * S, NOT_STORED)]
        # That 7 had ended may have been what the other told.
        assert [replace(row, last_seen_us=0) for row in await c.intervals()] == [
            Interval(7, LISTEN, T0, SEEN, T0 + 9 * S, GAP),
            Interval(8, LISTEN, T0 + S, SEEN),
        ]

    tell(tmp_path, story)


@pytest.mark.parametrize("how", [SEEN, EXACT])  # when it entered this state, not from which
def test_what_is_found_otherwise_behind_a_batch_that_was_set_aside_may_have_been_so_since_then(
    tmp_path: Path, how: int
) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        eth, other = interface(1), interface(1, mtu=9000)
        opened = (sock(7, T0, ESTABLISHED), sock(8, T0, ESTABLISHED))
        first = replace(snapshot(1, T0, *opened), namespaces=(space(interfaces=(eth,)),))
        await c.report(session, first)
        await c.ingest.set_aside(session, replace(refused(2), look_at_us=T0 + S, previous_look_at_us=T0), T0 + S)
        found = difference(
            3, T0 + 2 * S, previous_us=T0 + S, changed=(sock(7, T0 + 2 * S, CLOSE_WAIT, how=how),),
            closed=(gone(8, T0 + 2 * S),), namespaces=(space(interfaces=(other,)),),
        )  # fmt: skip
        known = difference(4, T0 + 3 * S, previous_us=T0 + 2 * S, closed=(gone(7, T0 + 3 * S),))
        await c.report(session, found, known)
        assert await c.intervals() == [
            Interval(7, ESTABLISHED, T0, SEEN, T0 + 2 * S, GAP, T0),
            Interval(7, CLOSE_WAIT, T0 + 2 * S, how, T0 + 3 * S, SEEN, T0 + 2 * S),
            # In which state it was seen until then, the lost report may have told.
            Interval(8, ESTABLISHED, T0, SEEN, T0 + 2 * S, SEEN, T0),
        ]
        ended = [span for span in await c.spans() if span.closed_at_us]
        assert [(span.what, span.closed_at_is, span.last_seen_us) for span in ended] == [((0, 1, 1500), GAP, T0)]

    tell(tmp_path, story)


def test_what_was_set_aside_is_passed_over_when_it_comes_again(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        for _ in range(2):
            assert (await c.ingest.set_aside(session, refused(1), T0)).sequence == 1
        assert len(await c.db.read(quarantine.listed)) == 1

    tell(tmp_path, story)


def test_a_backlog_set_aside_leaves_a_gap_where_it_belongs_and_the_present_as_it_is(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, snapshot(1, T0 + 90 * S))
        bad = replace(refused(2), look_at_us=T0 + 91 * S, past_us=(T0 + 10 * S, T0 + 20 * S))
        stored = await c.ingest.set_aside(session, bad, T0 + 91 * S)
        assert (stored.refused, stored.snapshot_wanted) == ("it is bad", "")
        assert await c.gaps() == [Gap(T0 + 10 * S, T0 + 20 * S, NOT_STORED)]
        await c.report(session, difference(3, T0 + 92 * S, previous_us=T0 + 90 * S))
        [host] = (await c.ask_hosts(now_us=T0 + 92 * S)).items
        assert host.fresh
        assert host.last_seen_us >= T0 + 92 * S

    tell(tmp_path, story)


@pytest.mark.parametrize("readable", [True, False])
def test_a_gap_whose_last_words_were_set_aside_waits_no_longer(tmp_path: Path, *, readable: bool) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        waits, missing = Gap(T0, T0 + 90 * S, KEPT), Gap(T0, T0 + 90 * S, NOT_STORED)
        gap = replace(waits, reason="collector unreachable", kept=True)
        await c.report(session, snapshot(1, T0), snapshot(2, T0 + 90 * S, gaps=(gap,)))
        for sequence, last in ((3, False), (4, True)):
            bad = kept(sequence, gap, past(sock(7, T0 + S, recv_queue=LARGE)), last=last)
            if readable:
                await c.ingest.commit(session, bad, T0 + 90 * S, b"raw")
            else:
                told = replace(refused(sequence), past_us=(gap.from_us, gap.to_us), past_last=last)
                await c.ingest.set_aside(session, told, T0 + 90 * S)
            assert await c.gaps() == ([missing] if last else [waits, missing])

    tell(tmp_path, story)


def test_a_batch_of_another_boot_is_not_set_aside(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        with pytest.raises(ForeignBatch):
            await c.ingest.commit(session, snapshot(1, T0, boot_id=NEXT_BOOT), T0, b"raw")
        assert await c.db.read(quarantine.listed) == []

    tell(tmp_path, story)


def test_a_host_that_sent_too_many_may_again_after_an_hour(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        for n in range(1, 11):
            await c.ingest.set_aside(session, refused(n), T0 + n * S)
        with pytest.raises(BadBatch, match="it is bad; it is one of more than 10 within an hour"):
            await c.ingest.set_aside(session, refused(11), T0 + 11 * S)
        await c.ingest.set_aside(session, refused(11), T0 + 3602 * S)

    tell(tmp_path, story)


def test_too_many_that_break_our_code_are_not_called_the_hosts_mistake(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)

        async def bad(n: int) -> None:
            batch = difference(n, T0 + n * S, opened=(sock(n, T0 + n * S, recv_queue=LARGE),))
            await c.ingest.commit(session, batch, T0 + n * S, b"raw")

        for n in range(1, 11):
            await bad(n)
        with pytest.raises(Exception, match=r"too large|out of range") as refused:
            await bad(11)
        assert not isinstance(refused.value, BadBatch)

    tell(tmp_path, story)


def test_the_oldest_of_a_host_with_too_many_goes(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await c.connect(host, hello(T0))

        def fill(conn: Connection) -> None:
            for n in range(1, 131):
                quarantine.keep(conn, host.host_id, refused(n), T0 + n)

        await c.db.write(fill)
        assert [kept.sequence for kept in await c.db.read(quarantine.listed)] == list(range(31, 131))

    tell(tmp_path, story)


def test_of_two_that_are_called_the_same_the_later_is_kept(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        for boot_id, message in ((BOOT, b"one"), (NEXT_BOOT, b"other")):
            session = await c.connect(host, hello(T0, boot_id=boot_id))
            told = await c.ingest.set_aside(session, replace(refused(1, message), boot_id=boot_id), T0)
            assert (told.sequence, told.refused) == (1, "it is bad")
        assert [kept.kept_bytes for kept in await c.db.read(quarantine.listed)] == [len(b"other")]

    tell(tmp_path, story)


def test_where_all_is_full_a_host_gives_up_its_own_oldest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MOST_BYTES", 1_000)

    async def story(c: Collector) -> None:
        first, second = await c.enroll("a"), await c.enroll("b")

        def fill(conn: Connection) -> None:
            quarantine.keep(conn, first.host_id, refused(1, bytes(400)), T0)
            for n in range(1, 4):
                quarantine.keep(conn, second.host_id, refused(n, bytes(300)), T0 + n)

        await c.db.write(fill)
        kept = {(k.host, k.sequence): k.kept_bytes for k in await c.db.read(quarantine.listed)}
        assert kept == {("a", 1): 400, ("b", 1): 0, ("b", 2): 300, ("b", 3): 300}
        # One that has nothing to give up takes the place of the oldest of all.
        await c.db.write(lambda conn: quarantine.keep(conn, first.host_id, refused(2, bytes(900)), T0 + 9))
        kept = {(k.host, k.sequence): k.kept_bytes for k in await c.db.read(quarantine.listed)}
        assert kept == {("a", 1): 0, ("a", 2): 900, ("b", 1): 0, ("b", 2): 0, ("b", 3): 0}

    tell(tmp_path, story)


def test_the_first_batch_of_a_boot_set_aside_leaves_the_sockets_of_the_boot_before_to_the_next(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await c.report(await c.connect(host, hello(T0)), snapshot(1, T0, sock(7, T0)))
        session = await c.connect(host, hello(T0 + 9 * S, boot_id=NEXT_BOOT, epoch=2))
        bad = RefusedBatch(NEXT_BOOT, 2, 1, T0 + 9 * S, 0, "it is bad", b"x")
        await c.ingest.set_aside(session, bad, T0 + 9 * S)
        await c.report(session, snapshot(2, T0 + 10 * S, sock(7, T0 + 10 * S), boot_id=NEXT_BOOT, epoch=2))
        states = [(i.cookie, i.state, i.closed_at_us != 0) for i in await c.intervals()]
        assert sorted(states) == [(7, LISTEN, False), (7, LISTEN, True)]

    tell(tmp_path, story)
