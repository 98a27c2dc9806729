"""`fleetnet watch`: a question that stays open, and what comes and goes meanwhile."""

from fleetnet_cli import options
from fleetnet_cli.commands import who_holds as holds
from fleetnet_cli.commands import who_listens as listens
from fleetnet_cli.commands import who_talks_to as talks_to

EXAMPLES = """\b
Examples:
  fleetnet watch who-listens 1-1023
  fleetnet watch who-holds CLOSE_WAIT --host "web*"
  fleetnet watch who-talks-to 10.0.0.5:5432 -o ndjson

What is there is shown first, then + for what comes and - for what goes, with
the time at which the collector knew. A silent host shows nothing, and that is
said. A lost connection is tried again, and what changed meanwhile shown then.
What came and went within a moment may not be; "who-listens --since" has it.
"""


def nothing() -> None:
    """Ask, and show what comes and goes until it is interrupted."""


who_listens = options.watched(listens.who_listens)
who_holds = options.watched(holds.who_holds)
who_talks_to = options.watched(talks_to.who_talks_to)
