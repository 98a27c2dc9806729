"""How the sources of each host are doing, as last reported."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select

from fleetnet_server.records import SourceStatus
from fleetnet_server.storage.dialect import execute_many
from fleetnet_server.storage.schema import source_status

_TOLD = insert(source_status)


def record(conn: Connection, host_id: int, told: Sequence[SourceStatus], look_at_us: int) -> None:
    """What is told of some sources takes the place of what was told of them before."""
    rows = {
        source.name: {
            "host_id": host_id,
            "name": source.name,
            "ok": source.ok,
            "detail": source.detail,
            "reported_at_us": look_at_us,
        }
        for source in told
    }
    if rows:
        conn.execute(
            delete(source_status).where(source_status.c.host_id == host_id, source_status.c.name.in_(list(rows)))
        )
        execute_many(conn, _TOLD, list(rows.values()))


def count(conn: Connection, host_id: int) -> int:
    """How many sources of a host are told of."""
    query = select(func.count()).select_from(source_status).where(source_status.c.host_id == host_id)
    return conn.execute(query).scalar_one()


def forget(conn: Connection, host_id: int) -> None:
    """Drop what was told of a host's sources, for all of them are told anew."""
    conn.execute(delete(source_status).where(source_status.c.host_id == host_id))


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
