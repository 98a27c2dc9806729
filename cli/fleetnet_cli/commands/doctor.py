"""`fleetnet doctor`: what is wrong between here and the fleet, and what to do about it."""

import sys

from fleetnet_cli import exits, times
from fleetnet_cli.options import CONNECTION, Common, takes_common
from fleetnet_cli.output import doctor as output
from fleetnet_cli.output import terminal
from fleetnet_cli.records import Coverage, End, ReadyAnswer

FORMATS = ("table", "json", "ndjson")

EXAMPLES = """\b
Examples:
  fleetnet doctor
  fleetnet doctor -q --context lab
  fleetnet doctor -o json

Each line says ok, warning or problem, of what, and what to do about it; -q leaves
out what is ok.
"""


@takes_common(CONNECTION, FORMATS, broken_settings=True)
def doctor(*, common: Common) -> int:
    """Look for what is wrong: settings, the way to the collector, the collector, its fleet.

    Exit status: 0 all is well, 1 warnings alone, 2 a problem, 4 and 5 no way to the collector.
    """
    from fleetnet_cli.doctor import examination  # other commands do without

    findings = list(examination.of(common))
    if common.output == "table":
        output.write(findings, terminal.of(sys.stdout), quiet=common.quiet)
    else:
        from fleetnet_cli.asking import show

        show(
            ReadyAnswer(Coverage(as_of_us=times.now_us()), findings, End(len(findings))), output.presentation(), common
        )
    return max((finding.status for finding in findings), default=exits.FOUND)
