"""Hosts whose certificate has ended, and who ask to be let in again.

What must stay true: who changes what a host asks for holds the host's row, so that what is approved is what was asked.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, delete, func, select, update

from fleetnet_server.records import ACTIVE, Readmission
from fleetnet_server.storage.dialect import insert_new
from fleetnet_server.storage.moments import among
from fleetnet_server.storage.schema import hosts, readmissions

_COLUMNS = (
    readmissions.c.serial,
    readmissions.c.wanted_key,
    readmissions.c.peer,
    readmissions.c.asked_at_us,
    readmissions.c.rival_at_us,
    readmissions.c.approved_at_us,
)
# Of hosts that have come by another certificate since, what they asked for says nothing any more.
_WAITING = (
    select(readmissions.c.host_id, *_COLUMNS)
    .join_from(readmissions, hosts, hosts.c.host_id == readmissions.c.host_id)
    .where(
        readmissions.c.approved_at_us == 0,
        hosts.c.status == ACTIVE,
        readmissions.c.serial.in_((hosts.c.certificate_serial, hosts.c.renewed_serial)),
    )
)


def find(conn: Connection, host_id: int) -> Readmission | None:
    """What a host asks for, or has asked for with a certificate of before."""
    row = conn.execute(select(*_COLUMNS).where(readmissions.c.host_id == host_id)).one_or_none()
    return None if row is None else Readmission(*row)


def waiting(conn: Connection, host_ids: Collection[int] | None = None) -> dict[int, Readmission]:
    """What each of these hosts, or of all (None), asks for that nobody has approved."""
    query = _WAITING if host_ids is None else _WAITING.where(among(readmissions, host_ids))
    return {host_id: Readmission(*row) for host_id, *row in conn.execute(query)}


def count(conn: Connection) -> int:
    """How many wait."""
    found: int = conn.execute(select(func.count()).select_from(_WAITING.subquery())).scalar_one()
    return found


def put(conn: Connection, host_id: int, asked: Readmission) -> None:
    """This is what the host, whose row is held, asks for from now on."""
    now = {
        "serial": asked.serial, "wanted_key": asked.wanted_key, "peer": asked.peer,
        "asked_at_us": asked.asked_at_us, "rival_at_us": asked.rival_at_us, "approved_at_us": asked.approved_at_us,
    }  # fmt: skip
    conn.execute(insert_new(conn, readmissions).values(host_id=host_id, **now))
    conn.execute(update(readmissions).where(readmissions.c.host_id == host_id).values(now))


def approve(conn: Connection, host_ids: Collection[int], now_us: int) -> None:
    """What these hosts, whose rows are held, ask for is granted."""
    conn.execute(update(readmissions).where(among(readmissions, host_ids)).values(approved_at_us=now_us))


def drop(conn: Connection, host_ids: Iterable[int]) -> None:
    """These hosts ask for nothing."""
    conn.execute(delete(readmissions).where(among(readmissions, list(host_ids))))
