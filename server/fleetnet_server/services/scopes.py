"""How far the address of a listener reaches, and whether it is exposed. Pure.

The numbers are those of the wire's AddressScope and Exposure and are kept in the database: never renumber them.
"""

from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final


class Scope(IntEnum):
    """How far an address reaches."""

    NOT_A_LISTENER = 0
    LOOPBACK = 1
    LINK_LOCAL = 2
    PRIVATE = 3
    PUBLIC = 4
    ANY = 5


class Exposure(IntEnum):
    """Whether a listener can be reached from elsewhere, judged by where it is bound."""

    NOT_A_LISTENER = 0
    YES = 1
    NO = 2
    UNKNOWN = 3


_STREAMS = frozenset({6, 132})  # tcp, sctp: IANA
_DATAGRAMS = frozenset({17, 136, 255})  # udp, udplite: IANA; and raw, as the wire numbers it
_CLOSE, _LISTEN = 7, 10  # include/net/tcp_states.h
HOST_NETNS: Final = 0  # how the wire names the agent's own network namespace
LOOPBACK_INTERFACE: Final = "lo"  # as the kernel calls it in every namespace (drivers/net/loopback.c)

# RFC 1918, RFC 6598 (shared address space) and RFC 4193. The library's is_private counts much more (documentation,
# benchmarking, 240/4 …) and says no to RFC 6598, so the networks are named here.
_PRIVATE: Final = (
    ip_network("10.0.0.0/8"),
    ip_network("172.16.0.0/12"),
    ip_network("192.168.0.0/16"),
    ip_network("100.64.0.0/10"),
    ip_network("fc00::/7"),
)


def listens(protocol: int, state: int, remote_address: bytes) -> bool:
    """Whether a socket waits for others: TCP or SCTP in LISTEN, or UDP, UDPLITE or raw that has no peer.

    A UDP socket that is not bound, the kernel does not list; a raw one is always bound to its protocol's number. UNIX
    and packet sockets have no address of which a scope could be told.
    """
    if protocol in _STREAMS:
        return state == _LISTEN
    return protocol in _DATAGRAMS and state == _CLOSE and not remote_address


def scope(address: bytes) -> Scope:
    """The scope of an address of 4 or 16 bytes; an IPv4-mapped one is judged as IPv4."""
    ip: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_unspecified:
        return Scope.ANY
    if ip.is_loopback:
        return Scope.LOOPBACK
    if ip.is_link_local:
        return Scope.LINK_LOCAL
    if any(ip in network for network in _PRIVATE):
        return Scope.PRIVATE
    return Scope.PUBLIC


def exposure(netns: int, scope: Scope, interface: str = "") -> Exposure:
    """Whether a listener of this namespace and scope is exposed; with the interface that it is bound to, if any.

    What leads into another namespace (a bridge, a published port, a proxy) is not known, so nothing is claimed there.
    What is bound to the loopback interface takes nothing that comes in by another, whatever its address.
    """
    if scope is Scope.NOT_A_LISTENER:
        return Exposure.NOT_A_LISTENER
    if netns != HOST_NETNS:
        return Exposure.UNKNOWN
    return Exposure.NO if scope is Scope.LOOPBACK or interface == LOOPBACK_INTERFACE else Exposure.YES
