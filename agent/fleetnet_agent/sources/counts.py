"""What the kernel counts of the sockets in one network namespace, without walking over any of them. Pure.

Formats: /proc/net/protocols (net/core/sock.c: proto_seq_printf()), how many sockets there are of each kind; and the
line `Tcp:` of /proc/net/snmp (net/ipv4/proc.c: snmp_seq_show()), what has happened to TCP since the namespace began,
both families together.

What must stay true: whatever the bytes are, the only exception is MalformedError; numbers of TCP are only ever compared
with numbers that were read before.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from fleetnet_agent.records import Protocol
from fleetnet_agent.sources.source import MalformedError

COUNTS_FILES: Final = ("protocols", "snmp")
LISTED_AS: Final = {
    Protocol.TCP: ("TCP", "TCPv6"),
    Protocol.UDP: ("UDP", "UDPv6"),
    Protocol.UDPLITE: ("UDP-Lite", "UDPLITEv6"),
    Protocol.SCTP: ("SCTP", "SCTPv6"),
    Protocol.RAW: ("RAW", "RAWv6"),
    Protocol.UNIX: ("UNIX", "UNIX-STREAM"),
    Protocol.PACKET: ("PACKET",),
}
"""Names in /proc/net/protocols; before Linux 5.14 there is no UNIX-STREAM."""

_LINE = re.compile(rb"^(\S{1,32}) +\d{1,10} +(-?\d{1,19}) ", re.MULTILINE)
_NONE = b"0"
_TCP = re.compile(rb"^Tcp: [A-Z][A-Za-z ]{1,1024}\nTcp: ([-\d ]{1,1024})$", re.MULTILINE)
_KINDS = {name.encode(): protocol for protocol, names in LISTED_AS.items() for name in names}
_TCP_NAMES = tuple(name.encode() for name in LISTED_AS[Protocol.TCP])


@dataclass(frozen=True, slots=True)
class Counts:
    """One reading of the counters. Two that are equal in `tcp` enclose a time in which no connection was opened, and no
    segment came or went."""

    tcp: tuple[bytes | None, ...]  # text of the statistics, and of the numbers of sockets in the hash tables
    some_of: Set[Protocol]  # kinds of which there may be sockets

    def none_of(self, protocol: Protocol) -> bool:
        """True if there was no such socket, nor anything left of one that the kernel still shows."""
        return protocol not in self.some_of


def decode_counts(protocols: bytes, snmp: bytes) -> Counts:
    """From the texts of the two files. Raises MalformedError."""
    sockets: dict[bytes, bytes] = dict(_LINE.findall(protocols))
    happened = _TCP.search(snmp)
    if happened is None or b"TCP" not in sockets or b"UDP" not in sockets:
        raise MalformedError("the kernel's counters of sockets are not understood")
    some = {_KINDS[name] for name, number in sockets.items() if number != _NONE and name in _KINDS}
    some.add(Protocol.TCP)  # TIME_WAIT and SYN_RECV are not counted
    if b"SCTP" in sockets:  # an association may outlive its socket
        some.add(Protocol.SCTP)
    return Counts((happened[1], *map(sockets.get, _TCP_NAMES)), some)
