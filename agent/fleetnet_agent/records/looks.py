"""What a look tells: what changed since the one before, or everything; and how each source is doing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fleetnet_agent.records.network import Namespace
from fleetnet_agent.records.sockets import Brief, Closed, Socket, SocketKey


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How one source is doing; `detail` is one sentence, "" when all is well."""

    name: str
    ok: bool
    detail: str
    blind: bool = False  # it could not be read at all, so nothing is known of its sockets since the last reading


class Look(NamedTuple):
    """When a look was."""

    at_us: int  # host's wall clock
    boottime_us: int  # CLOCK_BOOTTIME


@dataclass(frozen=True, slots=True)
class Gap:
    """A time about which the agent knows that it does not know; host's wall clock."""

    from_us: int
    to_us: int
    reason: str
    kept: bool = False  # what happened in it is kept on the host, and will be told


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed between two looks. Applied to the sockets of the look before, it gives those of this look."""

    look_at_us: int  # when this look ended, host's wall clock
    previous_look_at_us: int  # 0 at the first look
    opened: Sequence[Socket] = ()
    changed: tuple[Socket, ...] = ()  # whole, as they are now
    closed: tuple[Closed, ...] = ()  # each confirmed gone
    brief: tuple[Brief, ...] = ()
    entered_at_us: Mapping[SocketKey, int] = field(default_factory=dict)
    """When those of `opened` and `changed` entered their state of which the kernel said so; of the rest, this look
    was the first to see it."""
    sources: tuple[SourceStatus, ...] = ()  # those whose standing changed
    gaps: tuple[Gap, ...] = ()
    namespaces: tuple[Namespace, ...] = ()  # new, or with something changed; each whole
    namespaces_gone: tuple[int, ...] = ()
    restated: Collection[SocketKey] = frozenset()  # those of `changed` that have another state or other addresses
    look_boottime_us: int = 0  # CLOCK_BOOTTIME at `look_at_us`

    @property
    def empty(self) -> bool:
        """True if there is nothing to tell."""
        return not (
            self.opened
            or self.changed
            or self.closed
            or self.brief
            or self.sources
            or self.gaps
            or self.namespaces
            or self.namespaces_gone
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that was open at one look."""

    look_at_us: int
    sockets: Sequence[Socket]  # maybe made only as they are asked for, each time anew
    sources: tuple[SourceStatus, ...]  # all of them
    namespaces: tuple[Namespace, ...] = ()  # all of them, the agent's own first
    look_boottime_us: int = 0  # CLOCK_BOOTTIME at `look_at_us`


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the host is; changes rarely."""

    os: str
    kernel: str
    architecture: str
    cpu_count: int
    memory_bytes: int
    booted_at_us: int
