"""What an agent keeps of sockets that came and went: nothing that adds up. Counted in cycles; `make soak` is the long
run."""

import itertools
import json
import subprocess
import sys

import pytest

LAPS, CYCLES = 5, 40
ALONE = ("unshare", "--net", "--pid", "--mount-proc", "--fork", "sh", "-c", 'ip link set lo up && "$@"', "sh")


@pytest.mark.root
def test_sockets_that_came_and_went_leave_nothing_behind() -> None:
    done = subprocess.run(
        [*ALONE, sys.executable, "-m", "agent.laps", str(LAPS), str(CYCLES)],
        capture_output=True, text=True, check=True, cwd="tests",
    )  # fmt: skip
    laps = [json.loads(line) for line in done.stdout.splitlines()]
    # A leak grows in each lap; what is remembered for a while, or made once, does not. A cycle makes some twenty
    # requests to the kernel and has four ends of sockets: whatever is kept of each of those is more than this.
    grown = [after["blocks"] - before["blocks"] for before, after in itertools.pairwise(laps)]
    assert min(grown) < 3 * CYCLES, laps
    assert laps[-1]["descriptors"] == laps[0]["descriptors"], laps
