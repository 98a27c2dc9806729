"""The bench of attacks does what it says, in small."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.attack import __main__ as attack

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_it_holds_the_delay_under_attack_against_that_without() -> None:
    few = ["--few", "--agents", "2", "--rounds", "1", "--seconds", "0.5", "--attack", "idle", "--attack", "times"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.attack", *few],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"^  idle: [\d,]+ done; acknowledged after ", done.stdout, re.MULTILINE)
    assert len(re.findall(r"  (?:NOT )?met$", done.stdout, re.MULTILINE)) == 5


def test_a_ratio_is_that_of_one_percentile_to_the_same_without() -> None:
    windows = attack.Windows([([1.0, 2.0], [6.0, 2.0]), ([3.0, 10.0], [4.0, 40.0])])
    assert windows.ratio(0.5) == 2.0
    assert windows.ratio(0.99) == 4.0
