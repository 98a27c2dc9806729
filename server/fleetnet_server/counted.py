"""How many sockets are open, and how that went: plain frozen values that pass between the collector's rooms.

Protocols are the wire's numbers and states the kernel's, as in a SocketAnswer.
"""

from dataclasses import dataclass

from fleetnet_server.records import Coverage, Selection


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many sockets of a protocol are open in a state."""

    protocol: int
    state: int
    sockets: int
    listeners: int  # of them


@dataclass(frozen=True, slots=True)
class HostCount:
    """The same of one host."""

    host: str
    count: StateCount


@dataclass(frozen=True, slots=True)
class Counts:
    """How many sockets some hosts hold open together, by protocol and state."""

    coverage: Coverage
    counts: tuple[StateCount, ...]


@dataclass(frozen=True, slots=True)
class TrendQuestion:
    """How the counts of some hosts went in a time, told for its beginning and in steps from there. What the selection
    says of a time counts for nothing. An empty tuple means any."""

    selection: Selection
    from_us: int
    to_us: int
    step_us: int
    states: tuple[int, ...] = ()
    protocols: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TrendCount:
    """How many sockets of a protocol were open in a state."""

    protocol: int
    state: int
    sockets: int
    listeners: int
    # Of one host the most that any commit left open since the point before; of several together no more than that.
    highest: int


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """What is known of one time: the counts of those hosts that were heard then, added up."""

    at_us: int
    hosts_known: int
    counts: tuple[TrendCount, ...]  # by protocol and state, without those of which none was open


@dataclass(frozen=True, slots=True)
class Trend:
    """How counts went. The coverage is that of the end of the time."""

    coverage: Coverage
    points: tuple[TrendPoint, ...]
