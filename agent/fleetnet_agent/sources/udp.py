"""UDP, both families. A socket is CLOSE while it has no peer, ESTABLISHED when connected."""

import socket
from collections.abc import Iterator
from functools import partial

from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import Part


class Udp:
    """The kernel's UDP sockets."""

    protocol = Protocol.UDP
    codec = inet_diag.CODEC
    listening = 1 << State.CLOSE
    sharing = listening | 1 << State.ESTABLISHED

    def __init__(self, diag: DiagSocket, extensions: int = 0) -> None:
        self._diag = diag
        self._extensions = extensions

    def read(self, states: int) -> Iterator[Part]:
        """See `Source`."""
        for family in (socket.AF_INET, socket.AF_INET6):
            request = partial(inet_diag.dump_request, int(family), Protocol.UDP, states, extensions=self._extensions)
            yield from self._diag.dump(request)
