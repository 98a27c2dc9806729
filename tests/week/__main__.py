"""`python -m week`: one host whose collector is away for as long and as busily as asked for, with figures."""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from week.judge import verdict_of
from week.report import lines_of
from week.story import Case, Story
from week.world import Size

from demo import interrupts
from demo.fleet import environment
from demo.programs import Programs

_MIB = 1 << 20


def main() -> int:
    """Play it; 0 if nothing was wrong, 1 if something was."""
    asked = _parser().parse_args()
    interrupts.install()
    case = Case(
        "host",
        days=asked.days,
        spool_bytes=int(asked.spool_size * _MIB),
        look_every_s=asked.every,
        restarts=asked.restarts,
        size=Size(asked.steady, asked.connections, asked.brief),
        seed=asked.seed,
        holds_back=asked.hold_back,
    )
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fnw")))
        story = Story(stack.enter_context(Programs(directory, environment(directory))), [case])
        [outcome] = story.play()
        verdict = verdict_of(story, outcome)
        print("\n".join(lines_of(outcome, verdict)))
    for sentence in verdict.wrong[:20]:
        print(f"WRONG: {sentence}")
    return 1 if verdict.wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make test-week", description="A collector that is away for days.")
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two looks")
    parser.add_argument("--restarts", type=int, default=12, help="of the agent, one of them with a boot of the host")
    parser.add_argument("--steady", type=int, default=200, help="connections that stay")
    parser.add_argument("--connections", type=int, default=2_000, help="in a day")
    parser.add_argument("--brief", type=int, default=20_000, help="connections of less than two seconds, in a day")
    parser.add_argument("--spool-size", type=float, default=64.0, help="MiB")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hold-back", action="store_true", help="the past, until the present was asked for")
    return parser


if __name__ == "__main__":
    sys.exit(main())
