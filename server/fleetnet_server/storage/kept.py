"""How far back the history of each host goes, by kind, and how far it has been looked through for what is too old.

What must stay true: `since_us` is written in the transaction that deletes what it tells of, and never goes back, for
what is gone does not return when a collector is told to keep more. `walked_us` is a place in a walk and no promise:
whoever puts in rows that ended long ago moves it, and a walk that was under way then is not noted.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, BindParameter, Connection, bindparam, case, func, literal, select, update

from fleetnet_server.records import NotKept
from fleetnet_server.storage import sessions
from fleetnet_server.storage.dialect import execute_rows, insert_new
from fleetnet_server.storage.moments import Moment, by_clock, of_hosts
from fleetnet_server.storage.schema import hosts, kept


class Kind(IntEnum):
    """What is kept for a time of its own; the wire's numbers."""

    LISTENERS = 1
    SOCKETS = 2
    BRIEF = 3  # TIME_WAIT, and what is known by its end alone
    NETWORK = 4  # interfaces, routes and namespaces
    TRENDS = 5  # how counts went; no question on the wire is about them yet


SOCKETS: Final = frozenset({Kind.LISTENERS, Kind.SOCKETS, Kind.BRIEF})


class Walked(NamedTuple):
    """How far a walk has come, of one host and kind; `was_us` is how far one had come when it began."""

    host_id: int
    kind: int
    was_us: int
    now_us: int


@dataclass(frozen=True, slots=True)
class Reach:
    """How a kind is kept, over all hosts; by the collector's clock."""

    since_us: int  # the latest end of what is gone of any host; 0: nothing is
    walked_us: int  # how far the host has been walked that has been walked least


def walked(conn: Connection, host_id: int) -> dict[int, int]:
    """How far a host has been walked, by kind."""
    return {row.kind: row.walked_us for row in conn.execute(_WALKED, {"of_host": host_id})}


def begin(conn: Connection, host_id: int) -> None:
    """All that is kept of a host is to be walked, if it has never been."""
    _make_rows(conn, [(host_id, kind) for kind in map(int, Kind)])


def note_walked(conn: Connection, done: Sequence[Walked]) -> None:
    """Walks have come so far; where rows were put in meanwhile, they have not."""
    if done:
        execute_rows(conn, _WALK_ON, ("of_host", "of_kind", "was_us", "now_us"), done)


def note_deleted(conn: Connection, host_id: int, latest: Mapping[int, int]) -> None:
    """Rows have been deleted, the latest of each kind with this end."""
    if latest:
        execute_rows(conn, _RAISE, ("of_host", "of_kind", "ended_us"), [(host_id, *each) for each in latest.items()])


def set_back(conn: Connection, host_id: int, ended_us: int) -> None:
    """Rows are put in that ended then or later: the next walk looks at them, and one that is under way is no good."""
    conn.execute(_SET_BACK, {"of_host": host_id, "ended_us": ended_us})


def lacking(
    conn: Connection, moment: Moment, kinds: Collection[int], host_ids: Collection[int] | None, until_us: int
) -> tuple[NotKept, ...]:
    """Those of the kinds of which a host has not everything any more that was there at a time; by the collector's
    clock. Who enrolled later than `until_us` is no matter, unless asked for by name."""
    if not kinds:
        return ()
    at_us = by_clock(kept, moment)
    latest_us = func.max(kept.c.since_us - at_us + literal(moment.at_us, BigInteger))
    query = (
        select(kept.c.kind, latest_us)
        .join_from(kept, hosts, hosts.c.host_id == kept.c.host_id)
        .where(kept.c.kind.in_(kinds), kept.c.since_us > at_us, *of_hosts(kept, host_ids))
        .group_by(kept.c.kind)
        .order_by(kept.c.kind)
    )
    if host_ids is None:
        query = query.where(hosts.c.enrolled_at_us <= until_us)
    return tuple(NotKept(kind, since_us) for kind, since_us in conn.execute(query))


def since(conn: Connection, kind: int, host_ids: Collection[int] | None) -> dict[int, int]:
    """The latest end of what is no longer kept of each of these hosts, or of all (None); those of which all is are left
    out."""
    query = select(kept.c.host_id, kept.c.since_us).where(
        kept.c.kind == kind, kept.c.since_us > 0, *of_hosts(kept, host_ids)
    )
    return {row.host_id: row.since_us for row in conn.execute(query)}


def reaches(conn: Connection) -> dict[int, Reach]:
    """How each kind is kept over all hosts."""
    skewed = sessions.skewed(conn)
    ahead_us = by_clock(kept, Moment(0, skewed))
    # Nobody walks further than our clock allows (retention.py).
    walks_ahead_us = by_clock(kept, Moment(0, {host_id: us for host_id, us in skewed.items() if us < 0}))
    latest_us = func.max(case((kept.c.since_us == 0, 0), else_=kept.c.since_us - ahead_us))
    query = select(kept.c.kind, latest_us, func.min(kept.c.walked_us - walks_ahead_us)).group_by(kept.c.kind)
    return {kind: Reach(since_us, walked_us) for kind, since_us, walked_us in conn.execute(query)}


def _make_rows(conn: Connection, names: Sequence[tuple[int, int]]) -> None:
    execute_rows(
        conn, insert_new(conn, kept), ("host_id", "kind", "since_us", "walked_us"), [(*name, 0, 0) for name in names]
    )


_ENDED: BindParameter[int] = bindparam("ended_us", type_=BigInteger)
_THIS = (kept.c.host_id == bindparam("of_host"), kept.c.kind == bindparam("of_kind"))
_WALKED = select(kept.c.kind, kept.c.walked_us).where(kept.c.host_id == bindparam("of_host"))
_WALK_ON = (
    update(kept)
    .where(*_THIS, kept.c.walked_us == bindparam("was_us"))
    .values(walked_us=bindparam("now_us", type_=BigInteger))
)
_RAISE = update(kept).where(*_THIS, kept.c.since_us < _ENDED).values(since_us=_ENDED)
_SET_BACK = (
    update(kept)
    .where(kept.c.host_id == bindparam("of_host"))
    .values(walked_us=case((kept.c.walked_us > _ENDED, _ENDED), else_=kept.c.walked_us - 1))
)
