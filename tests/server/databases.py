"""Where a test's database is: a file in its folder, or a schema of its own on a PostgreSQL server.

Each test that takes a folder (`tmp_path`) runs on each engine, in the folders that import this module's hook and
fixture in their conftest.py: stories say nothing of the engine. Those that are about one engine say so with
`@pytest.mark.engine("sqlite")`.
"""

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from server.postgresql import Server, why_not

ENGINES = ("sqlite", "postgresql")
# The URL of a database that the tests are to use instead of a server of their own (`make test-storage`).
GIVEN = os.environ.get("FLEETNET_TEST_DATABASE", "")


class Schemas:
    """Databases for the tests: each is a schema of one database, found by the name of a folder."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[str] = []

    def of(self, directory: Path) -> str:
        """The URL of the database that belongs to a folder; made if it is not there."""
        schema = f"fleetnet_test_{blake2b(bytes(directory), digest_size=8).hexdigest()}"
        if schema not in self._made:
            self._execute(f"CREATE SCHEMA {schema}")
            self._made.append(schema)
        return f"{self._url}{'&' if '?' in self._url else '?'}options={quote(f'-csearch_path={schema}')}"

    def drop(self) -> None:
        """Leave nothing behind."""
        while self._made:
            self._execute(f"DROP SCHEMA {self._made.pop()} CASCADE")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._url.replace("+psycopg", "", 1), autocommit=True) as connection:
            # A test that failed may have left a connection behind, which is not waited for.
            connection.execute("SET lock_timeout = '10s'; SET client_min_messages = warning")
            connection.execute(statement.encode())


_schemas: Schemas | None = None  # those of the test that is running; None: its databases are files


def url(directory: Path) -> str:
    """The database that belongs to a folder, for the engine that the running test is about."""
    return f"sqlite:///{quote(str(directory / 'fleetnet.db'))}" if _schemas is None else _schemas.of(directory)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes a folder on each engine."""
    if "tmp_path" in metafunc.fixturenames or "tmp_path_factory" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("engine")
        metafunc.parametrize("engine", only.args if only else ENGINES, indirect=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server, started once."""
    if reason := why_not():
        pytest.skip(reason)
    server = Server()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine that the test's databases are on."""
    global _schemas
    name: str = getattr(request, "param", "sqlite")
    if name == "sqlite":
        yield name
        return
    _schemas = Schemas(GIVEN or request.getfixturevalue("postgresql").url())
    try:
        yield name
    finally:
        schemas, _schemas = _schemas, None
        schemas.drop()
