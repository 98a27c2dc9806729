"""The program run in a process of its own, which says at its end what it has loaded."""

import subprocess
import sys

_PROGRAM = """
import sys
from fleetnet_cli.__main__ import main
status = main()
print(*sys.modules, file=sys.stderr)
sys.exit(status)
"""


def loaded(*arguments: str) -> tuple[int, set[str]]:
    """The exit status, and every module by its whole name."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, set(done.stderr.splitlines()[-1].split())
