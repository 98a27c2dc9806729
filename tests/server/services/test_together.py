"""What many hosts tell at once is stored at one stroke, and leaves what it leaves when it is stored one by one."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fleetnet_server.errors import Cloned, Fenced, HostUnknown, SequenceHole
from fleetnet_server.records import Batch, Gap, Hello, Host, Session, SnapshotPart, SourceStatus, Stored
from fleetnet_server.services import together
from fleetnet_server.services.ingest import Ingest
from fleetnet_server.storage import holders as stored_holders
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.holders import StoredHolders
from fleetnet_server.storage.metadata import METADATA
from fleetnet_server.storage.writer import GROUP_LIMIT
from server.costs import asked_of, pieces, plan
from server.databases import spread
from server.held import Held
from server.lives import Life
from server.reports import ESTABLISHED, LISTEN, T0, WEB, Collector, S, difference, gone, hello, kept, snapshot, sock
from server.stories import tell
from sqlalchemy import select

HOSTS, EVENTS, AT_ONCE = 5, 14, 12
Dump = dict[str, list[tuple[object, ...]]]


async def connected(c: Collector, names: int) -> list[Session]:
    sessions = []
    for number in range(names):
        host = await c.enroll(f"web{number}")
        session = await c.connect(host, hello(T0, boot_id=bytes([number + 1]) * 16))
        first = snapshot(1, T0, *(sock(n, T0) for n in (1, 2, 3, 4)), boot_id=session.boot_id)
        await c.report(session, first)
        sessions.append(session)
    return sessions


async def at_once(c: Collector, told: Sequence[tuple[Session, Batch]]) -> list[Any]:
    """Commit them as one group; what came of each, or its error."""
    return await group(c, [c.ingest.commit(s, batch, batch.look_at_us, b"") for s, batch in told])


async def group(c: Collector, works: Iterable[Coroutine[Any, Any, Session | Stored]]) -> list[Any]:
    """Have them share a commit; what came of each, or its error."""
    held = Held(c.db)
    await held.begun()
    waiting = [asyncio.create_task(work) for work in works]
    await asyncio.sleep(0)  # each has handed over what it has
    await held.end()
    return await asyncio.gather(*waiting, return_exceptions=True)


async def dump(c: Collector) -> Dump:
    """All rows of all tables."""

    def read(conn: Connection) -> Dump:
        tables = METADATA.sorted_tables
        return {table.name: sorted((tuple(row) for row in conn.execute(select(table))), key=repr) for table in tables}

    return await c.db.read(read)


async def live(c: Collector, seed: int) -> None:
    """Some hosts tell of their lives, each in its order and the hosts mixed, many of them at once."""
    hosts = [await c.enroll(f"web{number}") for number in range(HOSTS)]
    left = {number: list(Life(100 * seed + number, number).tell(EVENTS)) for number in range(HOSTS)}
    streams: dict[int, Session] = {}
    draw = random.Random(seed)
    while any(left.values()):
        opening: dict[int, int] = {}  # what a host tells next belongs to the stream that it opens in this group
        works: list[Coroutine[Any, Any, Session | Stored]] = []
        while len(works) < AT_ONCE and (able := [n for n in left if left[n] and n not in opening]):
            number = draw.choice(able)
            event = left[number].pop(0)
            if isinstance(event, Hello):
                opening[number] = len(works)
                works.append(c.ingest.open(hosts[number].name, event, event.wall_clock_us, "0a"))
            else:
                works.append(c.ingest.commit(streams[number], event, event.look_at_us, b""))
        outcomes = await group(c, works)
        assert [one for one in outcomes if not isinstance(one, Session | Stored)] == []
        streams |= {number: outcomes[place] for number, place in opening.items()}


@pytest.mark.parametrize("seed", range(6))
def test_the_same_rows_are_left(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tale(c: Collector) -> Dump:
        await live(c, seed)
        return await dump(c)

    at_one_stroke = Ingest._do_together
    done: Counter[str] = Counter()

    def count(ingest: Ingest, conn: Connection, works: Any) -> list[Any]:
        found = at_one_stroke(ingest, conn, works)
        done.update(kind_of(work) for work, result in zip(works, found, strict=True) if result is not None)
        return found

    monkeypatch.setattr(Ingest, "_do_together", count)
    found = tell(_made(tmp_path / "together"), tale)
    assert done["stream"] >= 2 * HOSTS
    assert done["snapshot"] > HOSTS
    assert done["difference"] > HOSTS * EVENTS // 4
    assert done["part"] == 0
    monkeypatch.setattr(Ingest, "_do_together", lambda _ingest, _conn, works: [None] * len(works))
    assert found == tell(_made(tmp_path / "alone"), tale)
    assert len(found["history"]) > 50
    assert len({row[3] for row in found["gaps"]}) >= 3  # for several reasons


def kind_of(work: tuple[Any, ...]) -> str:
    if isinstance(work[0], str):
        return "stream"
    part = work[1].snapshot
    return "difference" if part is None else "snapshot" if part == SnapshotPart(0, last=True) else "part"


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def test_a_new_listener_waits_for_no_other_host_and_takes_along_what_its_own_has_told_before(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        busy, its_own, quiet = await connected(c, 3)
        order: list[str] = []

        def tell_of(what: str, session: Session, sequence: int, state: int) -> asyncio.Task[Stored]:
            at_us = T0 + sequence * S
            opened = (sock(100 + sequence, at_us, state),)
            told = difference(sequence, at_us, previous_us=at_us - S, opened=opened, boot_id=session.boot_id)
            work = asyncio.create_task(c.ingest.commit(session, told, at_us, b""))
            work.add_done_callback(lambda _: order.append(what))
            return work

        held = Held(c.db)
        await held.begun()
        works = [tell_of("busy", busy, n, ESTABLISHED) for n in range(2, 2 + 2 * GROUP_LIMIT)]
        works += [tell_of("its own", its_own, 2, ESTABLISHED), tell_of("its own listener", its_own, 3, LISTEN)]
        works += [tell_of("its later", its_own, 4, ESTABLISHED), tell_of("quiet", quiet, 2, LISTEN)]
        await asyncio.sleep(0)
        await held.end()
        stored = [one.sequence for one in await asyncio.gather(*works)]
        assert stored == [*range(2, 2 + 2 * GROUP_LIMIT), 2, 3, 4, 2]
        first = [what for what in order[:GROUP_LIMIT] if what != "busy"]
        assert first == ["its own", "its own listener", "quiet"]
        assert order[-1] == "its later"

    tell(tmp_path, story)


def test_a_group_of_hosts_takes_the_statements_of_one(tmp_path: Path, engine: str) -> None:
    async def tale(c: Collector) -> None:
        sessions = await connected(c, 30)
        said = asked_of(c.db._engines.writer)
        told = [
            (s, difference(2, T0 + S, opened=(sock(9, T0 + S),), closed=(gone(1, T0 + S),), boot_id=s.boot_id))
            for s in sessions
        ]
        assert {one.sequence for one in await at_once(c, told) if isinstance(one, Stored)} == {2}
        # Of the work that held up the writer: savepoint and release. Of all others: savepoint, how the streams stand,
        # what is open, openings, ends, and removals, looks of hosts and of streams, release.
        copied = 1 if engine == "postgresql" else 0  # openings, which are not seen here
        # On Citus rows of hosts are held by a statement of their own.
        assert len(said) == 2 + 4 * pieces(engine, 30) + 5 - copied + spread()

    tell(tmp_path, tale)


def test_hosts_that_come_back_take_the_statements_of_one(tmp_path: Path, engine: str) -> None:
    async def statements(c: Collector, works: list[Coroutine[Any, Any, Session | Stored]]) -> tuple[int, list[Any]]:
        said = asked_of(c.db._engines.writer)
        outcomes = await group(c, works)
        told = len(said)
        said.clear()
        assert [one for one in outcomes if not isinstance(one, Session | Stored)] == []
        return told, outcomes

    async def come_back(c: Collector, hosts: list[Host]) -> tuple[int, int]:
        """What it takes to open their streams, and to store snapshots that lack a socket and have another."""
        came = [
            c.ingest.open(host.name, hello(T0 + S, boot_id=bytes([host.host_id]) * 16), T0 + S, "0a") for host in hosts
        ]
        opened, sessions = await statements(c, list(came))
        told = [
            c.ingest.commit(s, snapshot(2, T0 + S, *(sock(n, T0) for n in (1, 2, 3, 4, 9)), boot_id=s.boot_id), T0 + S)
            for s in sessions
        ]
        stored, _ = await statements(c, list(told))
        return opened, stored

    async def tale(c: Collector) -> None:
        hosts = [await c.enroll(f"web{number}") for number in range(48)]
        for host in hosts:
            session = await c.connect(host, hello(T0, boot_id=bytes([host.host_id]) * 16))
            await c.report(session, snapshot(1, T0, *(sock(n, T0) for n in (1, 2, 3, 4, 5)), boot_id=session.boot_id))
        # Powers of two, of which SQLite looks up or puts in as many as these with one statement.
        few, many = await come_back(c, hosts[:16]), await come_back(c, hosts[16:])
        assert few == many
        assert max(few) < 25

    tell(tmp_path, tale)


def test_a_stream_that_is_opened_at_one_stroke_with_others_fences_the_one_before(tmp_path: Path) -> None:
    async def tale(c: Collector) -> None:
        streams = await connected(c, 3)
        told = [difference(2, T0 + S, boot_id=s.boot_id) for s in streams]
        before, opened, fenced, other, unknown = await group(
            c,
            [
                c.ingest.commit(streams[0], told[0], T0 + S),
                c.ingest.open("web0", hello(T0 + S, boot_id=streams[0].boot_id), T0 + S, "0a"),
                c.ingest.commit(streams[0], replace(told[0], sequence=3), T0 + S),
                c.ingest.commit(streams[1], told[1], T0 + S),
                c.ingest.open("nobody", hello(T0 + S), T0 + S, "0a"),
            ],
        )
        assert (before, other) == (Stored(2), Stored(2))
        assert (opened.generation, opened.committed_sequence) == (2, 2)
        assert isinstance(fenced, Fenced)
        assert isinstance(unknown, HostUnknown)

    tell(tmp_path, tale)


def test_what_may_be_refused_is_not_ordinary() -> None:
    sources = (SourceStatus("tcp", ok=True, detail=""),)
    assert not together.ordinary(difference(2, T0, sources=sources))
    assert not together.ordinary(snapshot(2, T0, part=1))
    assert not together.ordinary(kept(2, Gap(T0, T0 + S, "away")))
    assert together.ordinary(snapshot(2, T0, sources=sources))


def test_of_two_machines_that_come_at_once_as_one_host_the_first_is_let_in(tmp_path: Path) -> None:
    async def tale(c: Collector) -> None:
        await c.enroll("web0")
        await c.enroll("web1")
        said = [replace(hello(T0), machine_id_hash=bytes([n]) * 32) for n in (1, 2, 3)]
        works = [("web0", said[0]), ("web1", said[2]), ("web0", said[1])]
        first, other, second = await group(c, [c.ingest.open(name, one, T0, "0a") for name, one in works])
        assert (first.generation, other.generation) == (1, 1)
        assert isinstance(second, Cloned)
        assert await c.ingest.commit(first, snapshot(1, T0), T0) == Stored(1)

    tell(tmp_path, tale)


def one_of(values: Any) -> Any:
    """Of a statement that is run for each of some rows, which is heard of once, the values of the first."""
    if isinstance(values, list):
        return values[0] if isinstance(values[0], tuple) else tuple(values)
    return values


def test_no_statement_reads_a_table_whole(tmp_path: Path) -> None:
    async def tale(c: Collector) -> None:
        said = asked_of(c.db._engines.writer)
        await live(c, 1)
        asked = {sql: one_of(values) for sql, values in said if "WHERE" in sql}
        assert len(asked) > 30

        def whole(conn: Connection) -> list[str]:
            steps = [step for sql, values in asked.items() for step in plan(conn, sql, values)]
            # Of SQLite; what a statement carries is a table of constants, which it calls `told`.
            scans = [step for step in steps if "SCAN" in step and not re.search("SCAN told|CONSTANT ROW", step)]
            return scans + [step for step in steps if step.endswith(" whole")]

        assert await c.db.write(whole) == []

    tell(tmp_path, tale)


def test_one_that_cannot_be_stored_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    async def tale(c: Collector) -> None:
        sessions = await connected(c, 4)
        told = [(s, difference(2, T0 + S, opened=(sock(9, T0 + S),), boot_id=s.boot_id)) for s in sessions]
        # No door lets this in: a number that no engine can keep.
        bad = replace(told[1][1], opened=(sock(9, T0 + S)._replace(inode=1 << 70),))
        told[1] = (sessions[1], bad)
        told.append((sessions[2], difference(4, T0 + 2 * S, boot_id=sessions[2].boot_id)))
        stored, refused, *others, hole = await at_once(c, told)
        assert isinstance(refused, Stored)
        assert refused.refused
        assert [one.refused for one in (stored, *others) if isinstance(one, Stored)] == [""] * 3
        assert isinstance(hole, SequenceHole)
        opened = await c.intervals()
        assert sum(interval.cookie == 9 for interval in opened) == 3

    tell(tmp_path, tale)


def test_holders_of_what_was_undone_are_written_again(tmp_path: Path) -> None:
    new = WEB._replace(unit="new.service")

    async def tale(c: Collector) -> None:
        sessions = await connected(c, 2)
        good = difference(2, T0 + S, opened=(sock(9, T0 + S, holder=new),), boot_id=sessions[0].boot_id)
        bad = difference(
            2, T0 + S, opened=(sock(9, T0 + S, holder=new)._replace(inode=1 << 70),), boot_id=sessions[1].boot_id
        )
        # Both are undone together, the good one is then stored alone, and the other one tells of its holder once more.
        await at_once(c, [(sessions[0], good), (sessions[1], bad)])
        again = snapshot(3, T0 + 2 * S, sock(9, T0 + 2 * S, holder=new), boot_id=sessions[1].boot_id)
        await c.report(sessions[1], again)
        kept = (await dump(c))["holders"]
        assert sum("new.service" in row for row in kept) == 2

    tell(tmp_path, tale)


def test_no_stream_has_more_holders_remembered_than_a_bound() -> None:
    session = Session(1, 1, bytes(16), 1, 0)
    stored = StoredHolders()
    stored.add(session, 0, range(stored_holders.MOST_REMEMBERED))
    assert 5 in stored.of(session, 0)
    stored.add(session, 0, [10**9])
    assert 5 not in stored.of(session, 0)
    assert 10**9 in stored.of(session, 0)
    stored.add(session, 0, range(10 * stored_holders.MOST_REMEMBERED))
    assert len(list(filter(stored.of(session, 0).__contains__, range(10 * stored_holders.MOST_REMEMBERED)))) == 1_000
    stored.forget(session)
    assert 5 not in stored.of(session, 0)


def test_batches_of_one_host_take_turns_and_what_follows_one_that_is_left_out_is_left_out_too() -> None:
    a, b = Session(1, 1, bytes(16), 1, 0), Session(2, 1, bytes(16), 1, 0)
    plain, odd = difference(2, T0), snapshot(3, T0, last=False)
    told = [(a, plain), (b, plain), (a, plain), (b, odd), (b, plain), (a, plain)]
    hosts = {place: session.host_id for place, (session, _) in enumerate(told)}
    assert together.turns(hosts, lambda place: not together.ordinary(told[place][1])) == [[0, 1], [2], [5]]
