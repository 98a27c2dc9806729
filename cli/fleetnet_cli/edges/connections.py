"""What makes two sockets the halves of one connection: each has the other's addresses and ports, turned round.

Both halves have the same key: the protocol, where its addresses mean something, and the two ends in the order of their
bytes. Addresses are 16 bytes, IPv4 in its mapped form, so that the two forms are one. What must stay true: loopback
addresses mean something within one namespace, link-local ones within one host (the same may be on another link), and
no key of one place is that of another.
"""

import functools
import socket as sockets
import struct
from dataclasses import dataclass

_MAPPED = bytes(10) + b"\xff\xff"
_LOOPBACK_V4, _LINK_LOCAL_V4 = _MAPPED + b"\x7f", _MAPPED + b"\xa9\xfe"  # 127.0.0.0/8, 169.254.0.0/16
_LOOPBACK_V6 = bytes(15) + b"\x01"
_PROTOCOLS = ("tcp", "udp", "udplite", "sctp")
_KEY = struct.Struct("!Bi18s18s")
_END = struct.Struct("!16sH")
# Addresses repeat, and to parse each is much of what a socket costs here.
_REMEMBERED = 1 << 16


@functools.lru_cache(_REMEMBERED)
def packed(address: str) -> bytes:
    """The 16 bytes of an address; none where it is none."""
    if not address:
        return b""
    if ":" in address:
        return sockets.inet_pton(sockets.AF_INET6, address)
    return _MAPPED + sockets.inet_pton(sockets.AF_INET, address)


def text(address: bytes) -> str:
    """The address as people write it; IPv4 also where it was mapped."""
    if address.startswith(_MAPPED):
        return sockets.inet_ntop(sockets.AF_INET, address[len(_MAPPED) :])
    return sockets.inet_ntop(sockets.AF_INET6, address)


def is_ipv4(address: bytes) -> bool:
    """Also where it is mapped."""
    return address.startswith(_MAPPED)


def is_loopback(address: bytes) -> bool:
    """It is the namespace's own."""
    return address == _LOOPBACK_V6 or address.startswith(_LOOPBACK_V4)


def is_link_local(address: bytes) -> bool:
    """It means another host on each link."""
    return address.startswith(_LINK_LOCAL_V4) or (address[0] == 0xFE and address[1] & 0xC0 == 0x80)


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection as one of its halves has it."""

    protocol: str
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int

    @property
    def is_loopback(self) -> bool:
        """Both halves are in one namespace."""
        return is_loopback(self.local) or is_loopback(self.remote)

    @property
    def is_link_local(self) -> bool:
        """What its addresses mean depends on the link."""
        return is_link_local(self.local) or is_link_local(self.remote)

    def key(self, place: int, host: int) -> tuple[bytes, int]:
        """What both halves have in common, and which of the two sides this is. `place` and `host` are the numbers of
        its namespace and its host."""
        own, other = _END.pack(self.local, self.local_port), _END.pack(self.remote, self.remote_port)
        scope = place + 1 if self.is_loopback else -host - 1 if self.is_link_local else 0
        side = int(own > other)
        low, high = (other, own) if side else (own, other)
        return _KEY.pack(_PROTOCOLS.index(self.protocol), scope, low, high), side


def of_key(key: bytes) -> Connection:
    """The connection of a key, as side 0 has it."""
    protocol, _, low, high = _KEY.unpack(key)
    return Connection(_PROTOCOLS[protocol], *_END.unpack(low), *_END.unpack(high))


def turned(connection: Connection) -> Connection:
    """The same as the other half has it."""
    return Connection(
        connection.protocol, connection.remote, connection.remote_port, connection.local, connection.local_port
    )
