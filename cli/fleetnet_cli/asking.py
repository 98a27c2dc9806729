"""From a question to an exit status: what every command does once it knows what to ask and what an item looks like."""

import functools
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from fleetnet_cli import exits
from fleetnet_cli.options import Common
from fleetnet_cli.output import terminal
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.records import Answer, Socket, SocketQuestion

if TYPE_CHECKING:
    from fleetnet_cli.client import Collector

Item = TypeVar("Item")


_WARN_S = 7 * 86_400  # of a month that a certificate lives


def connect(common: Common) -> "Collector":
    """The collector that the options name."""
    from fleetnet_cli.client import Collector  # gRPC costs a tenth of a second, which --help need not pay

    collector = Collector(common.destination, common.timeout_s)
    if collector.identity is not None:
        _warn(collector.identity.valid_until)
    return collector


@functools.cache  # once, however often what is watched connects anew
def _warn(until: datetime) -> None:
    if (left_s := until.timestamp() - time.time()) < _WARN_S:
        err = terminal.of(sys.stderr)
        err.write(
            f"{err.paint('fleetnet:', terminal.YELLOW)} your certificate ends in {_days(left_s)}, and what you ask is "
            'refused then; renew it with "fleetnet login"\n'
        )
        err.flush()


def _days(left_s: float) -> str:
    hours = int(left_s // 3_600)
    return f"{hours // 24} d" if hours >= 48 else f"{hours} h"


def show_sockets(
    collector: "Collector", question: SocketQuestion, presentation: Presentation[Socket], common: Common
) -> int:
    """Asks for sockets and writes the answer; where they are watched, what comes and goes then, for ever."""
    if not common.watching:
        return show(collector.sockets(question), presentation, common)
    from fleetnet_cli import watching  # only `watch` needs it

    return watching.watch(collector, lambda: connect(common), question, presentation, common)


def show(answer: Answer[Item], presentation: Presentation[Item], common: Common) -> int:
    """Writes the answer in the format asked for; returns the exit status."""
    out = terminal.of(sys.stdout)
    limited = common.selection.limit > 0
    # Each format is loaded only where it is asked for.
    if common.output == "json":
        from fleetnet_cli.output import json

        found = json.write(answer, presentation, out, limited=limited)
    elif common.output == "ndjson":
        from fleetnet_cli.output import ndjson

        found = ndjson.write(answer, presentation, out, limited=limited)
    elif common.output in ("csv", "name"):
        return _show_bare(answer, presentation, common, out)
    else:
        from fleetnet_cli.output import table

        found = table.write(
            answer, presentation, out, quiet=common.quiet, asked_at=common.asked_at, asked=common.selection,
            wide=common.output == "wide",
        )  # fmt: skip
    return exits.status_of(found=found > 0, whole=answer.coverage.whole)


def _show_bare(answer: Answer[Item], presentation: Presentation[Item], common: Common, out: terminal.Terminal) -> int:
    """What has no room for the coverage: it goes to stderr."""
    from fleetnet_cli.output.flow import refuse_cut

    notes: list[str] = []
    if common.output == "csv":
        from fleetnet_cli.output import csv

        found = csv.write(answer, presentation, out)
    else:
        from fleetnet_cli.output import name

        names = name.write(answer, presentation, out)
        found = names.found
        if names.left_out:
            few = "1 name" if names.left_out == 1 else f"{names.left_out} names"
            notes.append(f"{few} left out, not known or not fit for a command line; -o json has all")
    refuse_cut(answer, limited=common.selection.limit > 0)
    if not common.quiet and presentation.of_hosts:
        say(answer, common, found=found, nothing=presentation.nothing, notes=notes)
    return exits.PARTIAL if notes else exits.status_of(found=found > 0, whole=answer.coverage.whole)


def say(answer: Answer[object], common: Common, *, found: int, nothing: str, notes: list[str]) -> None:
    """How far the answer reaches, on stderr: after what is on stdout and not in the midst of it."""
    from fleetnet_cli.output import coverage

    terminal.of(sys.stdout).flush()
    coverage.write(
        answer, terminal.of(sys.stderr), found=found, nothing=nothing, asked_at=common.asked_at, zone_shown=False,
        asked=common.selection, notes=notes,
    )  # fmt: skip
