"""Live looks that one collector has another make, through the tables of the database that they share."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from fleetnet_server import microseconds
from fleetnet_server.errors import AgentAway, AskedTooSoon, HostUnknown, ServerError
from fleetnet_server.records import Host
from fleetnet_server.services import relayed
from fleetnet_server.services.relayed import Relayed
from fleetnet_server.storage import live
from fleetnet_server.storage.live import MOST_PARTS, Asked
from fleetnet_server.storage.schema import live_answers, live_questions
from server.agents import DEADLINE_S
from server.databases import url
from server.reports import Collector, hello, snapshot
from sqlalchemy import Connection, func, select

pytestmark = pytest.mark.engine("postgresql")

Answer = Callable[[bytes], AsyncGenerator[bytes]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relayed, "TAKE_S", 0.01)


class Two:
    """Two collectors, and a host that reports to the other one."""

    def __init__(self, here: Collector, there: Collector, host: Host) -> None:
        self.here, self.there = Relayed(here.db), Relayed(there.db)
        self._db, self.host = here.db, host

    async def ask(self) -> list[bytes]:
        """What comes as an answer, up to the last message of it."""
        told: list[bytes] = []
        async with aclosing(self.here.ask(self.host, b"look")) as answer:
            async for message in answer:
                told.append(message)
                if message == b"end":
                    break
        return told

    async def asked(self) -> Asked:
        async with asyncio.timeout(DEADLINE_S):
            while not (waiting := await self.there.waiting()):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.01)
        return waiting[0]

    async def left(self) -> tuple[int, int]:
        """How many questions and parts of answers are in the database."""

        def count(conn: Connection) -> tuple[int, int]:
            of = (select(func.count()).select_from(table) for table in (live_questions, live_answers))
            questions, parts = (conn.execute(query).scalar_one() for query in of)
            return questions, parts

        return await self._db.read(count)


def tell(directory: Path, story: Callable[[Two], Awaitable[None]], *, connected: bool = True) -> None:
    async def run() -> None:
        here, there = Collector(url(directory)), Collector(url(directory))
        try:
            host = await there.enroll("web1")
            if connected:
                now_us = microseconds.now()
                session = await there.connect(host, hello(now_us), now_us)
                await there.report(session, snapshot(1, now_us))
            await story(Two(here, there, host))
        finally:
            await asyncio.gather(here.db.close(), there.db.close())

    asyncio.run(run())


async def say(_: bytes, *, messages: list[bytes], error: ServerError | None = None) -> AsyncGenerator[bytes]:
    for message in messages:
        yield message
    if error is not None:
        raise error


def saying(*messages: bytes, error: ServerError | None = None) -> Answer:
    return functools.partial(say, messages=list(messages), error=error)


def test_an_answer_of_many_parts_comes_whole_and_in_order_and_nothing_of_it_stays(tmp_path: Path) -> None:
    messages = [f"part {number}".encode() for number in range(3 * MOST_PARTS)] + [b"end"]

    async def story(two: Two) -> None:
        asking = asyncio.create_task(two.ask())
        asked = await two.asked()
        assert (asked.host_id, asked.host) == (two.host.host_id, "web1")
        await two.there.answer(asked, saying(*messages))
        assert await asking == messages
        assert await two.left() == (0, 0)

    tell(tmp_path, story)


def test_a_question_is_taken_once(tmp_path: Path) -> None:
    async def story(two: Two) -> None:
        asking = asyncio.create_task(two.ask())
        asked = await two.asked()
        await asyncio.gather(*(two.there.answer(asked, saying(b"%d" % n, b"end")) for n in range(5)))
        told = await asking
        assert len(told) == 2
        assert told[1] == b"end"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(AskedTooSoon("wait"), AskedTooSoon), (AgentAway("gone"), AgentAway), (HostUnknown("x"), AgentAway)],
)
def test_what_it_failed_with_there_is_what_it_fails_with_here(
    tmp_path: Path, error: ServerError, kind: type[ServerError]
) -> None:
    async def story(two: Two) -> None:
        asking = asyncio.create_task(two.ask())
        await two.there.answer(await two.asked(), saying(b"part", error=error))
        with pytest.raises(kind, match=str(error)):
            await asking
        assert await two.left() == (0, 0)

    tell(tmp_path, story)


def test_who_stops_to_read_ends_the_answer_there_too(tmp_path: Path) -> None:
    async def story(two: Two) -> None:
        async with aclosing(two.here.ask(two.host, b"look")) as answer:
            first = asyncio.ensure_future(anext(answer))
            answering = asyncio.create_task(two.there.answer(await two.asked(), saying(*[b"x"] * 1_000)))
            await first
        async with asyncio.timeout(DEADLINE_S):
            await answering
        assert await two.left() == (0, 0)

    tell(tmp_path, story)


def test_of_an_answer_that_nobody_reads_only_so_much_is_kept(tmp_path: Path) -> None:
    async def story(two: Two) -> None:
        async with aclosing(two.here.ask(two.host, b"look")) as answer:
            first = asyncio.ensure_future(anext(answer))
            answering = asyncio.create_task(two.there.answer(await two.asked(), saying(*[b"x"] * 1_000)))
            await first
            async with asyncio.timeout(DEADLINE_S):
                while (await two.left())[1] < MOST_PARTS:  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.01)
            assert not answering.done()
            assert await two.left() == (1, MOST_PARTS)
        await answering

    tell(tmp_path, story)


def test_a_collector_that_does_not_answer_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relayed, "FIRST_S", 0.1)

    async def story(two: Two) -> None:
        with pytest.raises(AgentAway, match="does not answer"):
            await two.ask()
        assert await two.left() == (0, 0)

    tell(tmp_path, story)


def test_a_host_that_reports_to_nobody_is_told_at_once_and_nobody_is_asked(tmp_path: Path) -> None:
    async def story(two: Two) -> None:
        with pytest.raises(AgentAway, match="not connected to any collector"):
            await two.ask()
        assert await two.left() == (0, 0)

    tell(tmp_path, story, connected=False)


def test_what_an_asker_left_that_died_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(two: Two) -> None:
        await two._db.write(live.ask, two.host.host_id, 1, b"look", microseconds.now())
        await two._db.write(live.put, two.host.host_id, 1, live.Part(1, "", b"x"))
        assert len(await two.there.waiting()) == 1
        assert await two.left() == (1, 1)
        monkeypatch.setattr(relayed, "WITHIN_S", 0.0)
        monkeypatch.setattr(relayed, "CLEAR_S", 0.0)
        await two.there.waiting()
        assert await two.left() == (0, 0)

    tell(tmp_path, story)
