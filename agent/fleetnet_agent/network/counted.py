"""What counts without pause, for a live look: interfaces and protocols of the agent's own namespace."""

from pathlib import Path

from fleetnet_agent.network import statistics, texts
from fleetnet_agent.network.following import OWN_NAMESPACE, Network
from fleetnet_agent.records import InterfaceCounters, Statistic


class Counted:
    """Reads the counters of this moment."""

    def __init__(self, proc: Path, network: Network) -> None:
        self._net = proc / "net"
        self._network = network

    def interfaces(self) -> list[InterfaceCounters]:
        """Counters of the interfaces. Raises SourceError."""
        self._network.look()  # for one that is new
        read = texts.read_files(self._net, (statistics.COUNTERS_FILE,))
        text = read.get(statistics.COUNTERS_FILE, "")
        return statistics.counters(text, self._network.links(OWN_NAMESPACE), OWN_NAMESPACE)

    def statistics(self) -> list[Statistic]:
        """Protocol statistics. Raises SourceError."""
        return statistics.statistics(texts.read_files(self._net, statistics.STATISTICS_FILES), OWN_NAMESPACE)
