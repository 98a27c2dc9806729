"""Fixtures of the system tests. Their folders have short names: paths of sockets are bounded."""

from collections.abc import Iterator

import pytest
from system.laboratory import Laboratory, laboratory

from demo.fleet import Fleet, environment
from demo.programs import Programs


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A laboratory for one test."""
    with laboratory(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Programs on this machine."""
    directory = tmp_path_factory.mktemp("here")
    with Programs(directory, environment(directory)) as made:
        yield made


@pytest.fixture
def here(programs: Programs) -> Fleet:
    """A collector on this machine's loopback; started. Needs no root."""
    fleet = Fleet(programs.directory, programs)
    fleet.start_collector()
    return fleet
