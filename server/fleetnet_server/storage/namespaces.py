"""Network namespaces of the hosts: which are open, and what they were called at a time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from fleetnet_server.network import Namespace
from fleetnet_server.storage import spans
from fleetnet_server.storage.dialect import execute_rows, select_each
from fleetnet_server.storage.moments import Moment
from fleetnet_server.storage.schema import namespaces

_WORDS = ("name", "container", "runtime", "unit", "unread")
# What makes a namespace as reported, and when it was first seen.
COLUMNS = ("netns", *_WORDS, "routes_left_out", "since_us")
_OPEN = insert(namespaces)
_OPENED = ("netns", *_WORDS, "routes_left_out", "since_us", *spans.BEGINNING)
_OPEN_ONES = select(namespaces.c.host_id, namespaces.c.netns).where(
    namespaces.c.host_id == bindparam("of_host"), namespaces.c.closed_at_us.is_(None)
)
_LEFT_OUT = (
    update(namespaces)
    .where(
        namespaces.c.host_id == bindparam("of_host"),
        namespaces.c.netns == bindparam("of_netns"),
        namespaces.c.closed_at_us.is_(None),
    )
    .values(routes_left_out=bindparam("left_out"))
)


@dataclass(frozen=True, slots=True)
class Known:
    """A namespace that is open, without its interfaces and routes, and when it was first seen."""

    namespace: Namespace
    since_us: int


@dataclass(frozen=True, slots=True)
class Begun:
    """An interval of a namespace that begins."""

    namespace: Namespace
    since_us: int
    beginning: spans.Beginning


def same_words(one: Namespace, other: Namespace) -> bool:
    """Whether both are called the same and stand the same: then they are one interval."""
    return all(getattr(one, word) == getattr(other, word) for word in _WORDS)


def known(conn: Connection, pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], Known]:
    """Those of some namespaces, each given as (host_id, netns), that are open."""
    rows = spans.known(conn, namespaces, pairs, COLUMNS[1:])
    return {row[:2]: Known(_namespace(*row[1:-1]), row[-1]) for row in rows}


def open_ones(conn: Connection, host_ids: Collection[int]) -> dict[int, set[int]]:
    """All namespaces of some hosts that are open, by host."""
    found: dict[int, set[int]] = {host_id: set() for host_id in host_ids}
    if found:
        for host_id, netns in select_each(conn, _OPEN_ONES, ("of_host",), [(host_id,) for host_id in sorted(found)]):
            found[host_id].add(netns)
    return found


def open_new(conn: Connection, begun: Sequence[Begun]) -> None:
    """Begin intervals of namespaces that have none open."""
    if begun:
        told = ("netns", *_WORDS, "routes_left_out")
        rows = [(*(getattr(one.namespace, name) for name in told), one.since_us, *one.beginning) for one in begun]
        execute_rows(conn, _OPEN, _OPENED, rows)


def end(conn: Connection, which: Sequence[tuple[Mapping[str, int], spans.Ending]]) -> None:
    """End namespaces, each given by the column netns."""
    spans.end(conn, namespaces, which)


def last_ends(conn: Connection, host_id: int, netns: Collection[int], after_us: int) -> dict[tuple[int, ...], int]:
    """When namespaces last ended, where that was after a time, each given by the column netns."""
    return spans.last_ends(conn, namespaces, host_id, netns, ("netns",), after_us)


def restate(conn: Connection, looks: Sequence[tuple[int, int, int]], known: spans.Restated) -> None:
    """Of namespaces that began or ended at a look, say otherwise how exactly that is known."""
    spans.restate(conn, namespaces, looks, known)


def set_left_out(conn: Connection, told: Sequence[tuple[int, Namespace]]) -> None:
    """Note how many routes are now left out, of each namespace with its host; that alone begins no new interval."""
    if told:
        rows = [(host_id, one.netns, one.routes_left_out) for host_id, one in told]
        execute_rows(conn, _LEFT_OUT, ("of_host", "of_netns", "left_out"), rows)


def names(conn: Connection, pairs: Collection[tuple[int, int]], moment: Moment | None) -> dict[tuple[int, int], str]:
    """What namespaces, each given as (host_id, netns), were called at a time; without those that had no name."""
    found = spans.load(conn, namespaces, pairs, moment, ("name",), ("netns",))
    return {pair: row[2] for pair, rows in found.items() for row in rows if row[2]}


def of_row(row: Row[Any]) -> Namespace:
    """Without its interfaces and routes."""
    return _namespace(*(getattr(row, name) for name in COLUMNS[:-1]))


def _namespace(  # in the order of COLUMNS
    netns: int, name: str, container: str, runtime: str, unit: str, unread: bool, routes_left_out: int
) -> Namespace:
    return Namespace(netns, name, container, runtime, unit, unread=bool(unread), routes_left_out=routes_left_out)
