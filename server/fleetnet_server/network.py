"""What passes between the collector's rooms of a host's network beside its sockets: plain frozen values.

Numbers are the kernel's, each explained in network.proto; a namespace is named as there, 0 being the agent's own.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of an interface; `peer` is the other end of a point-to-point link."""

    address: bytes
    prefix_length: int
    peer: bytes
    scope: int


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface without its counters."""

    index: int
    name: str
    hardware_type: int
    hardware_address: bytes
    mtu: int
    flags: int
    operstate: int
    kind: str  # empty unless virtual
    master: int
    addresses: tuple[InterfaceAddress, ...]
    speed_mbps: int = 0
    duplex: int = 0
    link: bool | None = None
    driver: str = ""


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a route leads."""

    gateway: bytes
    interface: str
    weight: int
    flags: int


@dataclass(frozen=True, slots=True)
class Route:
    """A route."""

    family: int
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
    """A network namespace, whole but for its sockets; `unread` where what is kept of its network is to stay."""

    netns: int
    name: str = ""
    container: str = ""
    runtime: str = ""
    unit: str = ""
    interfaces: tuple[Interface, ...] = ()  # ascending by index
    routes: tuple[Route, ...] = ()  # in the kernel's order
    unread: bool = False
    routes_left_out: int = 0


@dataclass(frozen=True, slots=True)
class NamespaceAnswer:
    """One namespace of one host, as kept. Each *_since_us stands beside the interface or route at its position."""

    host: str
    namespace: Namespace
    opened_at_us: int
    interfaces_since_us: tuple[int, ...]
    routes_since_us: tuple[int, ...]
    last_seen_us: int
