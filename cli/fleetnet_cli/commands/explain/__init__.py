"""`fleetnet explain`: what a state, column, scope, word or port means, what usually causes it, and what to ask next."""

from typing import Annotated

import typer

from fleetnet_cli.options import CONNECTION, Common, takes_common
from fleetnet_cli.output.presentation import OF_TEXTS

EXAMPLES = """\b
Examples:
  fleetnet explain CLOSE_WAIT
  fleetnet explain Send-Q
  fleetnet explain 5432
"""


@takes_common(CONNECTION, OF_TEXTS)
def explain(
    topic: Annotated[list[str] | None, typer.Argument(metavar="[STATE|COLUMN|SCOPE|PORT]", hidden=True)] = None,
    *,
    common: Common,
) -> int:
    """Explain a state, column, scope, word or port.

    What it means, what usually causes it, what to ask next; alone: what can be explained.
    """
    from fleetnet_cli.commands.explain import answer  # the texts, and what reads them, are for those who ask

    return answer.explained(" ".join(topic), common) if topic else answer.listed(common)
