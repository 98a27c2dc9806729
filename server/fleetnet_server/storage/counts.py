"""How many sockets each host holds open, by protocol and state: kept beside the rows of current.

What must stay true: after every commit `counts` says what counting the rows of current would say. So whoever puts rows
into current or takes some out (sockets.py, and nobody else) tells it to a Tally, and the transaction writes that. What
changes a row in its place changes nothing of this: its protocol, its state, and whether it listens are those that its
interval has from beginning to end. All counts of a host are written under the lock of the host's row, as its sockets.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from fleetnet_server.counted import HostCount, StateCount
from fleetnet_server.storage import hosts as host_rows
from fleetnet_server.storage import usual
from fleetnet_server.storage.dialect import execute_rows, insert_or_set
from fleetnet_server.storage.moments import among, of_hosts
from fleetnet_server.storage.schema import current, hosts
from fleetnet_server.storage.schema_counts import counts

# Protocols whose sockets have addresses: tcp, udp, sctp, udplite and raw, the wire's numbers.
IP = (6, 17, 132, 136, 255)


class Told(NamedTuple):
    """What a row of current counts as; columns as they are stored (usual.py)."""

    host_id: int
    protocol: int | None
    state: int
    scope: int | None


class Tally:
    """How many rows a transaction puts into current, and takes out of it."""

    def __init__(self) -> None:
        self._rows: Counter[tuple[int, int | None, int, int | None]] = Counter()

    def opened(self, rows: Iterable[tuple[int, int | None, int, int | None]]) -> None:
        """These rows, each as Told has it, were put in."""
        self._rows.update(rows)

    def ended(self, rows: Iterable[tuple[int, int | None, int, int | None]]) -> None:
        """These rows were taken out."""
        self._rows.subtract(Counter(rows))

    def changes(self) -> list[tuple[int, int, int, int, int, int]]:
        """What becomes of the counts, in the order of _CHANGED; without what stays as it is."""
        sockets: Counter[tuple[int, int, int]] = Counter()
        listeners: Counter[tuple[int, int, int]] = Counter()
        for (host_id, protocol, state, scope), count in self._rows.items():
            if count:
                name = (host_id, usual.TCP if protocol is None else protocol, state)
                sockets[name] += count
                if scope:
                    listeners[name] += count
        # Ascending, so that the pages of the key are visited in their order.
        return [
            (*name, count, listeners[name], count)
            for name, count in sorted(sockets.items())
            if count or listeners[name]
        ]


@contextmanager
def kept(conn: Connection) -> Iterator[Tally]:
    """What is told to the tally is written at the end, with one statement; call it with the hosts held."""
    tally = Tally()
    yield tally
    if changes := tally.changes():
        execute_rows(conn, insert_or_set(conn, counts, _added), _CHANGED, changes)


@contextmanager
def kept_amid(conn: Connection, host_id: int, *, last: bool) -> Iterator[Tally]:
    """The same for a transaction of several that belong together, all of one host: only after the last is it said how
    many were open at once, for before that there may be what was never open beside each other."""
    tally = Tally()
    yield tally
    if changes := [(*change[:-1], 0) for change in tally.changes()]:
        execute_rows(conn, insert_or_set(conn, counts, _added_amid), _CHANGED, changes)
    if last:
        conn.execute(_SETTLE, {"of_host": host_id})


def of_each(conn: Connection, host_ids: Collection[int] | None) -> dict[int, tuple[int, int]]:
    """Per host how many IP sockets are open and how many of them listeners; hosts without any are left out."""
    query = (
        select(counts.c.host_id, func.sum(counts.c.sockets), func.sum(counts.c.listeners))
        .where(counts.c.sockets > 0, counts.c.protocol.in_(IP), *of_hosts(counts, host_ids))
        .group_by(counts.c.host_id)
    )
    return {row[0]: (row[1], row[2]) for row in conn.execute(query)}


def by_state(conn: Connection, host_ids: Collection[int] | None) -> tuple[StateCount, ...]:
    """Over these hosts, or all (None), how many sockets are open in each state, by protocol and state."""
    # By one number for both, and with what has come to 0: a tenth less to do, and a fifth on SQLite.
    sockets = func.sum(counts.c.sockets)
    kinds = select(_KIND, sockets, func.sum(counts.c.listeners)).where(*of_hosts(counts, host_ids))
    rows = sorted(map(tuple, conn.execute(kinds.group_by(_KIND).having(sockets > 0))))
    return tuple(StateCount(*divmod(kind, _STATES), *numbers) for kind, *numbers in rows)


def by_host(
    conn: Connection, states: Collection[int], protocols: Collection[int], host_ids: Collection[int] | None
) -> Iterator[HostCount]:
    """How many sockets each of these hosts, or of all (None), holds in these states (none: any) and of these protocols
    (none: any), by the name of the host; those that hold none are left out."""
    chosen = [column.in_(some) for column, some in ((counts.c.state, states), (counts.c.protocol, protocols)) if some]
    query = (
        select(hosts.c.name, counts.c.protocol, counts.c.state, counts.c.sockets, counts.c.listeners)
        .join_from(counts, hosts, hosts.c.host_id == counts.c.host_id)
        .where(counts.c.sockets > 0, *chosen, *of_hosts(counts, host_ids))
        .order_by(hosts.c.name, counts.c.protocol, counts.c.state)
    )
    for name, *count in conn.execute(query):
        yield HostCount(name, StateCount(*count))


def differing(conn: Connection, host_ids: Collection[int] | None = None) -> list[int]:
    """Those of these hosts, or of all (None), whose counts are not those of their rows. In one snapshot, so that
    nothing comes in between; it goes through all of their rows."""
    kept_now = select(*_NAME, counts.c.sockets, counts.c.listeners).where(
        or_(counts.c.sockets != 0, counts.c.listeners != 0), *of_hosts(counts, host_ids)
    )
    ours = {tuple(row) for row in conn.execute(kept_now)}
    theirs = {tuple(row) for row in conn.execute(_counted(host_ids))}
    return sorted({row[0] for row in ours ^ theirs})


def recount(conn: Connection, host_ids: Collection[int]) -> None:
    """Count the rows of hosts anew; nothing is put down of how their counts went."""
    host_rows.hold(conn, host_ids)
    noted = {
        tuple(row[:3]): tuple(row[3:]) for row in conn.execute(select(*_NAME, *_NOTED).where(among(counts, host_ids)))
    }
    conn.execute(delete(counts).where(among(counts, host_ids)))
    rows = {tuple(row[:3]): (row[3], row[4]) for row in conn.execute(_counted(host_ids))}
    anew = [
        (*name, sockets, listeners, sockets, *noted.get(name, (0, 0, 0)))
        for name in sorted(rows.keys() | noted.keys())
        for sockets, listeners in [rows.get(name, (0, 0))]
    ]
    if anew:
        execute_rows(conn, insert(counts), (*_CHANGED, *(column.name for column in _NOTED)), anew)


def _counted(host_ids: Collection[int] | None) -> Select[Any]:
    listeners = func.sum(case((current.c.scope != 0, 1), else_=0))
    protocol = usual.told(current, "protocol")
    told = select(current.c.host_id, protocol, current.c.state, func.count(), listeners)
    kinds = (current.c.host_id, protocol.element, current.c.state)
    return told.where(*of_hosts(current, host_ids)).group_by(*kinds)


def _added(new: ReadOnlyColumnCollection[str, Any]) -> dict[str, ColumnElement[Any]]:
    """What becomes of a row that is there already."""
    sockets = counts.c.sockets + new.sockets
    # The two-argument max() of SQLite is greatest() elsewhere; CASE is the same everywhere.
    return {**_added_amid(new), "highest": case((counts.c.highest > sockets, counts.c.highest), else_=sockets)}


def _added_amid(new: ReadOnlyColumnCollection[str, Any]) -> dict[str, ColumnElement[Any]]:
    return {"sockets": counts.c.sockets + new.sockets, "listeners": counts.c.listeners + new.listeners}


_SETTLE = (
    update(counts)
    .where(counts.c.host_id == bindparam("of_host"), counts.c.highest < counts.c.sockets)
    .values(highest=counts.c.sockets)
)
_STATES: Final = 1 << 16  # both are columns of 16 bits
_KIND = counts.c.protocol * literal_column(str(_STATES), Integer) + counts.c.state
_NAME = (counts.c.host_id, counts.c.protocol, counts.c.state)
_NOTED = (counts.c.noted_sockets, counts.c.noted_listeners, counts.c.noted_at_us)
_CHANGED = ("host_id", "protocol", "state", "sockets", "listeners", "highest")
