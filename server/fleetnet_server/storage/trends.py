"""What the counts of hosts came to, put down every few minutes where they have changed.

What must stay true: a row says what was so when it was put down, under the lock of its host's row; until the next row
of the same host, protocol and state nothing has changed that a pass in between found. Nothing is put down twice of one
time, however many collectors do it, and nothing of what has not changed. Times are the collector's. Of a host that
nobody heard nothing is put down, and nothing here says so: the streams do (sessions.heard).
"""

from collections.abc import Collection, Iterator
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from fleetnet_server.storage import hosts
from fleetnet_server.storage.dialect import execute_rows, insert_new
from fleetnet_server.storage.moments import among, of_hosts
from fleetnet_server.storage.schema_counts import counts, trends


class Step(NamedTuple):
    """A row: what the count of a protocol and state of a host came to."""

    protocol: int
    state: int
    at_us: int
    sockets: int
    listeners: int
    highest: int


def changed(conn: Connection, since_us: int, now_us: int) -> list[int]:
    """Hosts, ascending, with counts that are not what was put down of them last, which was before a time. Reads only,
    and all counts of the fleet."""
    asked = {"since_us": since_us, "now_us": now_us}
    return list(
        conn.execute(select(counts.c.host_id).distinct().where(_DUE).order_by(counts.c.host_id), asked).scalars()
    )


def put_down(conn: Connection, host_ids: Collection[int], since_us: int, now_us: int) -> int:
    """Put down what has changed of some hosts, as `changed` found them, and return how many rows that were."""
    # So that nobody changes a count between the two statements, which would take the highest of it away.
    hosts.hold(conn, host_ids)
    asked = {"since_us": since_us, "now_us": now_us}
    _forget_ahead(conn, host_ids, asked)
    due = select(
        *(counts.c[name] for name in _NAME), _NOW.label("at_us"), *(counts.c[name] for name in _COUNTED)
    ).where(among(counts, host_ids), _DUE)
    # A clock that was set back may come to the very microsecond again.
    conn.execute(insert_new(conn, trends).from_select([*_NAME, "at_us", *_COUNTED], due), asked)
    noted = update(counts).values(
        highest=counts.c.sockets,
        noted_sockets=counts.c.sockets,
        noted_listeners=counts.c.listeners,
        noted_at_us=_NOW,
    )
    return conn.execute(noted.where(among(counts, host_ids), _DUE), asked).rowcount


def _forget_ahead(conn: Connection, host_ids: Collection[int], asked: dict[str, int]) -> None:
    """What a clock that was ahead put down of the counts that are due would be told of the time that it said, once that
    has come."""
    ahead = select(*(counts.c[name] for name in _NAME)).where(
        among(counts, host_ids), _DUE, counts.c.noted_at_us > _NOW
    )
    if rows := [(*name, asked["now_us"]) for name in conn.execute(ahead, asked)]:
        execute_rows(conn, _NEVER_CAME, (*_OF_COUNT, "now_us"), rows)


def begun(conn: Connection, host_ids: Collection[int] | None) -> dict[int, int]:
    """When something was first put down of each of these hosts, or of all (None), that is still kept."""
    first = select(func.min(trends.c.at_us)).where(*_SAME).correlate(counts).scalar_subquery()
    query = select(counts.c.host_id, func.min(first)).where(*of_hosts(counts, host_ids)).group_by(counts.c.host_id)
    return {host_id: at_us for host_id, at_us in conn.execute(query) if at_us is not None}


def steps(
    conn: Connection,
    host_ids: Collection[int] | None,
    from_us: int,
    to_us: int,
    protocols: Collection[int] = (),
    states: Collection[int] = (),
) -> Iterator[tuple[int, list[Step]]]:
    """What was put down of each of these hosts, or of all (None), in a time, both ends included, and the last of each
    kind before it; by host, each in the order of its times. Hosts of which there is nothing are left out."""
    # What was ever put down has a row in counts, so the last before a time is found by it, and not by reading all.
    last = select(func.max(trends.c.at_us)).where(*_SAME, trends.c.at_us < from_us).correlate(counts).scalar_subquery()
    of_step = [trends.c[name] for name in ("host_id", *Step._fields)]
    chosen = [column.in_(some) for column, some in ((trends.c.protocol, protocols), (trends.c.state, states)) if some]
    before = (
        select(*of_step)
        .join_from(counts, trends, and_(*_SAME, trends.c.at_us == last))
        .where(*of_hosts(counts, host_ids), *chosen)
    )
    within = select(*of_step).where(*of_hosts(trends, host_ids), trends.c.at_us.between(from_us, to_us), *chosen)
    found = before.union_all(within).subquery()
    query = select(found).order_by(found.c.host_id, found.c.at_us, found.c.protocol, found.c.state)
    rows = conn.execute(query, execution_options={"stream_results": True})
    for host_id, some in groupby(rows, lambda row: row[0]):
        yield host_id, [Step._make(row[1:]) for row in some]


_NAME = ("host_id", "protocol", "state")
_COUNTED = ("sockets", "listeners", "highest")
_SAME: tuple[ColumnElement[bool], ...] = tuple(trends.c[name] == counts.c[name] for name in _NAME)
_NOW: BindParameter[int] = bindparam("now_us", type_=BigInteger)
_DUE = and_(
    # What lies in the future is of a clock that was ahead.
    or_(counts.c.noted_at_us < bindparam("since_us", type_=BigInteger), counts.c.noted_at_us > _NOW),
    or_(
        counts.c.sockets != counts.c.noted_sockets,
        counts.c.listeners != counts.c.noted_listeners,
        counts.c.highest > counts.c.noted_sockets,
    ),
)
_OF_COUNT = ("of_host", "of_protocol", "of_state")
_NEVER_CAME = delete(trends).where(
    *(trends.c[name] == bindparam(key) for name, key in zip(_NAME, _OF_COUNT, strict=True)), trends.c.at_us > _NOW
)
