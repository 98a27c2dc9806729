"""Intervals: a socket in one state, between one pair of addresses. Open ones are in current, ended ones in history.

What must stay true: of one socket no two intervals overlap, and an interval never ends before it began, whatever a
host's clock did. Both are seen to here, where the rows are: an end before its beginning is moved up to it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    SmallInteger,
    bindparam,
    case,
    delete,
    insert,
    literal_column,
    select,
    update,
)

from fleetnet_server.records import Socket
from fleetnet_server.storage import by_socket, usual
from fleetnet_server.storage.counts import Tally, Told
from fleetnet_server.storage.dialect import execute_rows, select_each
from fleetnet_server.storage.ends import at as ended_at
from fleetnet_server.storage.schema import current, history

# Engines bound how many values a statement may carry.
_IDS_PER_STATEMENT = 500
# Of sockets that a batch tells of anew there are hardly any: a clock was set back, or a stream broke amid it.
MOST_ENDS: Final = 20_000


# Every row that is stored passes through these: named tuples, for a frozen dataclass takes three times as long to make.


class OpenSocket(NamedTuple):
    """A row of current: what was reported, and what the collector made of it."""

    host_id: int
    socket_id: int
    socket: Socket
    holder_id: int
    scope: int
    opened_at_us: int
    seen_at_us: int

    @property
    def attributes(self) -> tuple[object, ...]:
        """What two reports of a socket in one state may differ in, as it is kept, in the order of _ATTRIBUTES."""
        s = self.socket
        return (
            _unusual(s.family, usual.IPV4),
            s.local_address,
            s.local_port,
            s.remote_address,
            s.remote_port,
            s.path or None,
            s.interface or None,
            s.v6only,
            s.recv_queue or None,
            s.send_queue or None,
            s.inode or None,
            _unusual(s.source, usual.DIAG),
            self.scope or None,
            self.holder_id,
            s.type or None,
            s.peer_inode or None,
        )

    @property
    def endpoints(self) -> tuple[object, ...]:
        """Those of the attributes that an interval keeps from beginning to end: both addresses with ports, the path."""
        return self.attributes[_ENDPOINTS]


class Known(NamedTuple):
    """What current holds of a socket, as far as a new report must be compared with it."""

    state: int
    opened_at_us: int
    held_since_us: int | None
    attributes: tuple[object, ...]

    @property
    def endpoints(self) -> tuple[object, ...]:
        """See OpenSocket."""
        return self.attributes[_ENDPOINTS]

    @property
    def holder_id(self) -> int:
        """Who holds it, as far as was told."""
        return cast("int", self.attributes[_HOLDER])

    @property
    def held_from_us(self) -> int:
        """Since when that one has."""
        return self.opened_at_us if self.held_since_us is None else self.held_since_us


class Ending(NamedTuple):
    """The end of an interval; `seen_at_us` is a look known to have confirmed it, 0 if none but those in the row."""

    host_id: int
    socket_id: int
    at_us: int
    how: int
    seen_at_us: int


class Named(NamedTuple):
    """What names a socket that is open, and its state."""

    host_id: int
    socket_id: int
    netns: int
    protocol: int
    state: int
    cookie: int
    inode: int
    local_address: bytes
    local_port: int
    remote_address: bytes
    remote_port: int


_ATTRIBUTES = (
    "family",
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "path",
    "interface",
    "v6only",
    "recv_queue",
    "send_queue",
    "inode",
    "source",
    "scope",
    "holder_id",
    "type",
    "peer_inode",
)  # fmt: skip
_ENDPOINTS = slice(_ATTRIBUTES.index("local_address"), _ATTRIBUTES.index("path") + 1)
_HOLDER = _ATTRIBUTES.index("holder_id")
# Those that an interval keeps from beginning to end.
ENDPOINTS = _ATTRIBUTES[_ENDPOINTS]
# Of current, seen_at_us last; all but that one are those of history too.
COLUMNS = (
    "host_id",
    "socket_id",
    "netns",
    "protocol",
    "family",
    "state",
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "interface",
    "v6only",
    "recv_queue",
    "send_queue",
    "inode",
    "cookie",
    "source",
    "scope",
    "holder_id",
    "opened_at_us",
    "opened_at_is",
    "type",
    "path",
    "peer_inode",
    "seen_at_us",
)  # fmt: skip
_TOLD = itemgetter(*map(COLUMNS.index, Told._fields))
_PASSED = (*COLUMNS[:-1], "closed_at_us", "closed_at_is", "last_seen_us")
_BY_END = itemgetter(_PASSED.index("host_id"), _PASSED.index("closed_at_us"))
# What the statements below take, in the order of what is handed over.
_NAMES = ("of_host", "of_socket")
_MOVED = (*_NAMES, "at_us", "how", "seen_us")  # the fields of an Ending
_CHANGES = (*_NAMES, "seen_us", *(f"new_{name}" for name in _ATTRIBUTES))


def known(conn: Connection, wanted: Mapping[int, Collection[int]]) -> dict[int, dict[int, Known]]:
    """Those of some sockets of some hosts that are open, by host and socket."""
    # Ascending, so that the pages of the key are visited in their order.
    rows = [(host_id, socket_id) for host_id in sorted(wanted) for socket_id in sorted(wanted[host_id])]
    found: dict[int, dict[int, Known]] = {host_id: {} for host_id in wanted}
    if rows:
        for host_id, socket_id, state, opened_us, since_us, *attributes in select_each(conn, _KNOWN, _NAMES, rows):
            found[host_id][socket_id] = Known(state, opened_us, since_us, tuple(attributes))
    return found


def begun(conn: Connection, host_id: int, named: Mapping[int, Socket]) -> dict[int, tuple[int, int]]:
    """When and how (the wire's number) the open intervals of these sockets began, of those that are in the same state
    between the same addresses."""
    found: dict[int, tuple[int, int]] = {}
    for some in chunks(named):
        for row in conn.execute(_BEGUN, {"of_host": host_id, "ids": some}):
            s = named[row.socket_id]
            kept = (row.state, row.local_address, row.local_port, row.remote_address, row.remote_port)
            if kept == (s.state, s.local_address, s.local_port, s.remote_address, s.remote_port):
                found[row.socket_id] = (row.opened_at_us, row.opened_at_is)
    return found


def open_ids(conn: Connection, host_ids: Collection[int]) -> dict[int, set[int]]:
    """All sockets of some hosts that are open, by host."""
    found: dict[int, set[int]] = {host_id: set() for host_id in host_ids}
    if found:
        for host_id, socket_id in select_each(conn, _OPEN_IDS, _NAMES[:1], [(host_id,) for host_id in sorted(found)]):
            found[host_id].add(socket_id)
    return found


def named(conn: Connection, host_ids: Collection[int]) -> Iterator[Named]:
    """All sockets of some hosts that are open, by what names them, one host after the other."""
    return map(Named._make, conn.execute(_NAMED, {"of_hosts": sorted(host_ids)}))


def ends(conn: Connection, host_id: int, socket_ids: Collection[int]) -> list[tuple[int, int, int]] | None:
    """What is in history of some sockets, as (socket_id, state, closed_at_us) and in no order; None if that is more
    than the writer may look through, whatever a host has told."""
    rows = [(host_id, socket_id) for socket_id in sorted(socket_ids)]
    found = select_each(conn, _ENDS, _NAMES, rows) if rows else []
    return None if len(found) > MOST_ENDS else [(socket_id, state, at_us) for socket_id, state, at_us in found]


def open_new(conn: Connection, rows: Sequence[OpenSocket], tally: Tally) -> None:
    """Begin intervals of sockets that have none open."""
    if rows:
        made = list(map(as_row, rows))
        execute_rows(conn, _OPEN, COLUMNS, made)
        tally.opened(map(_TOLD, made))


def pass_through(conn: Connection, passed: Sequence[tuple[OpenSocket, Ending]]) -> None:
    """Intervals that ended before they could be seen open: the same rows as `open_new` and then `end` would leave."""
    if passed:
        # One host after the other and as they ended: so an engine fills the pages of its index of ends.
        rows = sorted((_closed_row(*each) for each in passed), key=_BY_END)
        execute_rows(conn, _PASS, _PASSED, rows)


def update_open(conn: Connection, rows: Sequence[OpenSocket]) -> None:
    """Replace what is reported of open intervals; when and how they began stays."""
    if rows:
        execute_rows(conn, _UPDATE, _CHANGES, [_changes(row) for row in rows])


def end(conn: Connection, endings: Sequence[Ending], tally: Tally) -> int:
    """Move intervals to history and return how many moved. Each socket is named once; one not open is passed over."""
    if not endings:
        return 0
    moved = select_each(conn, _MOVE, _MOVED, endings)
    tally.ended(moved)
    execute_rows(conn, _REMOVE, _NAMES, [ending[:2] for ending in endings])
    return len(moved)


def restate_ends(conn: Connection, looks: Sequence[tuple[int, int]], was: int, becomes: int) -> None:
    """Of the intervals that ended at some looks, given as (host_id, at_us), say otherwise how exactly their end is
    known."""
    if looks:
        rows = [(*look, was, becomes) for look in looks]
        execute_rows(conn, _RESTATE, ("of_host", "ended_us", "was", "becomes"), rows)


def as_row(row: OpenSocket) -> tuple[Any, ...]:
    """The row of current, in the order of COLUMNS."""
    s = row.socket
    key = s.key
    return (
        row.host_id,
        row.socket_id,
        key.netns or None,
        _unusual(key.protocol, usual.TCP),
        _unusual(s.family, usual.IPV4),
        s.state,
        s.local_address,
        s.local_port,
        s.remote_address,
        s.remote_port,
        s.interface or None,
        s.v6only,
        s.recv_queue or None,
        s.send_queue or None,
        s.inode or None,
        key.cookie,
        _unusual(s.source, usual.DIAG),
        row.scope or None,
        row.holder_id,
        row.opened_at_us,
        s.opened_at_is,
        s.type or None,
        s.path or None,
        s.peer_inode or None,
        row.seen_at_us,
    )


def _unusual(value: int, than: int) -> int | None:
    return value if value != than else None


def _closed_row(row: OpenSocket, ending: Ending) -> tuple[Any, ...]:
    closed_at_us = max(row.opened_at_us, ending.at_us)
    last_seen_us = max(row.seen_at_us, ending.seen_at_us)
    return (*as_row(row)[:-1], closed_at_us, ending.how, last_seen_us if last_seen_us < closed_at_us else None)


def _changes(row: OpenSocket) -> tuple[Any, ...]:
    return (row.host_id, row.socket_id, row.seen_at_us, *row.attributes)


def chunks(socket_ids: Collection[int]) -> list[list[int]]:
    """As many at a time as a statement may carry."""
    # Ascending, so that the pages of the index are visited in their order.
    ordered = iter(sorted(socket_ids))
    return list(iter(lambda: list(islice(ordered, _IDS_PER_STATEMENT)), []))


def _later(a: ColumnElement[int], b: ColumnElement[int]) -> ColumnElement[int]:
    # The two-argument max() of SQLite is greatest() elsewhere; CASE is the same everywhere.
    return case((a > b, a), else_=b)


_ONE = (current.c.host_id == bindparam("of_host"), current.c.socket_id == bindparam("of_socket"))
_OPEN = insert(current)
_PASS = insert(history)
_UPDATE = (
    update(current)
    .where(*_ONE)
    .values(
        seen_at_us=_later(current.c.seen_at_us, bindparam("seen_us")),
        **{name: bindparam(f"new_{name}") for name in _ATTRIBUTES},
    )
)
_KNOWN = select(
    *(current.c[name] for name in ("host_id", "socket_id", "state", "opened_at_us", "held_since_us", *_ATTRIBUTES))
).where(*_ONE)
_BEGUN = select(
    *(current.c[name] for name in ("socket_id", "state", *ENDPOINTS, "opened_at_us", "opened_at_is"))
).where(current.c.host_id == bindparam("of_host"), current.c.socket_id.in_(bindparam("ids", expanding=True)))
_OPEN_IDS = select(current.c.host_id, current.c.socket_id).where(_ONE[0])
_NAMED = (
    select(*(usual.told(current, name) for name in Named._fields))
    .where(current.c.host_id.in_(bindparam("of_hosts", expanding=True)))
    .order_by(current.c.host_id)
)
_ENDED_US: BindParameter[int] = bindparam("ended_us", type_=BigInteger)
_RESTATE = (
    update(history)
    .where(
        history.c.host_id == bindparam("of_host"),
        ended_at(_ENDED_US),
        history.c.closed_at_us == _ENDED_US,
        history.c.closed_at_is == bindparam("was"),
    )
    .values(closed_at_is=bindparam("becomes"))
)
# Along the index of sockets, and not through the latest ends: of these a host may have any number, in any order.
_ENDS = (
    select(history.c.socket_id, history.c.state, history.c.closed_at_us)
    .where(*by_socket.is_of(*_NAMES))
    .limit(literal_column(str(MOST_ENDS + 1)))
    .offset(literal_column("0"))  # else it is a value on SQLite
)
_REMOVE = delete(current).where(*_ONE)
_END = _later(current.c.opened_at_us, bindparam("at_us"))
_SEEN = _later(current.c.seen_at_us, bindparam("seen_us"))
_KEPT = [column.name for column in history.columns if column.name in current.columns]
_MOVE = (
    insert(history)
    .from_select(
        [*_KEPT, "closed_at_us", "closed_at_is", "last_seen_us"],
        select(
            *(current.c[name] for name in _KEPT),
            _END,
            bindparam("how", type_=SmallInteger),
            case((_SEEN < _END, _SEEN)),  # empty where it was seen up to its end
        ).where(*_ONE),
    )
    .returning(*(history.c[name] for name in Told._fields))
)
