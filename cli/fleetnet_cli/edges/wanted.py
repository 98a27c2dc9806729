"""Which edges are wanted. The collector narrows sockets; an edge, with its two ends and the port that is served, is
nothing that it knows of, so the last word on one is spoken here.
"""

from dataclasses import dataclass

from fleetnet_cli.edges.records import End
from fleetnet_cli.records import PortRange

# What is shown of ends outside the fleet: each by its address, those who come from there as one, or none.
EACH, SERVERS, NONE = EXTERNAL = ("each", "servers", "none")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One of the ends is as asked for, and the port is the one served; what is empty does not narrow."""

    hosts: frozenset[str] | None = None  # None: any
    process: str = ""
    unit: str = ""
    ports: tuple[PortRange, ...] = ()
    external: str = SERVERS

    @property
    def only_hosts(self) -> bool:
        """Of an end nothing but its host matters."""
        return not (self.process or self.unit)

    @property
    def narrows_ends(self) -> bool:
        """Not every end will do."""
        return self.hosts is not None or not self.only_hosts

    def has_end(self, end: End) -> bool:
        """An end is as asked for."""
        return self.has_host(end.host) and self.process in ("", end.process) and self.unit in ("", end.unit)

    def has_host(self, host: str) -> bool:
        """A host is one of those asked for."""
        return self.hosts is None or host in self.hosts

    def has_port(self, port: int) -> bool:
        """A port is one of those asked for."""
        return not self.ports or any(one.first <= port <= one.last for one in self.ports)
