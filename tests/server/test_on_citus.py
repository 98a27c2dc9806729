"""Collectors before a Citus cluster: a coordinator and two workers. The contract suite runs there too, where it is told
of one (`make test-storage`); this is what is Citus's own.

It is built from source, and no package of the distribution has it: where it is not here, these tests are left out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from fleetnet_server.errors import StorageUnavailable
from fleetnet_server.records import Label
from fleetnet_server.run.doctor import _spread
from fleetnet_server.services.labels import Labelling
from fleetnet_server.storage import hosts, spread
from fleetnet_server.storage.inspection import inspect
from server.citus import DATABASE, Cluster, cluster, why_not
from server.costs import asked_of, tasks
from server.postgresql import Server
from server.reports import T0, Collector, S, difference, hello, snapshot, sock
from server.stories import reporting
from sqlalchemy import Connection, text

pytestmark = pytest.mark.beyond_ci

HOSTS = 6


@pytest.fixture(scope="module")
def citus(postgresql: Server) -> Iterator[Cluster]:
    if reason := why_not(postgresql):
        pytest.skip(reason)
    with cluster(workers=2) as made:
        yield made


@pytest.fixture
def emptied(citus: Cluster) -> Cluster:
    tables = citus.asked("SELECT string_agg(table_name::text, ', ') FROM citus_tables")
    if tables != [None]:
        citus.coordinator.execute(f"TRUNCATE {tables[0]} RESTART IDENTITY CASCADE", database=DATABASE)
    return citus


def tell(database: Cluster, story: Callable[[Collector, Collector], Awaitable[None]]) -> None:
    async def told() -> None:
        one, other = Collector(database.url), Collector(database.url)
        try:
            await story(one, other)
        finally:
            await asyncio.gather(one.db.close(), other.db.close())

    asyncio.run(told())


def test_what_hosts_tell_two_collectors_lies_on_both_workers_and_is_answered_by_either(emptied: Cluster) -> None:
    async def story(one: Collector, other: Collector) -> None:
        for n in range(HOSTS):
            session = await reporting((one, other)[n % 2], f"web{n}", sock(1, T0), sock(2, T0, port=444))
            gone = difference(2, T0 + S, opened=(sock(3, T0 + S, port=445),))
            await (one, other)[n % 2].report(session, gone)
        await Labelling(one.db, lambda _host_ids: None).label(["web1", "web2"], (), (Label("site", "a"),), ())
        for c in (one, other):
            answer = await c.ask(now_us=T0 + S)
            assert sorted({item.host for item in answer.items}) == [f"web{n}" for n in range(HOSTS)]
            assert len(answer.items) == 3 * HOSTS
            assert (answer.coverage.hosts_asked, answer.coverage.hosts_fresh) == (HOSTS, HOSTS)
            labelled = await c.ask(now_us=T0 + S, labels=(Label("site", "a"),))
            assert sorted({item.host for item in labelled.items}) == ["web1", "web2"]
            before = await c.ask(now_us=T0 + S, at_us=T0)
            assert len(before.items) == 2 * HOSTS
            assert await c.miscounted() == []

    tell(emptied, story)
    places = "SELECT DISTINCT nodeport FROM citus_shards WHERE table_name = 'current'::regclass"
    assert set(emptied.asked(places)) == {worker.port for worker in emptied.workers}
    counted = [worker.asked("SELECT count(*) FROM current", database=DATABASE) for worker in emptied.workers]
    assert counted == [[3 * HOSTS]] * 2  # each of them knows of all


def test_a_question_about_one_host_is_put_to_one_shard(emptied: Cluster) -> None:
    async def story(one: Collector, _: Collector) -> None:
        for n in range(HOSTS):
            await reporting(one, f"web{n}", sock(1, T0), sock(2, T0, port=444))
        statements = asked_of(one.db._engines.readers)
        assert len((await one.ask(host="web3")).items) == 2
        assert len((await one.ask(host="web3", at_us=T0)).items) == 2
        told = tuple(statements)
        assert len(told) > 8
        assert {await one.db.read(tasks, *each) for each in told} == {1}

    tell(emptied, story)


def test_who_holds_one_host_keeps_nobody_from_another(emptied: Cluster) -> None:
    async def story(one: Collector, other: Collector) -> None:
        web1, web2 = [await one.connect(await one.enroll(name), hello(T0)) for name in ("web1", "web2")]
        holding, let_go = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold(conn: Connection) -> None:
            hosts.hold(conn, [web1.host_id])
            loop.call_soon_threadsafe(holding.set)
            asyncio.run_coroutine_threadsafe(let_go.wait(), loop).result(60)

        held = asyncio.ensure_future(one.db.write(hold))
        await holding.wait()
        try:
            # Within lock_timeout, or it would raise.
            await other.report(web2, snapshot(1, T0, sock(1, T0)))
            with pytest.raises(StorageUnavailable, match="kept busy by another collector"):
                await other.ingest.commit(web1, snapshot(1, T0, sock(1, T0)), T0)
        finally:
            let_go.set()
            await held
        await other.report(web1, snapshot(1, T0, sock(1, T0)))

    # A commit is tried again and again, each time for so long; sessions that begin now hear of it.
    emptied.bound_waits(ms=100)
    try:
        tell(emptied, story)
    finally:
        emptied.bound_waits(ms=5000)


def test_two_that_want_what_the_other_holds_both_get_it(emptied: Cluster) -> None:
    async def story(one: Collector, other: Collector) -> None:
        web = [(await one.enroll(f"web{n}")).host_id for n in range(2)]
        met = asyncio.Barrier(2)
        loop = asyncio.get_running_loop()
        tries = 0

        def both(conn: Connection, *order: int) -> None:
            nonlocal tries
            tries += 1
            hosts.hold(conn, order[:1])
            if tries <= 2:  # until each has one
                asyncio.run_coroutine_threadsafe(met.wait(), loop).result(60)
            hosts.hold(conn, order[1:])

        await asyncio.gather(one.db.write(both, *web), other.db.write(both, *web[::-1]))
        assert tries > 2

    tell(emptied, story)


def test_a_worker_that_is_away_is_said_to_be_and_what_was_not_stored_comes_again(emptied: Cluster) -> None:
    async def story(one: Collector, _: Collector) -> None:
        sessions = [await reporting(one, f"web{n}", sock(1, T0)) for n in range(HOSTS)]
        away = emptied.workers[0]
        away.kill()
        next_ones = [(session, difference(2, T0 + S, opened=(sock(2, T0 + S),))) for session in sessions]
        for session, batch in next_ones:
            with pytest.raises(StorageUnavailable, match="does not answer"):
                await one.ingest.commit(session, batch, T0 + S)
        with pytest.raises(StorageUnavailable, match="does not answer"):
            await one.ask(now_us=T0 + S)
        away.start()
        for session, batch in next_ones:
            await one.report(session, batch)
        assert len((await one.ask(now_us=T0 + S)).items) == 2 * HOSTS

    tell(emptied, story)


def test_rows_that_were_there_before_are_spread_when_the_tables_are_brought_up_to_date(emptied: Cluster) -> None:
    async def story(one: Collector, _: Collector) -> None:
        await reporting(one, "web1", sock(1, T0))

    tell(emptied, story)
    emptied.coordinator.execute("SELECT undistribute_table('counts')", database=DATABASE)
    [told] = [finding for finding in _spread(*found(emptied)) if not finding.ok]
    assert told.what == "the database is Citus, and counts lie on one machine of it; `fleetnet-server migrate`"

    async def once_more(one: Collector, _: Collector) -> None:
        assert await one.miscounted() == []

    tell(emptied, once_more)
    [told] = _spread(*found(emptied))
    assert (told.ok, told.what) == (True, "tables spread over 2 machines of a Citus cluster")


def found(database: Cluster) -> tuple[int, tuple[str, ...]]:
    told = inspect(database.url)
    assert " with Citus " in told.engine
    return told.machines, told.not_spread


def test_each_table_has_its_place(emptied: Cluster) -> None:
    async def story(one: Collector, _: Collector) -> None:
        def kinds(conn: Connection) -> dict[str, Any]:
            rows = conn.execute(text("SELECT table_name::text, citus_table_type, colocation_id FROM citus_tables"))
            return {name: (kind, together) for name, kind, together in rows}

        found = await one.db.read(kinds)
        assert {name for name, (kind, _) in found.items() if kind == "reference"} == spread.REFERENCE
        assert {kind for name, (kind, _) in found.items() if name not in spread.REFERENCE} == {"distributed"}
        assert len({together for name, (_, together) in found.items() if name not in spread.REFERENCE}) == 1

    tell(emptied, story)
