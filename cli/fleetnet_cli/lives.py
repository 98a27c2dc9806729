"""What passes from the client to the output about what happened on a host; as records.py has it."""

from dataclasses import dataclass
from typing import TypeAlias

from fleetnet_cli.records import Socket, SocketQuestion


@dataclass(frozen=True, slots=True)
class LivesQuestion:
    """Which sockets of one host, and of what time."""

    sockets: SocketQuestion  # its selection names the host, and up to when
    since_us: int
    without_sockets: bool = False  # gaps and starts alone


@dataclass(frozen=True, slots=True)
class Gap:
    """A time about which a host's history is not whole; host's clock."""

    host: str
    from_us: int
    to_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class AgentStart:
    """A host's agent was started, for all that is known; host's clock."""

    host: str
    at_us: int
    booted: bool  # the host had been started since the agent before
    agent_version: str
    kernel: str
    booted_at_us: int


Life: TypeAlias = Socket | Gap | AgentStart
