"""A minute of `make test-faults`: random faults upon a fleet under load, and history is true all the same."""

import re
import sys
from pathlib import Path

import pytest

from demo.programs import Programs

_ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("seed", [7])
def test_history_is_true_whatever_fails(programs: Programs, seed: int) -> None:
    command = [sys.executable, "-m", "faults", "--seed", str(seed), "--legs", "1"]
    size = ["--hosts", "3", "--rounds", "2", "--faults", "10", "--window", "6", "--patience", "4"]
    campaign = programs.start("faults", [*command, *size], {"PYTHONPATH": f"{_ROOT / 'tests'}:{_ROOT}"})
    status = campaign.wait(within_s=840.0)
    assert status == 0, campaign.says()
    assert (told := re.search(r"^all told: (\d+) faults", campaign.says(), re.MULTILINE))
    assert int(told[1]) >= 10, campaign.says()
