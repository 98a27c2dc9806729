"""The kernel's counters of sockets, as text of one kernel (Linux 6.18)."""

import contextlib

import pytest
from fleetnet_agent.records import Protocol
from fleetnet_agent.sources.counts import Counts, decode_counts
from fleetnet_agent.sources.source import MalformedError
from hypothesis import given
from hypothesis import strategies as st

PROTOCOLS = b"""\
protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em
PACKET    1600      0      -1   NI       0   no   kernel      n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n
RAWv6     1344      0      -1   NI       0   yes  kernel      y  y  y  n  y  y  y  n  y  y  y  y  y  y  y  y  n  n
UDPLITEv6 1472      1       0   NI       0   yes  kernel      y  y  y  n  y  y  y  n  y  y  y  y  n  n  y  y  y  n
UDPv6     1472      0       0   NI       0   yes  kernel      y  y  y  n  y  y  y  n  y  y  y  y  n  n  y  y  y  n
TCPv6     2432      3       0   no     192   yes  kernel      y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y  y
UNIX-STREAM 1152     12      -1   NI       0   yes  kernel      y  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n
UNIX      1152      0      -1   NI       0   yes  kernel      y  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n
UDP-Lite  1344      0       0   NI       0   yes  kernel      y  y  y  n  y  y  y  n  y  y  y  y  n  n  y  y  y  n
RAW       1152      0      -1   NI       0   yes  kernel      y  y  y  n  y  y  y  n  y  y  y  y  y  y  y  y  n  n
UDP       1344      0       0   NI       0   yes  kernel      y  y  y  n  y  y  y  n  y  y  y  y  n  n  y  y  y  n
TCP       2304      1       0   no     192   yes  kernel      y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y  y
NETLINK   1096      7      -1   NI       0   no   kernel      n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n
"""
SNMP = b"""\
Ip: Forwarding DefaultTTL InReceives
Ip: 1 64 1017711
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens CurrEstab InSegs OutSegs
Tcp: 1 200 120000 -1 74763 72442 0 1017711 994314
Udp: InDatagrams NoPorts
Udp: 5 0
"""


def counts(protocols: bytes = PROTOCOLS, snmp: bytes = SNMP) -> Counts:
    return decode_counts(protocols, snmp)


def test_a_kind_is_there_if_either_family_or_either_type_of_it_is() -> None:
    there = {protocol for protocol in Protocol if not counts().none_of(protocol)}
    assert there == {Protocol.TCP, Protocol.UDPLITE, Protocol.UNIX}


@pytest.mark.parametrize("number", [b"1", b"10", b"-1"])
def test_what_is_not_counted_is_taken_to_be_there(number: bytes) -> None:
    assert not counts(PROTOCOLS.replace(b"PACKET    1600      0", b"PACKET    1600      " + number)).none_of(
        Protocol.PACKET
    )


def test_tcp_may_always_be_there_for_what_is_left_of_connections_is_not_counted() -> None:
    none = PROTOCOLS.replace(b"2432      3", b"2432      0").replace(b"2304      1", b"2304      0")
    assert not counts(none).none_of(Protocol.TCP)


def test_sctp_may_be_there_wherever_the_kernel_has_it_for_an_association_outlives_its_socket() -> None:
    assert counts().none_of(Protocol.SCTP)
    line = PROTOCOLS.splitlines(keepends=True)[1].replace(b"PACKET", b"SCTP  ")
    assert not counts(PROTOCOLS + line).none_of(Protocol.SCTP)


@pytest.mark.parametrize(
    ("protocols", "snmp"),
    [
        (PROTOCOLS.replace(b"2304      1", b"2304      2"), SNMP),
        (PROTOCOLS.replace(b"2432      3", b"2432      2"), SNMP),
        (PROTOCOLS, SNMP.replace(b" 994314", b" 994315")),
        (PROTOCOLS, SNMP.replace(b" 72442 0 ", b" 72442 1 ")),
    ],
)
def test_whatever_happens_to_tcp_makes_another_reading(protocols: bytes, snmp: bytes) -> None:
    assert counts(protocols, snmp).tcp != counts().tcp


def test_what_happens_to_others_does_not() -> None:
    assert counts(PROTOCOLS.replace(b"1472      0", b"1472      9"), SNMP.replace(b"Udp: 5", b"Udp: 6")) != counts()
    assert counts(PROTOCOLS.replace(b"1472      0", b"1472      9"), SNMP.replace(b"Udp: 5", b"Udp: 6")).tcp == (
        counts().tcp
    )


@pytest.mark.parametrize(
    ("protocols", "snmp"),
    [
        (b"", SNMP),
        (PROTOCOLS, b""),
        (PROTOCOLS.replace(b"\nTCP ", b"\nTPC "), SNMP),
        (PROTOCOLS.replace(b"\nUDP ", b"\nUPD "), SNMP),
        (PROTOCOLS, SNMP.replace(b"Tcp: 1", b"Tpc: 1")),
        (PROTOCOLS, SNMP.replace(b"994314", b"many")),
    ],
)
def test_texts_that_are_not_understood_are_no_counters(protocols: bytes, snmp: bytes) -> None:
    with pytest.raises(MalformedError):
        counts(protocols, snmp)


@given(st.binary(max_size=200) | st.just(PROTOCOLS), st.binary(max_size=200) | st.just(SNMP))
def test_noise_raises_nothing_else(protocols: bytes, snmp: bytes) -> None:
    with contextlib.suppress(MalformedError):
        counts(protocols, snmp)
