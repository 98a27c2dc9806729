"""Network namespaces of the hosts: which are open, and what they were called at a time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from fleetnet_server.network import Namespace
from fleetnet_server.storage import spans
from fleetnet_server.storage.dialect import execute_many
from fleetnet_server.storage.moments import Moment
from fleetnet_server.storage.schema import namespaces

_WORDS = ("name", "container", "runtime", "unit", "unread")
# What makes a namespace as reported, and when it was first seen.
COLUMNS = ("netns", *_WORDS, "routes_left_out", "since_us")
_OPEN = insert(namespaces)
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
    opened_at_us: int
    since_us: int


def same_words(one: Namespace, other: Namespace) -> bool:
    """Whether both are called the same and stand the same: then they are one interval."""
    return all(getattr(one, word) == getattr(other, word) for word in _WORDS)


def known(conn: Connection, host_id: int, netns: Collection[int]) -> dict[int, Known]:
    """Those of the namespaces of a host that are open."""
    rows = spans.known(conn, namespaces, host_id, netns, COLUMNS)
    return {row.netns: Known(of_row(row), row.since_us) for row in rows}


def open_ones(conn: Connection, host_id: int) -> set[int]:
    """All namespaces of a host that are open."""
    query = select(namespaces.c.netns).where(namespaces.c.host_id == host_id, namespaces.c.closed_at_us.is_(None))
    return set(conn.execute(query).scalars())


def open_new(conn: Connection, host_id: int, begun: Iterable[Begun], opened_at_is: int, seen_at_us: int) -> None:
    """Begin intervals of namespaces that have none open."""
    rows = [
        {
            "host_id": host_id,
            "netns": one.namespace.netns,
            **{word: getattr(one.namespace, word) for word in _WORDS},
            "routes_left_out": one.namespace.routes_left_out,
            "since_us": one.since_us,
            "opened_at_us": one.opened_at_us,
            "opened_at_is": opened_at_is,
            "seen_at_us": seen_at_us,
        }
        for one in begun
    ]
    if rows:
        execute_many(conn, _OPEN, rows)


def end(conn: Connection, host_id: int, which: Sequence[Mapping[str, int]], ending: spans.Ending) -> None:
    """End namespaces, each given by the column netns."""
    spans.end(conn, namespaces, host_id, which, ending)


def last_ends(conn: Connection, host_id: int, netns: Collection[int], after_us: int) -> dict[tuple[int, ...], int]:
    """When namespaces last ended, where that was after a time, each given by the column netns."""
    return spans.last_ends(conn, namespaces, host_id, netns, ("netns",), after_us)


def restate(conn: Connection, host_id: int, netns: Collection[int], at_us: int, known: spans.Restated) -> None:
    """Of namespaces that began or ended at a look, say otherwise how exactly that is known."""
    spans.restate(conn, namespaces, host_id, netns, at_us, known)


def set_left_out(conn: Connection, host_id: int, told: Iterable[Namespace]) -> None:
    """Note how many routes are now left out; that alone begins no new interval."""
    rows = [{"of_host": host_id, "of_netns": one.netns, "left_out": one.routes_left_out} for one in told]
    if rows:
        execute_many(conn, _LEFT_OUT, rows)


def names(conn: Connection, pairs: Collection[tuple[int, int]], moment: Moment | None) -> dict[tuple[int, int], str]:
    """What namespaces, each given as (host_id, netns), were called at a time; without those that had no name."""
    found = spans.load(conn, namespaces, pairs, moment, ("name",), ("netns",))
    return {pair: row[2] for pair, rows in found.items() for row in rows if row[2]}


def of_row(row: Row[Any]) -> Namespace:
    """Without its interfaces and routes."""
    return Namespace(
        netns=row.netns,
        name=row.name,
        container=row.container,
        runtime=row.runtime,
        unit=row.unit,
        unread=row.unread,
        routes_left_out=row.routes_left_out,
    )
