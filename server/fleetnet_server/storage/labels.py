"""Labels of hosts: what admins call them by, beside their names, one value for each key.

What must stay true: who changes labels holds the rows of their hosts (hosts.hold), so that two collectors never give
one host two values of a key. What a question asks is said in the words of the index by key and value.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from fleetnet_server.records import Label
from fleetnet_server.storage.dialect import execute_rows
from fleetnet_server.storage.moments import among, of_hosts
from fleetnet_server.storage.schema import hosts, labels

_ROW = ("host_id", "key", "value")
_INSERT = insert(labels)


def of_each(conn: Connection, host_ids: Collection[int] | None) -> dict[int, tuple[Label, ...]]:
    """The labels of these hosts, or of all (None), by key; hosts without any are left out."""
    query = select(labels.c.host_id, labels.c.key, labels.c.value).where(*of_hosts(labels, host_ids))
    found: dict[int, list[Label]] = {}
    for host_id, key, value in conn.execute(query.order_by(labels.c.host_id, labels.c.key)):
        found.setdefault(host_id, []).append(Label(key, value))
    return {host_id: tuple(some) for host_id, some in found.items()}


def had(asked: Collection[Label]) -> list[ColumnElement[bool]]:
    """Of the rows of hosts: that they have all of these labels."""
    return [hosts.c.host_id.in_(select(labels.c.host_id).where(*_is(one))) for one in asked]


def nobodys(conn: Connection, asked: Collection[Label]) -> tuple[Label, ...]:
    """Those of some labels that no host has."""
    return tuple(
        one for one in asked if conn.execute(select(labels.c.host_id).where(*_is(one)).limit(1)).first() is None
    )


def put(conn: Connection, becomes: Mapping[int, Sequence[Label]]) -> None:
    """From now on each of some hosts, whose rows are held, has these labels and no others."""
    if not becomes:
        return
    conn.execute(delete(labels).where(among(labels, becomes)))
    rows = [(host_id, *label) for host_id, some in becomes.items() for label in some]
    if rows:
        execute_rows(conn, _INSERT, _ROW, rows)


def _is(asked: Label) -> list[ColumnElement[bool]]:
    of_key = labels.c.key == asked.key
    return [of_key, labels.c.value == asked.value] if asked.value else [of_key]
