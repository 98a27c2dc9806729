"""`python -m week.days_ago DAYS ARGUMENTS`: the collector as it was some days ago, the certificates that it issued too.

The console script, in a process whose clock is set back: what Python asks for the time. gRPC, which checks the
certificates that others show, asks the machine.
"""

import datetime
import sys
import time

from fleetnet_server import main
from fleetnet_server.run import collector


def set_back(days: float) -> None:
    """From now on."""
    ago_s, now_ns = days * 86_400, time.time_ns
    time.time_ns = lambda: now_ns() - int(ago_s * 1e9)
    time.time = lambda: time.time_ns() / 1e9
    collector._now = lambda: datetime.datetime.fromtimestamp(time.time(), datetime.UTC)


if __name__ == "__main__":
    set_back(float(sys.argv.pop(1)))
    sys.exit(main.main())
