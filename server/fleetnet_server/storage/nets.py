"""Nets, as ranges of the bytes that addresses are kept as.

What must stay true: an IPv4 address is kept in 4 bytes, or in 16 where a socket of both families has it (IPv4-mapped,
RFC 4291 2.5.5.2). A range is of one length, for bytes of another lie between its ends as well.
"""

from collections.abc import Iterable
from typing import Final

from fleetnet_server.records import Net

MAPPED: Final = bytes(10) + b"\xff\xff"
_IPV4_BITS: Final = 32
_IPV6_BITS: Final = 128
_MAPPED_BITS: Final = _IPV6_BITS - _IPV4_BITS


def ranges(net: Net) -> tuple[tuple[bytes, bytes], ...]:
    """First and last address of a net, both included: in the form of 4 bytes, where it has any, and in that of 16."""
    if len(net.address) == _IPV4_BITS // 8:
        net = Net(MAPPED + net.address, _MAPPED_BITS + net.prefix_bits)
    first, last = _ends(net)
    lowest, highest = _ends(Net(MAPPED + bytes(4), _MAPPED_BITS))
    if last < lowest or highest < first:
        return ((first, last),)
    short = len(MAPPED)
    return (max(first, lowest)[short:], min(last, highest)[short:]), (first, last)


def merged(some: Iterable[Net]) -> tuple[tuple[bytes, bytes], ...]:
    """The ranges of several nets, so that no address lies in two; the shorter ones first, in their order."""
    found: list[tuple[bytes, bytes]] = []
    for first, last in sorted({each for net in some for each in ranges(net)}, key=lambda each: (len(each[0]), each)):
        if found and len(found[-1][1]) == len(first) and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def has_ipv4(net: Net) -> bool:
    """Whether an IPv4 address lies in a net, in whichever form."""
    return len(ranges(net)) > 1


def has_ipv6(net: Net) -> bool:
    """Whether an address lies in a net that is not IPv4, nor IPv4-mapped."""
    first, last = ranges(net)[-1]
    return not (first.startswith(MAPPED) and last.startswith(MAPPED))


def _ends(net: Net) -> tuple[bytes, bytes]:
    free = (1 << _IPV6_BITS - net.prefix_bits) - 1
    first = int.from_bytes(net.address) & ~free
    return first.to_bytes(16), (first | free).to_bytes(16)
