"""Which halves belong together.

1. On one host. Where a host has one half of each side, they are one connection, whatever other hosts have: a bridge of
   a host (172.17.0.1) leads to the host itself. This is also how a connection to an own address, and one over loopback
   or a link, is joined; their keys are no other place's.
2. Between hosts. A half whose host has the other's address itself is nobody else's, for it leads to that host. One half
   is left of each side, and each host has its own half's address.
3. Where more than one may be the other half, or the only one has an address that its host does not have, none is taken:
   all that fit are named.

What must stay true: no two halves are joined while a third fits as well, nor on the word of a host that reports a
socket at an address of another, or of nobody. What is said of a side is made once, and not for each half of the other,
for one host can report both in as many namespaces as it likes.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from fleetnet_cli.edges.connections import Connection, of_key
from fleetnet_cli.edges.halves import Half
from fleetnet_cli.edges.places import Places


@dataclass(frozen=True, slots=True, eq=False)
class Fitting:
    """The namespaces of all that may be the other half of each half of one side; one object for all of these."""

    places: tuple[int, ...]
    has_address: bool  # the host of one of them has the address, at least; where none has, whoever does may be it too


@dataclass(frozen=True, slots=True)
class Joined:
    """A half with the other one, or with those that may be it."""

    half: Half
    other: Half | None = None
    may_be: Fitting | None = None


def join(key: bytes, halves: list[Half], places: Places) -> Iterator[Joined]:
    """All halves of a connection, each once."""
    connection = of_key(key)
    if (connection.local, connection.local_port) == (connection.remote, connection.remote_port):
        yield from (Joined(half, half) for half in halves)  # a socket that is connected to itself
        return
    left: tuple[list[Half], list[Half]] = ([], [])
    for ones, others in _by_host(halves, places):  # 1.
        if len(ones) == len(others) == 1:
            yield Joined(ones[0], others[0])
        elif ones and others:
            yield from _undecided(connection, ones, others, places)
        else:
            left[0].extend(ones)
            left[1].extend(others)
    yield from _between_hosts(connection, *left, places)


def _between_hosts(
    connection: Connection, ones: list[Half], others: list[Half], places: Places
) -> Iterator[Joined]:  # 2.
    ones, own = _parted(ones, connection.remote, places)
    others, too = _parted(others, connection.local, places)
    yield from (Joined(half) for half in (*own, *too))
    if len(ones) == len(others) == 1:
        one, other = ones[0], others[0]
        if places.on_host(connection.local, one.place) and places.on_host(connection.remote, other.place):
            yield Joined(one, other)
            return
    yield from _undecided(connection, ones, others, places)


def _parted(halves: list[Half], far: bytes, places: Places) -> tuple[list[Half], list[Half]]:
    """Those that lead to other hosts, and those whose host has the far address itself."""
    parted: tuple[list[Half], list[Half]] = ([], [])
    for half in halves:
        parted[places.on_host(far, half.place)].append(half)
    return parted


def _by_host(halves: list[Half], places: Places) -> Iterator[tuple[list[Half], list[Half]]]:
    by_host: defaultdict[int, tuple[list[Half], list[Half]]] = defaultdict(lambda: ([], []))
    for half in halves:
        by_host[places.host_number(half.place)][half.side].append(half)
    yield from by_host.values()


def _undecided(connection: Connection, ones: list[Half], others: list[Half], places: Places) -> Iterator[Joined]:  # 3.
    for mine, theirs, address in ((ones, others, connection.remote), (others, ones, connection.local)):
        may_be = _fitting(theirs, address, places)
        yield from (Joined(half, may_be=may_be) for half in mine)


def _fitting(halves: list[Half], address: bytes, places: Places) -> Fitting | None:
    """Those of one side, all of which have this address."""
    if not halves:
        return None
    has_address = any(places.on_host(address, half.place) for half in halves)
    return Fitting(tuple(half.place for half in halves), has_address)
