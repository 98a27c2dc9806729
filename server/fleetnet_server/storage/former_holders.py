"""Who held a socket before it changed hands within one state, and who held it at a time.

What must stay true: of one socket no two of these times overlap, and they lie before what the row of their interval
says of its own holder (held_since_us): a row that says nothing there needs no look here. One transaction writes both.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    exists,
    func,
    tuple_,
    update,
)

from fleetnet_server.storage.dialect import execute_rows, insert_new
from fleetnet_server.storage.schema import current, former_holders

_BEFORE = former_holders.alias("before")
# Of those that `held_between` goes through.
HOLDER: Final = tuple_(_BEFORE.c.host_id, _BEFORE.c.holder_id)


class Former(NamedTuple):
    """Who held a socket from one time until another."""

    host_id: int
    socket_id: int
    until_us: int
    from_us: int
    seen_us: int | None  # the last look known to have found it so; None: up to until_us
    holder_id: int
    kind: int  # of kept.Kind: as what it is kept


class Moved(NamedTuple):
    """An interval that turned out to have begun earlier."""

    host_id: int
    socket_id: int
    was_us: int
    is_us: int


def keep(conn: Connection, found: Sequence[Former]) -> None:
    """Keep these of intervals that are open, and say in their rows since when somebody else has held them."""
    if found:
        execute_rows(conn, insert_new(conn, former_holders), Former._fields, found)
        execute_rows(conn, _SINCE, ("of_host", "of_socket", "since_us"), [former[:3] for former in found])


def begin_earlier(conn: Connection, moved: Collection[Moved]) -> None:
    """Whoever held these first, held them from their beginning."""
    if moved:
        execute_rows(conn, _BEGIN, ("of_host", "of_socket", "was_us", "is_us"), sorted(moved))


def then(rows: Select[Any], table: Table, at: ColumnElement[int]) -> Select[Any]:
    """Rows of current or history, each joined with whoever held it at a time, where that was not the one it names."""
    former = former_holders.c
    held = (former.host_id == table.c.host_id) & (former.socket_id == table.c.socket_id)
    return rows.outerjoin(
        former_holders, (table.c.held_since_us > at) & held & (former.from_us <= at) & (former.until_us > at)
    )


def holder_id(table: Table) -> ColumnElement[int]:
    """Who held such a row."""
    return func.coalesce(former_holders.c.holder_id, table.c.holder_id)


def held_between(
    table: Table, since_us: int, until: ColumnElement[int] | None, conditions: Sequence[ColumnElement[bool]]
) -> ColumnElement[bool]:
    """Rows of current or history that somebody held before, of whom this is true, at some moment from `since_us` on and
    until a time, or ever after."""
    former = _BEFORE.c
    one = exists().where(
        former.host_id == table.c.host_id,
        former.socket_id == table.c.socket_id,
        former.from_us >= table.c.opened_at_us,
        former.until_us <= table.c.held_since_us,
        former.until_us > since_us,
        *conditions,
    )
    return table.c.held_since_us.is_not(None) & (one if until is None else one.where(former.from_us <= until))


_SINCE_US: BindParameter[int] = bindparam("since_us", type_=BigInteger)
_SINCE = (
    update(current)
    .where(current.c.host_id == bindparam("of_host"), current.c.socket_id == bindparam("of_socket"))
    .values(held_since_us=_SINCE_US)
)
_BEGIN = (
    update(former_holders)
    .where(
        former_holders.c.host_id == bindparam("of_host"),
        former_holders.c.socket_id == bindparam("of_socket"),
        former_holders.c.from_us == bindparam("was_us"),
    )
    .values(from_us=bindparam("is_us", type_=BigInteger))
)
