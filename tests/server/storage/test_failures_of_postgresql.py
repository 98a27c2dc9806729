"""When a PostgreSQL server is away, full, or of another mind: one sentence, nothing acknowledged that is not kept."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import psycopg
import pytest
from fleetnet_server.errors import SchemaNewer, ServerError, StorageDamaged, StorageError, StorageUnavailable
from fleetnet_server.records import Batch, Stored
from fleetnet_server.storage import postgresql as engine_module
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.inspection import inspect
from server.databases import own_server
from server.held import Held
from server.postgresql import Server
from server.reports import T0, Collector, S, collector, difference, hello, snapshot, sock
from sqlalchemy import Connection, text

pytestmark = pytest.mark.engine("postgresql")


def sentence(error: ServerError) -> str:
    told = str(error)
    for bad in ("\n", "Traceback", "sqlalche.me", "secret"):
        assert bad not in told
    return told


def refused(where: str, kind: type[ServerError]) -> str:
    with pytest.raises(kind) as caught:
        Database.open(where)
    assert type(caught.value) is kind
    return sentence(caught.value)


def opens(where: str) -> None:
    asyncio.run(Database.open(where).close())


@pytest.fixture(scope="module")
def mortal() -> Iterator[Server]:
    """A server that tests may end as they like; each leaves it running."""
    with own_server() as server:
        yield server


@pytest.fixture
def fresh(mortal: Server) -> Iterator[str]:
    """An empty database on it."""
    mortal.execute("CREATE DATABASE fresh")
    try:
        yield mortal.url("fresh")
    finally:
        mortal.execute("DROP DATABASE fresh WITH (FORCE)")


@pytest.fixture
def people(mortal: Server) -> Iterator[None]:
    """Users with and without rights; pg_hba.conf says who must give a password, and who is not let in."""
    names = ("with_password", "not_let_in", "no_login", "no_rights")
    mortal.execute(
        "CREATE ROLE with_password LOGIN SUPERUSER PASSWORD 'secret'",
        "CREATE ROLE not_let_in LOGIN",
        "CREATE ROLE no_login",
        "CREATE ROLE no_rights LOGIN",
    )
    try:
        yield
    finally:
        mortal.execute(*(f"DROP ROLE {name}" for name in names))


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("with_password", "does not take the password of its user; put the right one into ~/.pgpass"),
        ("not_let_in", "does not let this user in"),
        ("no_login", "does not let this user in"),
        ("nobody_at_all", "does not let this user in; CREATE ROLE it with LOGIN"),
        ("no_rights", "does not let its user do what is needed; GRANT it"),
    ],
)
def test_who_may_not_is_told_what_to_do(mortal: Server, fresh: str, user: str, words: str) -> None:
    assert words in refused(fresh.replace("postgres@", f"{user}@"), StorageUnavailable)


@pytest.mark.usefixtures("people")
def test_a_password_comes_from_a_file_and_is_never_shown(
    mortal: Server, fresh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    file = tmp_path / "pgpass"
    where = mortal.url("fresh", "with_password", passfile=str(file))
    file.write_text("*:*:*:*:wrong-secret\n")
    file.chmod(0o600)
    assert "put the right one into ~/.pgpass" in refused(where, StorageUnavailable)
    file.write_text("*:*:*:*:secret\n")
    opens(where)
    for wrong in (where.replace("with_password@", "with_password:wrong-secret@"), f"{where}&password=wrong-secret"):
        refused(wrong, StorageUnavailable)


def test_a_database_that_is_not_there_is_told(mortal: Server) -> None:
    assert "/nowhere is not there; CREATE DATABASE it" in refused(mortal.url("nowhere"), StorageUnavailable)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("/nowhere", "does not answer; see that the server runs"),
        ("127.0.0.1:1", "does not answer; see that the server runs"),
        ("no-such-host.invalid", "is on a host whose name is not known here"),
    ],
)
def test_a_server_that_is_not_there_is_told(host: str, words: str) -> None:
    authority = "?host=/nowhere" if host.startswith("/") else ""
    where = f"postgresql+psycopg://me:secret@{'' if authority else host}/x{authority}"
    assert words in refused(where, StorageUnavailable)


@pytest.mark.parametrize(("option", "words"), [("nosuch=1", "nosuch"), ("port=abc&host=/tmp", "port")])
def test_an_option_that_there_is_not_is_told(option: str, words: str) -> None:
    told = refused(f"postgresql+psycopg://me:secret@/x?password=secret&{option}", StorageError)
    assert words in told
    assert told.endswith("; correct what stands behind the '?'")


def test_a_service_that_is_not_defined_is_told() -> None:
    words = refused("postgresql+psycopg:///?service=nowhere", StorageUnavailable)
    assert "the database of the service nowhere is of a service that is not defined; see ~/.pg_service.conf" in words


def test_a_server_without_encryption_is_told_where_that_is_asked_for() -> None:
    def refuse(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed: the test is over
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(8)
                    connection.sendall(b"N")  # PostgreSQL's answer to a request for SSL that it cannot grant

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=refuse, args=(listener,), daemon=True).start()
        where = f"postgresql://me@127.0.0.1:{listener.getsockname()[1]}/x?sslmode=require&gssencmode=disable"
        assert "cannot be reached in the way that sslmode and sslrootcert ask for" in refused(where, StorageUnavailable)
        listener.shutdown(socket.SHUT_RDWR)


def test_an_older_server_is_refused(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "OLDEST", 99)
    assert "and this version needs 99 or later; upgrade the server" in refused(fresh, StorageError)


def test_a_database_that_cannot_hold_every_name_is_refused(mortal: Server) -> None:
    mortal.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        assert "keeps its text as LATIN1" in refused(mortal.url("latin"), StorageError)
    finally:
        mortal.execute("DROP DATABASE latin")


def test_a_schema_that_is_not_there_is_told(fresh: str) -> None:
    assert "has no schema for the tables" in refused(f"{fresh}&options=-csearch_path%3Dnowhere", StorageError)


def test_a_database_that_may_only_be_read_is_told(mortal: Server, fresh: str) -> None:
    mortal.execute("ALTER DATABASE fresh SET default_transaction_read_only = on")
    assert "cannot be written: it is a standby or was set to be read only" in refused(fresh, StorageUnavailable)


def test_a_newer_schema_is_refused_and_left_as_it_is(mortal: Server, fresh: str) -> None:
    opens(fresh)
    mortal.execute("UPDATE alembic_version SET version_num = '0099'", database="fresh")
    assert "its tables are at step 0099" in refused(fresh, SchemaNewer)
    assert mortal.asked("SELECT version_num FROM alembic_version", "fresh") == ["0099"]


def test_somebody_elses_database_is_refused(mortal: Server, fresh: str) -> None:
    mortal.execute("CREATE TABLE recipes (cake text)", database="fresh")
    assert "not fleetnet's; give a database, or a schema" in refused(fresh, StorageDamaged)
    # A schema of its own beside them will do.
    mortal.execute("CREATE SCHEMA net", database="fresh")
    opens(f"{fresh}&options=-csearch_path%3Dnet")


def test_the_doctors_look_makes_nothing(mortal: Server, fresh: str) -> None:
    assert inspect(fresh).step is None
    assert mortal.asked("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "fresh") == [0]
    opens(fresh)
    looked = inspect(fresh)
    assert (looked.exists, looked.step) == (True, looked.newest_step)
    with pytest.raises(StorageUnavailable, match="is not there"):
        inspect(mortal.url("nowhere"))


def test_a_server_without_a_free_connection_is_told_and_then_goes_on(mortal: Server, fresh: str) -> None:
    [most] = mortal.asked("SELECT current_setting('max_connections')::int")
    held = [psycopg.connect(mortal.url().replace("+psycopg", "")) for _ in range(most - 1)]
    try:
        # Some of them are kept for the server's master, which the tests are.
        held.append(psycopg.connect(mortal.url().replace("+psycopg", "")))
        assert "has no connection left; raise max_connections" in refused(fresh, StorageUnavailable)
    finally:
        for connection in held:
            connection.close()
    opens(fresh)


def tell(where: str, story: Callable[[Collector], Awaitable[None]]) -> None:
    async def run() -> None:
        c = Collector(where)
        try:
            await story(c)
        finally:
            await c.db.close()

    asyncio.run(run())


def test_what_is_acknowledged_is_on_the_disk_whatever_the_servers_own_setting(mortal: Server, fresh: str) -> None:
    def setting(conn: Connection) -> str:
        return str(conn.execute(text("SELECT current_setting('synchronous_commit')")).scalar_one())

    async def story(c: Collector) -> None:
        used.append(await c.db.write(setting))

    used: list[str] = []
    for told in ("off", "on", "remote_apply"):
        mortal.execute(f"ALTER DATABASE fresh SET synchronous_commit = {told}")
        tell(fresh, story)
    assert used == ["on", "on", "remote_apply"]


def test_a_server_that_was_restarted_while_nothing_went_on_costs_nobody_anything(mortal: Server, fresh: str) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        await c.report(session, snapshot(1, T0, sock(1, T0)))
        assert len((await c.ask()).items) == 1
        await asyncio.to_thread(mortal.stop)
        await asyncio.to_thread(mortal.start)
        await c.report(session, difference(2, T0 + S, opened=(sock(2, T0 + S),)))
        assert len((await c.ask()).items) == 2

    tell(fresh, story)


def test_while_the_server_is_away_nothing_is_acknowledged_and_then_it_goes_on(mortal: Server, fresh: str) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        await c.report(session, snapshot(1, T0, sock(1, T0)))
        await asyncio.to_thread(mortal.kill)
        try:
            asks: list[Callable[[], Awaitable[object]]] = [c.ask, c.ask_hosts, c.gaps]
            for ask in asks:
                with pytest.raises(StorageUnavailable, match="does not answer"):
                    await ask()
            with pytest.raises(StorageUnavailable):
                await c.ingest.commit(session, difference(2, T0 + S, opened=(sock(2, T0 + S),)), T0 + S)
        finally:
            await asyncio.to_thread(mortal.start)
        await c.report(session, difference(2, T0 + S, opened=(sock(2, T0 + S),)))
        assert [i.cookie for i in await c.intervals()] == [1, 2]

    tell(fresh, story)


def test_kill_9_of_the_server_under_load_loses_and_doubles_nothing(mortal: Server, fresh: str) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        session = await c.connect(host, hello(T0))
        acknowledged = 0
        for crash in range(4):
            work = [
                asyncio.ensure_future(c.ingest.commit(session, batch(n), T0))
                for n in range(acknowledged + 1, acknowledged + 200)
            ]
            await work[40 * crash]
            await asyncio.to_thread(mortal.kill)
            outcomes = await asyncio.gather(*work, return_exceptions=True)
            told = [outcome.sequence for outcome in outcomes if isinstance(outcome, Stored)]
            assert all(isinstance(outcome, Stored | ServerError) for outcome in outcomes), outcomes
            await asyncio.to_thread(mortal.start)
            session = await c.connect(host, hello(T0))
            # More may have been committed than was acknowledged, and never less.
            assert session.committed_sequence >= max(told)
            acknowledged = session.committed_sequence
            intervals = await c.intervals()
            assert sorted(i.cookie for i in intervals) == sorted(
                cookie for n in range(1, acknowledged + 1) for cookie in (n, 2**40 + n)
            )

    def batch(n: int) -> Batch:
        at = T0 + n * S
        return difference(n, at, opened=(sock(n, at), sock(2**40 + n, at)))

    tell(fresh, story)


def test_an_answer_that_the_servers_end_cuts_off_says_so(mortal: Server, fresh: str) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        await c.report(session, snapshot(1, T0, *(sock(n + 1, T0, port=n) for n in range(3000))))

        def pages(conn: Connection) -> Iterator[int]:
            with conn.execute(text("SELECT local_port FROM current"), execution_options={"stream_results": True}) as r:
                for rows in r.partitions(100):
                    yield len(rows)

        async with aclosing(c.db.stream(pages)) as answer:
            assert await anext(answer) == 100
            await asyncio.to_thread(mortal.kill)
            try:
                with pytest.raises(StorageUnavailable):
                    _ = [page async for page in answer]
            finally:
                await asyncio.to_thread(mortal.start)
        assert len((await c.ask()).items) == 3000

    tell(fresh, story)


def test_a_connection_that_breaks_in_the_midst_of_copying_rows_stores_none_of_them(mortal: Server, fresh: str) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        await c.report(session, snapshot(1, T0))

        def cut_off(conn: Connection) -> None:
            pid = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
            mortal.execute(f"SELECT pg_terminate_backend({pid}, 10000)")

        rows = tuple(sock(n + 1, T0 + S, port=n % 65536) for n in range(60))  # no more than goes beside what is small
        held = Held(c.db)  # so that both are of one commit
        await held.begun()
        cut = asyncio.ensure_future(c.db.write(cut_off))
        commit = asyncio.ensure_future(c.ingest.commit(session, difference(2, T0 + S, opened=rows), T0 + S))
        await asyncio.sleep(0)
        await held.end()
        outcomes = await asyncio.gather(cut, commit, return_exceptions=True)
        assert isinstance(outcomes[1], StorageUnavailable), outcomes
        assert await c.intervals() == []
        await c.report(session, difference(2, T0 + S, opened=rows))
        assert len(await c.intervals()) == 60

    tell(fresh, story)


def test_a_mistake_of_ours_is_not_taken_for_the_databases(tmp_path: Path) -> None:
    async def run() -> None:
        async with collector(tmp_path) as c:
            for mistake in ("SELECT 1/0", "SELECT * FROM nowhere", "INSERT INTO hosts (host_id) VALUES (1)"):
                with pytest.raises(Exception, match="psycopg") as caught:
                    await c.db.write(lambda conn, mistake=mistake: conn.execute(text(mistake)))  # type: ignore[misc]
                assert not isinstance(caught.value, ServerError)
            assert await c.gaps() == []

    asyncio.run(run())
