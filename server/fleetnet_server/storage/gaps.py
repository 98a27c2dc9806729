"""Times about which a host's history is not whole."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from fleetnet_server.records import Gap
from fleetnet_server.storage.dialect import execute_many, insert_new
from fleetnet_server.storage.schema import gaps

# Of one host. Every question about all hosts goes through those about its time.
MOST_KEPT = 10_000
MERGED = "many gaps, kept as one"
# Of what happened in it the host has said that it will tell.
KEPT = "kept on the host, being sent"
AGENT_RESTARTED = "agent restarted"


def record(conn: Connection, host_id: int, found: Iterable[Gap]) -> None:
    """Keep gaps; one kept already is not doubled. Ends that a clock set back turned round are put in order.

    Of a host with too many of them the older half becomes one gap, which covers the time between them as well.
    """
    rows = [
        {"host_id": host_id, "from_us": min(g.from_us, g.to_us), "to_us": max(g.from_us, g.to_us), "reason": g.reason}
        for g in found
    ]
    if rows:
        execute_many(conn, insert_new(conn, gaps), rows)
        ends = select(gaps.c.to_us).where(gaps.c.host_id == host_id).order_by(gaps.c.to_us)
        if conn.execute(ends.offset(MOST_KEPT).limit(1)).first() is not None:
            _merge_until(conn, host_id, conn.execute(ends.offset(MOST_KEPT // 2).limit(1)).scalar_one())


def _merge_until(conn: Connection, host_id: int, until_us: int) -> None:
    older = (gaps.c.host_id == host_id, gaps.c.to_us <= until_us)
    from_us = conn.execute(select(func.min(gaps.c.from_us)).where(*older)).scalar_one()
    conn.execute(delete(gaps).where(*older))
    conn.execute(insert(gaps).values(host_id=host_id, from_us=from_us, to_us=until_us, reason=MERGED))


def any_between(conn: Connection, host_id: int, from_us: int, to_us: int, reason: str | None = None) -> bool:
    """Whether a gap, or one for this reason, reaches into the time between two looks."""
    query = select(gaps.c.host_id).where(gaps.c.host_id == host_id, gaps.c.to_us > from_us, gaps.c.from_us < to_us)
    if reason is not None:
        query = query.where(gaps.c.reason == reason)
    return conn.execute(query.limit(1)).first() is not None


def kept_within(conn: Connection, host_id: int, from_us: int, to_us: int) -> list[Gap]:
    """Gaps that are kept on the host and lie within a time; ascending."""
    query = select(gaps.c.from_us, gaps.c.to_us).where(*_kept(host_id, from_us, to_us)).order_by(gaps.c.from_us)
    return [Gap(row.from_us, row.to_us, KEPT) for row in conn.execute(query.order_by(gaps.c.to_us))]


def withdraw_kept(conn: Connection, host_id: int, from_us: int, to_us: int) -> None:
    """What was kept on the host of the gaps within a time has been told: they are none any more."""
    conn.execute(delete(gaps).where(*_kept(host_id, from_us, to_us)))


def _kept(host_id: int, from_us: int, to_us: int) -> tuple[ColumnElement[bool], ...]:
    this = (gaps.c.host_id == host_id, gaps.c.reason == KEPT)
    return (*this, gaps.c.from_us >= from_us, gaps.c.to_us <= to_us, gaps.c.to_us >= from_us)


def around(conn: Connection, from_us: int, to_us: int, host_id: int | None = None) -> dict[int, list[Gap]]:
    """Gaps of one host or of each that share a moment with a time of the hosts' clocks, both ends included."""
    query = select(gaps.c.host_id, gaps.c.from_us, gaps.c.to_us, gaps.c.reason).where(
        gaps.c.to_us >= from_us, gaps.c.from_us <= to_us
    )
    if host_id is not None:
        query = query.where(gaps.c.host_id == host_id)
    found: dict[int, list[Gap]] = {}
    for row in conn.execute(query):
        found.setdefault(row.host_id, []).append(Gap(row.from_us, row.to_us, row.reason))
    return found
