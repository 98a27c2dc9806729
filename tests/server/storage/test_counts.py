"""Counts are what counting would say, at every commit, and a question of them reads no row of a socket."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
from fleetnet_server.counted import Counts, HostCount, StateCount
from fleetnet_server.errors import Fenced, SequenceHole
from fleetnet_server.records import Batch, Coverage, End, Selection, Session, Stored
from fleetnet_server.storage import counts
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.schema import current
from server.costs import asked_of
from server.databases import url
from server.lives import Life
from server.reports import (
    CLOSE_WAIT,
    ESTABLISHED,
    LISTEN,
    NEXT_BOOT,
    T0,
    TCP,
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
from sqlalchemy import delete, select


async def counted(c: Collector, now_us: int = T0, **selection: int | str | tuple[str, ...]) -> Counts:
    return await c.questions.counts(Selection(**selection), now_us)  # type: ignore[arg-type]  # the caller names fields


async def by_state(c: Collector, now_us: int = T0, **selection: int | str | tuple[str, ...]) -> dict[int, int]:
    """Of TCP."""
    return {one.state: one.sockets for one in (await counted(c, now_us, **selection)).counts if one.protocol == TCP}


def test_the_counts_of_a_fleet_and_of_some_hosts_are_by_protocol_and_state(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        udp = sock(5, T0, 7, protocol=UDP)
        unix = sock(6, T0, LISTEN, protocol=UNIX, local=b"", path=b"/run/x")
        await reporting(c, "web1", sock(1, T0), sock(2, T0, ESTABLISHED), udp, unix)
        await reporting(c, "web2", sock(1, T0), sock(2, T0, CLOSE_WAIT), sock(3, T0, CLOSE_WAIT))
        everywhere = (
            StateCount(TCP, ESTABLISHED, 1, 0),
            StateCount(TCP, CLOSE_WAIT, 2, 0),
            StateCount(TCP, LISTEN, 2, 2),
            StateCount(UDP, 7, 1, 1),
            StateCount(UNIX, LISTEN, 1, 0),
        )
        assert await counted(c) == Counts(Coverage(T0, 2, 2, (), 0), everywhere)
        assert (await counted(c, host="web2")).counts == (everywhere[1], StateCount(TCP, LISTEN, 1, 1))
        assert (await counted(c, host_globs=("web[1]",))).counts[1] == StateCount(TCP, LISTEN, 1, 1)
        hosts = {host.host: (host.sockets, host.listeners) for host in (await c.ask_hosts()).items}
        assert hosts == {"web1": (3, 2), "web2": (3, 1)}

    tell(tmp_path, story)


def test_counts_of_a_time_past_are_those_that_were_given_then(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0), sock(2, T0, ESTABLISHED))
        then = await counted(c, T0)
        await c.report(
            session, difference(2, T0 + S, changed=(sock(2, T0 + S, CLOSE_WAIT),), closed=(gone(1, T0 + S),))
        )
        assert await by_state(c, T0 + S) == {CLOSE_WAIT: 1}
        assert (await counted(c, T0 + S, at_us=T0)).counts == then.counts

    tell(tmp_path, story)


def test_what_each_host_holds_in_a_state_is_told_by_name(tmp_path: Path) -> None:
    async def story(c: Collector) -> Sequence[object]:
        await reporting(c, "web2", *(sock(n, T0, CLOSE_WAIT) for n in range(1, 4)))
        await reporting(c, "web1", sock(1, T0, CLOSE_WAIT), sock(2, T0, ESTABLISHED))
        await reporting(c, "web3", sock(1, T0))
        async with aclosing(c.questions.counts_by_host(Selection(), (CLOSE_WAIT,), (TCP,), T0)) as parts:
            return [part async for part in parts][1:]

    held = [HostCount(name, StateCount(TCP, CLOSE_WAIT, count, 0)) for name, count in (("web1", 1), ("web2", 3))]
    assert tell(tmp_path, story) == [tuple(held), End(2, truncated=False)]


def test_a_host_that_boots_holds_nothing_of_before(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await reporting(c, "web1", sock(1, T0), sock(2, T0, ESTABLISHED), sock(3, T0, CLOSE_WAIT))
        session = await c.connect(await c.enroll("web1"), hello(T0 + S, boot_id=NEXT_BOOT, epoch=2), T0 + S)
        part = snapshot(1, T0 + S, sock(1, T0 + S), last=False, boot_id=NEXT_BOOT, epoch=2)
        await c.report(session, part)
        assert await by_state(c) == {LISTEN: 1}
        assert await c.miscounted() == []

    tell(tmp_path, story)


def test_what_could_not_be_stored_is_not_counted(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0))
        # No door lets this in: a number that no engine can keep.
        bad = difference(2, T0 + S, opened=(sock(2, T0 + S), sock(3, T0 + S)._replace(inode=1 << 70)))
        stored = await c.ingest.commit(session, bad, T0 + S, b"")
        assert stored.refused
        assert await by_state(c) == {LISTEN: 1}

    tell(tmp_path, story)


def test_of_a_batch_that_leaves_as_many_as_there_were_no_count_is_written(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0), sock(2, T0, ESTABLISHED))
        said = asked_of(c.db._engines.writer)
        told = difference(2, T0 + S, opened=(sock(3, T0 + S, ESTABLISHED),), closed=(gone(2, T0 + S),))
        await c.report(session, told)
        assert not any("counts" in sql for sql, _ in said)
        await c.report(session, difference(3, T0 + 2 * S, closed=(gone(3, T0 + 2 * S),)))
        assert sum("counts" in sql for sql, _ in said) == 1

    tell(tmp_path, story)


def test_counts_that_are_wrong_are_found_and_counted_anew(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        first = await reporting(c, "web1", sock(1, T0), sock(2, T0, ESTABLISHED))
        other = await reporting(c, "web2", sock(1, T0))

        def lose(conn: Connection) -> None:
            conn.execute(delete(current).where(current.c.host_id == first.host_id, current.c.state == ESTABLISHED))

        await c.db.write(lose)
        assert await c.miscounted() == [first.host_id]
        assert await c.db.read(counts.differing, [other.host_id]) == []
        await c.db.write(counts.recount, [first.host_id, other.host_id])
        assert await c.miscounted() == []
        assert await by_state(c) == {LISTEN: 2}
        # A host that is told of again goes on from there.
        await c.report(first, difference(2, T0 + S, opened=(sock(4, T0 + S, ESTABLISHED),)))
        assert await by_state(c) == {LISTEN: 2, ESTABLISHED: 1}

    tell(tmp_path, story)


@pytest.mark.engine("postgresql")
@pytest.mark.parametrize("seed", [1, 2])
def test_two_collectors_that_write_for_many_hosts_at_once_keep_count_together(tmp_path: Path, seed: int) -> None:
    """Hosts go from one to the other in the midst of what they tell; each commit of either is looked at."""
    where, hosts, looks = url(tmp_path), 6, 12
    draw = random.Random(seed)

    async def look_on(c: Collector, over: asyncio.Event) -> int:
        times = 0
        while not over.is_set():
            assert await c.miscounted() == []
            times += 1
        return times

    async def live(number: int, both: tuple[Collector, Collector]) -> int:
        """Tell a life, each stream of it to one of them, and what was on its way on an older stream with it."""
        c, stored = both[0], 0
        session: Session | None = None
        underway: list[asyncio.Future[Stored]] = []
        for event in Life(100 * seed + number, number).tell(looks):
            if isinstance(event, Batch):
                assert session is not None
                underway.append(asyncio.ensure_future(c.ingest.commit(session, event, event.look_at_us)))
                if draw.random() < 0.5:
                    stored += (await underway[-1]).sequence > 0
                continue
            await asyncio.gather(*underway, return_exceptions=True)
            c = draw.choice(both)
            session = await c.ingest.open(f"web{number}", event, event.wall_clock_us, "0a")
        for outcome in await asyncio.gather(*underway, return_exceptions=True):
            assert isinstance(outcome, Stored | Fenced | SequenceHole), outcome
        return stored

    async def run() -> None:
        both = (Collector(where), Collector(where))
        try:
            for number in range(hosts):
                await both[0].enroll(f"web{number}")
            over = asyncio.Event()
            looking = asyncio.ensure_future(look_on(both[1], over))
            stored = await asyncio.gather(*(live(number, both) for number in range(hosts)))
            over.set()
            assert await looking > 1
            assert sum(stored) > hosts
            assert await both[0].miscounted() == []
            rows = await both[0].db.read(lambda conn: len(conn.execute(select(current.c.host_id)).all()))
            told = await counted(both[0])
            assert sum(one.sockets for one in told.counts) == rows > 0
        finally:
            await asyncio.gather(*(c.db.close() for c in both))

    asyncio.run(run())


def test_no_question_about_counts_reads_a_socket(tmp_path: Path, engine: str) -> None:
    async def story(c: Collector) -> list[str]:
        await reporting(c, "web1", sock(1, T0))
        said = asked_of(c.db._engines.readers)
        await counted(c)
        await counted(c, host_globs=("web*",))
        await c.ask_hosts()
        return [sql for sql, _ in said]

    said = tell(tmp_path, story)
    assert any("FROM counts" in sql for sql in said)
    assert not any(table in sql for sql in said for table in ("current", "history"))
