"""Which machine each host is, as its streams have told since it enrolled."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, fields

from sqlalchemy import Connection, bindparam, delete, insert, select

from fleetnet_server.storage.dialect import execute_rows, hold_each, select_each
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


def known(conn: Connection, host_ids: Collection[int]) -> dict[int, Machine]:
    """The machines of those of some hosts of which anything is known. Call with the hosts held (hosts.generations)."""
    rows = select_each(conn, _KNOWN, ("of_host",), [(host_id,) for host_id in sorted(host_ids)])
    return {host_id: Machine(*told) for host_id, *told in rows}


def note(conn: Connection, machines_now: Mapping[int, Machine]) -> None:
    """Keep what is known now of some hosts' machines."""
    # No statement that every engine has takes the place of a row that may be there.
    if machines_now:
        execute_rows(conn, _FORGET, ("of_host",), [(host_id,) for host_id in machines_now])
        execute_rows(conn, _NOTE, ("host_id", *_COLUMNS), [(i, *astuple(now)) for i, now in machines_now.items()])


def enrolled_anew(conn: Connection, host_id: int) -> None:
    """Whichever machine reports next is the host from now on."""
    [[generation]] = hold_each(conn, _GENERATION, hosts, ("of_host",), [(host_id,)])
    note(conn, {host_id: Machine(since_generation=generation)})


def boots(conn: Connection, streams: Sequence[tuple[int, int, int]]) -> dict[int, list[Boot]]:
    """Those of hosts' streams after a number and a time of the collector's clock, given as (host_id, generation,
    time_us); by host, in their order."""
    found: dict[int, list[Boot]] = {host_id: [] for host_id, *_ in streams}
    rows = select_each(conn, _BOOTS, ("of_host", "since_generation", "since_us"), streams)
    for host_id, _, boot_id, started_at_us in sorted(rows):
        found[host_id].append(Boot(boot_id, started_at_us))
    return found


def clones(conn: Connection, since_us: int) -> list[Clone]:
    """Hosts as which another machine has come since a time of the collector's clock, by name."""
    query = (
        select(hosts.c.host_id, hosts.c.name, machines.c.clone_seen_us)
        .join_from(machines, hosts, hosts.c.host_id == machines.c.host_id)
        .where(machines.c.clone_seen_us > since_us)
    )
    return [Clone(*row) for row in conn.execute(query.order_by(hosts.c.name))]


_COLUMNS = tuple(field.name for field in fields(Machine))
_OF_HOST = machines.c.host_id == bindparam("of_host")
_GENERATION = select(hosts.c.generation).where(hosts.c.host_id == bindparam("of_host"))
_KNOWN = select(machines.c.host_id, *(machines.c[name] for name in _COLUMNS)).where(_OF_HOST)
_FORGET = delete(machines).where(_OF_HOST)
_NOTE = insert(machines)
_BOOTS = select(sessions.c.host_id, sessions.c.generation, sessions.c.boot_id, sessions.c.started_at_us).where(
    sessions.c.host_id == bindparam("of_host"),
    sessions.c.generation > bindparam("since_generation"),
    sessions.c.started_at_us > bindparam("since_us"),
)
