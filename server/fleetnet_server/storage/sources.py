"""How the sources of each host are doing, as last reported."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from fleetnet_server.records import SourceStatus
from fleetnet_server.storage.dialect import execute_rows, select_each
from fleetnet_server.storage.schema import source_status

_OF_HOST = source_status.c.host_id == bindparam("of_host")
_FORGET = delete(source_status).where(_OF_HOST)
_REPLACED = delete(source_status).where(_OF_HOST, source_status.c.name == bindparam("of_name"))
_TOLD = insert(source_status)
_COUNT = select(source_status.c.host_id, func.count()).where(_OF_HOST).group_by(source_status.c.host_id)


def record(
    conn: Connection, told: Mapping[int, tuple[Sequence[SourceStatus], int]], anew: Collection[int] = ()
) -> None:
    """What is told of some sources, of each host with the look that told it, takes the place of what was told of them
    before; `anew` are the hosts that have told of all."""
    rows = {
        (host_id, source.name): (host_id, source.name, source.ok, source.detail, look_at_us)
        for host_id, (some, look_at_us) in told.items()
        for source in some
    }
    if anew:
        execute_rows(conn, _FORGET, ("of_host",), [(host_id,) for host_id in anew])
    if some := [row for row in rows if row[0] not in anew]:
        execute_rows(conn, _REPLACED, ("of_host", "of_name"), some)
    if rows:
        execute_rows(conn, _TOLD, ("host_id", "name", "ok", "detail", "reported_at_us"), list(rows.values()))


def most(conn: Connection, host_ids: Collection[int]) -> int:
    """How many sources are told of, of that of some hosts of which it is the most."""
    counted = select_each(conn, _COUNT, ("of_host",), [(host_id,) for host_id in host_ids]) if host_ids else []
    return max((count for _, count in counted), default=0)


def degraded(conn: Connection, host_id: int | None = None) -> dict[int, tuple[str, ...]]:
    """The sources of one host or of each that are not whole, as "name: detail", ordered by name."""
    query = select(source_status.c.host_id, source_status.c.name, source_status.c.detail).where(
        source_status.c.ok.is_(False)
    )
    if host_id is not None:
        query = query.where(source_status.c.host_id == host_id)
    found: dict[int, tuple[str, ...]] = {}
    for row in conn.execute(query.order_by(source_status.c.name)):
        found[row.host_id] = (*found.get(row.host_id, ()), f"{row.name}: {row.detail}")
    return found
