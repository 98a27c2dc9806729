"""Which halves belong together.

1. On one host. Where a host has one half of each side, they are one connection, whatever other hosts have: a bridge of
   a host (172.17.0.1) leads to the host itself. This is also how a connection to an own address, and one over loopback
   or a link, is joined; their keys are no other place's.
2. Between hosts. One half is left of each side, and neither host has the other's address itself, for then it would have
   talked to itself.
3. Where more than one may be the other half, none is taken: all that fit are named.

What must stay true: no two halves are joined while a third fits as well.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from fleetnet_cli.edges.connections import of_key
from fleetnet_cli.edges.halves import Half
from fleetnet_cli.edges.places import Places


@dataclass(frozen=True, slots=True)
class Joined:
    """A half with the other one, or with the namespaces of those that may be it."""

    half: Half
    other: Half | None = None
    may_be: tuple[int, ...] = ()


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
            yield from _undecided(ones, others)
        else:
            left[0].extend(ones)
            left[1].extend(others)
    ones, others = left
    if len(ones) == len(others) == 1:
        own = places.on_host(connection.remote, ones[0].place) or places.on_host(connection.local, others[0].place)
        yield from (Joined(half) for half in (*ones, *others)) if own else (Joined(ones[0], others[0]),)  # 2.
    else:
        yield from _undecided(ones, others)


def _by_host(halves: list[Half], places: Places) -> Iterator[tuple[list[Half], list[Half]]]:
    by_host: defaultdict[int, tuple[list[Half], list[Half]]] = defaultdict(lambda: ([], []))
    for half in halves:
        by_host[places.host_number(half.place)][half.side].append(half)
    yield from by_host.values()


def _undecided(ones: list[Half], others: list[Half]) -> Iterator[Joined]:  # 3.
    for mine, theirs in ((ones, others), (others, ones)):
        may_be = tuple(half.place for half in theirs)
        yield from (Joined(half, may_be=may_be) for half in mine)
