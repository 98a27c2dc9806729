"""`python -m bench`: our dump and difference beside ss, netstat, psutil and /proc, in one run, as ratios of CPU.

As root in a network namespace of its own, which is gone with the process; else among the sockets that are there.
Numbers depend on the machine; ratios of medians of interleaved rounds do so far less, and are what is expected.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from bench.contenders import OURS, YARDSTICK, Contender, contenders, missing, our_table
from bench.population import TIME_WAIT_LASTS_S, Population, population

EXPECTED = {10_000: 0.60, 50_000: 0.75}  # of `ss -tan`, by the number of sockets
INSIDE = "FLEETNET_BENCH_INSIDE"
PATIENCE_S = 20.0  # for all rounds of one contender at one size


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 0 whatever the figures are."""
    options = _parser().parse_args(arguments)
    if os.geteuid() == 0 and INSIDE not in os.environ:
        return _run_in_own_namespace()
    if YARDSTICK in missing():
        print(f"bench: {YARDSTICK} is what all else is measured by, and ss (iproute2) is not here", file=sys.stderr)
        return 2
    for line in missing():
        print(f"not measured, for it is not installed: {line}")
    where = "a network namespace of its own" if INSIDE in os.environ else "this machine's own namespace (not root)"
    print(f"CPU (user + system), median of {options.rounds} interleaved rounds, in {where}")
    print("A command's own start is part of what it costs at every look; it matters at 1,000 sockets, not at 50,000.")
    for size in options.sizes:
        with population(size) as made:
            _measure(made, size, options.rounds)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 50_000], metavar="SOCKETS")
    parser.add_argument("--rounds", type=int, default=11, help="that count; one more goes before (default 11)")
    return parser


def _run_in_own_namespace() -> int:
    """Itself again under unshare(1): a namespace without a name ends with its last process, whatever ends it."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        print("bench: unshare (util-linux) and ip (iproute2) are needed to make a network namespace", file=sys.stderr)
        return 2
    inside = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-m", "bench", *sys.argv[1:]]
    return subprocess.run(["unshare", "--net", *inside], env={**os.environ, INSIDE: "1"}, check=False).returncode


def _measure(made: Population, size: int, rounds: int) -> None:
    print(f"\n{size:,} sockets asked for, {len(our_table().look().opened):,} there", flush=True)
    taken: dict[str, list[float]] = {}
    spent_s: dict[str, float] = {}
    out_of_patience: set[str] = set()
    renewed_at_s = time.monotonic()
    field = contenders()
    for number in range(rounds + 1):
        if number == 1:
            taken.clear()  # the first round fills caches and grows heaps; a look of an agent is never its first
        for contender in field:
            if contender.name in out_of_patience:
                continue
            if time.monotonic() - renewed_at_s > TIME_WAIT_LASTS_S / 2:
                made.renew_time_wait()
                renewed_at_s = time.monotonic()
            _run_once(contender, taken, spent_s)
            if number and spent_s[contender.name] > PATIENCE_S:
                out_of_patience.add(contender.name)
    _report(taken, size, out_of_patience)


def _run_once(contender: Contender, taken: dict[str, list[float]], spent_s: dict[str, float]) -> None:
    began_s = time.monotonic()
    taken.setdefault(contender.name, []).append(contender.cpu_s())
    spent_s[contender.name] = spent_s.get(contender.name, 0.0) + time.monotonic() - began_s


def _report(taken: dict[str, list[float]], size: int, out_of_patience: set[str]) -> None:
    medians = {name: statistics.median(times) for name, times in taken.items()}
    yardstick = medians[YARDSTICK]
    for name, median in medians.items():
        rounds = f"  ({len(taken[name])} rounds only: slow)" if name in out_of_patience else ""
        print(f"  {name:<28} {median * 1000:9.1f} ms   {median / yardstick:6.2f} x {YARDSTICK}{rounds}")
    if size in EXPECTED:
        ratio, expected = medians[OURS] / yardstick, EXPECTED[size]
        verdict = "met" if ratio <= expected else "NOT met"
        print(f"  expected: at most {expected:.2f} x {YARDSTICK}; {verdict} ({ratio:.2f})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
