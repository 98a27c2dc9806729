"""When the database cannot do its work: one sentence, nothing acknowledged, and on it goes when the cause is gone."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleetnet_server.errors import SchemaNewer, ServerError, StorageDamaged, StorageError, StorageUnavailable
from fleetnet_server.storage.database import Database
from server.reports import T0, Collector, S, collector, difference, hello, snapshot, sock
from sqlalchemy import Connection

from server import databases

WRITER = """
import asyncio, sys
from server.reports import S, T0, Collector, difference, hello, snapshot, sock

async def main():
    c = Collector(sys.argv[1])
    session = await c.connect(await c.enroll(), hello(T0))
    await c.report(session, snapshot(1, T0))
    for n in range(2, 1_000_000):
        at = T0 + n * S
        batch = difference(n, at, opened=(sock(n, at), sock(2**40 + n, at)))
        print((await c.ingest.commit(session, batch, at)).sequence, flush=True)

asyncio.run(main())
"""

LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
input()
"""


def sentence(error: ServerError) -> str:
    text = str(error)
    assert "\n" not in text
    assert "Traceback" not in text
    assert "sqlalche.me" not in text
    return text


def refused(url: str, kind: type[ServerError]) -> str:
    with pytest.raises(kind) as caught:
        Database.open(url)
    assert type(caught.value) is kind
    return sentence(caught.value)


def made(directory: Path) -> Path:
    async def run() -> None:
        async with collector(directory) as c:
            session = await c.connect(await c.enroll(), hello(T0))
            await c.report(session, snapshot(1, T0, *(sock(n + 1, T0, port=n) for n in range(2000))))

    asyncio.run(run())
    return directory / "fleetnet.db"


@pytest.mark.engine("sqlite")
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "fleetnet.db"
    path.write_bytes(b"Dear diary, " * 1000)
    words = refused(f"sqlite:///{path}", StorageDamaged)
    assert f"the database {path} is damaged or is no SQLite file" in words
    assert "backup" in words
    assert path.read_bytes() == b"Dear diary, " * 1000


@pytest.mark.engine("sqlite")
def test_a_database_with_damaged_pages_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path)
    content = bytearray(path.read_bytes())
    content[4096 * 3 :] = b"\xff" * (len(content) - 4096 * 3)
    path.write_bytes(content)
    assert "damaged" in refused(f"sqlite:///{path}", StorageDamaged)


@pytest.mark.engine("sqlite")
def test_damage_that_shows_later_is_told_as_damage(tmp_path: Path) -> None:
    def hurt(conn: Connection) -> None:
        conn.exec_driver_sql("PRAGMA writable_schema = ON")
        conn.exec_driver_sql("UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'gaps'")

    async def run() -> None:
        async with collector(tmp_path) as c:
            await c.db.write(hurt)
            with pytest.raises(StorageDamaged):
                await c.gaps()

    asyncio.run(run())


@pytest.mark.engine("sqlite")
def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = made(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
    connection.close()
    words = refused(f"sqlite:///{path}", SchemaNewer)
    assert "written by a newer fleetnet-server (its tables are at step 0099" in words
    assert "install that version, or restore a backup" in words


@pytest.mark.engine("sqlite")
def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (cake TEXT)")
    connection.close()
    assert "not fleetnet's" in refused(f"sqlite:///{path}", StorageDamaged)


@pytest.mark.engine("sqlite")
def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    words = refused(f"sqlite:///{tmp_path / 'nowhere' / 'fleetnet.db'}", StorageUnavailable)
    assert "cannot be opened; make sure that its folder exists" in words


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:secret@db/x",
        "mysql://db/x?password=secret",
        "postgresql+asyncpg://user:secret@db/x",
        "postgresql+psycopg://user:secret@db",
        "postgresql+psycopg://user:secret@db:port/x",
        "sqlite://",
        "sqlite:///:memory:",
        "fleetnet.db",
        "oracle:",
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_its_password(url: str) -> None:
    words = refused(url, StorageError)
    assert words.startswith("--database")
    assert "sqlite:////var/lib" in words
    assert "secret" not in words


@pytest.mark.engine("sqlite")
def test_another_process_that_keeps_the_database_locked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetnet_server.storage.sqlite._BUSY_S", 0.05)
    path = made(tmp_path)
    with subprocess.Popen([sys.executable, "-c", LOCKER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline()

        assert "locked by another process" in refused(f"sqlite:///{path}", StorageUnavailable)
        other.communicate(b"\n")
    asyncio.run(Database.open(f"sqlite:///{path}").close())


async def _fill_until_refused(c: Collector, first: int) -> tuple[int, StorageUnavailable]:
    """Report until the disk is full: the last sequence that was acknowledged, and what was said."""
    session = await c.connect(await c.enroll(), hello(T0))
    sequence = session.committed_sequence
    while True:
        at = T0 + (sequence + 1) * S
        rows = tuple(sock(first + sequence * 200 + n, at, port=n) for n in range(200))
        try:
            sequence = (await c.ingest.commit(session, difference(sequence + 1, at, opened=rows), at)).sequence
        except StorageUnavailable as error:
            return sequence, error


async def _goes_on(c: Collector, acknowledged: int) -> None:
    session = await c.connect(await c.enroll(), hello(T0))
    assert session.committed_sequence == acknowledged
    assert len(await c.intervals()) == acknowledged * 200
    await c.report(session, difference(acknowledged + 1, T0, opened=(sock(1, T0),)))


@pytest.mark.engine("sqlite")
def test_a_full_disk_leaves_nothing_acknowledged_and_the_server_goes_on_when_there_is_space(tmp_path: Path) -> None:
    def allow(conn: Connection, more_pages: int) -> None:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages + more_pages}")

    async def run() -> None:
        async with collector(tmp_path) as c:
            await c.db.write(allow, 60)
            acknowledged, error = await _fill_until_refused(c, 10)
            assert "the disk is full; nothing was stored; free some space" in sentence(error)
            assert acknowledged > 0
            # All that share the commit fail, none is told otherwise.
            session = await c.connect(await c.enroll(), hello(T0))
            rows = tuple(sock(10**6 + n, T0, port=n) for n in range(3000))
            batches = [difference(acknowledged + 1 + n, T0, opened=rows) for n in range(3)]
            outcomes = await asyncio.gather(*(c.ingest.commit(session, b, T0) for b in batches), return_exceptions=True)
            assert all(isinstance(outcome, ServerError) for outcome in outcomes)
            await c.db.write(allow, 10_000)
            await _goes_on(c, acknowledged)

    asyncio.run(run())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.root
@pytest.mark.engine("sqlite")
def test_a_disk_that_really_is_full_is_survived_and_its_content_is_whole(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_500_000))

    async def run() -> None:
        async with collector(small_disk) as c:
            acknowledged, error = await _fill_until_refused(c, 10)
            assert "disk" in sentence(error)
            assert len((await c.ask(now_us=T0)).items) == acknowledged * 200
            filler.unlink()
            await _goes_on(c, acknowledged)
            await c.restart()
            assert len(await c.intervals()) == acknowledged * 200 + 1

    asyncio.run(run())


@pytest.mark.root
@pytest.mark.engine("sqlite")
def test_a_disk_without_room_for_a_new_database_is_told(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(3_000_000))
    words = refused(f"sqlite:///{small_disk / 'fleetnet.db'}", StorageUnavailable)
    assert "disk" in words


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, databases.url(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    ) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(40)]
        process.kill()
        acknowledged += [int(line) for line in process.stdout.read().split()]

    async def run() -> None:
        async with collector(tmp_path) as c:
            session = await c.connect(await c.enroll(), hello(T0))
            # One more may have been committed than the reader of the pipe was told.
            assert session.committed_sequence - acknowledged[-1] in (0, 1)
            assert len(await c.intervals()) == (session.committed_sequence - 1) * 2

    asyncio.run(run())
