"""Which hosts were not heard around a time past, found without going through those that were.

A fleet has a stream of each host and day, and an answer lists the few that were silent.
"""

from collections.abc import Collection

from sqlalchemy import Connection, func, or_, select

from fleetnet_server.storage.each_host import WITHOUT_STREAM, each_host
from fleetnet_server.storage.hosts import in_fleet
from fleetnet_server.storage.moments import among
from fleetnet_server.storage.schema import SKEWED, hosts, sessions


def count_enrolled(conn: Connection, by_us: int) -> int:
    """How many hosts had enrolled by a time."""
    query = select(func.count()).select_from(hosts).where(hosts.c.enrolled_at_us <= by_us, in_fleet(by_us))
    return int(conn.execute(query).scalar_one())


def silent(conn: Connection, at_us: int, since_us: int) -> dict[int, tuple[str, int]]:
    """Of the hosts that had enrolled by a time those of which no look is known between another and that one: the name
    of each, and the last look known before it; 0 if none is. Collector's clock."""
    each = each_host(conn)
    # Streams do not overlap (sessions.covering): the last that had begun by then reaches nearest to it.
    last = (
        select(sessions.c.last_at_us)
        .where(sessions.c.host_id == each.host_id, sessions.c.first_at_us <= at_us)
        .order_by(sessions.c.first_at_us.desc(), sessions.c.generation.desc())
        .limit(1)
        .correlate(each.of)
        .scalar_subquery()
    )
    enrolled = (hosts.c.enrolled_at_us <= at_us) & in_fleet(at_us)
    told = select(hosts.c.host_id, hosts.c.name, last.label("last_us")).select_from(each.found_in).where(enrolled)
    some = told.subquery()
    query = select(some).where(or_(some.c.last_us.is_(None), some.c.last_us < since_us))
    found = {row.host_id: (row.name, row.last_us or 0) for row in conn.execute(query)}
    if each.of is not hosts:
        never = select(hosts.c.host_id, hosts.c.name).where(enrolled, WITHOUT_STREAM)
        found |= {row.host_id: (row.name, 0) for row in conn.execute(never)}
    return found


def names(conn: Connection, host_ids: Collection[int], by_us: int) -> dict[int, str]:
    """The names of those of some hosts that had enrolled by a time."""
    if not host_ids:
        return {}
    query = select(hosts.c.host_id, hosts.c.name).where(
        among(hosts, host_ids), hosts.c.enrolled_at_us <= by_us, in_fleet(by_us)
    )
    return {row.host_id: row.name for row in conn.execute(query)}


def ever_skewed(conn: Connection) -> list[int]:
    """Hosts of which any stream had a clock that was wrong by more than can be overlooked."""
    return list(conn.execute(select(sessions.c.host_id).distinct().where(SKEWED)).scalars())
