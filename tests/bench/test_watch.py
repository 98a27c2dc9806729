"""The bench of those who watch does what it says, in small."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.watch import __main__ as watch
from bench.watch import delay

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("where", [[], ["--network"]])
def test_it_holds_one_who_watches_against_one_agent_more(where: list[str]) -> None:
    few = ["--agents", "2", "--more", "3", "--idle-seconds", "1", "--seconds", "1", "--rounds", "1", "--listeners", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.watch", *few, "--settle-seconds", "0", *where],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=200,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"^  3 who watch, beside 2 agents .* kB$", done.stdout, re.MULTILINE)
    assert re.search(r"^  3 agents more, beside 2 agents .* kB$", done.stdout, re.MULTILINE)
    assert len(re.findall(r"  (?:NOT )?met$", done.stdout, re.MULTILINE)) == 3


def test_a_cost_is_that_of_each_who_came() -> None:
    before, after = watch.Cost(0.1, 0.2, 100.0), watch.Cost(0.3, 0.6, 110.0)
    each = after.of_each_beyond(before, 10)
    assert (each.idle, each.churning, each.resident_mib) == pytest.approx((0.02, 0.04, 1.0))


@pytest.mark.root
@pytest.mark.slow
def test_from_the_listen_on_a_host_to_the_line_is_taken_of_each_listener() -> None:
    found = delay.delays_s(2, seed=1)
    assert len(found) == 2
    assert min(found) > 0
