"""What batches tell of their hosts' namespaces, put into the intervals that are kept of them.

A namespace is told whole, so what is not listed in it has ended, and so has what is listed otherwise: then another
interval begins at the same instant. What is told as before goes on as the same row. Of a namespace that could not be
read the interfaces and routes that are kept stay as they are. An interval says `gap` where nobody can know when within
a gap it ended; which of them that concerns, storing.py says.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fleetnet_server.network import Namespace
from fleetnet_server.storage import interfaces, namespaces, routes
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.spans import Beginning, Ending, Restated

_LastEnds = Callable[[Connection, int, Collection[int], int], dict[tuple[int, ...], int]]


@dataclass(frozen=True, slots=True)
class Told:
    """A look at a host's namespaces; `opened_at_is` is how exactly it knows the beginnings of what is new."""

    ending: Ending  # of what the look no longer found
    opened_at_is: int
    clock_set_back: bool  # the look lies before one that is stored already
    namespaces: Sequence[Namespace]
    gone: Sequence[int]

    @property
    def host_id(self) -> int:
        return self.ending.host_id

    @property
    def at_us(self) -> int:
        return self.ending.at_us

    def beginning(self, earliest_us: int = 0) -> Beginning:
        """Of what is new."""
        return Beginning(self.host_id, max(self.at_us, earliest_us), self.opened_at_is, self.at_us)


def store(conn: Connection, looks: Sequence[Told]) -> None:
    """Store what looks tell of namespaces, each of another host, after ending those that are gone: an inode number may
    come again."""
    end(conn, [(look.ending, look.gone) for look in looks])
    told = [look for look in looks if look.namespaces]
    if told:
        _store_namespaces(conn, told)
        _store_interfaces(conn, told)
        _store_routes(conn, told)


def end(conn: Connection, gone: Sequence[tuple[Ending, Collection[int]]]) -> None:
    """End namespaces with all that was in them."""
    which = [({"netns": one}, ending) for ending, some in gone for one in some]
    for noun_end in (namespaces.end, interfaces.end, routes.end):
        noun_end(conn, which)


def end_unnamed(conn: Connection, named: Mapping[int, tuple[Ending, Collection[int]]]) -> None:
    """What whole snapshots did not name has ended; by host."""
    kept = namespaces.open_ones(conn, named)
    end(conn, [(ending, kept[host_id].difference(some)) for host_id, (ending, some) in named.items()])


def restate(conn: Connection, looks: Sequence[tuple[int, Collection[int], int]], known: Restated) -> None:
    """Of what began or ended at looks, given as (host_id, their namespaces, at_us), say otherwise how exactly that is
    known."""
    where = [(host_id, netns, at_us) for host_id, some, at_us in looks for netns in some]
    for noun_restate in (namespaces.restate, interfaces.restate, routes.restate):
        noun_restate(conn, where, known)


def _each(looks: Sequence[Told]) -> Iterator[tuple[Told, Namespace]]:
    return ((look, one) for look in looks for one in look.namespaces)


def _pairs(looks: Sequence[Told]) -> set[tuple[int, int]]:
    return {(look.host_id, one.netns) for look, one in _each(looks)}


def _floors(conn: Connection, looks: Sequence[Told], last_ends: _LastEnds) -> dict[int, dict[tuple[int, ...], int]]:
    """Before when nothing of that name can have begun, by host, for its last interval reaches so far; elsewhere at any
    time."""
    # Only a clock that was set back reaches behind what is stored.
    return {
        look.host_id: last_ends(conn, look.host_id, [one.netns for one in look.namespaces], look.at_us)
        if look.clock_set_back
        else {}
        for look in looks
    }


def _store_namespaces(conn: Connection, looks: Sequence[Told]) -> None:
    known = namespaces.known(conn, _pairs(looks))
    floors = _floors(conn, looks, namespaces.last_ends)
    begun = []
    other_words = []
    left_out = []
    for look, one in _each(looks):
        kept = known.get((look.host_id, one.netns))
        if kept is None or not namespaces.same_words(kept.namespace, one):
            beginning = look.beginning(floors[look.host_id].get((one.netns,), 0))
            since_us = min(kept.since_us, beginning.at_us) if kept else beginning.at_us
            begun.append(namespaces.Begun(one, since_us, beginning))
            other_words += [({"netns": one.netns}, look.ending)] if kept else []
        elif kept.namespace.routes_left_out != one.routes_left_out:
            left_out.append((look.host_id, one))
    namespaces.end(conn, other_words)
    namespaces.open_new(conn, begun)
    namespaces.set_left_out(conn, left_out)


def _store_interfaces(conn: Connection, looks: Sequence[Told]) -> None:
    known = interfaces.known(conn, _pairs(looks))
    floors = _floors(conn, looks, interfaces.last_ends)
    begun = []
    ended = []
    for look, one in _each(looks):
        kept = known.get((look.host_id, one.netns), {})
        if one.unread and kept:
            continue
        listed = {interface.index: interface for interface in one.interfaces}
        ended += [
            ({"netns": one.netns, "index": index}, look.ending) for index in kept if kept[index] != listed.get(index)
        ]
        begun += [
            (one.netns, interface, look.beginning(floors[look.host_id].get((one.netns, index), 0)))
            for index, interface in listed.items()
            if kept.get(index) != interface
        ]
    interfaces.end(conn, ended)
    interfaces.open_new(conn, begun)


def _store_routes(conn: Connection, looks: Sequence[Told]) -> None:
    known = routes.known(conn, _pairs(looks))
    floors = _floors(conn, looks, routes.last_ends)
    begun = []
    ended = []
    moved = []
    for look, one in _each(looks):
        kept = known.get((look.host_id, one.netns), {})
        if one.unread and kept:
            continue
        listed = {routes.name(route): route for route in one.routes}
        ranks = routes.ranks(list(listed), kept)
        ended += [({"netns": one.netns, "route_id": route_id}, look.ending) for route_id in kept.keys() - listed.keys()]
        moved += [
            (look.host_id, one.netns, i, ranks[i]) for i, rank in kept.items() if i in listed and ranks[i] != rank
        ]
        begun += [
            (one.netns, i, route, ranks[i], look.beginning(floors[look.host_id].get((one.netns, i), 0)))
            for i, route in listed.items()
            if i not in kept
        ]
    routes.end(conn, ended)
    routes.set_ranks(conn, moved)
    routes.open_new(conn, begun)
