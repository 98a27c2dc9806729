"""What a batch tells of a host's namespaces, put into the intervals that are kept of them.

A namespace is told whole, so what is not listed in it has ended, and so has what is listed otherwise: then another
interval begins at the same instant. What is told as before goes on as the same row. Of a namespace that could not be
read the interfaces and routes that are kept stay as they are. An interval says `gap` where nobody can know when within
a gap it ended; which of them that concerns, ingest.py says.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from fleetnet_server.network import Interface, Namespace, Route
from fleetnet_server.storage import interfaces, namespaces, routes
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.spans import Ending, Restated

_LastEnds = Callable[[Connection, int, Collection[int], int], dict[tuple[int, ...], int]]


@dataclass(frozen=True, slots=True)
class Told:
    """A look at a host's namespaces; `opened_at_is` is how exactly it knows the beginnings of what is new."""

    host_id: int
    ending: Ending  # of what the look no longer found
    opened_at_is: int
    clock_set_back: bool  # the look lies before one that is stored already

    @property
    def at_us(self) -> int:
        return self.ending.at_us


def store(conn: Connection, look: Told, told: Sequence[Namespace], gone: Iterable[int]) -> None:
    """Store what a batch tells of namespaces, after ending those that are gone: an inode number may come again."""
    end(conn, look, gone)
    if told:
        _store_namespaces(conn, look, told)
        _store_interfaces(conn, look, told)
        _store_routes(conn, look, told)


def end(conn: Connection, look: Told, netns: Iterable[int]) -> None:
    """End namespaces with all that was in them."""
    which = [{"netns": one} for one in netns]
    for noun_end in (namespaces.end, interfaces.end, routes.end):
        noun_end(conn, look.host_id, which, look.ending)


def end_unnamed(conn: Connection, look: Told, named: set[int]) -> None:
    """What a whole snapshot did not name has ended."""
    end(conn, look, namespaces.open_ones(conn, look.host_id) - named)


def restate(conn: Connection, look: Told, netns: Collection[int], known: Restated) -> None:
    """Of what began or ended at the look, say otherwise how exactly that is known."""
    for noun_restate in (namespaces.restate, interfaces.restate, routes.restate):
        noun_restate(conn, look.host_id, netns, look.at_us, known)


def _floor(conn: Connection, look: Told, told: Sequence[Namespace], last_ends: _LastEnds) -> dict[tuple[int, ...], int]:
    """Before when nothing of that name can have begun, for its last interval reaches so far; elsewhere at any time."""
    # Only a clock that was set back reaches behind what is stored.
    return last_ends(conn, look.host_id, [one.netns for one in told], look.at_us) if look.clock_set_back else {}


def _store_namespaces(conn: Connection, look: Told, told: Sequence[Namespace]) -> None:
    known = namespaces.known(conn, look.host_id, [one.netns for one in told])
    floor = _floor(conn, look, told, namespaces.last_ends)
    begun = []
    other_words = []
    left_out = []
    for one in told:
        kept = known.get(one.netns)
        if kept is None or not namespaces.same_words(kept.namespace, one):
            opened_at_us = max(look.at_us, floor.get((one.netns,), 0))
            since_us = min(kept.since_us, opened_at_us) if kept else opened_at_us
            begun.append(namespaces.Begun(one, opened_at_us, since_us))
            other_words += [{"netns": one.netns}] if kept else []
        elif kept.namespace.routes_left_out != one.routes_left_out:
            left_out.append(one)
    namespaces.end(conn, look.host_id, other_words, look.ending)
    namespaces.open_new(conn, look.host_id, begun, look.opened_at_is, look.at_us)
    namespaces.set_left_out(conn, look.host_id, left_out)


def _store_interfaces(conn: Connection, look: Told, told: Sequence[Namespace]) -> None:
    known = interfaces.known(conn, look.host_id, [one.netns for one in told])
    floor = _floor(conn, look, told, interfaces.last_ends)
    begun: list[tuple[int, Interface, int]] = []
    ended = []
    for one in told:
        kept = known.get(one.netns, {})
        if one.unread and kept:
            continue
        listed = {interface.index: interface for interface in one.interfaces}
        ended += [{"netns": one.netns, "index": index} for index in kept if kept[index] != listed.get(index)]
        begun += [
            (one.netns, interface, max(look.at_us, floor.get((one.netns, index), 0)))
            for index, interface in listed.items()
            if kept.get(index) != interface
        ]
    interfaces.end(conn, look.host_id, ended, look.ending)
    interfaces.open_new(conn, look.host_id, begun, look.opened_at_is, look.at_us)


def _store_routes(conn: Connection, look: Told, told: Sequence[Namespace]) -> None:
    known = routes.known(conn, look.host_id, [one.netns for one in told])
    floor = _floor(conn, look, told, routes.last_ends)
    begun: list[tuple[int, int, Route, int, int]] = []
    ended = []
    moved: list[tuple[int, int, int]] = []
    for one in told:
        kept = known.get(one.netns, {})
        if one.unread and kept:
            continue
        listed = {routes.name(route): route for route in one.routes}
        ranks = routes.ranks(list(listed), kept)
        ended += [{"netns": one.netns, "route_id": route_id} for route_id in kept.keys() - listed.keys()]
        moved += [(one.netns, i, ranks[i]) for i, rank in kept.items() if i in listed and ranks[i] != rank]
        begun += [
            (one.netns, i, route, ranks[i], max(look.at_us, floor.get((one.netns, i), 0)))
            for i, route in listed.items()
            if i not in kept
        ]
    routes.end(conn, look.host_id, ended, look.ending)
    routes.set_ranks(conn, look.host_id, moved)
    routes.open_new(conn, look.host_id, begun, look.opened_at_is, look.at_us)
