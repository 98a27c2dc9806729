"""The committed Python code of the wire is what the .proto files say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_generated_code_is_fresh(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "proto/generate.py", tmp_path], check=True)
    fresh = {p.relative_to(tmp_path): p.read_text() for p in tmp_path.rglob("*_pb2*")}
    committed = {
        p.relative_to(ROOT / "proto"): p.read_text() for p in (ROOT / "proto").rglob("*_pb2*.py*") if p.suffix != ".pyc"
    }
    assert fresh, "protoc wrote nothing"
    stale = sorted(str(p) for p in fresh.keys() | committed.keys() if fresh.get(p) != committed.get(p))
    assert not stale, f"stale, run `make generate`: {stale}"
