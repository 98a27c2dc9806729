"""Fixtures of the system tests. Their folders have short names: paths of sockets are bounded."""

from collections.abc import Iterator

import pytest
from system.booted import why_not_booted
from system.booted_image import image
from system.laboratory import Laboratory, laboratory
from system.quick import QuickPrograms

from demo.fleet import Fleet, environment
from demo.programs import FailedError, Programs


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A laboratory for one test."""
    with laboratory(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Programs on this machine."""
    directory = tmp_path_factory.mktemp("here")
    with QuickPrograms(directory, environment(directory)) as made:
        yield made


@pytest.fixture
def here(programs: Programs) -> Fleet:
    """A collector on this machine's loopback; started. Needs no root."""
    fleet = Fleet(programs.directory, programs)
    fleet.start_collector()
    return fleet


@pytest.fixture(scope="session")
def bootable() -> None:
    """Hosts can be booted here; the image for them is built if there is none."""
    if why := why_not_booted():
        pytest.skip(why)
    try:
        image()
    except FailedError as failure:
        pytest.skip(f"{failure}: {failure.log.strip()[-200:]}")
