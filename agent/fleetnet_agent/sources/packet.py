"""Packet sockets (AF_PACKET): what tcpdump, dhclient and their like listen with."""

from collections.abc import Iterator

from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import packet_diag
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import Part


class Packet:
    """The kernel's packet sockets."""

    protocol = Protocol.PACKET
    codec = packet_diag.CODEC
    listening = 1 << State.CLOSE
    sharing = 1 << State.CLOSE  # all of them: there are no exact questions

    def __init__(self, diag: DiagSocket) -> None:
        self._diag = diag

    def read(self, states: int) -> Iterator[Part]:
        """See `Source`. There is one state only, and so no mask of states."""
        return self._diag.dump(packet_diag.dump_request, self.codec)
