"""What many hosts report at once is stored at one stroke, and leaves what it leaves when it is stored one by one."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fleetnet_server.errors import SequenceHole
from fleetnet_server.records import Batch, Digest, Gap, Holder, Process, Session, SourceStatus, Stored
from fleetnet_server.services import together
from fleetnet_server.services.ingest import Ingest
from fleetnet_server.storage import holders as stored_holders
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.holders import StoredHolders
from fleetnet_server.storage.metadata import METADATA
from server.costs import asked_of, pieces
from server.held import Held
from server.reports import (
    CLOSE_WAIT,
    ESTABLISHED,
    EXACT,
    LISTEN,
    T0,
    TIME_WAIT,
    WEB,
    Collector,
    S,
    difference,
    gone,
    hello,
    snapshot,
    sock,
    space,
)
from server.stories import tell
from sqlalchemy import select

HOSTS, BATCHES = 5, 12
STATES = (ESTABLISHED, CLOSE_WAIT, TIME_WAIT, LISTEN)
DRIFTED = Digest(1, 7)  # of no host here; from then on what it tells is stored alone
Dump = dict[str, list[tuple[object, ...]]]


def story(seed: int) -> Iterator[Batch]:
    """What one host tells after its snapshot of cookies 1 to 4: mostly what is ordinary."""
    draw = random.Random(seed)
    alive = {1: LISTEN, 2: LISTEN, 3: LISTEN, 4: LISTEN}
    cookies = iter(range(5, 1000))
    for sequence in range(2, 2 + BATCHES):
        look_us = T0 + sequence * S - (3 * S if draw.random() < 0.1 else 0)  # now and then the clock is set back
        holder = Holder(draw.randrange(3), "u", "a.service", "", 1, (Process(draw.randrange(9), T0, "p", "/p", "p"),))
        opened, closed, changed = [], [], []
        for _ in range(draw.randrange(4)):
            cookie = next(cookies)
            exactly = look_us - draw.randrange(S)
            opened.append(sock(cookie, exactly, ESTABLISHED, how=EXACT, holder=holder, remote=bytes(4), remote_port=9))
            if draw.random() < 0.3:
                closed.append(gone(cookie, look_us - draw.randrange(S // 2), EXACT))  # brief
            else:
                alive[cookie] = ESTABLISHED
        for cookie in draw.sample(sorted(alive), min(len(alive), draw.randrange(4))):
            if any(cookie == one.key.cookie for one in opened):
                continue
            if draw.random() < 0.5:
                alive[cookie] = draw.choice(STATES)
                changed.append(sock(cookie, look_us, alive[cookie], recv_queue=draw.randrange(3), holder=holder))
            if draw.random() < 0.4:
                closed.append(gone(cookie, look_us - draw.randrange(S)))
                del alive[cookie]
        batch = difference(
            sequence, look_us, previous_us=look_us - S, opened=tuple(opened), changed=tuple(changed),
            closed=(*closed, gone(5000, look_us)),
        )  # fmt: skip
        yield draw.choice((batch,) * 30 + (replace(batch, digest=DRIFTED),) + 2 * tuple(_more(batch)))


def _more(batch: Batch) -> Iterator[Batch]:
    """The batch with something that is not ordinary."""
    yield replace(batch, gaps=(Gap(batch.look_at_us - S, batch.look_at_us, "ends were lost"),))
    yield replace(batch, sources=(SourceStatus("tcp", ok=False, detail="no"),))
    yield replace(batch, namespaces=(space(7, "blue"),))


async def connected(c: Collector, names: int) -> list[Session]:
    sessions = []
    for number in range(names):
        host = await c.enroll(f"web{number}")
        session = await c.connect(host, hello(T0, boot_id=bytes([number + 1]) * 16))
        first = snapshot(1, T0, *(sock(n, T0) for n in (1, 2, 3, 4)), boot_id=session.boot_id)
        await c.report(session, first)
        sessions.append(session)
    return sessions


async def at_once(c: Collector, told: list[tuple[Session, Batch]]) -> list[Stored | BaseException]:
    """Commit them as one group."""
    held = Held(c.db)
    await held.begun()
    waiting = [asyncio.create_task(c.ingest.commit(s, batch, batch.look_at_us, lambda: b"")) for s, batch in told]
    await asyncio.sleep(0)  # each has handed over what it has
    await held.end()
    return await asyncio.gather(*waiting, return_exceptions=True)


async def dump(c: Collector) -> Dump:
    """All rows of all tables."""

    def read(conn: Connection) -> Dump:
        tables = METADATA.sorted_tables
        return {table.name: sorted((tuple(row) for row in conn.execute(select(table))), key=repr) for table in tables}

    return await c.db.read(read)


@pytest.mark.parametrize("seed", range(12))
def test_the_same_rows_are_left(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stories = [list(story(100 * seed + number)) for number in range(HOSTS)]
    # Each host in its order, and the hosts mixed.
    turns = [number for number in range(HOSTS) for _ in range(BATCHES)]
    random.Random(seed).shuffle(turns)

    async def tale(c: Collector) -> Dump:
        sessions = await connected(c, HOSTS)
        left = [iter(one) for one in stories]
        told = [(sessions[n], replace(next(left[n]), boot_id=sessions[n].boot_id)) for n in turns]
        for first in range(0, len(told), 12):
            outcomes = await at_once(c, told[first : first + 12])
            assert [one for one in outcomes if not isinstance(one, Stored)] == []
        return await dump(c)

    at_one_stroke = Ingest._store_together
    stored = 0

    def count(ingest: Ingest, conn: Connection, works: Any) -> list[Stored | None]:
        nonlocal stored
        done = at_one_stroke(ingest, conn, works)
        stored += sum(one is not None for one in done)
        return done

    monkeypatch.setattr(Ingest, "_store_together", count)
    found = tell(_made(tmp_path / "together"), tale)
    assert stored > HOSTS * BATCHES // 4
    monkeypatch.setattr(Ingest, "_store_together", lambda _ingest, _conn, works: [None] * len(works))
    assert found == tell(_made(tmp_path / "alone"), tale)
    assert len(found["history"]) > 50


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


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
        assert len(said) == 2 + 4 * pieces(engine, 30) + 5 - copied

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
    plain, odd = difference(2, T0), difference(3, T0, gaps=(Gap(1, 2, "why"),))
    works = [(a, plain), (b, plain), (a, plain), (b, odd), (b, plain), (a, plain)]
    assert together.turns(works, lambda _, batch: not together.ordinary(batch)) == [[0, 1], [2], [5]]
