"""Two collectors before one database: a host's streams move between them, and never do both write for it."""

import asyncio
import datetime
import random
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fleetnet_server.errors import Fenced, ReportRefused, StorageUnavailable
from fleetnet_server.records import OPERATOR, Batch, Label, Session, Stored
from fleetnet_server.services.labels import Labelling
from fleetnet_server.services.log import Logged, Wish
from fleetnet_server.services.people import People
from fleetnet_server.storage import hosts, people, sessions, tokens
from fleetnet_server.storage import postgresql as engine_module
from fleetnet_server.storage.database import Database
from server.databases import spread, url
from server.reports import T0, Collector, S, difference, hello, snapshot, sock
from server.trusting import only_one
from sqlalchemy import Connection, text

pytestmark = pytest.mark.engine("postgresql")

ALICE = "spiffe://fleetnet/person/alice"

Story = Callable[[Collector, Collector], Awaitable[None]]


def tell(directory: Path, story: Story) -> None:
    async def run() -> None:
        one, other = Collector(url(directory)), Collector(url(directory))
        try:
            await story(one, other)
        finally:
            await asyncio.gather(one.db.close(), other.db.close())

    asyncio.run(run())


def test_collectors_that_start_together_make_the_tables_once(tmp_path: Path) -> None:
    where = url(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        databases = list(threads.map(Database.open, [where] * 4))

    async def end() -> None:
        steps = await databases[0].read(lambda conn: conn.execute(text("SELECT * FROM alembic_version")).all())
        assert len(steps) == 1
        await asyncio.gather(*(db.close() for db in databases))

    asyncio.run(end())


def test_a_host_that_moves_goes_on_where_it_was_and_its_old_stream_is_fenced(tmp_path: Path) -> None:
    async def story(one: Collector, other: Collector) -> None:
        old = await one.connect(await one.enroll(), hello(T0))
        await one.report(old, snapshot(1, T0, sock(1, T0)), difference(2, T0 + S, opened=(sock(2, T0 + S),)))
        host = await other.db.read(hosts.find, "web1")
        assert host is not None
        new = await other.connect(host, hello(T0 + S))
        assert new.committed_sequence == 2
        with pytest.raises(Fenced):
            await one.ingest.commit(old, difference(3, T0 + 2 * S, opened=(sock(3, T0 + 2 * S),)), T0)
        await other.report(new, difference(3, T0 + 2 * S, opened=(sock(4, T0 + 2 * S),)))
        assert [i.cookie for i in await one.intervals()] == [1, 2, 4]

    tell(tmp_path, story)


def test_a_host_that_two_collectors_label_at_once_has_the_one_value_or_the_other(tmp_path: Path) -> None:
    async def story(one: Collector, other: Collector) -> None:
        names = [f"web{n}" for n in range(12)]
        for name in names:
            await one.enroll(name)
        desks = [Labelling(c.db, lambda _host_ids: None) for c in (one, other)]
        for round_ in range(10):
            given = [[Label("by", f"{who}-{round_}"), Label(who, "was-here")] for who in ("one", "other")]
            orders = (names, names[::-1])
            done = await asyncio.gather(
                *(desk.label(order, [], some, []) for desk, order, some in zip(desks, orders, given, strict=True))
            )
            assert all(len(found) == len(names) for found, _ in done)
            now = [dict(host.labels) for host in (await one.ask_hosts()).items]
            assert {some["by"] for some in now} <= {f"one-{round_}", f"other-{round_}"}
            assert len({some["by"] for some in now}) == 1, "one came after the other, on all of them"
            assert {frozenset(some) for some in now} == {frozenset({"by", "one", "other"})}

    tell(tmp_path, story)


class Holding:
    """Work that holds a stream's host from when it has begun until it is let go."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self, conn: Connection) -> sessions.Standing:
        standing = sessions.standing(conn, self._session)
        self.begun.set()
        assert self.let_go.wait(20)
        return standing


def test_a_new_stream_waits_for_the_batch_that_is_being_stored_and_goes_on_behind_it(tmp_path: Path) -> None:
    async def story(one: Collector, other: Collector) -> None:
        host = await one.enroll()
        old = await one.connect(host, hello(T0))
        await one.report(old, snapshot(1, T0))
        holding = Holding(old)
        # In one group, and so in one transaction, with the batch that comes after it.
        held = asyncio.ensure_future(one.db.write(holding))
        batch = asyncio.ensure_future(one.ingest.commit(old, difference(2, T0 + S, opened=(sock(2, T0 + S),)), T0 + S))
        assert await asyncio.to_thread(holding.begun.wait, 20)
        new = asyncio.ensure_future(other.connect(host, hello(T0)))
        await waits_for_a_lock(one)
        assert not new.done()
        holding.let_go.set()
        assert not (await held).fenced
        sequence = (await new).committed_sequence
        # The batch was stored before the new stream or refused by it: never between, never half.
        try:
            assert ((await batch).sequence, sequence) == (2, 2)
        except Fenced:
            assert sequence == 1
        assert len(await one.intervals()) == sequence - 1

    tell(tmp_path, story)


def test_a_token_that_is_being_made_while_its_maker_is_revoked_admits_nobody(tmp_path: Path) -> None:
    begun, let_go = threading.Event(), threading.Event()

    def made(conn: Connection) -> None:
        tokens.create(conn, b"a" * 32, "web1", T0, T0 + S, terms=tokens.Terms(made_by=ALICE))
        begun.set()
        assert let_go.wait(20)

    def clock() -> datetime.datetime:
        return datetime.datetime.fromtimestamp(T0 / 1e6, datetime.UTC)

    async def story(one: Collector, other: Collector) -> None:
        await one.db.write(people.join, "alice", OPERATOR, "0a", T0 + S, T0)
        await one.db.write(people.join, "bob", OPERATOR, "0a", T0 + S, T0)
        kept, others = Logged(one.db, clock), Logged(other.db, clock)

        async def make() -> None:
            async with kept.doing(Wish(ALICE, "", "", "create-token", "web1", "alice")):
                await kept.write(made)

        making = asyncio.ensure_future(make())
        assert await asyncio.to_thread(begun.wait, 20)

        async def revoke() -> None:
            async with others.doing(Wish("spiffe://fleetnet/person/bob", "", "", "revoke-person", "alice", "bob")):
                await People(others, only_one(other.db, tmp_path, clock()), clock).revoke("alice")

        revoking = asyncio.ensure_future(revoke())
        await waits_for_a_lock(one)
        let_go.set()
        await asyncio.gather(making, revoking)
        assert await one.db.write(tokens.consume, b"a" * 32, T0) is None
        assert [entry.entry.action for entry in await kept.latest(9)] == ["revoke-person", "create-token"]

    tell(tmp_path, story)


async def waits_for_a_lock(c: Collector) -> None:
    """Return once a transaction waits for another."""
    query = text(f"SELECT count(*) FROM {'citus_locks' if spread() else 'pg_locks'} WHERE NOT granted")
    async with asyncio.timeout(20):
        while not await c.db.read(lambda conn: conn.execute(query).scalar_one()):
            continue


def test_collectors_that_are_in_each_others_way_both_get_their_work_done(tmp_path: Path) -> None:
    async def story(one: Collector, other: Collector) -> None:
        first, second = [await one.connect(await one.enroll(name), hello(T0)) for name in ("web1", "web2")]

        def note(conn: Connection, session: Session, sequence: int) -> int:
            standing = sessions.standing(conn, session)
            sessions.note_sequence(conn, session, standing.last_sequence + sequence)
            return sequence

        holdings = Holding(first), Holding(second)
        work = []
        for collector, holding, wanted in ((one, holdings[0], second), (other, holdings[1], first)):
            work += [
                asyncio.ensure_future(collector.db.write(holding)),
                *(asyncio.ensure_future(collector.db.write(note, wanted, n)) for n in (1, 10, 100)),
            ]
        for holding in holdings:
            assert await asyncio.to_thread(holding.begun.wait, 20)
        for holding in holdings:
            holding.let_go.set()
        done = await asyncio.gather(*work)
        assert [each for each in done if isinstance(each, int)] == [1, 10, 100] * 2
        query = text("SELECT last_sequence FROM sessions")
        assert await one.db.read(lambda conn: list(conn.execute(query).scalars())) == [111, 111]

    tell(tmp_path, story)


def test_a_host_that_another_collector_holds_for_too_long_is_refused_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine_module._WRITER, "lock_timeout", "100ms")

    async def story(one: Collector, other: Collector) -> None:
        first, second = [await one.connect(await one.enroll(name), hello(T0)) for name in ("web1", "web2")]
        frozen = Holding(first)
        held = asyncio.ensure_future(other.db.write(frozen))
        assert await asyncio.to_thread(frozen.begun.wait, 20)
        # All in one group: the first of them holds the writer until the others are queued.
        busy = Holding(second)
        work = [asyncio.ensure_future(one.db.write(busy))]
        assert await asyncio.to_thread(busy.begun.wait, 20)
        waiting = [
            asyncio.ensure_future(one.ingest.commit(session, snapshot(n, T0, sock(n, T0)), T0))
            for n in (1, 2)
            for session in (first, second)
        ]
        await asyncio.sleep(0)
        busy.let_go.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StorageUnavailable, Stored] * 2
        assert "is kept busy by another collector with the same host; nothing was stored" in str(outcomes[0])
        frozen.let_go.set()
        await asyncio.gather(held, *work)
        await one.report(first, snapshot(1, T0, sock(1, T0)))

    tell(tmp_path, story)


def test_one_token_and_one_name_admit_one_host_wherever_it_enrolls(tmp_path: Path) -> None:
    async def story(one: Collector, other: Collector) -> None:
        await one.db.write(tokens.create, b"h", "web1", 10, 20)
        used = await asyncio.gather(*(c.db.write(tokens.consume, b"h", 15) for c in (one, other) * 10))
        assert [one.host for one in used if one is not None] == ["web1"]
        enrolled = await asyncio.gather(*(c.db.write(hosts.enroll, "web1", "0a", 100) for c in (one, other) * 10))
        assert len({host.host_id for host in enrolled}) == 1

    tell(tmp_path, story)


@pytest.mark.parametrize("seed", [1, 2])
def test_however_streams_move_each_batch_is_stored_once_and_in_its_order(tmp_path: Path, seed: int) -> None:
    async def story(one: Collector, other: Collector) -> None:
        draw = random.Random(seed)
        host = await one.enroll()
        underway: list[asyncio.Future[Stored]] = []
        acknowledged = 0
        for _ in range(15):
            c = draw.choice((one, other))
            session = await c.connect(host, hello(T0))
            assert session.committed_sequence >= acknowledged
            first = session.committed_sequence + 1
            some = [asyncio.ensure_future(c.ingest.commit(session, batch(n), T0)) for n in range(first, first + 12)]
            underway += some
            acknowledged = (await some[draw.randrange(12)]).sequence
        outcomes = await asyncio.gather(*underway, return_exceptions=True)
        assert all(isinstance(outcome, Stored | ReportRefused) for outcome in outcomes), outcomes
        session = await one.connect(host, hello(T0))
        assert [i.cookie for i in await one.intervals()] == list(range(1, session.committed_sequence + 1))
        assert await one.miscounted() == []

    def batch(n: int) -> Batch:
        return difference(n, T0 + n * S, opened=(sock(n, T0 + n * S),))

    tell(tmp_path, story)
