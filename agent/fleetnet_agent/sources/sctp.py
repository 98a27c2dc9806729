"""SCTP, both families: one row a socket, whatever number of associations it has.

The kernel shows a socket (it says endpoint), and after it each of its associations under the socket's own cookie, with
states of their own. A socket for one association (SOCK_STREAM) has the same addresses and is ESTABLISHED, or CLOSE_WAIT
while the association ends; one for many (SOCK_SEQPACKET) is LISTEN or CLOSE. The numbers are those of TCP's states
(enum sctp_sock_state, include/net/sctp/constants.h).
"""

import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import Part


class Sctp:
    """The kernel's SCTP sockets."""

    protocol = Protocol.SCTP
    codec = replace(inet_diag.CODEC, get_request=None)  # it answers with an association only
    listening = 1 << State.LISTEN
    sharing = inet_diag.ALL_STATES  # all of them: there are no exact questions

    def __init__(self, diag: DiagSocket) -> None:
        self._diag = diag

    def read(self, states: int) -> Iterator[Part]:
        """See `Source`."""
        for family in (socket.AF_INET, socket.AF_INET6):
            for part in self._diag.dump(partial(inet_diag.dump_request, int(family), Protocol.SCTP, states)):
                yield without_associations(part, states)


def without_associations(part: Part, states: int) -> Part:
    """The sockets alone, and of them those in one of the states, for the kernel does not look at all of the mask."""
    kept = [
        (cookie, message)
        for cookie, message in zip(part.cookies, part.messages, strict=True)
        if 1 << inet_diag.state_of(message) & states and not inet_diag.is_association(message)
    ]
    return Part([cookie for cookie, _ in kept], [message for _, message in kept], part.last)
