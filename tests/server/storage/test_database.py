"""The one door to the database: what is written is kept, together or not at all, and readers see one moment."""

import asyncio
import gc
import stat
import threading
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from fleetnet_server.errors import StorageError, StorageUnavailable
from fleetnet_server.storage import database, hosts, tokens
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.writer import GROUP_LIMIT, GROUP_ROWS, HURRIED_LIMIT, HURRIED_ROWS, LARGE_ROWS, Haste
from server.agents import DEADLINE_S
from server.held import Held
from server.running import wait_for
from sqlalchemy import Connection, event, text

from demo.programs import until
from server import databases

Story = Callable[[Database], Awaitable[None]]


def tell(directory: Path, story: Story) -> None:
    async def run() -> None:
        db = Database.open(databases.url(directory))
        try:
            await story(db)
        finally:
            await db.close()

    asyncio.run(run())


def put(conn: Connection, number: int) -> int:
    tokens.create(conn, number.to_bytes(2, "big"), f"host{number}", 1, 2)
    return number


def fail(conn: Connection, number: int) -> int:
    put(conn, number)
    raise ValueError(str(number))


def kept(conn: Connection) -> list[str]:
    return list(conn.execute(text("SELECT host FROM tokens ORDER BY secret_hash")).scalars())


def _modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


@pytest.mark.engine("sqlite")
def test_the_files_are_private_from_their_first_moment_and_one_file_is_left(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        await db.write(put, 1)
        assert _modes(tmp_path) == {"fleetnet.db": 0o600, "fleetnet.db-wal": 0o600, "fleetnet.db-shm": 0o600}

    tell(tmp_path, story)
    assert [path.name for path in tmp_path.iterdir()] == ["fleetnet.db"]


@pytest.mark.engine("sqlite")
def test_paths_with_marks_that_mean_something_in_a_uri_can_be_read(tmp_path: Path) -> None:
    directory = tmp_path / "a b#c%20d"
    directory.mkdir()

    async def story(db: Database) -> None:
        await db.write(put, 1)
        assert await db.read(kept) == ["host1"]

    tell(directory, story)
    assert [path.name for path in directory.iterdir()] == ["fleetnet.db"]


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    async def write(db: Database) -> None:
        assert await db.write(put, 7) == 7

    async def read(db: Database) -> None:
        assert await db.read(kept) == ["host7"]

    tell(tmp_path, write)
    tell(tmp_path, read)


def test_what_queues_up_is_committed_as_one_group(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        commits: list[int] = []
        event.listen(db._engines.writer, "commit", lambda _conn: commits.append(1))
        held = Held(db)
        await held.begun()
        waiting = [asyncio.ensure_future(db.write(put, n)) for n in range(50)]
        await asyncio.sleep(0)
        await held.end()
        assert await asyncio.gather(*waiting) == list(range(50))
        assert len(commits) == 2

    tell(tmp_path, story)


def test_no_more_rows_share_a_commit_than_a_bound(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        commits: list[int] = []
        event.listen(db._engines.writer, "commit", lambda _conn: commits.append(1))
        held = Held(db)
        await held.begun()
        waiting = [asyncio.ensure_future(db.write(put, n, rows=GROUP_ROWS // 2)) for n in range(6)]
        await asyncio.sleep(0)
        await held.end()
        assert await asyncio.gather(*waiting) == list(range(6))
        assert len(commits) == 1 + 3

    tell(tmp_path, story)


def test_what_comes_soon_after_a_commit_waits_for_what_comes_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        db = Database.open(databases.url(tmp_path), gather_s=2.0)
        try:
            commits: list[int] = []
            event.listen(db._engines.writer, "commit", lambda _conn: commits.append(1))
            assert await db.write(put, 0) == 0  # at once
            first = asyncio.ensure_future(db.write(put, 1))
            await asyncio.sleep(0)
            await asyncio.to_thread(until, db._writer._queue.empty, within_s=30, what="the writer, with the first")
            await asyncio.gather(first, db.write(put, 2))
            assert await db.read(kept) == ["host0", "host1", "host2"]
            assert len(commits) == 2
        finally:
            await db.close()

    asyncio.run(run())


def test_what_hurries_does_not_wait_for_what_comes_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        db = Database.open(databases.url(tmp_path), gather_s=1_200.0)
        try:
            assert await db.write(put, 0) == 0
            # As if so much of it had gone by that what hurries may begin the next.
            db._writer._next_s -= 121.0
            behind = asyncio.ensure_future(db.write(put, 1))
            await asyncio.sleep(0)
            async with asyncio.timeout(60):
                assert await db.write(put, 2, haste=Haste.MOST) == 2
                await behind
        finally:
            await db.close()

    asyncio.run(run())


def test_what_is_large_is_not_put_beside_small_things_that_are_there_before_it(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        order: list[int] = []
        commits: list[int] = []
        event.listen(db._engines.writer, "commit", lambda _conn: commits.append(len(order)))
        held = Held(db)
        await held.begun()
        rows = (1, LARGE_ROWS, LARGE_ROWS + 1, 1, LARGE_ROWS + 1)
        works = [asyncio.ensure_future(db.write(_noted, order, n, rows=some)) for n, some in enumerate(rows)]
        await asyncio.sleep(0)
        await held.end()
        await asyncio.gather(*works)
        assert order == list(range(5))
        assert commits == [0, 2, 5]

    tell(tmp_path, story)


def nothing(_: Connection, number: int) -> int:
    return number


def test_what_has_no_haste_does_not_wait_with_more_company_than_a_group_has_room_for(tmp_path: Path) -> None:
    async def run() -> None:
        db = Database.open(databases.url(tmp_path), patience_s=300.0)
        many = [asyncio.ensure_future(db.write(nothing, n, haste=Haste.NONE)) for n in range(3 * GROUP_LIMIT)]
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            assert await db.write(nothing, -1) == -1
            assert await asyncio.gather(*many) == list(range(len(many)))
        await db.close()

    asyncio.run(run())


def test_what_has_no_haste_waits_for_what_has_or_for_the_end(tmp_path: Path) -> None:
    async def run() -> None:
        db = Database.open(databases.url(tmp_path), patience_s=300.0)
        commits: list[int] = []
        event.listen(db._engines.writer, "commit", lambda _conn: commits.append(1))
        patient = [asyncio.ensure_future(db.write(put, n, haste=Haste.NONE)) for n in range(3)]
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: until(lambda: db._writer._queue.qsize() == 2, within_s=30, what="the writer"))
        assert await db.write(put, 3) == 3
        assert await asyncio.gather(*patient) == [0, 1, 2]
        assert len(commits) == 1
        late = asyncio.ensure_future(db.write(put, 4, haste=Haste.NONE))
        await asyncio.sleep(0)
        await db.close()
        assert await late == 4
        assert len(commits) == 2

    asyncio.run(run())


def _noted(_: Connection, order: list[int], number: int) -> int:
    order.append(number)
    return number


def test_what_has_most_haste_goes_first_some_with_each_commit_and_each_once(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        order: list[int] = []
        commits: list[int] = []
        event.listen(db._engines.writer, "commit", lambda _conn: commits.append(len(order)))

        held = Held(db)
        await held.begun()
        many = [asyncio.ensure_future(db.write(_noted, order, n)) for n in range(GROUP_LIMIT)]
        hurried = [
            asyncio.ensure_future(db.write(_noted, order, 1_000 + n, haste=Haste.MOST))
            for n in range(HURRIED_LIMIT + 1)
        ]
        await asyncio.sleep(0)
        await held.end()
        assert await asyncio.gather(*many, *hurried) == [*range(GROUP_LIMIT), *range(1_000, 1_001 + HURRIED_LIMIT)]
        # The first in the queue goes with the first that have haste: a bound for both.
        first = HURRIED_LIMIT - 1
        assert order[:HURRIED_LIMIT] == [0, *range(1_000, 1_000 + first)]
        assert sorted(order[GROUP_LIMIT:]) == [
            *range(GROUP_LIMIT - first, GROUP_LIMIT), 1_000 + first, 1_000 + HURRIED_LIMIT
        ]  # fmt: skip
        assert order[GROUP_LIMIT + 1 : GROUP_LIMIT + 3] == [1_000 + first, 1_000 + HURRIED_LIMIT]
        assert commits[1:] == [GROUP_LIMIT, GROUP_LIMIT + HURRIED_LIMIT + 1]

    tell(tmp_path, story)


def test_what_is_large_lets_those_that_hurry_go_first_once_and_hurries_nobody_itself(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        order: list[int] = []
        commits: list[int] = []
        event.listen(db._engines.writer, "commit", lambda _conn: commits.append(len(order)))

        held = Held(db)
        await held.begun()
        large = [
            asyncio.ensure_future(db.write(_noted, order, n, rows=GROUP_ROWS, haste=Haste.MOST, host_id=1))
            for n in range(2)
        ]
        # Small, and yet nothing that may go before its own host's large ones.
        behind = asyncio.ensure_future(db.write(_noted, order, 2, haste=Haste.MOST, host_id=1))
        hurried = asyncio.ensure_future(db.write(_noted, order, 1_000, haste=Haste.MOST, host_id=2))
        await asyncio.sleep(0)
        await held.end()
        assert await asyncio.gather(*large, behind, hurried) == [0, 1, 2, 1_000]
        assert order == [1_000, 0, 1, 2]
        assert commits[1:] == [1, 2, 3, 4]

    tell(tmp_path, story)


def test_what_has_hurried_is_not_kept_until_its_turn(tmp_path: Path) -> None:
    class Rows:
        """Something that takes memory."""

    async def story(db: Database) -> None:
        go_on = threading.Event()
        held = Held(db)
        await held.begun()
        many = [asyncio.ensure_future(db.write(nothing, n)) for n in range(GROUP_LIMIT)]
        many.append(asyncio.ensure_future(db.write(lambda _: int(go_on.wait(DEADLINE_S)))))
        many += [asyncio.ensure_future(db.write(nothing, n)) for n in range(GROUP_LIMIT)]
        rows = Rows()
        alive = weakref.ref(rows)
        hurried = asyncio.ensure_future(db.write(lambda _conn, _rows: None, rows, haste=Haste.MOST))
        del rows
        await asyncio.sleep(0)
        await held.end()
        try:
            await hurried
            # The caller is told before the writer lets go.
            await asyncio.to_thread(wait_for, lambda: (gc.collect() >= 0 and not alive()) or None, "end of the rows")
            assert not many[-1].done()
        finally:
            go_on.set()
        await asyncio.gather(*many)

    tell(tmp_path, story)


def test_what_hurries_with_many_rows_leaves_room_for_others(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        order: list[int] = []
        held = Held(db)
        await held.begun()
        works = [asyncio.ensure_future(db.write(_noted, order, n)) for n in range(3)]
        works += [
            asyncio.ensure_future(db.write(_noted, order, n, rows=HURRIED_ROWS, haste=Haste.MOST))
            for n in range(1_000, 1_003)
        ]
        await asyncio.sleep(0)
        await held.end()
        await asyncio.gather(*works)
        assert order == [0, 1_000, 1, 2, 1_001, 1_002]

    tell(tmp_path, story)


def test_one_that_fails_is_undone_and_takes_no_neighbour_along(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        held = Held(db)
        await held.begun()
        waiting = [asyncio.ensure_future(db.write(fail if n == 1 else put, n)) for n in range(3)]
        await asyncio.sleep(0)
        await held.end()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["0", "1", "2"]
        assert isinstance(outcomes[1], ValueError)
        assert await db.read(kept) == ["host0", "host2"]

    tell(tmp_path, story)


def test_a_writer_is_told_of_success_only_after_the_commit(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        done_at_commit: list[bool] = []
        held = Held(db)
        await held.begun()
        waiting = asyncio.ensure_future(db.write(put, 1))
        await asyncio.sleep(0)
        work = db._writer._queue.get()
        assert work is not None
        db._writer._queue.put(work)
        event.listen(db._engines.writer, "commit", lambda _conn: done_at_commit.append(work.done.done()))
        await held.end()
        await waiting
        assert done_at_commit == [False, False]

    tell(tmp_path, story)


def test_work_that_nobody_waits_for_any_more_is_not_done(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        held = Held(db)
        await held.begun()
        waiting = asyncio.ensure_future(db.write(put, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        # Until that has come to what is queued; the writer must not be let go before.
        await asyncio.gather(waiting, return_exceptions=True)
        await held.end()
        await db.write(put, 2)
        assert await db.read(kept) == ["host2"]

    tell(tmp_path, story)


def test_closing_finishes_what_is_queued_and_refuses_more(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        waiting = [asyncio.ensure_future(db.write(put, n)) for n in range(300)]
        await asyncio.sleep(0)
        await db.close()
        assert await asyncio.gather(*waiting) == list(range(300))
        with pytest.raises(StorageError, match="has been closed"):
            await db.write(put, 1)

    tell(tmp_path, story)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        with pytest.raises(StorageUnavailable, match="cannot be written"):
            await db.read(put, 1)

    tell(tmp_path, story)


def counted(conn: Connection, pages: int) -> Iterator[int]:
    for _ in range(pages):
        yield len(kept(conn))


def test_a_stream_sees_one_moment_and_does_not_hold_up_the_writer(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        await db.write(put, 0)
        seen = []
        async with aclosing(db.stream(counted, 5)) as pages:
            async for page in pages:
                seen.append(page)
                await db.write(put, len(seen))
        assert seen == [1, 1, 1, 1, 1]
        assert len(await db.read(kept)) == 6

    tell(tmp_path, story)


def test_more_streams_than_connections_take_turns(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        async def drain() -> list[int]:
            async with aclosing(db.stream(counted, 3)) as pages:
                return [page async for page in pages]

        assert await asyncio.gather(*(drain() for _ in range(60))) == [[0, 0, 0]] * 60

    tell(tmp_path, story)


@pytest.mark.engine("sqlite")
def test_when_a_crowd_of_readers_is_gone_what_is_asked_one_by_one_goes_through_one_connection(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        together = asyncio.Barrier(6)

        async def one() -> None:
            async with aclosing(db.stream(lambda _: iter([1]))) as pages:
                async for _ in pages:
                    await together.wait()

        await asyncio.gather(*(one() for _ in range(6)))
        used = {await db.read(lambda conn: id(conn.connection.dbapi_connection)) for _ in range(20)}
        assert len(used) == 1

    tell(tmp_path, story)


def test_a_stream_left_early_gives_its_connection_back(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        for _ in range(40):
            async with aclosing(db.stream(counted, 3)) as pages:
                await anext(pages)
        assert db._engines.readers.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool

    tell(tmp_path, story)


def test_what_a_stream_returns_is_its_last_page_and_by_then_its_connection_is_back(tmp_path: Path) -> None:
    def told(conn: Connection) -> Generator[int, None, int]:
        yield from counted(conn, 2)
        return 42

    async def story(db: Database) -> None:
        async with aclosing(db.stream(told)) as pages:
            assert [await anext(pages) for _ in range(3)][2] == 42
            assert db._engines.readers.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool
            with pytest.raises(StopAsyncIteration):
                await anext(pages)

    tell(tmp_path, story)


def test_an_answer_that_is_not_read_on_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "STALLED_S", 0.01)

    async def story(db: Database) -> None:
        async with aclosing(db.stream(counted, 3)) as pages:
            loop, given_back = asyncio.get_running_loop(), asyncio.Event()
            event.listen(db._engines.readers, "checkin", lambda *_: loop.call_soon_threadsafe(given_back.set))
            await anext(pages)
            await asyncio.wait_for(given_back.wait(), 20)
            with pytest.raises(StorageUnavailable, match="not read on"):
                await anext(pages)

    tell(tmp_path, story)


def test_what_a_stream_raises_reaches_its_reader(tmp_path: Path) -> None:
    def broken(conn: Connection) -> Iterator[int]:
        yield len(kept(conn))
        raise ValueError("no more")

    async def story(db: Database) -> None:
        async with aclosing(db.stream(broken)) as pages:
            assert await anext(pages) == 0
            with pytest.raises(ValueError, match="no more"):
                await anext(pages)
        with pytest.raises(KeyError):
            await db.read(lambda _conn: dict[str, int]()["x"])

    tell(tmp_path, story)


def test_of_many_who_use_one_token_at_once_one_gets_in(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        await db.write(tokens.create, b"h", "web1", 10, 20)
        used = await asyncio.gather(*(db.write(tokens.consume, b"h", 15) for _ in range(20)))
        assert [admitted.host for admitted in used if admitted is not None] == ["web1"]

    tell(tmp_path, story)


def test_a_token_that_is_unknown_or_expired_admits_nobody(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        await db.write(tokens.create, b"h", "web1", 10, 20)
        assert await db.write(tokens.consume, b"x", 15) is None
        assert await db.write(tokens.consume, b"h", 20) is None
        assert await db.write(tokens.consume, b"h", 19) == tokens.Admitted("web1", ())

    tell(tmp_path, story)


def test_a_host_that_enrolls_again_stays_the_same_host(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        first = await db.write(hosts.enroll, "web1", "0a", 100)
        other = await db.write(hosts.enroll, "web2", "0b", 150)
        again = await db.write(hosts.enroll, "web1", "0c", 200)
        assert (again.host_id, again.certificate_serial, again.enrolled_at_us) == (first.host_id, "0c", 100)
        assert other.host_id != first.host_id
        assert not await db.write(hosts.renew, "web1", "0a", "0d")
        assert await db.write(hosts.renew, "web1", "0c", "0d")
        found = await db.read(hosts.find, "web1")
        assert found is not None
        assert (found.certificate_serial, found.status) == ("0d", "active")
        assert await db.read(hosts.find, "web3") is None

    tell(tmp_path, story)
