"""UNIX sockets. They have no addresses and no ports, but a path, and the inode of the socket at the other end."""

from collections.abc import Iterator
from functools import partial

from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import unix_diag
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import Part


class Unix:
    """The kernel's UNIX sockets."""

    protocol = Protocol.UNIX
    codec = unix_diag.CODEC
    listening = 1 << State.LISTEN
    sharing = 0  # an exact question is by inode and cookie

    def __init__(self, diag: DiagSocket) -> None:
        self._diag = diag

    def read(self, states: int) -> Iterator[Part]:
        """See `Source`."""
        return self._diag.dump(partial(unix_diag.dump_request, states), self.codec)
