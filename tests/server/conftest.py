"""Fixtures of the collector's tests."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server.databases import engine, postgresql, schemas
from server.postgresql import Server
from server.running import Running, kill_what_is_left, starts_well

from server import running

__all__ = ["engine", "postgresql", "schemas"]


@pytest.fixture(scope="session", autouse=True)
def _no_collector_outlives_the_tests() -> Iterator[None]:
    yield
    kill_what_is_left()


@pytest.fixture
def console_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is about the program as it is started: collectors are the console script itself."""
    monkeypatch.setattr(running, "forked", False)


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A collector that the tests of one module share; each takes hosts of its own."""
    shared = Running(tmp_path_factory.mktemp("collector") / "data")
    try:
        yield shared
    finally:
        shared.kill()


@pytest.fixture
def side_by_side(tmp_path: Path, postgresql: Server) -> Iterator[Callable[[int], list[Running]]]:
    """Starts so many collectors before one empty database, with one CA."""
    postgresql.execute("CREATE DATABASE of_collectors")
    started: list[Running] = []

    def start(count: int) -> list[Running]:
        for number in range(count):
            directory = tmp_path / f"collector{number}"
            if started:
                directory.mkdir(mode=0o700)
                for file in ("ca.pem", "ca.key"):
                    shutil.copy(started[0].data / file, directory / file)
            started.append(Running(directory, f"--database={postgresql.url('of_collectors')}"))
        return started

    try:
        yield start
        assert [collector.terminate() for collector in started] == [0] * len(started)
    finally:
        for collector in started:
            collector.kill()
        postgresql.execute("DROP DATABASE of_collectors WITH (FORCE)")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Where a collector may live."""
    return tmp_path / "data"


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a collector leaves behind that ended well."""
    data = tmp_path_factory.mktemp("lived-in") / "data"
    assert starts_well(data)
    return data


@pytest.fixture
def used(lived_in: Path, data: Path) -> Path:
    """A data directory in which a collector has lived."""
    shutil.copytree(lived_in, data)
    return data
