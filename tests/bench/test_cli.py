"""The bench of the command line does what it says, in small."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_it_holds_every_figure_against_its_bar_over_the_network_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", "--hosts", "6", "--sockets", "12000", "--runs", "1"],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=200,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for row in (
        "bare Python",
        "importing gRPC and Typer",
        "--version",
        "--help",
        "who-listens 443, admin socket",
        "who-listens 443, mutual TLS",
    ):
        assert re.search(rf"^  {row} +[\d.]+ ms, CPU +[\d.]+ ms$", done.stdout, re.MULTILINE)
    assert re.search(r"^ +120 rows as ndjson: .* MiB in the program, \d+ in the collector$", done.stdout, re.MULTILINE)
    assert len(re.findall(r"  (?:NOT )?met$", done.stdout, re.MULTILINE)) == 8
