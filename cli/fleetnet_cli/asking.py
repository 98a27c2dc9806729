"""From a question to an exit status: what every command does once it knows what to ask and what an item looks like."""

import sys
from typing import TYPE_CHECKING, TypeVar

from fleetnet_cli import exits
from fleetnet_cli.options import Common
from fleetnet_cli.output import terminal
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.records import Answer

if TYPE_CHECKING:
    from fleetnet_cli.client import Collector

Item = TypeVar("Item")


def connect(common: Common) -> "Collector":
    """The collector that the options name."""
    from fleetnet_cli.client import Collector  # gRPC costs a tenth of a second, which --help need not pay

    return Collector(common.socket_path, common.timeout_s)


def show(answer: Answer[Item], presentation: Presentation[Item], common: Common) -> int:
    """Writes the answer in the format asked for; returns the exit status."""
    out = terminal.of(sys.stdout)
    if common.output == "json":
        from fleetnet_cli.output import json

        found = json.write(answer, presentation, out, limited=common.selection.limit > 0)
    else:
        from fleetnet_cli.output import table

        found = table.write(
            answer,
            presentation,
            out,
            quiet=common.quiet,
            asked_at=common.asked_at,
            glob='" or "'.join(common.selection.host_globs),
        )
    return exits.status_of(found=found > 0, whole=answer.coverage.whole)
