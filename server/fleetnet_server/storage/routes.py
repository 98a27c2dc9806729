"""Routes of the namespaces: which are open, in which order, and what they were at a time.

A route is named by all that it is, for nothing less does: another metric makes another route. Routes come in the
kernel's order, which no column tells, so each has a rank; one that stays keeps it while others come and go, so that
the order at a time past is right too.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from struct import Struct
from typing import Any

from sqlalchemy import Connection, bindparam, insert, update

from fleetnet_server.network import NextHop, Route
from fleetnet_server.storage import ids, spans
from fleetnet_server.storage.dialect import execute_rows
from fleetnet_server.storage.moments import Moment
from fleetnet_server.storage.schema import routes

# In the order of Route; `next_hops` is encoded as the column's sentence says.
_ATTRIBUTES = (
    "family",
    "destination",
    "prefix_length",
    "table",
    "type",
    "protocol",
    "scope",
    "metric",
    "preferred_source",
    "next_hops",
    "flags",
    "tos",
    "advmss",
    "window",
    "rtt",
    "mtu",
)  # fmt: skip
_NEXT_HOPS = _ATTRIBUTES.index("next_hops")
_HOP = Struct(">IIB")
_SPACE = 2**32  # between two ranks, so that others find room there
_FARTHEST = 2**62
_OPEN = insert(routes)
_OPENED = ("netns", "route_id", "rank", *_ATTRIBUTES, *spans.BEGINNING)
_RANK = (
    update(routes)
    .where(
        routes.c.host_id == bindparam("of_host"),
        routes.c.netns == bindparam("of_netns"),
        routes.c.route_id == bindparam("of_route"),
        routes.c.closed_at_us.is_(None),
    )
    .values(rank=bindparam("new_rank"))
)


def name(route: Route) -> int:
    """What names the route within its namespace."""
    return ids.route_id(route, encode(route.next_hops))


def known(conn: Connection, pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], dict[int, int]]:
    """The ranks of what is open in some namespaces, each given as (host_id, netns), by name."""
    found: dict[tuple[int, int], dict[int, int]] = {}
    for host_id, netns, route_id, rank in spans.known(conn, routes, pairs, ("route_id", "rank")):
        found.setdefault((host_id, netns), {})[route_id] = rank
    return found


def ranks(order: Sequence[int], kept: Mapping[int, int]) -> dict[int, int]:
    """Ranks for routes in their order: those that stay keep theirs, unless they changed places or there is no room."""
    standing = [kept[route_id] for route_id in order if route_id in kept]
    if standing != sorted(standing):
        return _spread(order)
    found: dict[int, int] = {}
    waiting: list[int] = []
    before = None
    for route_id in order:
        if route_id not in kept:
            waiting.append(route_id)
            continue
        rank = kept[route_id]
        start = rank - _SPACE * (len(waiting) + 1) if before is None else before
        if len(waiting) >= rank - start:
            return _spread(order)
        found.update((new, start + (rank - start) * n // (len(waiting) + 1)) for n, new in enumerate(waiting, 1))
        found[route_id] = before = rank
        waiting = []
    found.update((new, (before or 0) + _SPACE * n) for n, new in enumerate(waiting, 1))
    return found if all(abs(rank) < _FARTHEST for rank in found.values()) else _spread(order)


def _spread(order: Sequence[int]) -> dict[int, int]:
    return {route_id: _SPACE * n for n, route_id in enumerate(order, 1)}


def set_ranks(conn: Connection, changed: Sequence[tuple[int, int, int, int]]) -> None:
    """Move open routes, each given as (host_id, netns, name, rank)."""
    if changed:
        execute_rows(conn, _RANK, ("of_host", "of_netns", "of_route", "new_rank"), changed)


def open_new(conn: Connection, begun: Sequence[tuple[int, int, Route, int, spans.Beginning]]) -> None:
    """Begin intervals, each given as (netns, name, route, rank, beginning)."""
    if begun:
        rows = [
            (netns, route_id, rank, *_values(route), *beginning) for netns, route_id, route, rank, beginning in begun
        ]
        execute_rows(conn, _OPEN, _OPENED, rows)


def _values(route: Route) -> tuple[Any, ...]:
    told = [getattr(route, name) for name in _ATTRIBUTES]
    told[_NEXT_HOPS] = encode(route.next_hops)
    return tuple(told)


def end(conn: Connection, which: Sequence[tuple[Mapping[str, int], spans.Ending]]) -> None:
    """End routes, each given by some of the columns netns, route_id."""
    spans.end(conn, routes, which)


def last_ends(conn: Connection, host_id: int, netns: Collection[int], after_us: int) -> dict[tuple[int, ...], int]:
    """When routes last ended, where that was after a time, each given by the columns netns, route_id."""
    return spans.last_ends(conn, routes, host_id, netns, ("netns", "route_id"), after_us)


def restate(conn: Connection, looks: Sequence[tuple[int, int, int]], known: spans.Restated) -> None:
    """Of routes that began or ended at a look, say otherwise how exactly that is known."""
    spans.restate(conn, routes, looks, known)


def load(
    conn: Connection, pairs: Collection[tuple[int, int]], moment: Moment | None
) -> dict[tuple[int, int], list[tuple[Route, int]]]:
    """Those of some namespaces at a time, in the kernel's order, each with when it came to be as it was."""
    found = spans.load(
        conn, routes, pairs, moment, (*_ATTRIBUTES, "rank", "route_id", "opened_at_us"), ("rank", "route_id")
    )
    return {pair: [(_route(row[2:-3]), row[-1]) for row in rows] for pair, rows in found.items()}


def encode(hops: Iterable[NextHop]) -> bytes:
    """As the column's sentence says."""
    return b"".join(
        bytes([len(hop.gateway)]) + hop.gateway + _HOP.pack(hop.weight, hop.flags, len(interface)) + interface
        for hop in hops
        for interface in [hop.interface.encode()]
    )


def decode(encoded: bytes) -> tuple[NextHop, ...]:
    """The reverse of `encode`."""
    found = []
    at = 0
    while at < len(encoded):
        gateway, at = encoded[at + 1 : at + 1 + encoded[at]], at + 1 + encoded[at]
        weight, flags, name_bytes = _HOP.unpack_from(encoded, at)
        at += _HOP.size
        found.append(NextHop(gateway, encoded[at : at + name_bytes].decode(), weight, flags))
        at += name_bytes
    return tuple(found)


def _route(values: Sequence[Any]) -> Route:
    told = list(values)
    told[_NEXT_HOPS] = decode(told[_NEXT_HOPS])
    return Route(*told)
