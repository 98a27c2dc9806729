"""The bench of the memory does what it says, in small, on each engine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from server.postgresql import why_not

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_every_question_is_answered_while_a_fleet_is_written(engine: str) -> None:
    if engine == "postgresql" and (reason := why_not()):
        pytest.skip(reason)
    few = ("--hosts=12", "--open=40", "--past=600", "--intervals=500", "--rounds=2", "--seconds=2", "--changes=500")
    command = [sys.executable, "-m", "bench.storage", *few, *(["--postgresql"] if engine == "postgresql" else [])]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "480 open, 600 closed" in said
    items = {what.strip(): int(count) for what, count in re.findall(r"^  (who .*?|one .*?) +(\d+)  ", said, re.M)}
    assert items["who listens on a rare port, now"] == 3
    assert items["who listens on 443, now"] == 12
    assert items["one host, now"] == 40
    stored = re.search(r"while asked, ([\d,]+) changes a second were stored", said)
    assert stored
    assert int(stored[1].replace(",", "")) > 0
    assert len(re.findall(r"  (?:NOT )?met$", said, re.M)) == 9
