"""Counters of interfaces and of protocols as they are now, for a live look; of the agent's own network namespace.

Thin on purpose; what the bytes and texts mean is in `network`.
"""

from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from fleetnet_agent.network import rtnetlink
from fleetnet_agent.network.dump import Dumps, open_own
from fleetnet_agent.network.links import decode_link
from fleetnet_agent.network.statistics import COUNTERS_FILE, STATISTICS_FILES, counters, statistics
from fleetnet_agent.network.texts import read_files
from fleetnet_agent.records import Interface, InterfaceCounters, Statistic
from fleetnet_agent.sources.source import InconsistentError

_READ_AGAIN_AT_MOST: Final = 2  # times, where interfaces come and go meanwhile


def interface_counters(net: Path) -> list[InterfaceCounters]:
    """Of every interface, in the kernel's order; `net` is the namespace's /proc/net. Raises SourceError."""
    return counters(read_files(net, (COUNTERS_FILE,)).get(COUNTERS_FILE, ""), _interfaces())


def protocol_statistics(net: Path) -> list[Statistic]:
    """All there are, in the order of the kernel's files in `net`, its /proc/net. Raises SourceError."""
    return statistics(read_files(net, STATISTICS_FILES))


def _interfaces() -> list[Interface]:
    with closing(open_own()) as route:
        dumps = Dumps(route)
        for _ in range(_READ_AGAIN_AT_MOST):
            with suppress(InconsistentError):
                return _dumped(dumps)
        return _dumped(dumps)


def _dumped(dumps: Dumps) -> list[Interface]:
    return [decode_link(body) for bodies in dumps.read(rtnetlink.LINKS) for body in bodies]
