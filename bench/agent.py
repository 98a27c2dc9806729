"""`python -m bench.agent`: what the agent costs its host, in one run, each figure beside its bar.

As root. Each part runs in a network namespace of its own, which is gone with it. Figures of CPU are user and system
seconds; ratios are of medians of interleaved rounds. A bench reports and does not judge: it exits with 0 whether the
bars are met or not, and says so for each.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.measures import RESULTS, handed_over
from demo.fabric import why_not

OWN_NAMESPACE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
PARTS: dict[str, tuple[str, ...]] = {
    "tables": OWN_NAMESPACE,
    "owners": OWN_NAMESPACE,
    "namespaces": ("unshare", "--mount"),  # whose mounts are gone with it
    "rates": (),
    "footprint": (),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts one after the other; 0 whatever the figures are."""
    options = _parser().parse_args(arguments)
    why = why_not()
    if why:
        print(f"bench: {why}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="fn-bench-") as directory:
        results = Path(directory, "results")
        results.touch()
        told = {**os.environ, RESULTS: str(results), "TMPDIR": directory}
        for part in options.only or PARTS:
            print(f"{part} …", flush=True)
            own = _own_arguments(part, options)
            command = [*PARTS[part], sys.executable, "-m", f"bench.{part}", *own]
            status = subprocess.run(command, env=told, check=False).returncode
            if status:
                print(f"  {part}: ended with status {status}; its bars are missing below", flush=True)
        bars = handed_over(results)
    print(f"\n  {'bar':<66}   {'':>6} {'':<9} {'measured':>9}")
    print("\n".join(bar.line() for bar in bars))
    print(f"  {sum(bar.met for bar in bars)} of {len(bars)} met")
    return 0


def _own_arguments(part: str, options: argparse.Namespace) -> list[str]:
    if part == "footprint":
        return ["--minutes", "1" if options.quick else f"{options.minutes:g}"]
    return ["--quick"] if options.quick else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.agent", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and one minute of footprint")
    parser.add_argument("--minutes", type=float, default=10.0, help="of footprint (default 10)")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
