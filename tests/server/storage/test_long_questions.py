"""A question that takes too long, or for which nobody waits any more, ends in the database, and is in nobody's way."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from fleetnet_server.errors import AnswerGivenUp, StorageUnavailable
from fleetnet_server.storage import database, dialect
from fleetnet_server.storage.database import Connection, Database
from fleetnet_server.storage.reader import Reading
from sqlalchemy import Engine, event, text

from server import databases

# Without an end, and without a wait in it, on any engine.
ENDLESS = text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT count(*) FROM n")
# Of so many at once more wait for a thread than there are.
MANY = 3 * database._READER_THREADS
DEADLINE_S = 60.0


def tell(directory: Path, story: Callable[[Database], Awaitable[None]], question_s: float = DEADLINE_S) -> None:
    async def run() -> None:
        db = Database.open(databases.ready(directory), question_s=question_s)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await story(db)
        finally:
            await db.close()

    asyncio.run(run())


def endless(conn: Connection) -> Iterator[int]:
    yield conn.execute(ENDLESS).scalar_one()


def without_a_break(conn: Connection) -> Iterator[int]:
    """Each statement is soon done, and there is always another."""
    while True:
        conn.execute(text("SELECT 1")).scalar_one()
    yield 0


def quick(conn: Connection) -> Iterator[int]:
    yield int(conn.execute(text("SELECT 42")).scalar_one())


async def pages(answer: AsyncGenerator[int]) -> list[int]:
    async with aclosing(answer):
        return [page async for page in answer]


async def begun(db: Database, count: int) -> None:
    """Wait until so many questions are with the database."""
    pool = db._engines.readers.pool
    while pool.checkedout() < count:  # type: ignore[attr-defined]  # noqa: ASYNC110  # a QueuePool, which sets no event
        await asyncio.sleep(0.01)


def let_go(db: Database) -> bool:
    return bool(db._engines.readers.pool.checkedout() == 0)  # type: ignore[attr-defined]  # a QueuePool


@pytest.mark.parametrize("question", [endless, without_a_break])
def test_a_question_that_takes_longer_than_is_allowed_ends_and_says_what_to_do(
    tmp_path: Path, question: Callable[[Connection], Iterator[int]]
) -> None:
    async def story(db: Database) -> None:
        with pytest.raises(AnswerGivenUp, match=r"took more than 0.1 s .* ask for less .* --question-timeout"):
            await pages(db.stream(question))
        assert let_go(db)
        assert await db.read(lambda conn: next(quick(conn))) == 42  # without a bound

    tell(tmp_path, story, question_s=0.1)


def test_what_a_person_takes_to_read_on_is_not_the_questions_time(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        reading = Reading(db._engines.readers, quick)
        try:
            assert reading.step() == (42,)
            used_s = reading.used_s()
            assert used_s > 0
            await asyncio.sleep(0.01)  # a person reads
            assert reading.used_s() == used_s
            assert reading.step() is None
            assert reading.used_s() > used_s
        finally:
            reading.close()

    tell(tmp_path, story)


def test_an_answer_that_is_read_for_ever_lets_its_moment_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LONGEST_S", 0.2)

    def many(conn: Connection) -> Iterator[int]:
        while True:
            yield from quick(conn)

    async def story(db: Database) -> None:
        with pytest.raises(AnswerGivenUp, match="was not read to its end within"):
            await pages(db.stream(many))
        assert let_go(db)

    tell(tmp_path, story)


def test_long_questions_hold_up_neither_the_writer_nor_what_the_collector_reads_itself(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        asking = [asyncio.create_task(pages(db.stream(endless))) for _ in range(MANY)]
        await begun(db, database._READER_THREADS)
        # All threads of readers are taken. The writer's is its own.
        for number in range(20):
            assert await db.write(lambda conn, n=number: n) == number  # type: ignore[misc]
        assert await db.read(lambda conn: next(quick(conn))) == 42
        assert not any(task.done() for task in asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        assert let_go(db)

    tell(tmp_path, story, question_s=2 * DEADLINE_S)


def test_nor_do_answers_that_nobody_reads_on(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        held = [db.stream(quick) for _ in range(dialect.READERS)]
        assert [await anext(answer) for answer in held] == [42] * len(held)
        assert await db.read(lambda conn: next(quick(conn))) == 42
        for answer in held:
            await answer.aclose()

    tell(tmp_path, story)


def test_when_those_who_asked_are_gone_their_questions_end_and_others_are_answered(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        gone = [asyncio.create_task(pages(db.stream(endless))) for _ in range(MANY)]
        await begun(db, database._READER_THREADS)
        for task in gone:
            task.cancel()
        # Without that it would wait for as long as the others may take.
        assert await pages(db.stream(quick)) == [42]
        outcomes = await asyncio.gather(*gone, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
        assert let_go(db)

    tell(tmp_path, story, question_s=2 * DEADLINE_S)


@pytest.mark.engine("postgresql")
@pytest.mark.parametrize("gone", [True, False], ids=["left", "overdue"])
def test_the_server_ends_the_statement_too(tmp_path: Path, gone: bool) -> None:
    working = text("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(:pids)")

    def left(conn: Connection) -> int:
        return int(conn.execute(working, {"pids": pids}).scalar_one())

    pids: list[int] = []

    def sleeping(conn: Connection) -> Iterator[int]:
        pids.append(conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
        conn.execute(text("SELECT pg_sleep(600)"))
        yield 0

    async def story(db: Database) -> None:
        task = asyncio.create_task(pages(db.stream(sleeping)))
        if gone:
            while not pids:  # noqa: ASYNC110  # a thread fills it
                await asyncio.sleep(0.01)
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, AnswerGivenUp):
            await task
        while await db.write(left):  # noqa: ASYNC110  # the server is waited for
            await asyncio.sleep(0.05)

    tell(tmp_path, story, question_s=2 * DEADLINE_S if gone else 0.5)


@pytest.mark.engine("postgresql")
def test_a_question_that_finds_its_connection_broken_begins_again_with_another(tmp_path: Path) -> None:
    def broken_at(place: int) -> Callable[[Connection], Iterator[int]]:
        """A question whose first connection ends before its page of this number, from 0 on."""
        tries: list[int] = []

        def question(conn: Connection) -> Iterator[int]:
            tries.append(conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
            for page in range(3):
                if page == place and len(tries) == 1:
                    with others[0].begin() as killing:
                        killing.execute(
                            text("SELECT pg_terminate_backend(CAST(:pid AS integer), 10000)"), {"pid": tries[0]}
                        )
                yield page + conn.execute(text("SELECT 0")).scalar_one()

        return question

    async def story(db: Database) -> None:
        others.append(db._engines.writer)
        assert await pages(db.stream(broken_at(0))) == [0, 1, 2]
        # Of the same moment the rest cannot be had.
        with pytest.raises(StorageUnavailable, match=r"is being started, stopped|does not answer"):
            await pages(db.stream(broken_at(1)))
        assert await pages(db.stream(quick)) == [42]
        assert let_go(db)

    others: list[Engine] = []
    tell(tmp_path, story)


@pytest.mark.engine("postgresql")
def test_an_idle_connection_that_died_costs_a_question_nothing(tmp_path: Path) -> None:
    async def story(db: Database) -> None:
        pid = await db.read(lambda conn: conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
        ended = text("SELECT pg_terminate_backend(CAST(:pid AS integer), 10000)")
        await db.write(lambda conn: conn.execute(ended, {"pid": pid}).scalar_one())
        opened: list[int] = []
        event.listen(db._engines.readers, "connect", lambda *_: opened.append(1))
        assert await pages(db.stream(quick)) == [42]
        assert opened == [1]

    tell(tmp_path, story)
