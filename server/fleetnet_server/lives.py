"""What happened on one host: plain frozen values that pass between the collector's rooms."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from fleetnet_server.records import Gap, SocketAnswer, SocketQuestion


@dataclass(frozen=True, slots=True)
class LivesQuestion:
    """Which sockets of one host, and of what time."""

    sockets: SocketQuestion  # its selection names the host, and up to when
    since_us: int
    without_sockets: bool = False  # gaps and starts alone


class AgentStart(NamedTuple):
    """A host's agent came with a new epoch; times by the host's clock."""

    at_us: int
    booted: bool  # of another boot than the agent before
    agent_version: str
    kernel: str
    booted_at_us: int


Life: TypeAlias = SocketAnswer | Gap | AgentStart
