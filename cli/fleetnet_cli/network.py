"""Namespaces with their interfaces and routes, as an answer has them: plain frozen values, no protobuf.

Numbers are the kernel's, each explained in network.proto; addresses are text, "" where there is none. Times are
microseconds since 1970 UTC on the host's clock.
"""

from dataclasses import dataclass, field

from fleetnet_cli.records import Selection


@dataclass(frozen=True, slots=True)
class NamespaceQuestion:
    """Which namespaces, and what of them."""

    selection: Selection
    own_only: bool = False
    without_interfaces: bool = False
    without_routes: bool = False


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of an interface."""

    address: str
    prefix_length: int
    peer: str = ""  # the other end of a point-to-point link
    scope: int = 0  # RT_SCOPE_*


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface without its counters."""

    index: int  # 0 where not known
    name: str
    hardware_type: int
    hardware_address: str  # "02:00:00:00:00:01"
    mtu: int
    flags: int  # IFF_*
    operstate: int
    kind: str  # "" unless virtual
    master: int  # index, 0 where none
    addresses: tuple[InterfaceAddress, ...]
    speed_mbps: int  # 0 where not known
    duplex: str  # "half", "full", "" where not known
    link: bool | None
    driver: str
    since_us: int = 0  # when it came to be as it is


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a route leads."""

    gateway: str
    interface: str
    weight: int
    flags: int  # RTNH_F_*


@dataclass(frozen=True, slots=True)
class Route:
    """A route."""

    family: str
    destination: str
    prefix_length: int
    table: int
    type: int  # RTN_*
    protocol: int  # RTPROT_*
    scope: int  # RT_SCOPE_*
    metric: int
    preferred_source: str
    next_hops: tuple[NextHop, ...]
    flags: int = 0  # RTM_F_* and RTNH_F_*
    tos: int = 0
    advmss: int = 0
    window: int = 0
    rtt: int = 0  # eighths of a millisecond
    mtu: int = 0
    since_us: int = 0  # when it came to be as it is


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace of a host, beside its sockets."""

    host: str
    netns: str  # as in records.Socket
    inode: int  # 0: the agent's own
    name: str = ""
    container: str = ""
    runtime: str = ""
    unit: str = ""
    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    unread: bool = False  # what is listed is what was known before
    routes_left_out: int = 0
    opened_at_us: int = 0
    last_seen_us: int = 0


@dataclass(frozen=True, slots=True)
class InterfaceItem:
    """An interface and where it is; with counters where they were looked at."""

    namespace: Namespace
    interface: Interface
    counters: dict[str, int] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class RouteItem:
    """A route and where it is."""

    namespace: Namespace
    route: Route
