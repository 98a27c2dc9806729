"""A live look, as an answer has it: numbers that change all the time and are not kept. Frozen values, no protobuf.

What is only shown and never reckoned with (tcp_info, memory, counters) is kept by the names that live.proto gives it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fleetnet_cli.records import Socket


@dataclass(frozen=True, slots=True)
class LiveQuestion:
    """Which host, and what is wanted of it."""

    host: str
    sockets: bool = False
    details: bool = False  # tcp_info and memory of the sockets
    interfaces: bool = False
    statistics: bool = False
    netns: int | None = None  # only of this network namespace, 0 the agent's own; None: of all


@dataclass(frozen=True, slots=True)
class Timer:
    """A running timer."""

    kind: int  # idiag_timer of include/uapi/linux/inet_diag.h
    expires_ms: int
    retransmits: int


@dataclass(frozen=True, slots=True)
class LiveSocket:
    """A socket with its volatile numbers; one from history has none."""

    socket: Socket
    timer: Timer | None = None
    tcp: Mapping[str, int | str] | None = None
    memory: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """What an interface has counted since it was made."""

    netns: int  # 0: the agent's own, else the inode number of the namespace
    name: str
    mtu: int
    flags: int  # IFF_*
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Statistic:
    """One counter of the kernel's protocol statistics."""

    netns: int  # as above
    group: str
    name: str
    value: int


LiveItem = LiveSocket | InterfaceCounters | Statistic
