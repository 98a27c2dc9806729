"""What is watched: what is there, what comes and goes, and that nobody is asked while nothing happens."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fleetnet_server.errors import AnswerGivenUp, RequestRefused, StorageUnavailable
from fleetnet_server.records import (
    Batch,
    ClosedSocket,
    Coverage,
    Holder,
    Label,
    Selection,
    Session,
    Socket,
    SocketAnswer,
    SocketQuestion,
)
from fleetnet_server.services import elsewhere, watching
from fleetnet_server.services import news as news_module
from fleetnet_server.services.ingest import Ingest
from fleetnet_server.services.labels import Labelling
from fleetnet_server.services.news import Came, Mark, News, There, Went
from fleetnet_server.services.watching import Watching
from fleetnet_server.storage import search
from server.agents import DEADLINE_S
from server.costs import asked_of
from server.reports import (
    CLOSE_WAIT,
    ESTABLISHED,
    LISTEN,
    NEXT_BOOT,
    SEEN,
    T0,
    Collector,
    S,
    difference,
    gone,
    hello,
    key,
    snapshot,
    sock,
    space,
)
from server.stories import PEER, reporting, tell

_NO_HELPER = 3  # of OwnerStatus, the wire's number
LISTENERS = SocketQuestion(Selection(), listeners_only=True, local_ports=((1, 1_023),))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "GATHER_S", 0.01)
    monkeypatch.setattr(elsewhere, "LOOK_S", 1e6)  # there is none; test_elsewhere.py has others


@pytest.fixture
def _only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine: neither the coverage nor all hosts are asked for because time has passed."""
    monkeypatch.setattr(watching, "COVERAGE_S", 1e6)
    monkeypatch.setattr(watching, "SWEEP_S", 1e6)


def watched(c: Collector) -> Watching:
    made = Watching(c.db)
    c.ingest = Ingest(c.db, made.note)
    return made


async def until_mark(stream: AsyncGenerator[News]) -> list[News]:
    told: list[News] = []
    async with asyncio.timeout(DEADLINE_S):
        while not told or not isinstance(told[-1], Mark):
            told.append(await anext(stream))
    return told


async def news(stream: AsyncGenerator[News]) -> Came | Went:
    async with asyncio.timeout(DEADLINE_S):
        while not isinstance(told := await anext(stream), Came | Went):
            pass
    return told


def ports(told: News) -> list[tuple[str, int]]:
    assert isinstance(told, There | Came | Went)
    return [(socket.host, socket.local_port) for socket in told.sockets]


def test_what_is_there_is_told_first_and_then_what_comes_and_goes(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        watching = watched(c)
        session = await reporting(c, "web1", sock(1, T0, port=443), sock(2, T0, port=8080))
        await reporting(c, "db1", sock(3, T0, port=22))
        async with aclosing(watching.watch(LISTENERS)) as stream:
            coverage, there, _ = await until_mark(stream)
            assert isinstance(coverage, Coverage)
            assert coverage.hosts_asked == 2
            assert ports(there) == [("db1", 22), ("web1", 443)]
            opened = (sock(4, T0 + S, port=80), sock(5, T0 + S, ESTABLISHED, port=443, remote=PEER, remote_port=9))
            await c.report(session, difference(2, T0 + S, opened=opened))
            told = await news(stream)
            assert isinstance(told, Came)
            assert ports(told) == [("web1", 80)]
            assert told.sockets[0].holder.unit == "nginx.service"
            await c.report(session, difference(3, T0 + 2 * S, closed=(gone(1, T0 + S), gone(5, T0 + S))))
            told = await news(stream)
            assert isinstance(told, Went)
            assert ports(told) == [("web1", 443)]

    tell(tmp_path, story)


def test_of_a_holder_that_is_asked_for_it_is_said_whom_nobody_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "COVERAGE_S", 0.05)
    unseen = Holder(None, "", "", "", _NO_HELPER, ())

    async def story(c: Collector) -> None:
        mine = watched(c)
        session = await reporting(c, "web1", sock(1, T0, port=22, holder=unseen), sock(2, T0, port=8080, holder=unseen))
        async with aclosing(mine.watch(replace(LISTENERS, process="sshd"))) as stream:
            first = await anext(stream)
            assert isinstance(first, Coverage)
            assert first.unseen_holders == 1
            await c.report(session, difference(2, T0 + S, opened=(sock(3, T0 + S, port=23, holder=unseen),)))
            async with asyncio.timeout(DEADLINE_S):
                while not (isinstance(told := await anext(stream), Coverage) and told.unseen_holders == 2):
                    assert not isinstance(told, Came)

    tell(tmp_path, story)


def test_a_socket_that_enters_another_state_comes_and_goes_where_states_are_watched(tmp_path: Path) -> None:
    def connection(state: int, at_us: int) -> tuple[Socket]:
        return (sock(7, at_us, state, port=443, remote=PEER, remote_port=9),)

    async def story(c: Collector) -> None:
        watching = watched(c)
        session = await reporting(c, "web1", *connection(ESTABLISHED, T0))
        async with aclosing(watching.watch(SocketQuestion(Selection(), states=(CLOSE_WAIT,)))) as stream:
            await until_mark(stream)
            await c.report(session, difference(2, T0 + S, changed=connection(CLOSE_WAIT, T0 + S)))
            assert isinstance(await news(stream), Came)
            await c.report(session, difference(3, T0 + 2 * S, closed=(gone(7, T0 + 2 * S),)))
            assert isinstance(await news(stream), Went)

    tell(tmp_path, story)


def test_a_connection_that_is_accepted_and_so_gets_an_inode_is_the_same(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine = watched(c)
        waits = sock(7, T0, ESTABLISHED, port=443, remote=PEER, remote_port=9)._replace(inode=0)
        session = await reporting(c, "web1", waits)
        async with aclosing(mine.watch(SocketQuestion(Selection(), states=(ESTABLISHED,)))) as stream:
            await until_mark(stream)
            accepted = waits._replace(inode=17)
            another = sock(8, T0 + S, ESTABLISHED, port=443, remote=PEER, remote_port=10)
            await c.report(session, difference(2, T0 + S, changed=(accepted,), opened=(another,)))
            told = await news(stream)
            assert isinstance(told, Came)
            assert [(one.cookie, one.remote_port) for one in told.sockets] == [(8, 10)]
            [kept] = mine._kept.values()
            assert sorted(one.inode for one in kept._known[session.host_id].values()) == [17, 10_008]

    tell(tmp_path, story)


def test_a_boot_ends_what_the_one_before_had_also_where_its_first_report_is_no_snapshot(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine = watched(c)
        await reporting(c, "web1", sock(1, T0, port=443))
        async with aclosing(mine.watch(LISTENERS)) as stream:
            await until_mark(stream)
            again = await c.connect(await c.enroll("web1"), hello(T0 + 9 * S, boot_id=NEXT_BOOT))
            await c.report(again, difference(1, T0 + 10 * S, boot_id=NEXT_BOOT))
            told = await asyncio.wait_for(news(stream), watching.SWEEP_S / 2)
            assert isinstance(told, Went)
            assert ports(told) == [("web1", 443)]

    tell(tmp_path, story)


def test_what_goes_is_told_with_the_last_name_of_its_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MARK_S", 0.01)

    async def story(c: Collector) -> None:
        mine = watched(c)
        session = await c.connect(await c.enroll("web1"), hello(T0))
        await c.report(session, snapshot(1, T0, sock(1, T0, port=443, netns=7), namespaces=(space(7, "blue"),)))
        async with aclosing(mine.watch(LISTENERS)) as stream:
            await until_mark(stream)
            await c.report(session, difference(2, T0 + S, namespaces=(space(7, "green"),)))
            [kept] = mine._kept.values()
            async with asyncio.timeout(DEADLINE_S):
                while [one.netns_name for one in kept._known[session.host_id].values()] != ["green"]:
                    assert not isinstance(await anext(stream), Came | Went)
            await c.report(session, difference(3, T0 + 2 * S, closed=(ClosedSocket(key(1, netns=7), T0 + S, SEEN),)))
            told = await news(stream)
            assert [one.netns_name for one in told.sockets] == ["green"]
            await c.report(session, difference(4, T0 + 3 * S, namespaces=(space(7, "red"),)))
            assert kept._due == set(), "nothing of it is known any more"

    tell(tmp_path, story)


def test_a_host_that_comes_is_watched_as_well_and_one_that_does_not_match_is_not(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        watching = watched(c)
        question = SocketQuestion(Selection(host_globs=("web*",)), listeners_only=True)
        async with aclosing(watching.watch(question)) as stream:
            assert [type(told) for told in await until_mark(stream)] == [Coverage, Mark]
            await reporting(c, "db1", sock(1, T0, port=22))
            await reporting(c, "web1", sock(1, T0, port=443))
            assert ports(await news(stream)) == [("web1", 443)]

    tell(tmp_path, story)


def test_a_hundred_who_watch_the_same_are_one_question_and_no_report_beside_it_is_one(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        watching = watched(c)
        session = await reporting(c, "web1", sock(1, T0, port=443))
        streams = [watching.watch(LISTENERS) for _ in range(100)]
        await asyncio.gather(*map(until_mark, streams))
        asked = asked_of(c.db._engines.readers)
        connections = tuple(sock(n, T0 + S, ESTABLISHED, port=443, remote=PEER, remote_port=n) for n in range(10, 60))
        await c.report(session, difference(2, T0 + S, opened=connections))
        await c.report(session, difference(3, T0 + 2 * S, closed=tuple(gone(n, T0 + 2 * S) for n in range(10, 60))))
        await asyncio.sleep(0.05)  # there is nothing to wait for: nothing is to happen
        assert asked == []
        await c.report(session, difference(4, T0 + 3 * S, opened=(sock(2, T0 + 3 * S, port=80),)))
        told = await asyncio.gather(*map(news, streams))
        assert len({id(one) for one in told}) == 1
        assert len(asked) <= 5
        for stream in streams:
            await stream.aclose()
        await asyncio.sleep(0)
        assert watching._kept == {}

    tell(tmp_path, story)


@pytest.mark.usefixtures("_only_when_told")
def test_a_hundred_who_watch_the_same_read_no_more_of_the_database_than_one(tmp_path: Path) -> None:
    def asked_by(people: int) -> list[str]:
        """What is read for the beginning, for what comes, for what goes, and for the coverage."""
        statements: list[str] = []

        async def story(c: Collector) -> None:
            mine = watched(c)
            session = await reporting(c, "web1", sock(1, T0, port=443), sock(2, T0, port=22))
            await reporting(c, "db1", sock(3, T0, port=22))
            asked = asked_of(c.db._engines.readers)
            streams = [mine.watch(LISTENERS) for _ in range(people)]
            await asyncio.gather(*map(until_mark, streams))
            await c.report(session, difference(2, T0 + S, opened=(sock(4, T0 + S, port=80),)))
            await asyncio.gather(*map(news, streams))
            await c.report(session, difference(3, T0 + 2 * S, closed=(gone(1, T0 + 2 * S),)))
            await asyncio.gather(*map(news, streams))
            [kept] = mine._kept.values()
            await kept._cover()
            statements.extend(sql for sql, _ in asked)
            for stream in streams:
                await stream.aclose()

        directory = tmp_path / str(people)
        directory.mkdir()
        tell(directory, story)
        return statements

    assert asked_by(100) == asked_by(1)


@pytest.mark.usefixtures("_only_when_told")
def test_while_nothing_happens_all_are_told_a_mark_at_once_and_nothing_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MARK_S", 0.01)

    async def story(c: Collector) -> None:
        mine = watched(c)
        await reporting(c, "web1", sock(1, T0, port=443))
        streams = [mine.watch(LISTENERS) for _ in range(20)]
        await asyncio.gather(*map(until_mark, streams))
        asked = asked_of(c.db._engines.readers)
        for _ in range(3):
            assert await asyncio.gather(*map(until_mark, streams)) == [[Mark()]] * 20
        assert asked == []
        for stream in streams:
            await stream.aclose()

    tell(tmp_path, story)


def test_those_who_come_at_one_moment_are_told_one_copy_of_what_is_there_and_later_ones_what_is_there_then(
    tmp_path: Path,
) -> None:
    async def story(c: Collector) -> None:
        mine = watched(c)
        session = await reporting(c, "web1", sock(1, T0, port=443))
        streams = [mine.watch(LISTENERS) for _ in range(20)]
        told = await asyncio.gather(*map(until_mark, streams))
        assert len({id(there) for _, there, _ in told}) == 1
        await c.report(session, difference(2, T0 + S, opened=(sock(2, T0 + S, port=80),)))
        came = await asyncio.gather(*map(news, streams))
        assert len({id(one) for one in came}) == 1
        async with aclosing(mine.watch(LISTENERS)) as another:
            _, there, _ = await until_mark(another)
            assert sorted(ports(there)) == [("web1", 80), ("web1", 443)]
        for stream in streams:
            await stream.aclose()

    tell(tmp_path, story)


def test_marks_do_not_pile_up_before_who_does_not_read() -> None:
    async def story() -> None:
        watcher = news_module.Watcher()
        for _ in range(3):
            watcher.mark()
        watcher.tell(came := Came(()))
        assert [await watcher.next(), await watcher.next()] == [Mark(), came]
        watcher.mark()
        assert await watcher.next() == Mark()

    asyncio.run(story())


def test_a_report_costs_what_it_tells_and_not_what_its_host_has(tmp_path: Path) -> None:
    class Unread(dict[tuple[object, ...], SocketAnswer]):
        def values(self) -> NoReturn:
            raise AssertionError("all that is known was walked for a report")

    async def story(c: Collector) -> None:
        mine = watched(c)
        session = await reporting(c, "web1", sock(1, T0, port=443))
        async with aclosing(mine.watch(LISTENERS)) as stream:
            await until_mark(stream)
            [kept] = mine._kept.values()
            answers = kept._known[session.host_id]
            kept._known[session.host_id] = Unread(answers)
            await c.report(session, difference(2, T0 + S), difference(3, T0 + 2 * S, closed=(gone(9, T0 + S),)))
            assert kept._due == set()
            kept._known[session.host_id] = answers

    tell(tmp_path, story)


def test_what_nobody_told_this_collector_is_found_when_all_are_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SWEEP_S", 0.1)
    monkeypatch.setattr(watching, "COVERAGE_S", 0.05)

    async def story(c: Collector) -> None:
        mine = watched(c)
        session = await reporting(c, "web1", sock(1, T0, port=443))
        async with aclosing(mine.watch(LISTENERS)) as stream:
            await until_mark(stream)
            c.ingest = Ingest(c.db)  # as that of another collector
            again = await c.connect(await c.enroll("web1"), hello(T0 + S))
            await c.report(
                again, snapshot(again.committed_sequence + 1, T0 + S, sock(1, T0, port=443), sock(2, T0 + S, port=80))
            )
            assert ports(await news(stream)) == [("web1", 80)]
        assert session.host_id == again.host_id

    tell(tmp_path, story)


def test_who_does_not_read_is_left_behind_and_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news_module, "MOST_WAITING", 4)

    async def story(c: Collector) -> None:
        mine = watched(c)
        session = await reporting(c, "web1")
        async with aclosing(mine.watch(LISTENERS)) as reads, aclosing(mine.watch(LISTENERS)) as does_not:
            await until_mark(reads)
            await until_mark(does_not)
            for n in range(2, 9):
                await c.report(session, difference(n, T0 + n * S, opened=(sock(n, T0 + n * S, port=n),)))
                assert ports(await news(reads)) == [("web1", n)]
            with pytest.raises(AnswerGivenUp, match="left behind"):
                await news(does_not)

    tell(tmp_path, story)


def test_a_host_that_is_not_meant_costs_one_statement_and_no_more(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine = watched(c)
        meant = await reporting(c, "web1")
        other = await reporting(c, "db1")
        question = SocketQuestion(Selection(host_globs=("web*",)), listeners_only=True)
        async with aclosing(mine.watch(question)) as stream:
            await until_mark(stream)
            asked = asked_of(c.db._engines.readers)
            await c.report(other, difference(2, T0 + S, opened=(sock(1, T0 + S, port=80),)))
            # When this is known, whatever that caused is over.
            await c.report(meant, difference(2, T0 + S, opened=(sock(1, T0 + S, port=80),)))
            assert ports(await news(stream)) == [("web1", 80)]
            [kept] = mine._kept.values()
            assert kept._not_meant == {other.host_id}
            asked.clear()
            await c.report(other, difference(3, T0 + 2 * S, opened=(sock(2, T0 + 2 * S, port=81),)))
            assert kept._due == set()
            assert asked == []

    tell(tmp_path, story)


def test_what_ends_while_its_host_is_asked_goes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages, read, go_on = search.pages, threading.Event(), threading.Event()

    def slow(*args: Any) -> Iterator[tuple[SocketAnswer, ...]]:
        found = list(pages(*args))
        read.set()
        assert go_on.wait(DEADLINE_S)
        yield from found

    async def story(c: Collector) -> None:
        mine = watched(c)
        session = await reporting(c, "web1", sock(1, T0, port=443))
        async with aclosing(mine.watch(LISTENERS)) as stream:
            await until_mark(stream)
            monkeypatch.setattr(search, "pages", slow)
            await c.report(session, difference(2, T0 + S, opened=(sock(2, T0 + S, port=80),)))
            await asyncio.to_thread(read.wait, DEADLINE_S)
            await c.report(session, difference(3, T0 + 2 * S, closed=(gone(2, T0 + 2 * S),)))
            go_on.set()
            assert ports(await news(stream)) == [("web1", 80)]
            told = await asyncio.wait_for(news(stream), watching.SWEEP_S / 2)
            assert isinstance(told, Went)

    tell(tmp_path, story)


WEB = replace(LISTENERS, selection=Selection(labels=(Label("role", "web"),)))


def test_a_host_that_gets_a_label_or_loses_it_comes_or_goes_with_what_it_has(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine = watched(c)
        labelling = Labelling(c.db, mine.note_labels)
        session = await reporting(c, "web1", sock(1, T0, port=443))
        await reporting(c, "db1", sock(2, T0, port=22))
        async with aclosing(mine.watch(WEB)) as stream:
            first, _ = await until_mark(stream)
            assert isinstance(first, Coverage)
            assert (first.hosts_asked, first.unmatched_labels) == (0, (Label("role", "web"),))
            # Asked about once, for it reported, and then not meant.
            await c.report(session, difference(2, T0 + S, opened=(sock(3, T0 + S, port=80),)))
            await labelling.label(["web1"], [], [Label("role", "web")], [])
            told = await news(stream)
            assert isinstance(told, Came)
            assert ports(told) == [("web1", 80), ("web1", 443)]
            await c.report(session, difference(3, T0 + 2 * S, closed=(gone(3, T0 + 2 * S),)))
            assert ports(await news(stream)) == [("web1", 80)]
            await labelling.label([], ["*"], [Label("role", "db")], [])
            told = await news(stream)
            assert isinstance(told, Went)
            assert ports(told) == [("web1", 443)]

    tell(tmp_path, story)


def test_labels_that_another_collector_gave_are_noticed_when_all_hosts_are_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SWEEP_S", 0.05)
    monkeypatch.setattr(watching, "COVERAGE_S", 0.05)

    async def story(c: Collector) -> None:
        mine = watched(c)
        others = Labelling(c.db, lambda _host_ids: None)
        session = await reporting(c, "web1", sock(1, T0, port=443))
        async with aclosing(mine.watch(WEB)) as stream:
            await until_mark(stream)
            await c.report(session, difference(2, T0 + S, opened=(sock(3, T0 + S, port=80),)))
            await others.label(["web1"], [], [Label("role", "web")], [])
            assert ports(await news(stream)) == [("web1", 80), ("web1", 443)]
            # And from then on what it reports is told again.
            await c.report(session, difference(3, T0 + 2 * S, opened=(sock(4, T0 + 2 * S, port=8),)))
            assert ports(await news(stream)) == [("web1", 8)]
            await others.label(["web1"], [], [], ["role"])
            assert isinstance(await news(stream), Went)

    tell(tmp_path, story)


def test_who_takes_long_to_answer_is_asked_more_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages, asked = search.pages, []

    def slow(*args: Any) -> Iterator[tuple[SocketAnswer, ...]]:
        began_s = time.monotonic()
        time.sleep(0.2)  # a large answer
        yield from pages(*args)
        asked.append((began_s, time.monotonic()))

    async def story(c: Collector) -> None:
        mine = watched(c)
        session = await reporting(c, "web1")
        async with aclosing(mine.watch(LISTENERS)) as stream:
            await until_mark(stream)
            monkeypatch.setattr(search, "pages", slow)
            for n in range(2, 5):
                await c.report(session, difference(n, T0 + n * S, opened=(sock(n, T0 + n * S, port=n),)))
                assert ports(await news(stream)) == [("web1", n)]
        assert all(later[0] - before[1] >= 0.8 for before, later in pairwise(asked))

    tell(tmp_path, story)


def test_what_comes_and_goes_at_once_is_told_in_pages_and_waits_for_who_reads_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "PAGE", 10)
    monkeypatch.setattr(news_module, "MOST_WAITING", 100)

    async def story(c: Collector) -> None:
        mine = watched(c)
        session = await reporting(c, "web1", *(sock(n, T0, port=n) for n in range(1, 51)))
        async with aclosing(mine.watch(LISTENERS)) as stream:
            assert [len(ports(told)) for told in (await until_mark(stream))[1:-1]] == [10] * 5
            await c.report(session, snapshot(2, T0 + S, *(sock(n, T0 + S, port=n) for n in range(101, 151))))
            told = [await news(stream) for _ in range(10)]
            assert [(type(one), len(one.sockets)) for one in told] == [(Went, 10)] * 5 + [(Came, 10)] * 5
            await c.report(session, snapshot(3, T0 + 2 * S, *(sock(n, T0 + 2 * S, port=n) for n in range(201, 302))))
            with pytest.raises(AnswerGivenUp, match="left behind"):
                await news(stream)

    tell(tmp_path, story)


def test_too_much_is_refused_at_once_and_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_SOCKETS", 2)
    monkeypatch.setattr(watching, "MOST_QUESTIONS", 1)

    async def story(c: Collector) -> None:
        mine = watched(c)
        session = await reporting(c, "web1", *(sock(n, T0, port=n) for n in (1, 2)))
        for selection in (Selection(at_us=T0), Selection(limit=5)):
            with pytest.raises(RequestRefused, match="only what is there now"):
                await anext(mine.watch(SocketQuestion(selection)))
        async with aclosing(mine.watch(LISTENERS)) as stream:
            await until_mark(stream)
            with pytest.raises(RequestRefused, match="1 questions are watched already"):
                await anext(mine.watch(SocketQuestion(Selection())))
            await c.report(session, difference(2, T0 + S, opened=(sock(3, T0 + S, port=3),)))
            with pytest.raises(RequestRefused, match="more than 2 sockets"):
                await news(stream)
        with pytest.raises(RequestRefused, match="more than 2 sockets"):
            await anext(mine.watch(LISTENERS))
        assert mine._kept == {}

    tell(tmp_path, story)


def test_what_all_watch_together_has_a_bound_and_whoever_comes_too_late_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MOST_SOCKETS_OF_ALL", 3)

    async def story(c: Collector) -> None:
        mine = watched(c)
        await reporting(c, "web1", *(sock(n, T0, port=n) for n in (1, 2)))
        async with aclosing(mine.watch(LISTENERS)) as first:
            await until_mark(first)
            with pytest.raises(RequestRefused, match="2 sockets are watched already, and 3 can be"):
                await anext(mine.watch(SocketQuestion(Selection())))
            async with aclosing(mine.watch(LISTENERS)) as again:
                await until_mark(again)
        async with aclosing(mine.watch(SocketQuestion(Selection()))) as stream:
            await until_mark(stream)

    tell(tmp_path, story)


def test_a_database_that_fails_ends_what_is_watched_and_who_comes_again_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(c: Collector) -> None:
        mine = watched(c)
        session = await reporting(c, "web1", sock(1, T0, port=443))
        async with aclosing(mine.watch(LISTENERS)) as stream:
            await until_mark(stream)
            with monkeypatch.context() as broken:

                def fails(*_: object) -> None:
                    raise StorageUnavailable("the database is away")

                broken.setattr(search, "pages", fails)
                await c.report(session, difference(2, T0 + S, opened=(sock(2, T0 + S, port=80),)))
                with pytest.raises(StorageUnavailable, match="is away"):
                    await news(stream)
            async with aclosing(mine.watch(LISTENERS)) as again:
                assert ports((await until_mark(again))[1]) == [("web1", 80), ("web1", 443)]

    tell(tmp_path, story)


@pytest.mark.parametrize("seed", range(4))
def test_what_was_there_with_what_came_and_without_what_went_is_the_answer(tmp_path: Path, seed: int) -> None:
    questions = (
        LISTENERS,
        SocketQuestion(Selection(), states=(ESTABLISHED, CLOSE_WAIT)),
        SocketQuestion(Selection(host_globs=("a*", "b*")), local_ports=((20, 30),)),
    )
    dice = random.Random(seed)

    async def story(c: Collector) -> None:
        mine = watched(c)
        hosts = [_Host(await reporting(c, name, _socket(1, LISTEN, T0))) for name in ("a1", "b1", "c1")]
        folded: list[dict[object, SocketAnswer]] = [{} for _ in questions]
        following = [asyncio.create_task(_fold(mine, q, f)) for q, f in zip(questions, folded, strict=True)]
        for n in range(2, 40):
            host = dice.choice(hosts)
            await c.report(host.session, host.drawn(dice, n))
        try:
            for question, found in zip(questions, folded, strict=True):
                answer = {(*watching._key(item), item.host) for item in (await c.ask(question)).items}
                async with asyncio.timeout(DEADLINE_S):
                    while set(found) != answer:
                        assert not any(task.done() for task in following)
                        await asyncio.sleep(0.01)
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)

    tell(tmp_path, story)


@dataclass
class _Host:
    """A host that reports what is drawn for it."""

    session: Session
    states: dict[int, int] = field(default_factory=lambda: {1: LISTEN})
    sequence: int = 1

    def drawn(self, dice: random.Random, n: int) -> Batch:
        at_us, self.sequence = T0 + n * S, self.sequence + 1
        ended = tuple(c for c in self.states if dice.random() < 0.2)
        for cookie in ended:
            del self.states[cookie]
        changed = {c: CLOSE_WAIT for c, state in self.states.items() if state == ESTABLISHED and dice.random() < 0.4}
        opened = {n * 10 + i: dice.choice((LISTEN, ESTABLISHED)) for i in range(dice.randrange(3))}
        self.states |= changed | opened
        return difference(
            self.sequence,
            at_us,
            opened=tuple(_socket(cookie, state, at_us) for cookie, state in opened.items()),
            changed=tuple(_socket(cookie, state, at_us) for cookie, state in changed.items()),
            closed=tuple(gone(cookie, at_us) for cookie in ended),
        )


def _socket(cookie: int, state: int, at_us: int) -> Socket:
    remote = {} if state == LISTEN else {"remote": PEER, "remote_port": cookie}
    return sock(cookie, at_us, state, port=20 + cookie % 20, **remote)  # type: ignore[arg-type]


async def _fold(mine: Watching, question: SocketQuestion, folded: dict[object, SocketAnswer]) -> None:
    async with aclosing(mine.watch(question)) as stream:
        async for told in stream:
            for socket in told.sockets if isinstance(told, There | Came | Went) else ():
                key = (*watching._key(socket), socket.host)
                if isinstance(told, Went):
                    del folded[key]
                else:
                    assert key not in folded
                    folded[key] = socket
