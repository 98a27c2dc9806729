"""Network namespaces: their interfaces and routes, and what these and the protocols have counted.

Numbers are the kernel's, each explained in fleetnet_proto/v1/network.proto and live.proto.
"""

from dataclasses import dataclass

from fleetnet_agent.records.sockets import Family


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of an interface."""

    address: bytes  # 4 or 16 bytes
    prefix_length: int
    peer: bytes = b""  # the other end of a point-to-point link
    scope: int = 0  # RT_SCOPE_*


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface without its counters; numbers are the kernel's, each explained in network.proto."""

    index: int
    name: str
    hardware_type: int
    hardware_address: bytes
    mtu: int
    flags: int
    operstate: int
    kind: str  # "" unless virtual
    master: int  # index, 0 where none
    addresses: tuple[InterfaceAddress, ...]
    speed_mbps: int = 0  # 0 where not known
    duplex: int = 0  # 0 not known, 1 half, 2 full
    link: bool | None = None
    driver: str = ""


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a route leads."""

    gateway: bytes  # b"" where the destination is on the link
    interface: str
    weight: int
    flags: int


@dataclass(frozen=True, slots=True)
class Route:
    """A route; numbers are the kernel's, each explained in network.proto."""

    family: Family
    destination: bytes
    prefix_length: int
    table: int
    type: int
    protocol: int
    scope: int
    metric: int
    preferred_source: bytes
    next_hops: tuple[NextHop, ...]
    flags: int = 0
    tos: int = 0
    advmss: int = 0
    window: int = 0
    rtt: int = 0
    mtu: int = 0


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace beside its sockets, whole."""

    netns: int  # as in SocketKey
    name: str = ""
    container: str = ""
    runtime: str = ""
    unit: str = ""
    interfaces: tuple[Interface, ...] = ()  # ascending by index
    routes: tuple[Route, ...] = ()  # of all tables but the local one, in the kernel's order
    unread: bool = False  # interfaces or routes could not be read: what was known of them stays
    routes_left_out: int = 0


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """What an interface has counted since it was made; for a live look, never kept. See live.proto."""

    netns: int  # as in SocketKey
    name: str
    mtu: int
    flags: int
    received_bytes: int
    received_packets: int
    receive_errors: int
    receive_drops: int
    receive_overruns: int
    sent_bytes: int
    sent_packets: int
    send_errors: int
    send_drops: int
    send_overruns: int


@dataclass(frozen=True, slots=True)
class Statistic:
    """A counter of the kernel's protocols; for a live look, never kept."""

    netns: int  # as in SocketKey
    group: str  # "Ip", "Tcp", "TcpExt", "Ip6", as the kernel's files have it
    name: str
    value: int
