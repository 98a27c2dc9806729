"""Times about which a host's history is not whole."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, insert, select

from fleetnet_server.records import Gap
from fleetnet_server.storage.dialect import execute_rows, insert_new, select_each
from fleetnet_server.storage.moments import Moment, by_clock, since
from fleetnet_server.storage.schema import gaps, hosts

# Of one host. Every question about all hosts goes through those about its time.
MOST_KEPT = 10_000
MERGED = "many gaps, kept as one"
# Of what happened in it the host has said that it will tell.
KEPT = "kept on the host, being sent"
AGENT_RESTARTED = "agent restarted"

_COUNT = select(gaps.c.host_id, func.count()).where(gaps.c.host_id == bindparam("of_host")).group_by(gaps.c.host_id)
_BETWEEN = (
    select(gaps.c.host_id, gaps.c.reason)
    .distinct()
    .where(
        gaps.c.host_id == bindparam("of_host"),
        gaps.c.to_us > bindparam("begin_us"),
        gaps.c.from_us < bindparam("end_us"),
    )
)


def record(conn: Connection, host_id: int, found: Iterable[Gap]) -> None:
    """Keep gaps of one host; see record_each."""
    record_each(conn, {host_id: found})


def record_each(conn: Connection, found: Mapping[int, Iterable[Gap]]) -> None:
    """Keep gaps of hosts; one kept already is not doubled. Ends that a clock set back turned round are put in order.

    Of a host with too many of them the older half becomes one gap, which covers the time between them as well.
    """
    rows = [
        (host_id, min(gap.from_us, gap.to_us), max(gap.from_us, gap.to_us), gap.reason)
        for host_id, some in found.items()
        for gap in some
    ]
    if rows:
        execute_rows(conn, insert_new(conn, gaps), ("host_id", "from_us", "to_us", "reason"), rows)
        hosts = [(host_id,) for host_id in sorted({row[0] for row in rows})]
        for host_id, kept in select_each(conn, _COUNT, ("of_host",), hosts):
            if kept > MOST_KEPT:
                _merge_older(conn, host_id)


def _merge_older(conn: Connection, host_id: int) -> None:
    ends = select(gaps.c.to_us).where(gaps.c.host_id == host_id).order_by(gaps.c.to_us)
    until_us = conn.execute(ends.offset(MOST_KEPT // 2).limit(1)).scalar_one()
    older = (gaps.c.host_id == host_id, gaps.c.to_us <= until_us)
    from_us = conn.execute(select(func.min(gaps.c.from_us)).where(*older)).scalar_one()
    conn.execute(delete(gaps).where(*older))
    conn.execute(insert(gaps).values(host_id=host_id, from_us=from_us, to_us=until_us, reason=MERGED))


def reasons_between(conn: Connection, looks: Sequence[tuple[int, int, int]]) -> dict[int, set[str]]:
    """Why there are gaps that reach into the time between two looks, given as (host_id, from_us, to_us), each of
    another host; by host, without those that have none."""
    found: dict[int, set[str]] = {}
    if looks:
        for host_id, reason in select_each(conn, _BETWEEN, ("of_host", "begin_us", "end_us"), looks):
            found.setdefault(host_id, set()).add(reason)
    return found


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


def count_between(conn: Connection, begin: Moment, end: Moment, enrolled_by_us: int | None = None) -> int:
    """How many gaps, of all hosts or of those that had enrolled by a time, share a moment with a time that may be one
    moment; an end of a gap is no part of it."""
    query = select(func.count()).select_from(gaps).where(*_over(begin, end))
    if enrolled_by_us is not None:
        query = query.join(hosts, hosts.c.host_id == gaps.c.host_id).where(hosts.c.enrolled_at_us <= enrolled_by_us)
    return int(conn.execute(query).scalar_one())


def between(conn: Connection, begin: Moment, end: Moment, host_id: int | None = None) -> dict[int, list[Gap]]:
    """Those gaps, of one host or of each."""
    query = select(gaps.c.host_id, gaps.c.from_us, gaps.c.to_us, gaps.c.reason).where(*_over(begin, end))
    return _by_host(conn, query, host_id)


def _over(begin: Moment, end: Moment) -> tuple[ColumnElement[bool], ...]:
    # The first says nothing new; it is the one that the index understands.
    return (
        since(gaps, gaps.c.to_us, begin),
        gaps.c.to_us > by_clock(gaps, begin),
        gaps.c.from_us <= by_clock(gaps, end),
    )


def around(conn: Connection, from_us: int, to_us: int, host_id: int | None = None) -> dict[int, list[Gap]]:
    """Gaps of one host or of each that share a moment with a time of the hosts' clocks, both ends included."""
    query = select(gaps.c.host_id, gaps.c.from_us, gaps.c.to_us, gaps.c.reason).where(
        gaps.c.to_us >= from_us, gaps.c.from_us <= to_us
    )
    return _by_host(conn, query, host_id)


def _by_host(conn: Connection, query: Select[tuple[int, int, int, str]], host_id: int | None) -> dict[int, list[Gap]]:
    if host_id is not None:
        query = query.where(gaps.c.host_id == host_id)
    found: dict[int, list[Gap]] = {}
    for row in conn.execute(query):
        found.setdefault(row.host_id, []).append(Gap(row.from_us, row.to_us, row.reason))
    return found
