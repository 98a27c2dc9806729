"""`fleetnet hosts`: the hosts of the fleet."""

from fleetnet_cli.asking import connect, show
from fleetnet_cli.options import QUESTION, Common, takes_common
from fleetnet_cli.output import hosts as host_output

EXAMPLES = """\b
Examples:
  fleetnet hosts
  fleetnet hosts --host "db*" -o json
  fleetnet hosts --label role=web --label env=prod
"""


@takes_common(QUESTION)
def hosts(*, common: Common) -> int:
    """Show the hosts of the fleet, and which of them are silent."""
    with connect(common) as collector:
        return show(collector.hosts(common.selection), host_output.presentation(), common)
