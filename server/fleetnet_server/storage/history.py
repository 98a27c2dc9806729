"""Intervals that are told afterwards: rows of sockets found whatever has become of them, and put in anew.

What must stay true is said in sockets.py. Rows are found by their socket, through an index of both tables, so that a
host that tells of a week costs what it tells and not what is kept of it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    exists,
    insert,
    literal,
    select,
    update,
)

from fleetnet_server.storage import by_socket, ends, former_holders, usual
from fleetnet_server.storage.dialect import execute_many
from fleetnet_server.storage.former_holders import Moved
from fleetnet_server.storage.gaps import AGENT_RESTARTED
from fleetnet_server.storage.schema import current, gaps, history
from fleetnet_server.storage.sockets import COLUMNS, ENDPOINTS, OpenSocket, as_row, chunks

# Later than every time: the end of what is open.
OPEN_END_US = 1 << 62


@dataclass(frozen=True, slots=True)
class Interval:
    """A row of history, or of current where `closed_at_us` is 0."""

    opened_at_us: int
    opened_at_is: int
    closed_at_us: int
    closed_at_is: int
    last_seen_us: int
    state: int
    columns: tuple[Any, ...] = field(compare=False, repr=False)  # what does not change, in the order of _COLUMNS

    @property
    def end_us(self) -> int:
        """When it ended; later than every time while it is open."""
        return self.closed_at_us or OPEN_END_US

    def alike(self, other: "Interval") -> bool:
        """Whether both are of one state and between the same addresses."""
        return self.state == other.state and self.columns[_ENDPOINTS] == other.columns[_ENDPOINTS]


def of_socket(row: OpenSocket, closed_at_us: int, closed_at_is: int, last_seen_us: int) -> Interval:
    """An interval that is told; nothing of it is stored yet. `closed_at_us` is 0 of one whose end is not known."""
    told = dict(zip(COLUMNS, as_row(row), strict=True))
    # Whoever told of it knew of one holder.
    columns = tuple(told.get(name) for name in _COLUMNS)
    s = row.socket
    return Interval(row.opened_at_us, s.opened_at_is, closed_at_us, closed_at_is, last_seen_us, s.state, columns)


def between(
    conn: Connection, host_id: int, socket_ids: Collection[int], from_us: int, to_us: int, most: int
) -> dict[int, list[Interval]] | None:
    """What is kept of these sockets that reaches into a time, both ends included, in no order; None if that is too
    much."""
    found: dict[int, list[Interval]] = {}
    left = most
    for some in chunks(socket_ids):
        asked = {"of_host": host_id, "ids": some, "to_us": to_us}
        ended = {**asked, "numbers": by_socket.numbers(host_id, some), "from_us": from_us, "most": left + 1}
        rows = [*conn.execute(_ENDED, ended), *conn.execute(_OPEN, asked)]
        left -= len(rows)
        if left < 0:
            return None
        for row in rows:
            found.setdefault(row.socket_id, []).append(_interval(row))
    return found


def replace_rows(
    conn: Connection, host_id: int, before: Mapping[int, Iterable[Interval]], after: Mapping[int, Iterable[Interval]]
) -> int:
    """Write what has become of the rows of some sockets; how many were put into history. What is open stays open."""
    gone: list[dict[str, Any]] = []
    earlier: list[Moved] = []
    new: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    for socket_id, rows in after.items():
        was, now = set(before.get(socket_id, ())), set(rows)
        this = {"of_host": host_id, "of_socket": socket_id}
        earlier += _begun_earlier(host_id, socket_id, was - now, now - was)
        gone += [{**this, **_name(row)} for row in was - now if row.closed_at_us]
        for row in now - was:
            if row.closed_at_us:
                new.append(_as_history(row))
            else:
                moved.append({**this, "opened_us": row.opened_at_us, "opened_is": row.opened_at_is})
    for statement, values in ((_REMOVE, gone), (_INSERT, new), (_MOVE, moved)):
        if values:
            execute_many(conn, statement, values)
    former_holders.begin_earlier(conn, earlier)
    return len(new)


def _begun_earlier(host_id: int, socket_id: int, gone: Iterable[Interval], new: Iterable[Interval]) -> Iterator[Moved]:
    """Of those that changed hands: what is there now in place of what was there."""
    began = {since_us: row.opened_at_us for row in gone if (since_us := row.columns[_HELD_SINCE]) is not None}
    for row in new:
        was_us = began.get(row.columns[_HELD_SINCE])
        if was_us is not None and row.opened_at_us < was_us < row.end_us:
            yield Moved(host_id, socket_id, was_us, row.opened_at_us)


def end_earlier(conn: Connection, host_id: int, from_us: int, since_us: int, look_us: int) -> None:
    """What nobody has seen since `from_us`, and a look did not find any more, ended by `since_us`.

    Not what was seen then, and not what its host has told to have ended in a restart of its agent, as good as any gap.
    """
    conn.execute(_END_EARLIER, {"of_host": host_id, "from_us": from_us, "since_us": since_us, "look_us": look_us})


def _interval(row: Row[Any]) -> Interval:
    return Interval(
        row.opened_at_us,
        row.opened_at_is,
        row.closed_at_us,
        row.closed_at_is,
        row.last_seen_us,
        row.state,
        tuple(row[len(_TIMES) + 1 :]),
    )


def _name(row: Interval) -> dict[str, Any]:
    return {"opened_us": row.opened_at_us, "closed_us": row.closed_at_us, "in_state": row.state}


def _as_history(row: Interval) -> dict[str, Any]:
    values = dict(zip(_COLUMNS, row.columns, strict=True))
    values |= {name: getattr(row, name) for name in _TIMES}
    return values | {"last_seen_us": row.last_seen_us if row.last_seen_us != row.closed_at_us else None}


def _time(name: str) -> ColumnElement[int]:
    return usual.last_seen() if name == "last_seen_us" else history.c[name]


_TIMES = ("opened_at_us", "opened_at_is", "closed_at_us", "closed_at_is", "last_seen_us", "state")
# As they are kept (usual.py): they are compared with others that are, and written down again.
_COLUMNS = (
    *ENDPOINTS,
    *(column.name for column in history.columns if column.name not in (*ENDPOINTS, *_TIMES)),
)
_ENDPOINTS = slice(0, len(ENDPOINTS))
_HELD_SINCE = _COLUMNS.index("held_since_us")
_NONE = literal(0, BigInteger)
_GAP = 3  # ClosedAtIs.GAP of the wire
_IDS: BindParameter[int] = bindparam("ids", expanding=True)
_ENDED = (
    select(history.c.socket_id, *map(_time, _TIMES), *(history.c[name] for name in _COLUMNS))
    .where(
        by_socket.of_host("of_host"),
        by_socket.NUMBER.in_(bindparam("numbers", expanding=True)),
        history.c.socket_id.in_(_IDS),
        history.c.closed_at_us >= bindparam("from_us"),
        history.c.opened_at_us <= bindparam("to_us"),
    )
    .limit(bindparam("most"))
)
_OPEN = select(
    current.c.socket_id,
    current.c.opened_at_us,
    current.c.opened_at_is,
    _NONE.label("closed_at_us"),
    _NONE.label("closed_at_is"),
    current.c.seen_at_us.label("last_seen_us"),
    current.c.state,
    *(current.c[name] for name in _COLUMNS),
).where(
    current.c.host_id == bindparam("of_host"),
    current.c.socket_id.in_(_IDS),
    current.c.opened_at_us <= bindparam("to_us"),
)
_LOOK_US: BindParameter[int] = bindparam("look_us", type_=BigInteger)
# Where last_seen_us is empty it was seen up to that look: nothing to be ended earlier, and no comparison is true.
_END_EARLIER = (
    update(history)
    .where(
        history.c.host_id == bindparam("of_host"),
        ends.at(_LOOK_US),
        history.c.closed_at_us == _LOOK_US,
        history.c.closed_at_is == _GAP,
        history.c.opened_at_us <= bindparam("from_us"),
        history.c.last_seen_us <= bindparam("from_us"),
        history.c.last_seen_us < bindparam("since_us"),
        ~exists().where(
            gaps.c.host_id == history.c.host_id,
            gaps.c.from_us <= history.c.last_seen_us,
            gaps.c.to_us == history.c.closed_at_us,
            gaps.c.reason == AGENT_RESTARTED,
        ),
        # One that is open in another state may have changed at any time before that.
        ~exists().where(current.c.host_id == history.c.host_id, current.c.socket_id == history.c.socket_id),
    )
    .values(closed_at_us=bindparam("since_us"))
)
_INSERT = insert(history)
_REMOVE = delete(history).where(
    *by_socket.is_of("of_host", "of_socket"),
    history.c.closed_at_us == bindparam("closed_us"),
    history.c.opened_at_us == bindparam("opened_us"),
    history.c.state == bindparam("in_state"),
)
_MOVE = (
    update(current)
    .where(current.c.host_id == bindparam("of_host"), current.c.socket_id == bindparam("of_socket"))
    .values(opened_at_us=bindparam("opened_us"), opened_at_is=bindparam("opened_is"))
)
