"""`fleetnet log`: what administrators did and were refused. For operators."""

from fleetnet_cli import times
from fleetnet_cli.asking import connect, show
from fleetnet_cli.options import CONNECTION, Common, takes_common
from fleetnet_cli.output import log as log_output
from fleetnet_cli.output.presentation import NAMELESS
from fleetnet_cli.records import Coverage, End, ReadyAnswer

EXAMPLES = """\b
Examples:
  fleetnet log
  fleetnet log --limit 1000 -o csv

On the admin socket who asks is "local", with the name that the command line was
run by, which nobody has checked. "fleetnet-server doctor" says whether an
entry was changed or taken away.
"""

_OPTIONS = (*CONNECTION, "limit")
_USUAL = 100


@takes_common(_OPTIONS, NAMELESS)
def log(*, common: Common) -> int:
    """Show what administrators did and were refused, the latest first; 100 entries, or --limit, at most 1000."""
    wanted = common.selection.limit or _USUAL
    with connect(common) as collector:
        found = collector.log(wanted)
    # Entries are numbered from 1 on: the last one says whether there are more.
    cut = bool(found) and found[-1].number > 1
    answer = ReadyAnswer(Coverage(as_of_us=times.now_us()), list(found), End(len(found), truncated=cut))
    return show(answer, log_output.presentation(), common)
