"""Every source there is, in the order in which they are read. A new one is a line here."""

from collections.abc import Callable
from dataclasses import dataclass

from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.packet import Packet
from fleetnet_agent.sources.raw import Raw
from fleetnet_agent.sources.sctp import Sctp
from fleetnet_agent.sources.source import Source
from fleetnet_agent.sources.tcp import Tcp
from fleetnet_agent.sources.udp import Udp
from fleetnet_agent.sources.udplite import UdpLite
from fleetnet_agent.sources.unix import Unix


@dataclass(frozen=True, slots=True)
class Kind:
    """A source by the name that people see."""

    name: str
    open: Callable[[DiagSocket], Source]


SOURCES = (
    Kind("tcp", Tcp),
    Kind("udp", Udp),
    Kind("udplite", UdpLite),
    Kind("sctp", Sctp),
    Kind("raw", Raw),
    Kind("unix", Unix),
    Kind("packet", Packet),
)
