"""Raw sockets of both families, whatever protocol they are for: its number is their local port.

Many kernels have no diagnostics for them (CONFIG_INET_RAW_DIAG); then /proc/net tells (see `fallback.py`).
"""

import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import Part


class Raw:
    """The kernel's raw sockets."""

    protocol = Protocol.RAW
    # There are few, and any may share its addresses with others: one more look decides what is gone.
    codec = replace(inet_diag.CODEC, get_request=None)
    listening = 1 << State.CLOSE
    sharing = listening | 1 << State.ESTABLISHED

    def __init__(self, diag: DiagSocket) -> None:
        self._diag = diag

    def read(self, states: int) -> Iterator[Part]:
        """See `Source`."""
        for family in (socket.AF_INET, socket.AF_INET6):
            yield from self._diag.dump(partial(inet_diag.dump_request, int(family), Protocol.RAW, states))
