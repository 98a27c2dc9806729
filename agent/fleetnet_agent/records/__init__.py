"""What the agent knows: the values that pass between its rooms, in one file for each noun.

Plain frozen values, no behaviour, no protobuf, no file descriptors. All are to be had from here.
"""

from fleetnet_agent.records.live import (
    LiveItem,
    LiveSocket,
    LiveWanted,
    SocketMemory,
    TcpInfo,
    Timer,
    Trouble,
)
from fleetnet_agent.records.looks import (
    Difference,
    Gap,
    HostFacts,
    Look,
    Snapshot,
    SourceStatus,
)
from fleetnet_agent.records.network import (
    Interface,
    InterfaceAddress,
    InterfaceCounters,
    Namespace,
    NextHop,
    Route,
    Statistic,
)
from fleetnet_agent.records.sockets import (
    OWN_NAMESPACE,
    Brief,
    Closed,
    Family,
    Holder,
    OwnerStatus,
    Process,
    Protocol,
    Socket,
    SocketKey,
    SocketType,
    Source,
    State,
)

__all__ = [
    "OWN_NAMESPACE",
    "Brief",
    "Closed",
    "Difference",
    "Family",
    "Gap",
    "Holder",
    "HostFacts",
    "Interface",
    "InterfaceAddress",
    "InterfaceCounters",
    "LiveItem",
    "LiveSocket",
    "LiveWanted",
    "Look",
    "Namespace",
    "NextHop",
    "OwnerStatus",
    "Process",
    "Protocol",
    "Route",
    "Snapshot",
    "Socket",
    "SocketKey",
    "SocketMemory",
    "SocketType",
    "Source",
    "SourceStatus",
    "State",
    "Statistic",
    "TcpInfo",
    "Timer",
    "Trouble",
]
