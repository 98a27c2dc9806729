"""Codec of routes and next hops. Pure.

Formats: struct rtmsg, rtnexthop, rtvia, RTA_* and RTAX_* in include/uapi/linux/rtnetlink.h; struct nhmsg, nexthop_grp
and NHA_* in include/uapi/linux/nexthop.h.

What must stay true: nothing that counts or expires is read (RTA_CACHEINFO, RTA_EXPIRES), for it would make a change of
every look.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fleetnet_agent.network.rtnetlink import FAMILIES, address_of, attributes, fixed, number_of
from fleetnet_agent.records import NextHop, Route
from fleetnet_agent.sources.source import InconsistentError, MalformedError

# include/uapi/linux/rtnetlink.h
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS, RTA_MULTIPATH = 1, 4, 5, 6, 7, 8, 9
RTA_TABLE, RTA_VIA, RTA_NH_ID = 15, 18, 30
RTAX_MTU, RTAX_WINDOW, RTAX_RTT, RTAX_ADVMSS = 2, 3, 4, 8
RT_TABLE_LOCAL = 255
RTM_F_CLONED = 0x200
# include/uapi/linux/nexthop.h
NHA_ID, NHA_GROUP, NHA_OIF, NHA_GATEWAY = 1, 2, 5, 6

_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_HOP = struct.Struct("=HBBI")  # rtnexthop: length, flags, hops, interface
_OBJECT = struct.Struct("=BBBxI")  # nhmsg: family, scope, protocol, flags
_MEMBER = struct.Struct("=IBB2x")  # nexthop_grp: id, weight less one, its high byte
_HOP_FLAGS = 0xFF  # where a route has one next hop alone, its RTNH_F_* are the low byte of rtm_flags

Names = Mapping[int, str]
"""Interfaces by index."""


@dataclass(frozen=True, slots=True)
class Object:
    """A next hop object (ip-nexthop(8)): one hop, or shares of others; neither for one that leads nowhere."""

    hop: NextHop | None
    members: tuple[tuple[int, int], ...] = ()  # id and weight


class Hops:
    """Makes next hops, and reads next hop objects when the first is asked for: hardly a host shows their ids alone.
    Most routes share few next hops, so equal ones are one object."""

    def __init__(self, names: Names, read_objects: Callable[[], Mapping[int, Object]]) -> None:
        self._names = names
        self._read_objects = read_objects
        self._objects: Mapping[int, Object] | None = None
        self._shared: dict[tuple[NextHop, ...], tuple[NextHop, ...]] = {}

    @property
    def by_object(self) -> bool:
        """True if a route led over an object, and so does not tell by itself where it leads."""
        return self._objects is not None

    def of(self, found: Mapping[int, bytes], flags: int) -> tuple[NextHop, ...]:
        """Where a route with these attributes and RTNH_F_* leads. Raises SourceError."""
        hops = tuple(self._of(found, flags))
        return self._shared.setdefault(hops, hops)

    def _of(self, found: Mapping[int, bytes], flags: int) -> Iterator[NextHop]:
        if RTA_MULTIPATH in found:
            yield from _shares(found[RTA_MULTIPATH], self._names)
        elif RTA_OIF in found or RTA_GATEWAY in found or RTA_VIA in found:
            interface = _name(self._names, number_of(found, RTA_OIF))
            yield NextHop(_gateway(found, RTA_GATEWAY), interface, 1, flags & _HOP_FLAGS)
        elif RTA_NH_ID in found:  # and nothing else where nexthop_compat_mode is 0 (networking/ip-sysctl.rst)
            one = self._object(number_of(found, RTA_NH_ID))
            if one.hop is not None:
                yield one.hop
            for member, weight in one.members:  # a group has no groups in it, net/ipv4/nexthop.c: valid_group_nh()
                hop = self._object(member).hop
                if hop is not None:
                    yield NextHop(hop.gateway, hop.interface, weight, hop.flags)

    def _object(self, number: int) -> Object:
        if self._objects is None:
            self._objects = self._read_objects()
        if number not in self._objects:
            raise InconsistentError(f"a route leads over next hop {number}, which was not listed")
        return self._objects[number]


def is_told(body: bytes, family: int) -> bool:
    """True for a route of this family that is not of the local table and not a copy that the kernel keeps for itself.
    Raises MalformedError."""
    its_family, _, _, _, table, _, _, _, flags = fixed(body, _ROUTE, "a route")
    return its_family == family and table != RT_TABLE_LOCAL and not flags & RTM_F_CLONED


def decode_route(body: bytes, hops: Hops) -> Route:
    """A route. Raises MalformedError; InconsistentError where it leads over an interface or a next hop that is not
    known."""
    number, prefix_length, _, tos, table, protocol, scope, kind, flags = fixed(body, _ROUTE, "a route")
    if number not in FAMILIES:
        raise MalformedError(f"a route of family {number} is not known")
    family, width = FAMILIES[number]
    if prefix_length > 8 * width:
        raise MalformedError(f"a route to a prefix of {prefix_length} bits")
    found = attributes(body, _ROUTE.size)
    metrics = attributes(found[RTA_METRICS], 0) if RTA_METRICS in found else {}
    return Route(
        family=family,
        destination=address_of(found, RTA_DST, width) or bytes(width),
        prefix_length=prefix_length,
        table=number_of(found, RTA_TABLE, table),
        type=kind,
        protocol=protocol,
        scope=scope,
        metric=number_of(found, RTA_PRIORITY),
        preferred_source=address_of(found, RTA_PREFSRC, width),
        next_hops=hops.of(found, flags),
        flags=flags,
        tos=tos,
        advmss=number_of(metrics, RTAX_ADVMSS),
        window=number_of(metrics, RTAX_WINDOW),
        rtt=number_of(metrics, RTAX_RTT),
        mtu=number_of(metrics, RTAX_MTU),
    )


def decode_object(body: bytes, names: Names) -> tuple[int, Object]:
    """A next hop object and its id. Raises MalformedError; InconsistentError as `decode_route` does."""
    _, _, _, flags = fixed(body, _OBJECT, "a next hop")
    found = attributes(body, _OBJECT.size)
    group = found.get(NHA_GROUP, b"")
    if len(group) % _MEMBER.size:
        raise MalformedError(f"a group of next hops has {len(group)} bytes")
    members = tuple((one, (weight | high << 8) + 1) for one, weight, high in _MEMBER.iter_unpack(group))
    interface, gateway = number_of(found, NHA_OIF), _gateway(found, NHA_GATEWAY)
    hop = NextHop(gateway, _name(names, interface), 1, flags & _HOP_FLAGS) if interface or gateway else None
    return number_of(found, NHA_ID), Object(hop, members)


def _shares(multipath: bytes, names: Names) -> Iterator[NextHop]:
    at = 0
    while len(multipath) - at >= _HOP.size:
        size, flags, weight, interface = _HOP.unpack_from(multipath, at)
        if not _HOP.size <= size <= len(multipath) - at:
            raise MalformedError(f"a next hop claims {size} bytes where {len(multipath) - at} are left")
        found = attributes(multipath[at : at + size], _HOP.size)
        yield NextHop(_gateway(found, RTA_GATEWAY), _name(names, interface), weight + 1, flags)
        at += (size + 3) & ~3  # RTNH_ALIGN


def _gateway(found: Mapping[int, bytes], kind: int) -> bytes:
    """Of either family: an IPv4 route may lead over IPv6, by RTA_VIA or by a next hop object."""
    via = found.get(RTA_VIA, b"") if kind == RTA_GATEWAY else b""
    gateway = via[2:] or found.get(kind, b"")  # rtvia: family, address
    if len(gateway) not in (0, 4, 16):
        raise MalformedError(f"a gateway of {len(gateway)} bytes")
    return gateway


def _name(names: Names, index: int) -> str:
    if index and index not in names:
        raise InconsistentError(f"a route leads over interface {index}, which was not listed")
    return names.get(index, "")
