"""`python -m fuzz`: wrong messages upon a real collector, for so long or until one does what none may do.

What was found is said with the command that says the same again, and with the messages themselves.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from fuzz.campaign import Campaign, FoundError
from server.running import Running

_SHOWN_BYTES = 200


def main() -> int:
    """0 if nothing was found, 1 if something was."""
    asked = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="fn-fuzz-") as directory:
        collector = Running(Path(directory) / "data")
        try:
            return _run(asked, collector)
        finally:
            collector.kill()


def _run(asked: argparse.Namespace, collector: Running) -> int:
    campaign, began_s = Campaign(collector, asked.seed), time.monotonic()
    rounds = range(asked.round, asked.round + 1) if asked.round is not None else None
    try:
        campaign.run(began_s + asked.minutes * 60, rounds)
    except FoundError as found:
        print(f"FOUND: {found}")
        for method, message in campaign.last:
            print(f"  {method} {message[:_SHOWN_BYTES].hex()}{'…' if len(message) > _SHOWN_BYTES else ''}")
        print(campaign.again)
        print(collector.log()[-2_000:], file=sys.stderr)
        return 1
    told = campaign.told
    ended = ", ".join(f"{count} {how}" for how, count in told.ended.most_common())
    print(
        f"all told: {told.messages} messages, {told.rounds} rounds, {time.monotonic() - began_s:.0f} s, nothing found"
    )
    print(f"ended: {ended}")
    print(f"memory: {told.more_bytes / 2**20:.1f} MiB more than before; {told.mb_per_hour:.1f} MB an hour")
    if told.more_warm_bytes is None:
        print("too few rounds to say how much more since its caches are full")
    else:
        print(f"since its caches are full: {told.more_warm_bytes / 2**20:.1f} MiB more")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make fuzz", description="Wrong messages upon a real collector.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--round", type=int, help="this one alone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
