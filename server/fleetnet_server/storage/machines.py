"""Which machine each host is, as its streams have told since it enrolled."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from fleetnet_server.storage.schema import hosts, machines, sessions


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of the machine of a host."""

    machine_id_hash: bytes = b""  # empty where it has told none yet
    since_generation: int = 0
    kept_boot_id: bytes | None = None
    clone_seen_us: int | None = None


@dataclass(frozen=True, slots=True)
class Boot:
    """The boot that a stream told of."""

    boot_id: bytes
    started_at_us: int  # of the stream; collector's clock


@dataclass(frozen=True, slots=True)
class Clone:
    """A host as which another machine has come."""

    host_id: int
    host: str
    seen_us: int  # last; collector's clock


def of(conn: Connection, host_id: int) -> Machine:
    """The machine of a host, which is held until the end of the transaction, so that no other stream gets between."""
    conn.execute(select(hosts.c.host_id).where(hosts.c.host_id == host_id).with_for_update())
    row = conn.execute(
        select(
            machines.c.machine_id_hash, machines.c.since_generation, machines.c.kept_boot_id, machines.c.clone_seen_us
        ).where(machines.c.host_id == host_id)
    ).one_or_none()
    return Machine() if row is None else Machine(*row)


def note(conn: Connection, host_id: int, machine: Machine) -> None:
    """Keep what is known now."""
    values = {
        "machine_id_hash": machine.machine_id_hash,
        "since_generation": machine.since_generation,
        "kept_boot_id": machine.kept_boot_id,
        "clone_seen_us": machine.clone_seen_us,
    }
    if conn.execute(update(machines).where(machines.c.host_id == host_id).values(values)).rowcount == 0:
        conn.execute(insert(machines).values(host_id=host_id, **values))


def enrolled_anew(conn: Connection, host_id: int) -> None:
    """Whichever machine reports next is the host from now on."""
    of(conn, host_id)
    generation = conn.execute(select(hosts.c.generation).where(hosts.c.host_id == host_id)).scalar_one()
    note(conn, host_id, Machine(since_generation=generation))


def boots(conn: Connection, host_id: int, since_generation: int, since_us: int) -> Sequence[Boot]:
    """Those of the host's streams after a number and a time of the collector's clock, in their order."""
    query = select(sessions.c.boot_id, sessions.c.started_at_us).where(
        sessions.c.host_id == host_id,
        sessions.c.generation > since_generation,
        sessions.c.started_at_us > since_us,
    )
    return [Boot(*row) for row in conn.execute(query.order_by(sessions.c.generation))]


def clones(conn: Connection, since_us: int) -> list[Clone]:
    """Hosts as which another machine has come since a time of the collector's clock, by name."""
    query = (
        select(hosts.c.host_id, hosts.c.name, machines.c.clone_seen_us)
        .join_from(machines, hosts, hosts.c.host_id == machines.c.host_id)
        .where(machines.c.clone_seen_us > since_us)
    )
    return [Clone(*row) for row in conn.execute(query.order_by(hosts.c.name))]
