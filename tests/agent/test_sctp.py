"""SCTP as the kernel's source says that it is dumped (net/sctp/diag.c); no kernel here has it."""

import struct

from agent.diag_messages import encode, listener, sighting
from fleetnet_agent.records import State
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.sctp import without_associations
from fleetnet_agent.sources.source import Part

PEERS = struct.pack("=HH", 4 + 128, 13) + bytes(128)  # INET_DIAG_PEERS: one sockaddr_storage


def part(*messages: bytes) -> Part:
    return Part([inet_diag.cookie_of(message) for message in messages], list(messages), last=True)


def test_a_socket_is_one_row_and_its_associations_none() -> None:
    many, one = encode(listener(1)), encode(sighting(2))
    shown = part(many, many + PEERS, many + PEERS, one, one + PEERS)
    assert without_associations(shown, inet_diag.ALL_STATES).messages == [many, one]


def test_what_is_in_none_of_the_states_asked_for_is_left_out() -> None:
    many, one = encode(listener(1)), encode(sighting(2))
    left = without_associations(part(many, one), 1 << State.LISTEN)
    assert (left.cookies, left.messages, left.last) == ([1], [many], True)
