"""gRPC passes over an option that it does not know without a word; so each that is set must be one of its own."""

import re
from pathlib import Path

import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # it is compiled

_ROOT = Path(__file__).parent.parent
_OPTION = re.compile(r'"(grpc\.[a-z0-9_.]+)"')


def _set_options() -> set[str]:
    found: set[str] = set()
    for room in ("agent", "cli", "proto", "server"):
        for file in (_ROOT / room).rglob("*.py"):
            found.update(_OPTION.findall(file.read_text()))
    return found


def test_options_are_set() -> None:
    assert {"grpc.keepalive_time_ms", "grpc.so_reuseport"} <= _set_options()


@pytest.mark.parametrize("option", sorted(_set_options()))
def test_each_option_is_one_of_grpcs_own(option: str) -> None:
    library = Path(cygrpc.__file__).read_bytes()
    assert option.encode() + b"\0" in library
