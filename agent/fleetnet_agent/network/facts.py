"""The interfaces and routes of a network namespace, read through a NETLINK_ROUTE socket that was opened in it.

    1. Interfaces, their addresses, and what the driver of each says (not of loopback, which has none).
    2. Routes: IPv4, then IPv6, each in the kernel's order; next hops are named by the interfaces of step 1, and next
       hop objects are read where the kernel shows their ids alone.

What must stay true: a table that changed while it was read is read again, and after READ_AT_MOST times it counts as not
read: half of a table would tell that the other half is gone. Where the kernel does not mark such a dump, what it lacks
is looked for again. Memory is bounded, whatever the number of routes.
"""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from fleetnet_agent.network import ethtool, rtnetlink
from fleetnet_agent.network.dump import Dumps
from fleetnet_agent.network.links import decode_address, decode_link
from fleetnet_agent.network.routes import Hops, Names, Object, decode_object, decode_route, is_told
from fleetnet_agent.records import Interface, InterfaceAddress, Route
from fleetnet_agent.sources.source import InconsistentError, SourceError

ROUTES_MOST: Final = 5_000  # of a namespace
INTERFACES_MOST: Final = 4_000
ADDRESSES_MOST: Final = 8_000
READ_AT_MOST: Final = 3  # times, where a table changes while it is read
CONFIRMED_BY: Final = 8  # dumps; in a storm of changes it came to four that lacked the same one of 3,000

ARPHRD_LOOPBACK = 772  # include/uapi/linux/if_arp.h
_NOTHING_SAID = ethtool.Said()

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Interfaces:
    """All interfaces, ascending by index."""

    all: tuple[Interface, ...]
    left_out: int  # interfaces and addresses beyond what is carried
    names: Names  # of those left out, too


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes of all tables but the local one."""

    all: tuple[Route, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, each part of it or why it was not."""

    interfaces: Interfaces | SourceError
    routes: Routes | SourceError


class Memo(Generic[K, T]):
    """What was made of something at this reading and the one before: most of it is the same, and is not made again."""

    def __init__(self) -> None:
        self._before: dict[K, T] = {}
        self._now: dict[K, T] = {}

    def begin(self) -> None:
        """Another reading."""
        self._before, self._now = self._now, {}

    def of(self, key: K, make: Callable[[K], T]) -> T:
        """What `make` makes of the key, once. Raises what that does."""
        found = self._now.get(key) or self._before.get(key)
        if found is None:
            found = make(key)
        self._now[key] = found
        return found

    def clear(self) -> None:
        """Make everything again."""
        self._before, self._now = {}, {}


class Memory:
    """What is remembered of one namespace from reading to reading, so that cost follows change.

    Drivers are asked anew when the kernel's word of an interface is another one (it counts how often the link was
    lost), and after `forget_drivers`: some take milliseconds to answer.
    """

    def __init__(self) -> None:
        self.links: Memo[bytes, Interface] = Memo()
        self.addresses: Memo[bytes, tuple[int, InterfaceAddress] | None] = Memo()
        self.said: Memo[tuple[str, bytes], ethtool.Said] = Memo()
        self.interfaces: Memo[tuple[Interface, tuple[InterfaceAddress, ...], ethtool.Said], Interface] = Memo()
        self.routes: Memo[bytes, Route] = Memo()
        self.names: Names = {}
        self.ipv6: list[Route] = []  # of the last whole reading

    def begin_interfaces(self) -> None:
        """Read them again."""
        for memo in (self.links, self.addresses, self.said, self.interfaces):
            memo.begin()

    def begin_routes(self, names: Names) -> None:
        """Read them again; what led over interfaces of other names is not what it was."""
        if names != self.names:
            self.routes.clear()
        self.names = names
        self.routes.begin()

    def forget_drivers(self) -> None:
        """Ask all of them again."""
        self.said.clear()


def read(route: socket.socket, memory: Memory) -> Reading:
    """Interfaces and routes of the socket's namespace. Never raises SourceError."""
    try:
        dumps = Dumps(route)
    except SourceError as error:
        return Reading(error, error)
    reading = _read_once(dumps, memory)
    for _ in range(READ_AT_MOST - 1):
        if not any(isinstance(part, InconsistentError) for part in (reading.interfaces, reading.routes)):
            break
        reading = _read_once(dumps, memory)
    return reading


def _read_once(dumps: Dumps, memory: Memory) -> Reading:
    try:
        interfaces = _interfaces(dumps, memory)
    except SourceError as error:
        return Reading(error, error)
    try:
        return Reading(interfaces, _routes(dumps, interfaces.names, memory))
    except SourceError as error:
        return Reading(interfaces, error)


def _interfaces(dumps: Dumps, memory: Memory) -> Interfaces:
    memory.begin_interfaces()
    links: dict[int, tuple[bytes, Interface]] = {}
    for bodies in dumps.read(rtnetlink.LINKS):
        for body in bodies:
            link = memory.links.of(body, decode_link)
            links[link.index] = (body, link)
    addresses, all_addresses = _addresses(dumps, memory)
    if not addresses.keys() <= links.keys():
        raise InconsistentError("an address belongs to an interface that was not listed")
    told = []
    for index, (body, link) in sorted(links.items())[:INTERFACES_MOST]:
        said = _NOTHING_SAID
        if link.hardware_type != ARPHRD_LOOPBACK:
            said = memory.said.of((link.name, body), lambda key: ethtool.ask(dumps.fileno(), key[0]))
        told.append(memory.interfaces.of((link, tuple(addresses.get(index, ())), said), _whole))
    left_out = len(links) - len(told) + max(0, all_addresses - ADDRESSES_MOST)
    return Interfaces(tuple(told), left_out, {index: link.name for index, (_, link) in links.items()})


def _whole(parts: tuple[Interface, tuple[InterfaceAddress, ...], ethtool.Said]) -> Interface:
    link, addresses, said = parts
    return replace(
        link,
        addresses=addresses,
        speed_mbps=said.speed_mbps,
        duplex=said.duplex,
        link=said.link,
        driver=said.driver,
    )


def _addresses(dumps: Dumps, memory: Memory) -> tuple[dict[int, list[InterfaceAddress]], int]:
    """Addresses by the index of their interface, and how many there are."""
    addresses: dict[int, list[InterfaceAddress]] = {}
    count = 0
    for bodies in dumps.read(rtnetlink.ADDRESSES):
        for body in bodies:
            decoded = memory.addresses.of(body, decode_address)
            if decoded is not None:
                count += 1
                if count <= ADDRESSES_MOST:
                    addresses.setdefault(decoded[0], []).append(decoded[1])
    return addresses, count


def _routes(dumps: Dumps, names: Names, memory: Memory) -> Routes:
    memory.begin_routes(names)
    hops = Hops(names, lambda: _objects(dumps, names))
    ipv4 = _dump_routes(rtnetlink.AF_INET, dumps, hops, memory)
    ipv6 = _confirmed_ipv6(dumps, hops, memory)
    memory.ipv6 = ipv6.first
    if hops.by_object:  # which may be replaced under their routes
        memory.routes.clear()
    # A full table of one family does not push out the other: each has half of the room, and what the other leaves.
    half = ROUTES_MOST // 2
    kept_ipv4 = ipv4.first[: max(half, ROUTES_MOST - len(ipv6.first))]
    kept_ipv6 = ipv6.first[: max(half, ROUTES_MOST - len(ipv4.first))]
    return Routes((*kept_ipv4, *kept_ipv6), ipv4.count + ipv6.count - len(kept_ipv4) - len(kept_ipv6))


@dataclass(frozen=True, slots=True)
class _Dump:
    """One dump of the routes of a family."""

    first: list[Route]  # as many as may be told
    count: int
    in_one: bool  # it came in one piece, so that nothing changed meanwhile


def _confirmed_ipv6(dumps: Dumps, hops: Hops, memory: Memory) -> _Dump:
    """The IPv6 routes. A known one counts as gone when CONFIRMED_BY dumps lack it.

    Where the tree changes between two pieces of a dump, the kernel walks it again from the root and passes over as many
    routes as it has shown (net/ipv6/ip6_fib.c: fib6_dump_table()): over one too many for each that was deleted. Nothing
    marks such a dump, and all dumps break at the same places.
    """
    dump = _dump_routes(rtnetlink.AF_INET6, dumps, hops, memory)
    first = dump.first
    for _ in range(CONFIRMED_BY - 1):
        missing = set(_missing(memory.ipv6, first))
        if not missing or dump.in_one:
            break
        dump = _dump_routes(rtnetlink.AF_INET6, dumps, hops, memory)
        seen = [route for route in memory.ipv6 if route not in missing]
        # What only the dumps before had is put last; its place is right again with the next reading.
        first = dump.first + _missing(seen, dump.first)
    return _Dump(first, max(dump.count, len(first)), dump.in_one)


def _missing(known: Iterable[Route], routes: list[Route]) -> list[Route]:
    """Those of the known that are not there now. What did not change is mostly the same object, which costs nothing to
    compare."""
    there = set(map(id, routes))
    candidates = [route for route in known if id(route) not in there]
    if not candidates:
        return []
    equals = set(routes)
    return [route for route in candidates if route not in equals]


def _dump_routes(family: int, dumps: Dumps, hops: Hops, memory: Memory) -> _Dump:
    kept: dict[bytes, None] = {}  # one that came twice because the table changed meanwhile counts once
    count = pieces = 0
    for bodies in dumps.read(rtnetlink.routes_of(family)):
        pieces += bool(bodies)
        for body in bodies:
            if is_told(body, family):
                if len(kept) < ROUTES_MOST:
                    count += body not in kept
                    kept[body] = None
                else:
                    count += 1
    first = [memory.routes.of(body, lambda body: decode_route(body, hops)) for body in kept]
    return _Dump(first, count, in_one=pieces <= 1)


def _objects(dumps: Dumps, names: Names) -> dict[int, Object]:
    messages = [body for bodies in dumps.read(rtnetlink.NEXT_HOPS) for body in bodies]
    return dict(decode_object(body, names) for body in messages)
