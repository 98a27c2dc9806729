"""Where a test's database is: a file in its folder, or a schema of its own on a PostgreSQL server.

Each test that takes a folder (`tmp_path`) runs on each engine, in the folders that import this module's hook and
fixture in their conftest.py: stories say nothing of the engine. Those that are about one engine say so with
`@pytest.mark.engine("sqlite")`.
"""

import contextlib
import functools
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString
from urllib.parse import quote

import psycopg
import pytest
from fleetnet_server.storage import dialect, migrate
from server.postgresql import Server, why_not

ENGINES = ("sqlite", "postgresql")
# The URL of a database that the tests are to use instead of a server of their own (`make test-storage`).
GIVEN = os.environ.get("FLEETNET_TEST_DATABASE", "")


# What a schema has in it, but for rows.
_SHAPE = """
    SELECT string_agg(
        concat_ws(' ', c.oid, relname, relhastriggers, relacl, attname, atttypid, attnotnull), ',' ORDER BY oid, attnum
    ) FROM pg_class c LEFT JOIN pg_attribute ON attrelid = c.oid WHERE relnamespace = %s::regnamespace
"""
_WRITTEN = """
    SELECT string_agg(oid::regclass::text, ', ') FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'
    AND relname <> 'alembic_version'
    AND (pg_relation_size(oid) > 0 OR EXISTS (SELECT FROM pg_extension WHERE extname = 'citus'))
"""


class Schemas:
    """Databases for the tests: each is a schema of one database, and belongs to a folder until the test is over.

    Bringing tables up to date takes a server far longer than emptying them: those that are as they were made, but for
    their rows, are kept for other tests.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: dict[Path, str] = {}
        self._spare: list[str] = []
        self._shapes: dict[str, object] = {}  # of those that were brought up to date here

    @functools.cached_property
    def spread(self) -> bool:
        """Whether the server is a Citus cluster's."""
        with self._connect() as connection:
            return connection.execute("SELECT FROM pg_extension WHERE extname = 'citus'").fetchone() is not None

    def of(self, directory: Path) -> str:
        """The URL of the database that belongs to a folder; made, and empty, if it is not there."""
        if directory not in self._made:
            self._made[directory] = self._make()
        return self._url_of(self._made[directory])

    def ready(self, directory: Path) -> str:
        """The same with all tables in it, if it was not there before."""
        if directory not in self._made:
            self._made[directory] = self._spare.pop() if self._spare else self._make_ready()
        return self._url_of(self._made[directory])

    def let_go(self) -> None:
        """The test is over."""
        while self._made:
            _, schema = self._made.popitem()
            with self._connect() as connection:
                if self._shapes.get(schema) == _asked(connection, _SHAPE, schema) is not None:
                    if written := _asked(connection, _WRITTEN, schema):
                        connection.execute(f"TRUNCATE {written} RESTART IDENTITY CASCADE".encode())
                    self._spare.append(schema)
                else:
                    connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())

    def drop(self) -> None:
        """Leave nothing behind."""
        with self._connect() as connection:
            while self._spare:
                connection.execute(f"DROP SCHEMA {self._spare.pop()} CASCADE".encode())

    def _make(self) -> str:
        schema = f"fleetnet_test_{uuid.uuid4().hex[:16]}"
        with self._connect() as connection:
            connection.execute(f"CREATE SCHEMA {schema}".encode())
        return schema

    def _make_ready(self) -> str:
        schema = self._make()
        _bring_up(self._url_of(schema))
        with self._connect() as connection:
            self._shapes[schema] = _asked(connection, _SHAPE, schema)
        return schema

    def _url_of(self, schema: str) -> str:
        return f"{self._url}{'&' if '?' in self._url else '?'}options={quote(f'-csearch_path={schema}')}"

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        connection = psycopg.connect(self._url.replace("+psycopg", "", 1), autocommit=True)
        # A test that failed may have left a connection behind, which is not waited for.
        connection.execute("SET lock_timeout = '10s'; SET client_min_messages = warning")
        return connection


def _asked(connection: psycopg.Connection[tuple[object, ...]], question: LiteralString, schema: str) -> object:
    row = connection.execute(question, (schema,)).fetchone()
    return row and row[0]


def _bring_up(url: str) -> None:
    """Make the tables."""
    engines = dialect.engines(url)
    with engines.writer.begin() as conn:
        migrate.upgrade(conn, engines.name)
    engines.dispose()


@functools.cache
def _file_with_tables() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "fleetnet.db")
        _bring_up(f"sqlite:///{file}")
        return file.read_bytes()


_schemas: Schemas | None = None  # where the test that is running has its databases; None: they are files


def url(directory: Path) -> str:
    """The database that belongs to a folder, for the engine that the running test is about."""
    return f"sqlite:///{quote(str(directory / 'fleetnet.db'))}" if _schemas is None else _schemas.of(directory)


def ready(directory: Path) -> str:
    """The same, and all tables in it where it is not there yet: for what is not about how they come there."""
    if _schemas is not None:
        return _schemas.ready(directory)
    with contextlib.suppress(FileExistsError), (directory / "fleetnet.db").open("xb") as file:
        file.write(_file_with_tables())
        os.fchmod(file.fileno(), 0o600)
    return url(directory)


def spread() -> bool:
    """Whether the running test has its databases on a Citus cluster, which some things cost a statement more."""
    return _schemas is not None and _schemas.spread


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes a folder on each engine."""
    if "tmp_path" in metafunc.fixturenames or "tmp_path_factory" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("engine")
        metafunc.parametrize("engine", only.args if only else ENGINES, indirect=True)


@contextlib.contextmanager
def own_server(*settings: str) -> Iterator[Server]:
    """A PostgreSQL server for as long as it is needed. Skips where none can be started."""
    if reason := why_not():
        pytest.skip(reason)
    server = Server(*settings)
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server, started once."""
    with own_server() as server:
        yield server


@pytest.fixture(scope="session")
def schemas(request: pytest.FixtureRequest) -> Iterator[Schemas]:
    """All databases that tests have on a server."""
    made = Schemas(GIVEN or request.getfixturevalue("postgresql").url())
    try:
        yield made
    finally:
        made.drop()


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine that the test's databases are on."""
    global _schemas
    name: str = getattr(request, "param", "sqlite")
    if name == "sqlite":
        yield name
        return
    _schemas = request.getfixturevalue("schemas")
    try:
        yield name
    finally:
        schemas, _schemas = _schemas, None
        schemas.let_go()
