"""Runs a program that compares us with netstat(8) in a network namespace of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

Compared = dict[str, tuple[list[str], list[str]]]  # by options, the lines of netstat and ours


def in_a_namespace(program: str, *arguments: str) -> Compared:
    """What the program prints; skips where it cannot run."""
    if shutil.which("netstat") is None or shutil.which("ip") is None:
        pytest.skip("needs netstat of net-tools, to compare with, and ip")
    command = [sys.executable, str(TESTS / "cli" / program), *arguments]
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    # Without root a user namespace may allow a network namespace.
    for unshare in (["unshare", "-n"], ["unshare", "-rn"]):
        if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0:
            done = subprocess.run(
                [*unshare, *command], capture_output=True, text=True, check=False, timeout=100, env=env
            )
            assert done.returncode == 0, done.stderr
            return {k: (real, ours) for k, (real, ours) in json.loads(done.stdout).items()}
    pytest.skip("needs a network namespace of its own (root, or unprivileged user namespaces)")
