"""The bench of answers does what it says, in small."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_it_has_a_figure_for_every_format_and_says_whether_bars_are_met() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.answers", "--rows", "200", "--lines", "3000", "--tries", "1"],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=200,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for output in ("read from the wire", "table", "wide", "json", "ndjson", "csv", "name"):
        assert re.search(rf"^  {output} +[\d.]+ µs a row$", done.stdout, re.MULTILINE)
    assert "3,000 rows as ndjson: first line after " in done.stdout
    assert len(re.findall(r"  (?:NOT )?met$", done.stdout, re.MULTILINE)) == 4
