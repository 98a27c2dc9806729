"""Fixtures of the collector's tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from server.databases import engine, postgresql, schemas
from server.running import Running, kill_what_is_left, starts_well

__all__ = ["engine", "postgresql", "schemas"]


@pytest.fixture(scope="session", autouse=True)
def _no_collector_outlives_the_tests() -> Iterator[None]:
    yield
    kill_what_is_left()


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A collector that the tests of one module share; each takes hosts of its own."""
    running = Running(tmp_path_factory.mktemp("collector") / "data")
    try:
        yield running
    finally:
        running.kill()


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
