"""`fleetnet-server ca …`: the options of each command, and what it prints. The standard library only, until one runs.

Exit status as everywhere: 0 done, 2 anything that the user must know. A step of a rotation that would leave somebody
behind is not done.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Final, TypeAlias

from fleetnet_server.config import Config

Command: TypeAlias = Callable[[Config, argparse.Namespace], int]
AddOptions: TypeAlias = Callable[[argparse.ArgumentParser], None]

_SHOWN_BEHIND: Final = 20


def _add_rotate(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_mutually_exclusive_group()
    for step, what in (
        ("finish", "let the new CA issue, once all trust it"),
        ("retire", "trust the former CA no more, and remove its key"),
        ("back", "undo the last step, but for --retire"),
    ):
        steps.add_argument(f"--{step}", dest="step", action="store_const", const=step, help=what)
    parser.set_defaults(step="begin")
    parser.add_argument(
        "--leave-behind", action="store_true", help="take the step whoever is cut off by it; they are named"
    )
    parser.add_argument("--admin-socket", metavar="PATH", help="socket of the collector that runs (default: as of run)")


def _rotate(settings: Config, options: argparse.Namespace) -> int:
    from fleetnet_server.rpc.authority import rotate

    told = rotate(settings.admin_socket, options.step, leave_behind=options.leave_behind)
    for one in told.left_behind[:_SHOWN_BEHIND]:
        print(f"{one.kind} {one.name} {one.why}", file=sys.stderr)
    if (more := len(told.left_behind) - _SHOWN_BEHIND) > 0:
        print(f"and {more} more", file=sys.stderr)
    if not told.done:
        print(
            f"fleetnet-server: nothing was done, for {len(told.left_behind)} would be left behind; wait until they "
            "have come, and say it again, or go on without them with --leave-behind",
            file=sys.stderr,
        )
        return 2
    for standing, fingerprint in told.standing:
        print(f"{standing:<8} {fingerprint}")
    print(f"fleetnet-server: {_NEXT[options.step]}")
    return 0


_NEXT: Final = {
    "begin": "both are trusted, and hosts are asked to renew; `fleetnet-server ca show` says how many have; --finish",
    "finish": "the new CA issues, and hosts are asked to renew; `fleetnet-server ca show` says how many have; --retire",
    "retire": "the former CA is not trusted any more, and its key is removed; make a backup",
    "back": "the last step is undone",
}

COMMANDS: Final[tuple[tuple[str, str, Command, AddOptions], ...]] = (
    ("rotate", "let another CA take the present one's place, step by step", _rotate, _add_rotate),
)
