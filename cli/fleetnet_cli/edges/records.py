"""What an edge is: plain frozen values. An edge joins two ends, and an end is a program, as far as it is known."""

from dataclasses import dataclass, replace
from typing import Final

# How an edge is known.
BOTH_ENDS: Final = "both-ends"  # the sockets at both ends were seen
ONE_END: Final = "one-end"  # one was; whose the other is follows from the fleet's addresses
OUTSIDE: Final = "outside"  # one was; no host of the fleet has the address at its other end

# By what it is known which end serves.
LISTENER: Final = "listener"  # it listens on that port, and the other end does not on its own
PORTS: Final = "ports"  # neither does; its port is none that kernels hand out, and that of the other end is
UNKNOWN: Final = "unknown"

# Why an end is not known better, beside the words for a socket whose process is not known (owner_status).
SHARED_ADDRESS: Final = "shared-address"  # several namespaces have the address
SHARED_BRIDGE: Final = "shared-bridge"  # likewise, each on a bridge of its own, such as that of docker
SEVERAL_SOCKETS: Final = "several-sockets"  # several namespaces may have the other half, by a socket or the address
UNHELD_ADDRESS: Final = "unheld-address"  # a socket fits, and no host says that it has the address at one of the ends
LINK_LOCAL: Final = "link-local"  # its address means another host on each link
NO_LISTENER: Final = "no-listener"  # the namespace has the address, and nothing in it listens there
NO_SOCKET: Final = "no-socket"  # the namespace has the address, and none of its sockets is the other half


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A network namespace of a host."""

    host: str
    netns: str  # as in records.Socket


@dataclass(frozen=True, slots=True)
class End:
    """A program in a namespace, or what little is known of whoever is there; what is empty is not known."""

    host: str = ""
    netns: str = ""
    container: str = ""
    unit: str = ""
    process: str = ""
    address: str = ""  # of an end for which no host could be named; "" for all that come from outside together
    one_of: tuple[Place, ...] = ()  # it is in one of these; where they are many, the first
    may_be: int = 0  # how many they are
    why: str = ""  # it is not known better

    @property
    def is_doubtful(self) -> bool:
        """It should be known which namespace or program it is, and is not. Bridges are each host's own affair."""
        return self.why in (SHARED_ADDRESS, SEVERAL_SOCKETS, UNHELD_ADDRESS)

    @property
    def order(self) -> tuple[object, ...]:
        """Ends are listed by host, its own namespace first; those without a host, or without a process, come last."""
        place = (not self.host, self.host, self.netns != "host", self.netns, self.container)
        return (*place, not self.process, self.process, self.unit, self.address, self.one_of, self.why)


@dataclass(frozen=True, slots=True)
class Edge:
    """Connections that are alike in both ends, protocol and the port that is served."""

    client: End
    server: End
    protocol: str
    port: int  # of the server; 0 where it is not known which port that is
    known: str
    direction: str  # by what it is known which end is the server; where it is "unknown" either may be
    connections: int = 1

    @property
    def order(self) -> tuple[object, ...]:
        """By client, then server, then port."""
        return (self.client.order, self.server.order, self.protocol, self.port, self.known, self.direction)

    def times(self, connections: int) -> "Edge":
        """The same of so many connections."""
        return replace(self, connections=connections)
