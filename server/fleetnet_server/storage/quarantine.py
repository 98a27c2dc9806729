"""Reports that could not be stored, kept as they came, so that somebody can find out why.

What must stay true: what one host sends cannot fill the database. Of each host so many reports are kept, of all hosts
so many bytes; a host that needs room gives up its own oldest first.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from fleetnet_server.records import RefusedBatch
from fleetnet_server.storage.schema import hosts, quarantine

MOST_OF_A_HOST = 100
MOST_BYTES = 64 * 1024 * 1024

_KEPT = func.coalesce(func.sum(quarantine.c.kept_bytes), 0)
_OLDEST_FIRST = (quarantine.c.set_aside_at_us, quarantine.c.sequence)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A report in quarantine, without its message."""

    host: str
    epoch: int
    sequence: int
    set_aside_at_us: int
    reason: str
    size_bytes: int
    kept_bytes: int


def keep(conn: Connection, host_id: int, batch: RefusedBatch, now_us: int) -> None:
    """Put a report there, and make room for it. It takes the place of one that is called the same."""
    # Two boots with one epoch are not what an agent of ours has: its numbers are drawn.
    this = (quarantine.c.epoch == batch.epoch, quarantine.c.sequence == batch.sequence)
    conn.execute(delete(quarantine).where(quarantine.c.host_id == host_id, *this))
    _drop_oldest(conn, host_id)
    size_bytes = len(batch.message)
    _make_room(conn, size_bytes, host_id)
    _make_room(conn, size_bytes, None)
    conn.execute(
        insert(quarantine).values(
            host_id=host_id,
            epoch=batch.epoch,
            sequence=batch.sequence,
            boot_id=batch.boot_id,
            set_aside_at_us=now_us,
            reason=batch.reason,
            size_bytes=size_bytes,
            kept_bytes=size_bytes,
            message=batch.message,
        )
    )


def count_since(conn: Connection, host_id: int, since_us: int) -> int:
    """How many reports of a host were put there since; collector's clock."""
    query = select(func.count()).select_from(quarantine)
    return conn.execute(
        query.where(quarantine.c.host_id == host_id, quarantine.c.set_aside_at_us > since_us)
    ).scalar_one()


def listed(conn: Connection) -> list[SetAside]:
    """All of them, by host, oldest first."""
    query = (
        select(
            hosts.c.name,
            quarantine.c.epoch,
            quarantine.c.sequence,
            quarantine.c.set_aside_at_us,
            quarantine.c.reason,
            quarantine.c.size_bytes,
            quarantine.c.kept_bytes,
        )
        .join_from(quarantine, hosts, hosts.c.host_id == quarantine.c.host_id)
        .order_by(hosts.c.name, *_OLDEST_FIRST)
    )
    return [SetAside(*row) for row in conn.execute(query)]


def _drop_oldest(conn: Connection, host_id: int) -> None:
    """Leave room for one more of this host."""
    of_host = quarantine.c.host_id == host_id
    newest_first = select(quarantine.c.set_aside_at_us).where(of_host).order_by(quarantine.c.set_aside_at_us.desc())
    at_us = conn.execute(newest_first.offset(MOST_OF_A_HOST - 1).limit(1)).scalar_one_or_none()
    if at_us is not None:
        conn.execute(delete(quarantine).where(of_host, quarantine.c.set_aside_at_us <= at_us))


def _make_room(conn: Connection, wanted_bytes: int, host_id: int | None) -> None:
    """Empty the oldest messages of a host, or of any, until so many bytes fit; that they were there stays known."""
    over = conn.execute(select(_KEPT)).scalar_one() + wanted_bytes - MOST_BYTES
    if over <= 0:
        return
    oldest = select(quarantine.c.host_id, quarantine.c.epoch, quarantine.c.sequence, quarantine.c.kept_bytes).where(
        quarantine.c.kept_bytes > 0
    )
    if host_id is not None:
        oldest = oldest.where(quarantine.c.host_id == host_id)
    # Read to the end before anything is written, for a cursor and its table do not change at once.
    for row in conn.execute(oldest.order_by(*_OLDEST_FIRST)).all():
        if over <= 0:
            return
        conn.execute(
            update(quarantine)
            .where(
                quarantine.c.host_id == row.host_id,
                quarantine.c.epoch == row.epoch,
                quarantine.c.sequence == row.sequence,
            )
            .values(kept_bytes=0, message=b"")
        )
        over -= row.kept_bytes
