"""`python -m collectors`: the story of test_collectors.py, for as many seeds as asked for; stops at what is wrong."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from collectors.story import Plan, tell
from server.postgresql import Server, why_not
from server.running import kill_what_is_left

from demo import interrupts


def main() -> int:
    """0 if nothing was wrong, 1 if something was, 2 if it cannot run here."""
    asked = _parser().parse_args()
    if why := why_not():
        print(f"collectors: {why}", file=sys.stderr)
        return 2
    interrupts.install()
    server = Server()
    try:
        for seed in range(asked.seed, asked.seed + asked.seeds):
            plan = Plan(seed, asked.collectors or 2 + seed % 2, asked.deaths, asked.agents)
            if not _tell(plan, server):
                return 1
    finally:
        kill_what_is_left()
        server.remove()
    return 0


def _tell(plan: Plan, server: Server) -> bool:
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fnc") as directory:  # short: paths of sockets are bounded
        outcome = tell(plan, server, Path(directory))
    took_s = time.monotonic() - began_s
    print(f"seed {plan.seed}, {plan.collectors} collectors, {took_s:.0f} s: {outcome}", flush=True)
    for sentence in outcome.wrong:
        print(f"WRONG: {sentence}")
    return not outcome.wrong


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="PYTHONPATH=tests:. python -m collectors", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first; the next has the next number")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--collectors", type=int, default=0, help="left out: two and three in turn")
    parser.add_argument("--deaths", type=int, default=2, help="of each collector")
    parser.add_argument("--agents", type=int, default=12)
    return parser


if __name__ == "__main__":
    sys.exit(main())
