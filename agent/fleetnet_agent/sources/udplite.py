"""UDP-Lite, both families. A socket is CLOSE while it has no peer, ESTABLISHED when connected."""

import socket
from collections.abc import Iterator
from functools import partial

from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import Part


class UdpLite:
    """The kernel's UDP-Lite sockets."""

    protocol = Protocol.UDPLITE
    codec = inet_diag.CODEC
    listening = 1 << State.CLOSE
    sharing = listening | 1 << State.ESTABLISHED

    def __init__(self, diag: DiagSocket) -> None:
        self._diag = diag

    def read(self, states: int) -> Iterator[Part]:
        """See `Source`."""
        for family in (socket.AF_INET, socket.AF_INET6):
            yield from self._diag.dump(partial(inet_diag.dump_request, int(family), Protocol.UDPLITE, states))
