"""A server that is killed, or a connection that is cut, in the midst of a group commit: what is in doubt is settled by
the sequence, and is stored once.

The moment is no matter of luck: the server is made to wait at it, and says so in pg_stat_activity.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import psycopg
import pytest
from fleetnet_server.errors import SequenceHole, StorageUnavailable
from fleetnet_server.records import Batch, Host, Session
from fleetnet_server.storage import dialect, line, writer
from fleetnet_server.storage import postgresql as engine_module
from fleetnet_server.storage.database import Connection, Database
from fleetnet_server.storage.writer import Haste
from server.agents import DEADLINE_S
from server.databases import own_server
from server.postgresql import Server
from server.reports import T0, Collector, S, difference, gone, hello, snapshot, sock
from server.running import wait_for
from sqlalchemy import text

pytestmark = [pytest.mark.engine("postgresql"), pytest.mark.timeout(180)]

HOSTS = 5
# What is kept of a host when its second batch is stored: an end, and what is open.
TOLD_TWO = [(1, T0 + S), (2, 0)]
TOLD_ONE = [(1, 0)]


@pytest.fixture(scope="module")
def mortal() -> Iterator[Server]:
    """A server whose disk counts."""
    with own_server("fsync=on") as server:
        yield server


@pytest.fixture
def fresh(mortal: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # A busy machine takes its time from the moment that a server is at a point to the one at which it is killed there.
    monkeypatch.setitem(engine_module._WRITER, "lock_timeout", f"{DEADLINE_S:.0f}s")
    mortal.execute("CREATE DATABASE fresh")
    try:
        yield mortal.url("fresh", connect_timeout="2")
    finally:
        mortal.execute("DROP DATABASE fresh WITH (FORCE)")


def tell(where: str, story: Callable[[Collector], Awaitable[None]]) -> None:
    async def run() -> None:
        c = Collector(where)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await story(c)
        finally:
            await c.db.close()

    asyncio.run(run())


def second(number: int) -> Batch:
    """Of a host: one listener has ended, another is new."""
    return difference(2, T0 + S, opened=(sock(2, T0 + S, port=number + 1),), closed=(gone(1, T0 + S),))


class Fleet:
    """Hosts whose second batches share a commit."""

    def __init__(self, c: Collector) -> None:
        self._c = c
        self._hosts: list[Host] = []
        self._sessions: list[Session] = []
        self.commits: list[asyncio.Task[object]] = []

    async def tell_one(self) -> None:
        for number in range(HOSTS):
            host = await self._c.enroll(f"web{number}")
            session = await self._c.connect(host, hello(T0))
            await self._c.report(session, snapshot(1, T0, sock(1, T0, port=number + 1)))
            self._hosts.append(host)
            self._sessions.append(session)

    @contextlib.asynccontextmanager
    async def telling_two(self) -> AsyncIterator[None]:
        """All in one group: nothing of it is done until they are there."""
        go_on = threading.Event()
        before = asyncio.create_task(self._c.db.write(lambda _: go_on.wait()))
        self.commits = [
            asyncio.create_task(self._c.ingest.commit(session, second(number), T0 + S))
            for number, session in enumerate(self._sessions)
        ]
        await asyncio.sleep(0)
        go_on.set()
        yield
        outcomes = await asyncio.gather(*self.commits, return_exceptions=True)
        await asyncio.gather(before, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}, outcomes

    async def tell_two_again(self, stored: int) -> None:
        """Each comes again, and finds as much stored; what is told once more changes nothing."""
        for number, host in enumerate(self._hosts):
            session = await self._c.connect(host, hello(T0), T0 + 2 * S)
            assert session.committed_sequence == stored
            for _ in range(2):
                assert (await self._c.ingest.commit(session, second(number), T0 + S)).sequence == 2
        await self.holds(TOLD_TWO)

    async def holds(self, told: list[tuple[int, int]]) -> None:
        intervals = await self._c.intervals()
        assert [(i.cookie, i.closed_at_us) for i in intervals] == sorted(told * HOSTS)


def waiting(server: Server, event: str) -> int:
    """The process that serves the writer, once it waits for this."""
    asked = f"SELECT pid FROM pg_stat_activity WHERE datname = 'fresh' AND wait_event = '{event}'"
    [pid] = wait_for(lambda: server.asked(asked) or None, f"a commit that waits for {event}")
    return int(pid)


@contextlib.contextmanager
def at_a_statement(server: Server) -> Iterator[str]:
    with psycopg.connect(server.url("fresh").replace("+psycopg", "")) as held:
        held.execute("LOCK TABLE history")
        yield "relation"
        held.close()


@contextlib.contextmanager
def before_it_is_on_the_disk(server: Server) -> Iterator[str]:
    server.execute(
        "CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER stay AFTER INSERT ON history DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION stay()",
        database="fresh",
    )
    with psycopg.connect(server.url("fresh").replace("+psycopg", ""), autocommit=True) as held:
        held.execute("SELECT pg_advisory_lock(7)")
        yield "advisory"
        held.close()


@contextlib.contextmanager
def before_it_is_answered(server: Server) -> Iterator[str]:
    """It waits for a standby that there is not: on the disk of the server it is by then."""
    server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
    try:
        wait_for(lambda: _waits_for_a_standby(server) or None, "a server that waits for its standby")
        yield "SyncRep"
    finally:
        with contextlib.suppress(psycopg.OperationalError):  # killed meanwhile
            server.execute("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")


def _waits_for_a_standby(server: Server) -> bool:
    """Whether a transaction does; one that does is ended."""
    with psycopg.connect(server.url().replace("+psycopg", ""), autocommit=True) as probe:
        commit = threading.Thread(target=probe.execute, args=("SELECT pg_logical_emit_message(true, 'probe', '')",))
        commit.start()
        asked = f"SELECT wait_event FROM pg_stat_activity WHERE pid = {probe.info.backend_pid}"
        while not (waits := server.asked(asked) == ["SyncRep"]) and commit.is_alive():
            pass
        server.execute(f"SELECT pg_cancel_backend({probe.info.backend_pid})")
        commit.join()
        return waits


Point = Callable[[Server], contextlib.AbstractContextManager[str]]


@pytest.mark.parametrize(
    ("point", "stored"), [(at_a_statement, 1), (before_it_is_on_the_disk, 1), (before_it_is_answered, 2)]
)
def test_kill_9_of_the_server_in_the_midst_of_a_group_loses_and_doubles_nothing(
    mortal: Server, fresh: str, point: Point, stored: int
) -> None:
    async def story(c: Collector) -> None:
        fleet = Fleet(c)
        await fleet.tell_one()
        with point(mortal) as event:
            async with fleet.telling_two():
                await asyncio.to_thread(waiting, mortal, event)
                assert not any(commit.done() for commit in fleet.commits)
                mortal.execute("ALTER SYSTEM RESET synchronous_standby_names")
                mortal.kill()
        await asyncio.to_thread(mortal.start)
        mortal.execute("DROP FUNCTION IF EXISTS stay CASCADE", database="fresh")
        await fleet.holds(TOLD_ONE if stored == 1 else TOLD_TWO)
        await fleet.tell_two_again(stored)

    tell(fresh, story)


def test_a_commit_whose_answer_is_lost_is_known_when_it_comes_again(mortal: Server, fresh: str) -> None:
    async def story(c: Collector) -> None:
        fleet = Fleet(c)
        await fleet.tell_one()
        with before_it_is_answered(mortal) as event:
            async with fleet.telling_two():
                pid = await asyncio.to_thread(waiting, mortal, event)
                mortal.execute(f"SELECT pg_terminate_backend({pid}, 10000)")
        await fleet.tell_two_again(stored=2)

    tell(fresh, story)


def test_a_server_that_stands_still_for_a_while_costs_nothing_but_that(mortal: Server, fresh: str) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        assert c.db.waited_s() == 0
        mortal.freeze()
        try:
            commit = asyncio.create_task(c.ingest.commit(session, snapshot(1, T0, sock(1, T0)), T0))
            await asyncio.to_thread(wait_for, lambda: c.db.waited_s() > 0.2 or None, "a commit that takes long")
            assert not commit.done()
        finally:
            mortal.thaw()
        assert (await commit).sequence == 1
        assert c.db.waited_s() == 0
        assert len(await c.intervals()) == 1

    tell(fresh, story)


def test_a_server_that_stands_still_for_too_long_is_left_and_what_it_does_later_is_no_second_time(
    mortal: Server, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "COMMIT_S", 0.2)

    async def story(c: Collector) -> None:
        host = await c.enroll()
        session = await c.connect(host, hello(T0))
        mortal.freeze()
        try:
            with pytest.raises(StorageUnavailable, match="does not answer"):
                await c.ingest.commit(session, snapshot(1, T0, sock(1, T0)), T0)
        finally:
            # A busy machine is not left.
            monkeypatch.setattr(line, "COMMIT_S", 3_600.0)
            c.db._writer.line._at_most_s = 3_600.0
            mortal.thaw()
        again = await c.connect(host, hello(T0))
        await c.report(again, snapshot(again.committed_sequence + 1, T0, sock(1, T0)))
        assert len(await c.intervals()) == 1

    tell(fresh, story)


def test_each_time_in_turn_it_is_waited_twice_as_long_and_hung_up_once(
    mortal: Server, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung_up: list[str] = []
    monkeypatch.setattr(line, "COMMIT_S", 0.05)
    monkeypatch.setattr(dialect, "interrupt", lambda name, _connection: hung_up.append(name))

    async def story(c: Collector) -> None:
        own = line.Line(c.db._engines.writer)

        def one_that_is_overdue(at_most_s: float) -> None:
            with own.waiting():
                own.hang_up_if_overdue()
                while own.waited_s() <= at_most_s:
                    assert not hung_up or own.waited_s() > at_most_s
                    time.sleep(0.01)
                    own.hang_up_if_overdue()
                own.hang_up_if_overdue()
                own.hang_up_if_overdue()
                raise TimeoutError

        for at_most_s in (0.05, 0.1, 0.2):
            with pytest.raises(TimeoutError):
                one_that_is_overdue(at_most_s)
            assert hung_up == ["postgresql"]
            hung_up.clear()
        with own.waiting():
            pass
        with pytest.raises(TimeoutError):
            one_that_is_overdue(0.05)
        assert hung_up == ["postgresql"]

    tell(fresh, story)


def test_a_server_that_stands_still_does_not_keep_a_collector_from_ending(
    mortal: Server, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CLOSE_S", 0.2)

    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        mortal.freeze()
        try:
            commits = [
                asyncio.create_task(c.ingest.commit(session, batch, T0))
                for batch in (snapshot(1, T0, sock(1, T0)), difference(2, T0 + S))
            ]
            await asyncio.to_thread(wait_for, lambda: c.db.waited_s() or None, "a commit")
            # What hurries stands in two lines, and is told once.
            hurried = [asyncio.create_task(c.db.write(nothing, haste=haste)) for haste in (Haste.MOST, Haste.SOME)]
            await asyncio.sleep(0)
            await c.db.close()
        finally:
            mortal.thaw()
        outcomes = await asyncio.gather(*commits, *hurried, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}, outcomes

    tell(fresh, story)


def nothing(_: Connection) -> None:
    """What is not begun cannot fail either."""


class Pooler:
    """In front of a server: it lets everybody in, and from a moment on passes no statement on."""

    def __init__(self, server: Server) -> None:
        self._server, self._listening = server, socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.silent = threading.Event()
        self._lines: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        """All who are connected are not any more."""
        for each in self._lines:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(DEADLINE_S)
        self.cut()
        for thread in self._threads:
            thread.join(DEADLINE_S)
        for each in (self._listening, *self._lines):
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                person = self._listening.accept()[0]
                server = socket.socket(socket.AF_UNIX)
                self._lines += [person, server]
                server.connect(f"{self._server.directory}/.s.PGSQL.5432")
                for source, sink, passes in ((person, server, False), (server, person, True)):
                    self._threads.append(threading.Thread(target=self._pass, args=(source, sink, passes), daemon=True))
                    self._threads[-1].start()

    def _pass(self, source: socket.socket, sink: socket.socket, passes: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                # Of what a person says: Query, Parse, and so on; the login has no letter in front.
                if passes or not self.silent.is_set() or data[:1] not in b"QPBE":
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


def test_who_lets_one_in_and_does_not_answer_then_is_left(
    mortal: Server, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "PREPARED_WITHIN_S", 0.5)
    pooler = Pooler(mortal)

    async def story() -> None:
        db = Database.open(
            f"postgresql+psycopg://postgres@127.0.0.1:{pooler.port}/fresh?sslmode=disable&gssencmode=disable"
        )
        try:
            await db.write(nothing)
            pooler.silent.set()
            pooler.cut()
            with pytest.raises(StorageUnavailable):
                await db.write(nothing)
            with pytest.raises(StorageUnavailable):
                await db.read(nothing)
        finally:
            pooler.silent.clear()
            await db.close()

    try:
        asyncio.run(asyncio.wait_for(story(), DEADLINE_S))
    finally:
        pooler.close()


def test_a_server_that_cannot_be_written_is_left_for_one_that_can_by_then(mortal: Server, fresh: str) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        mortal.execute("ALTER DATABASE fresh SET default_transaction_read_only = on")
        await c.db.write(lambda conn: conn.execute(text("SET default_transaction_read_only = on")))
        with pytest.raises(StorageUnavailable, match="cannot be written: it is a standby"):
            await c.ingest.commit(session, snapshot(1, T0, sock(1, T0)), T0)
        # The old session would stay as it is for ever.
        mortal.execute("ALTER DATABASE fresh RESET default_transaction_read_only")
        with contextlib.suppress(StorageUnavailable):
            await c.ingest.commit(session, snapshot(1, T0, sock(1, T0)), T0)
        await c.report(session, snapshot(1, T0, sock(1, T0)))
        assert len(await c.intervals()) == 1

    tell(fresh, story)


def test_after_a_failover_that_lost_something_streams_end_and_hosts_tell_everything_anew(
    mortal: Server, fresh: str
) -> None:
    """A database of an earlier time stands at the same address: a standby that had not got everything, or a backup."""

    async def story(c: Collector) -> None:
        web1, web2 = await c.enroll("web1"), await c.enroll("web2")
        one = await c.connect(web1, hello(T0))
        await c.report(one, snapshot(1, T0, sock(1, T0)))
        await c.restart()  # nobody may be connected while it is copied
        await c.db.close()
        mortal.execute("CREATE DATABASE earlier TEMPLATE fresh")
        await c.restart()
        one = await c.connect(web1, hello(T0))
        await c.report(one, difference(2, T0 + S, opened=(sock(2, T0 + S),)))
        two = await c.connect(web2, hello(T0))
        await c.report(two, snapshot(1, T0, sock(3, T0)))
        mortal.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'fresh'",
            "ALTER DATABASE fresh RENAME TO lost",
            "ALTER DATABASE earlier RENAME TO fresh",
        )
        for session, batch in ((one, difference(3, T0 + 2 * S)), (two, difference(2, T0 + S))):
            with pytest.raises(SequenceHole, match="reconnect"):
                await c.ingest.commit(session, batch, T0 + 2 * S, b"")
        # The agent finds less stored than was acknowledged, and begins another epoch.
        assert (await c.connect(web1, hello(T0))).committed_sequence == 1
        again = await c.connect(web1, hello(T0 + 3 * S, epoch=2))
        await c.report(again, snapshot(1, T0 + 3 * S, sock(1, T0), sock(2, T0 + S), epoch=2))
        [gap] = await c.gaps()
        assert (gap.from_us, gap.to_us, gap.reason) == (T0, T0 + 3 * S, "agent restarted")
        assert [(i.cookie, i.closed_at_us) for i in await c.intervals()] == [(1, 0), (2, 0)]
        mortal.execute("DROP DATABASE lost WITH (FORCE)")

    tell(fresh, story)
