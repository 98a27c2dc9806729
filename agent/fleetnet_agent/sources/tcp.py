"""TCP, both families."""

from collections.abc import Iterator
from functools import partial

from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import Part

_TIME_WAIT = 1 << State.TIME_WAIT


class Tcp:
    """The kernel's TCP sockets."""

    protocol = Protocol.TCP
    codec = inet_diag.CODEC
    listening = 1 << State.LISTEN
    sharing = listening

    def __init__(self, diag: DiagSocket, extensions: int = 0) -> None:
        self._diag = diag
        self._extensions = extensions

    def read(self, states: int) -> Iterator[Part]:
        """See `Source`. TIME_WAIT in a dump of its own, and last.

        Its messages are shorter than the others; apart from each other, both dumps are made of equal messages, which
        are read at half the cost. A socket on its way into TIME_WAIT is so seen twice at most, the later truth second.
        """
        for mask in (states & ~_TIME_WAIT, states & _TIME_WAIT):
            if mask:
                yield from self._diag.dump(partial(inet_diag.tcp_dump_request, mask, extensions=self._extensions))
