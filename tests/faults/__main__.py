"""`python -m faults`: random faults upon a fleet, until there were as many as asked for or something is wrong.

Everything drawn comes from the seed; what fails says the command that draws the same again. (The moments at which
processes are scheduled are not drawn, so a failure may take a few replays to come back.)
"""

import argparse
import contextlib
import ctypes
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from faults.campaign import Leg, Outcome, Plan

from demo import interrupts
from demo.fabric import sweep, why_not

_CLONE_NEWNS, _MS_PRIVATE, _MS_REC = 0x00020000, 1 << 18, 1 << 14  # linux/sched.h, linux/mount.h


def main() -> int:
    """Run the campaign; 0 if nothing was wrong, 1 if something was, 2 if it cannot run here."""
    asked = _parser().parse_args()
    if why := why_not():
        print(f"faults: {why}", file=sys.stderr)
        return 2
    interrupts.install()
    sweep()
    _have_mounts_to_oneself()
    total, legs, began_s = Counter[str](), 0, time.monotonic()
    while legs < asked.legs if asked.legs else sum(total.values()) < asked.count:
        plan = Plan(
            asked.seed + legs,
            asked.hosts,
            asked.rounds,
            asked.faults,
            asked.window,
            asked.engine,
            asked.wild,
            asked.patience,
        )
        outcome = _leg(plan, asked.verbose, asked.keep)
        total += outcome.injected
        legs += 1
        print(f"{sum(total.values())} faults in {time.monotonic() - began_s:.0f} s", flush=True)
        if outcome.verdict.wrong:
            return 1
    for kind, count in sorted(total.items()):
        print(f"{count:6} {kind}")
    print(f"all told: {sum(total.values())} faults, {legs} legs, {time.monotonic() - began_s:.0f} s, nothing wrong")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make test-faults", description="Random faults upon a real fleet.")
    parser.add_argument("--seed", type=int, default=1, help="of the first leg; the next has the next number")
    parser.add_argument("--count", type=int, default=1000, help="faults in all")
    parser.add_argument("--legs", type=int, default=0, help="so many fresh fleets, whatever the count")
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=6, help="of each leg")
    parser.add_argument("--faults", type=int, default=30, help="of each round")
    parser.add_argument("--window", type=float, default=20.0, help="seconds of a round in which faults begin")
    parser.add_argument(
        "--engine", choices=("sqlite", "postgresql", "failover"), default="sqlite",
        help="the collector's database; failover: PostgreSQL with a standby that takes the place of a killed one",
    )  # fmt: skip
    parser.add_argument("--wild", action="store_true", help="set clocks back amid other faults too: known to fail")
    parser.add_argument("--patience", type=float, default=1.0, help="factor on all bounds of time, for busy machines")
    parser.add_argument("--keep", type=Path, help="where logs, ledgers and the database of a failed leg are put")
    parser.add_argument("--verbose", action="store_true", help="say each fault as it begins")
    return parser


def _leg(plan: Plan, verbose: bool, keep: Path | None) -> Outcome:
    print(f"seed {plan.seed}: {plan.hosts} hosts, {plan.rounds} rounds of {plan.faults} faults", flush=True)
    log: list[str] = []

    def say(line: str) -> None:
        log.append(line)
        if verbose or not line.startswith(" "):
            print(line, flush=True)

    directory = Path(tempfile.mkdtemp(prefix="fnf"))  # short: paths of sockets are bounded
    try:
        leg = Leg(plan, directory, say)
        outcome = leg.run()
        _tell(outcome)
        if outcome.verdict.wrong:
            _tell_failure(plan, outcome, log if not verbose else [])
            if keep:
                shutil.copytree(directory, keep / f"seed{plan.seed}", dirs_exist_ok=True, ignore=_sockets)
        return outcome
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        _unmount(directory)
        shutil.rmtree(directory, ignore_errors=True)


def _tell(outcome: Outcome) -> None:
    judged = outcome.verdict
    share = judged.excused_us / max(1, judged.excused_us + judged.judged_us)
    for line in (
        f"injected {outcome.faults}: {_listed(outcome.injected)}",
        f"left out, for their time did not come: {_listed(outcome.skipped)}",
        f"judged {judged.lives} sockets, {judged.judged_us / 6e7:.1f} socket-minutes; in gaps are {share:.1%} of the "
        f"time and {judged.excused_lives} sockets; {judged.asked} questions about the past",
        f"gaps: {_listed(outcome.gaps)}",
        f"{outcome.batches} batches stored once each, {outcome.acknowledged} acknowledgements; all alive within "
        f"{outcome.slowest_s:.1f} s",
    ):
        print(line, flush=True)


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counted.items())) or "none"


def _tell_failure(plan: Plan, outcome: Outcome, log: list[str]) -> None:
    for line in log:
        print(line)
    for sentence in outcome.verdict.wrong[:20]:
        print(f"WRONG: {sentence}")
    if len(outcome.verdict.wrong) > 20:
        print(f"WRONG: and {len(outcome.verdict.wrong) - 20} more")
    print(f"again: {plan.replay}", flush=True)


def _have_mounts_to_oneself() -> None:
    """A mount namespace of this process's own: its disks end with it, however it ends. That of `ip netns` stays shared
    with what this process starts, which is all that has to see it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) or libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "no mount namespace of its own")


def _unmount(directory: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for path in sorted(directory.glob("*")):
        if path.is_mount():
            with contextlib.suppress(OSError):
                libc.umount2(os.fsencode(path), 2)  # MNT_DETACH


def _sockets(directory: str, names: list[str]) -> set[str]:
    return {name for name in names if Path(directory, name).is_socket()}


if __name__ == "__main__":
    sys.exit(main())
