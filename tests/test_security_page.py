"""The page of threats names tests that are there, and a test for each thing that somebody might try."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/security.md").read_text()
_NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def test_every_test_that_the_page_names_is_there() -> None:
    named = _NAMED.findall(PAGE)
    assert len(named) > 20
    for path, name in named:
        file = ROOT / path.replace("rpc/", "tests/server/rpc/", 1) if path.startswith("rpc/") else ROOT / path
        assert re.search(rf"^def {name}\(", file.read_text(), re.MULTILINE), f"{path}::{name}"


def test_everything_that_somebody_might_try_is_tried() -> None:
    tables = [
        line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| he tries", "| ---"))
    ]
    assert len(tables) > 20
    assert [line for line in tables if not _NAMED.search(line)] == []
