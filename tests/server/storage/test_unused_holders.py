"""Holders that nothing names go, and none that somebody still names, whichever collector he reports to."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from fleetnet_server.keep import Keep
from fleetnet_server.records import Holder, Process, Session
from fleetnet_server.services.retention import HOLDER_ROUNDS, Retention
from fleetnet_server.storage import unused_holders
from fleetnet_server.storage.database import Connection
from server.costs import asked_of, plan
from server.databases import url
from server.days import HOUR
from server.reports import T0, WEB, Collector, S, difference, gone, hello, snapshot, sock
from server.stories import tell
from sqlalchemy import text

CURL = Holder(1000, "alice", "", "", 1, (Process(77, T0, "curl", "/usr/bin/curl", "curl"), *WEB.owners))
STEPS = ("find", "doubt", "find again", "remove")


async def clear(c: Collector, host_id: int) -> Counter[str]:
    """All steps, by another collector's service."""

    async def rest(_: float) -> None:
        """A test does not wait."""

    deleted: Counter[str] = Counter()
    await Retention(c.db, Keep(), rest).clear_holders(host_id, deleted)
    return deleted


async def holders(c: Collector) -> list[str]:
    """By their users; with how many of their processes are there."""
    query = text(
        'SELECT h."user", count(p.process_id) FROM holders h LEFT JOIN holder_processes m ON m.host_id = h.host_id '
        "AND m.holder_id = h.holder_id LEFT JOIN processes p ON p.host_id = m.host_id AND p.process_id = m.process_id "
        'GROUP BY h.host_id, h.holder_id, h."user" ORDER BY 1'
    )
    return await c.db.read(lambda conn: [f"{user} {count}" for user, count in conn.execute(query)])


async def named_and_not_there(c: Collector) -> int:
    """How many rows name a holder that is not there, or one of which a process is not."""
    query = text(
        "SELECT (SELECT count(*) FROM (SELECT host_id, holder_id FROM current UNION ALL SELECT host_id, holder_id "
        "FROM history) r WHERE NOT EXISTS (SELECT 1 FROM holders h WHERE h.host_id = r.host_id AND h.holder_id = "
        "r.holder_id)) + (SELECT count(*) FROM holder_processes m WHERE NOT EXISTS (SELECT 1 FROM processes p WHERE "
        "p.host_id = m.host_id AND p.process_id = m.process_id))"
    )
    return await c.db.read(lambda conn: int(conn.execute(query).scalar_one()))


async def forget(c: Collector) -> None:
    """History goes, as retention has it."""

    def delete(conn: Connection) -> None:
        conn.execute(text("DELETE FROM history"))

    await c.db.write(delete)


async def begun(c: Collector) -> Session:
    """A host that has told of a socket of nginx's, and of one of curl's that has ended and is forgotten."""
    session = await c.connect(await c.enroll(), hello(T0))
    told = (sock(1, T0), sock(2, T0, holder=CURL))
    await c.report(session, snapshot(1, T0, *told), difference(2, T0 + S, closed=(gone(2, T0 + S),)))
    await forget(c)
    return session


def test_one_that_held_a_socket_before_stays_as_long_as_that_is_kept(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await begun(c)
        await clear(c, session.host_id)
        handed_over = sock(1, T0 + 2 * S, holder=WEB._replace(unit="other.service"))
        await c.report(session, difference(3, T0 + 2 * S, changed=(handed_over, sock(2, T0 + 2 * S))))
        assert not await clear(c, session.host_id)
        assert await named_and_not_there(c) == 0
        await c.db.write(lambda conn: conn.execute(text("DELETE FROM former_holders")) and None)
        assert not await clear(c, session.host_id)  # the second socket's is the same
        await c.report(session, difference(4, T0 + 3 * S, closed=(gone(2, T0 + 3 * S),)))
        await forget(c)
        assert await clear(c, session.host_id) == {"holders": 1}

    tell(tmp_path, story)


def test_what_nothing_names_goes_and_what_it_shares_with_others_stays(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await begun(c)
        assert await holders(c) == ["alice 2", "root 1"]
        assert await clear(c, session.host_id) == {"holders": 1, "processes": 1}
        assert await holders(c) == ["root 1"]
        assert not await clear(c, session.host_id)

    tell(tmp_path, story)


def test_a_host_with_many_is_looked_through_in_several_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unused_holders, "MOST_AT_ONCE", 1)

    async def story(c: Collector) -> None:
        async def rest(_: float) -> None:
            """A test does not wait."""

        session = await begun(c)
        retention, deleted = Retention(c.db, Keep(), rest), Counter[str]()
        for _ in range(2):
            await retention.clear_holders(session.host_id, deleted)
        assert deleted == {"holders": 1, "processes": 1}
        assert await holders(c) == ["root 1"]

    tell(tmp_path, story)


def test_a_host_that_uses_up_many_is_looked_through_further_with_each_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unused_holders, "MOST_AT_ONCE", 2)
    users = [f"user{n}" for n in range(6)]

    async def story(c: Collector) -> None:
        async def rest(_: float) -> None:
            """A test does not wait."""

        session = await c.connect(await c.enroll(), hello(T0))
        told = [sock(2 + n, T0, holder=Holder(n, user, "", "", 1, ())) for n, user in enumerate(users)]
        await c.report(session, snapshot(1, T0, sock(1, T0), *told))
        await c.report(session, difference(2, T0 + S, closed=tuple(gone(one.key.cookie, T0 + S) for one in told)))
        await forget(c)
        # A round in which the turn of this host has come, and those that follow it.
        due_us = (T0 // HOUR // HOLDER_ROUNDS * HOLDER_ROUNDS + session.host_id) * HOUR
        retention = Retention(c.db, Keep(), rest)
        for number in range(4):
            await retention.round(due_us + number * HOUR)
        assert await holders(c) == ["root 1"]

    tell(tmp_path, story)


def test_what_history_alone_names_stays(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        told = [sock(1, T0, holder=CURL)]
        await c.report(session, snapshot(1, T0, *told), difference(2, T0 + S, closed=(gone(1, T0 + S),)))
        # Days later than the first, so with another of the questions that this takes.
        late_us = T0 + 9 * 86_400 * S
        await c.report(session, difference(3, late_us, opened=(sock(2, late_us),)))
        await c.report(session, difference(4, late_us + S, closed=(gone(2, late_us + S),)))
        assert not await clear(c, session.host_id)

    tell(tmp_path, story)


def test_of_a_portion_a_reader_is_told_of_none_but_its_own_and_looks_each_up_by_the_index(tmp_path: Path) -> None:
    many = [Holder(n, f"user{n}", "", "", 1, ()) for n in range(40)]

    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        # Each held a socket, which some of them left to others and some until it ended; few are left.
        told = [sock(1 + n, T0, holder=one) for n, one in enumerate(many)]
        later = [sock(1 + n, T0 + S, holder=many[n % 3]) for n in range(20)]
        await c.report(session, snapshot(1, T0, *told), difference(2, T0 + S, changed=tuple(later)))
        await c.report(session, difference(3, T0 + 2 * S, closed=tuple(gone(1 + n, T0 + 2 * S) for n in range(10, 40))))
        host_id = session.host_id
        portion = (await c.db.read(unused_holders.after, host_id, None))[:12]

        def found(conn: Connection) -> tuple[list[int], list[int], list[str]]:
            asked = asked_of(conn.engine)
            unnamed = unused_holders.unnamed(conn, host_id, portion)
            statements = [one for one in asked if "holder_id" in one[0]]
            asked.clear()
            told = [row[0] for sql, values in statements for row in conn.exec_driver_sql(sql, values)]
            steps = [step for sql, values in statements for step in plan(conn, sql, values)]
            return unnamed, told, [step for step in steps if "former_holders" in step]

        unnamed, named, steps = await c.db.read(found)
        assert unnamed == []
        assert set(named) <= set(portion)
        [step] = steps
        assert "ix_former_holders_host_id_holder_id" in step

    tell(tmp_path, story)


@pytest.mark.parametrize("before", range(len(STEPS) + 1), ids=(*STEPS, "nothing more"))
def test_a_stream_that_has_stored_a_holder_may_name_it_again_before_and_behind_every_step(
    tmp_path: Path, before: int
) -> None:
    async def story(c: Collector) -> None:
        await named_again(c, c, before)

    tell(tmp_path, story)


@pytest.mark.engine("postgresql")
@pytest.mark.parametrize("before", range(len(STEPS) + 1), ids=(*STEPS, "nothing more"))
def test_so_may_one_that_reports_to_another_collector(tmp_path: Path, before: int) -> None:
    async def run() -> None:
        one, other = Collector(url(tmp_path)), Collector(url(tmp_path))
        try:
            await named_again(one, other, before)
        finally:
            await asyncio.gather(one.db.close(), other.db.close())

    asyncio.run(run())


async def named_again(reported_to: Collector, clearing: Collector, before: int) -> None:
    """A holder that is remembered as stored is named again before a step, and still after it."""
    session = await begun(reported_to)
    host_id, found, marks = session.host_id, list[int](), dict[int, int]()
    for number in range(len(STEPS) + 1):
        if number == before:
            opened = difference(3, T0 + 2 * S, opened=(sock(3, T0 + 2 * S, holder=CURL),))
            # It ends at once, so that its name stands in history alone when the next step looks.
            await reported_to.report(session, opened, difference(4, T0 + 3 * S, closed=(gone(3, T0 + 3 * S),)))
        if number == 0:
            found = await clearing.db.read(unused_holders.unnamed, host_id)
            assert len(found) == (before != 0)
        elif number == 1:
            marks = await clearing.db.write(unused_holders.doubt, host_id, found) if found else {}
        elif number == 2:
            found = await clearing.db.read(unused_holders.unnamed, host_id, found)
        elif number == 3:
            await clearing.db.write(unused_holders.remove, host_id, {each: marks[each] for each in found})
    assert await named_and_not_there(reported_to) == 0
    [item] = (await reported_to.ask(at_us=T0 + 2 * S)).items[1:]
    assert item.holder == CURL._replace(owners=tuple(sorted(CURL.owners)))


def test_what_another_collector_has_in_doubt_is_not_taken_away_for_that(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await begun(c)
        host_id = session.host_id
        [curl] = await c.db.read(unused_holders.unnamed, host_id)
        ours = await c.db.write(unused_holders.doubt, host_id, [curl])
        assert await c.db.read(unused_holders.unnamed, host_id, [curl]) == [curl]
        # The other one found it as well; before it marks it, somebody names it, which its own third step would see.
        await c.report(session, difference(3, T0 + 2 * S, opened=(sock(3, T0 + 2 * S, holder=CURL),)))
        theirs = await c.db.write(unused_holders.doubt, host_id, [curl])
        assert theirs != ours
        assert await c.db.write(unused_holders.remove, host_id, ours) == (0, 0)
        assert await named_and_not_there(c) == 0

    tell(tmp_path, story)


@pytest.mark.engine("postgresql")
@pytest.mark.parametrize("seed", range(3))
def test_however_two_collectors_are_reported_to_and_clear_no_row_names_what_is_not_there(
    tmp_path: Path, seed: int
) -> None:
    async def run() -> None:
        both = Collector(url(tmp_path)), Collector(url(tmp_path))
        try:
            await at_random(both, random.Random(seed))
        finally:
            await asyncio.gather(*(c.db.close() for c in both))

    asyncio.run(run())


async def at_random(both: tuple[Collector, Collector], draw: random.Random) -> None:
    host = await both[0].enroll()
    few = [WEB._replace(user=f"u{number}") for number in range(4)]

    async def report() -> None:
        """Streams of the host, on one and the other: each socket lives for a look, and is forgotten soon."""
        look_us, cookie = T0, 0
        for epoch in range(1, 6):
            c = draw.choice(both)
            session = await c.connect(host, hello(look_us, epoch=epoch), look_us)
            await c.report(session, snapshot(1, look_us, epoch=epoch))
            for sequence in range(2, 22):
                look_us, before_us, cookie = look_us + S, look_us, cookie + 1
                told = difference(
                    sequence, look_us, previous_us=before_us, epoch=epoch,
                    opened=(sock(cookie, look_us, holder=draw.choice(few)),),
                    closed=(gone(cookie - 1, look_us),) if sequence > 2 else (),
                )  # fmt: skip
                await c.report(session, told)

    deleted: Counter[str] = Counter()

    async def keep_clearing(c: Collector) -> None:
        while not reporting.done():
            await forget(c)
            deleted.update(await clear(c, host.host_id))
            assert await named_and_not_there(c) == 0

    reporting = asyncio.create_task(report())
    await asyncio.gather(reporting, *(keep_clearing(c) for c in both))
    assert await named_and_not_there(both[0]) == 0
    assert deleted["holders"] > 0
