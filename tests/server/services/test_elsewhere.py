"""What is watched at one collector while hosts report to another before the same database."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from pathlib import Path

import pytest
from fleetnet_server.errors import StorageUnavailable
from fleetnet_server.records import Selection, SocketQuestion
from fleetnet_server.services import elsewhere, watching
from fleetnet_server.services.elsewhere import Elsewhere
from fleetnet_server.services.ingest import Ingest
from fleetnet_server.services.news import Came, Went
from fleetnet_server.services.watching import Watching
from server.agents import DEADLINE_S
from server.databases import url
from server.reports import T0, Collector, S, difference, gone, hello, snapshot, sock
from server.services.test_watching import LISTENERS, news, ports, until_mark

Story = Callable[[Collector, Collector], Awaitable[None]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "GATHER_S", 0.01)
    monkeypatch.setattr(elsewhere, "LOOK_S", 0.02)


def tell(directory: Path, story: Story) -> None:
    async def run() -> None:
        one, other = Collector(url(directory)), Collector(url(directory))
        try:
            await story(one, other)
        finally:
            await asyncio.gather(one.db.close(), other.db.close())

    asyncio.run(run())


def watched(c: Collector) -> Watching:
    made = Watching(c.db)
    c.ingest = Ingest(c.db, made.note)
    return made


async def noted(told: list[list[int]], host_id: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not any(host_id in some for some in told):  # noqa: ASYNC110 - it is told from a task of its own
            await asyncio.sleep(0.01)


@pytest.mark.engine("postgresql")
def test_what_hosts_tell_another_collector_is_told_without_waiting_for_the_round_through_all(tmp_path: Path) -> None:
    async def story(here: Collector, there: Collector) -> None:
        mine = watched(here)
        web1 = await here.enroll("web1")
        at_home = await here.connect(web1, hello(T0))
        await here.report(at_home, snapshot(1, T0, sock(1, T0, port=443)))
        away = await there.connect(await there.enroll("web2"), hello(T0))
        await there.report(away, snapshot(1, T0, sock(2, T0, port=22)))
        async with aclosing(mine.watch(LISTENERS)) as stream:
            await until_mark(stream)
            await there.report(away, difference(2, T0 + S, opened=(sock(3, T0 + S, port=80),)))
            assert isinstance(told := await news(stream), Came)
            assert ports(told) == [("web2", 80)]
            await there.report(away, difference(3, T0 + 2 * S, closed=(gone(2, T0 + 2 * S),)))
            assert isinstance(told := await news(stream), Went)
            assert ports(told) == [("web2", 22)]
            # One that moves away from here is followed to where it goes, and back.
            moved = await there.connect(web1, hello(T0 + 3 * S, epoch=2))
            await there.report(
                moved, snapshot(1, T0 + 3 * S, sock(1, T0, port=443), sock(4, T0 + 3 * S, port=25), epoch=2)
            )
            assert ports(await news(stream)) == [("web1", 25)]
            back = await here.connect(web1, hello(T0 + 4 * S, epoch=3))
            await here.report(back, snapshot(1, T0 + 4 * S, sock(1, T0, port=443), epoch=3))
            assert isinstance(told := await news(stream), Went)
            assert ports(told) == [("web1", 25)]

    tell(tmp_path, story)


@pytest.mark.engine("postgresql")
def test_hosts_that_report_here_are_not_taken_for_others(tmp_path: Path) -> None:
    async def story(here: Collector, there: Collector) -> None:
        told: list[list[int]] = []

        def tell(host_ids: Collection[int]) -> None:
            told.append(list(host_ids))

        noticing = Elsewhere(here.db, tell)
        at_home = await here.connect(await here.enroll("web1"), hello(T0))
        away = await there.connect(await there.enroll("web2"), hello(T0))
        noticing.heard_here(at_home.host_id, at_home.generation)
        async with noticing.noticed():
            await here.report(at_home, snapshot(1, T0))
            await there.report(away, snapshot(1, T0))
            await noted(told, away.host_id)
            assert not any(at_home.host_id in some for some in told)

    tell(tmp_path, story)


@pytest.mark.engine("postgresql")
def test_a_database_that_cannot_be_read_is_said_to_who_wants_to_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise StorageUnavailable("the database is away")

    async def story(here: Collector, _: Collector) -> None:
        mine = watched(here)
        with monkeypatch.context() as patched:
            patched.setattr(here.db, "read", refuse)
            with pytest.raises(StorageUnavailable):
                async with aclosing(mine.watch(LISTENERS)) as stream:
                    await anext(stream)
        async with aclosing(mine.watch(LISTENERS)) as stream:
            await until_mark(stream)

    tell(tmp_path, story)


@pytest.mark.engine("sqlite")
def test_an_embedded_database_has_one_collector_and_is_not_looked_at_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        c = Collector(url(tmp_path))
        try:
            asked: list[object] = []
            monkeypatch.setattr(c.db, "read", lambda fn, *_: asked.append(fn))
            async with aclosing(Watching(c.db).watch(SocketQuestion(Selection()))) as stream:
                await until_mark(stream)
            assert asked == []
        finally:
            await c.db.close()

    asyncio.run(run())
