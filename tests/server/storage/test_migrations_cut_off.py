"""Whoever brings the tables up to date is killed meanwhile: they are as they were, and the next one does it."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from fleetnet_server.errors import StorageUnavailable
from fleetnet_server.storage import dialect, migrate
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.inspection import inspect
from server.postgresql import Server
from server.storage.test_migrations import ROWS_OF_0001, old_database
from sqlalchemy import Connection, Engine, event, text

from server import databases

KILLED = "-9"
DEADLINE_S = 60.0


class Dying:
    """Processes that bring a database up to date, and are killed; see dying.py."""

    def __init__(self, url: str) -> None:
        tests = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server.storage.dying", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tests,
        )

    def killed(self, where: str) -> bool:
        """False if it came through before that."""
        assert self._process.stdin
        assert self._process.stdout
        print(where, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().strip()
        assert answer in (KILLED, "0"), answer
        return answer == KILLED

    def end(self) -> None:
        self._process.communicate(timeout=DEADLINE_S)


@pytest.fixture
def dying() -> Iterator[Callable[[str], Dying]]:
    with contextlib.ExitStack() as held:

        def begun(url: str) -> Dying:
            process = Dying(url)
            held.callback(process.end)
            return process

        yield begun


# What there is but for rows: tables with their columns, indexes and views.
_SHAPE = {
    "sqlite": "SELECT name, sql FROM sqlite_schema ORDER BY name",
    "postgresql": """
        SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull FROM pg_class
        JOIN pg_attribute ON attrelid = pg_class.oid WHERE relnamespace = current_schema()::regnamespace ORDER BY 1, 2
    """,
}


def everything(url: str) -> list[list[tuple[object, ...]]]:
    """What there is, and each row."""
    engines = dialect.engines(url)
    try:
        with engines.readers.connect() as conn:
            asked = [
                _SHAPE[conn.dialect.name],
                *(f"SELECT * FROM {name}" for name in (*ROWS_OF_0001, "alembic_version")),
            ]
            return [[tuple(row) for row in conn.execute(text(question))] for question in asked]
    finally:
        engines.dispose()


def finished(url: str) -> None:
    """The tables are up to date, and what a collector does at its start finds no fault with them."""
    Database.open(url)._close()
    looked = inspect(url)
    assert looked.step == looked.newest_step is not None


# With a stride of 1 it is each statement, and takes a minute.
@pytest.mark.parametrize(("step", "stride"), [("", 12), ("0001", 4)], ids=["from-nothing", "from-0001"])
def test_kill_9_among_the_statements_leaves_the_tables_as_they_were_and_the_next_one_comes_through(
    tmp_path: Path, dying: Callable[[str], Dying], step: str, stride: int
) -> None:
    url = databases.url(tmp_path)
    if step:
        old_database(tmp_path, step).dispose()
        before = everything(url)
    process = dying(url)
    assert process.killed("commit")
    if step:
        assert everything(url) == before
    where, statements = 1, 0
    while process.killed(str(where)):
        if step:
            assert everything(url) == before, f"after {where - 1} statements"
        elif inspect(url).exists:
            assert inspect(url).step is None, f"after {where - 1} statements"
        where, statements = where + stride, statements + 1
    assert statements > 4
    finished(url)


def test_of_two_who_bring_the_tables_up_to_date_one_does_it_and_the_other_waits(tmp_path: Path) -> None:
    old_database(tmp_path, "0001").dispose()
    url = databases.url(tmp_path)
    first_is_at_it, go_on, second_has_begun = threading.Event(), threading.Event(), threading.Event()
    changes: dict[int, int] = {}

    def before_statement(_conn: Connection, _cursor: object, statement: str, *_: object) -> None:
        me = threading.get_ident()
        if statement.startswith(("BEGIN IMMEDIATE", "SELECT pg_advisory")) and first_is_at_it.is_set():
            second_has_begun.set()
        if statement.startswith(("ALTER", "CREATE")):
            changes[me] = changes.get(me, 0) + 1
            if not first_is_at_it.is_set():
                first_is_at_it.set()
                assert go_on.wait(DEADLINE_S)

    failures: list[BaseException] = []

    def bring_up() -> None:
        try:
            Database.open(url)._close()
        except BaseException as error:
            failures.append(error)

    event.listen(Engine, "before_cursor_execute", before_statement)
    try:
        both = [threading.Thread(target=bring_up) for _ in range(2)]
        both[0].start()
        assert first_is_at_it.wait(DEADLINE_S)
        # Somebody who only looks finds the tables as they were, meanwhile.
        assert inspect(url).step == "0001"
        both[1].start()
        assert second_has_begun.wait(DEADLINE_S)
        go_on.set()
        for thread in both:
            thread.join(DEADLINE_S)
    finally:
        go_on.set()
        event.remove(Engine, "before_cursor_execute", before_statement)
    assert failures == []
    assert list(changes) == [both[0].ident]
    finished(url)


@pytest.fixture(scope="module")
def mortal() -> Iterator[Server]:
    """A server that is killed, and whose disk counts."""
    with databases.own_server("fsync=on") as server:
        yield server


@pytest.mark.engine("postgresql")
@pytest.mark.parametrize("where", ["ALTER TABLE", "commit"])
def test_a_server_that_is_killed_meanwhile_has_the_tables_as_they_were(mortal: Server, where: str) -> None:
    mortal.stop()
    mortal.start("fsync=on")
    mortal.execute("DROP DATABASE IF EXISTS cut_off", "CREATE DATABASE cut_off")
    url = mortal.url("cut_off")
    engines = dialect.engines(url)
    with engines.writer.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0001")
    engines.dispose()
    before = everything(url)

    def at_statement(_conn: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(where):
            mortal.kill()

    def at_commit(_conn: Connection) -> None:
        mortal.kill()

    happens = ("commit", at_commit) if where == "commit" else ("before_cursor_execute", at_statement)
    event.listen(Engine, *happens)
    try:
        with pytest.raises(StorageUnavailable):
            Database.open(url)
    finally:
        event.remove(Engine, *happens)
        mortal.start("fsync=on")
    assert everything(url) == before
    finished(url)
