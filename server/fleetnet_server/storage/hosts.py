"""Hosts of the fleet: who they are, how far their reports have come, and which stream of theirs may write."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    func,
    not_,
    or_,
    select,
    true,
    update,
)

from fleetnet_server.records import Host
from fleetnet_server.storage.dialect import execute_rows, insert_new
from fleetnet_server.storage.schema import hosts

ACTIVE = "active"

_HOST = select(hosts.c.host_id, hosts.c.name, hosts.c.status, hosts.c.enrolled_at_us, hosts.c.certificate_serial)


@dataclass(frozen=True, slots=True)
class Look:
    """A look that told everything that a host held open."""

    boot_id: bytes
    epoch: int
    at_us: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A host and when its last whole look was committed, collector's clock; 0 if none was."""

    host_id: int
    name: str
    enrolled_at_us: int
    last_heard_us: int


def enroll(conn: Connection, name: str, serial: str, now_us: int) -> Host:
    """The host of this name with this certificate, active; a name that enrolled before keeps host_id and history."""
    # Two collectors may be told of the same host at once: one of them finds that the other was first.
    new = insert_new(conn, hosts).values(
        name=name,
        status=ACTIVE,
        enrolled_at_us=now_us,
        certificate_serial=serial,
        generation=0,
        whole=False,
        latest_us=0,
    )
    conn.execute(new)
    conn.execute(update(hosts).where(hosts.c.name == name).values(status=ACTIVE, certificate_serial=serial))
    host = find(conn, name)
    assert host is not None
    return host


def find(conn: Connection, name: str) -> Host | None:
    """The host of this name."""
    row = conn.execute(_HOST.where(hosts.c.name == name)).one_or_none()
    return None if row is None else Host(*row)


def renewed(conn: Connection, host_id: int, serial: str) -> None:
    """Note the serial of the host's new certificate."""
    conn.execute(update(hosts).where(hosts.c.host_id == host_id).values(certificate_serial=serial))


def next_generation(conn: Connection, host_id: int) -> int | None:
    """Fence all streams of the host and name the next; None if the host is not there or not active."""
    return conn.execute(
        update(hosts)
        .where(hosts.c.host_id == host_id, hosts.c.status == ACTIVE)
        .values(generation=hosts.c.generation + 1)
        .returning(hosts.c.generation)
    ).scalar_one_or_none()


def note_part(conn: Connection, host_id: int, boot_id: bytes, look_at_us: int) -> None:
    """A batch was stored that does not make a look whole."""
    conn.execute(_NOTE_PART, {"of_host": host_id, "of_boot": boot_id, "look_us": look_at_us})


def note_missing(conn: Connection, host_id: int) -> None:
    """A batch was not stored that a look would need: no look is whole before the next snapshot."""
    conn.execute(update(hosts).where(hosts.c.host_id == host_id).values(whole=False))


def note_looks(conn: Connection, looks: Sequence[tuple[int, Look, int]]) -> None:
    """Batches were stored that make looks whole, each of another host: which, and when it was heard."""
    execute_rows(
        conn,
        _NOTE_LOOK,
        ("of_host", "of_boot", "epoch", "look_us", "heard_us"),
        [(host_id, look.boot_id, look.epoch, look.at_us, heard_us) for host_id, look, heard_us in looks],
    )


def count(conn: Connection) -> tuple[int, int]:
    """How many active hosts there are, and how many of them have been heard whole."""
    query = select(func.count(), func.count(hosts.c.last_heard_us)).where(hosts.c.status == ACTIVE)
    known, heard = conn.execute(query).one()
    return known, heard


def all_ids(conn: Connection) -> list[int]:
    """All hosts, ascending."""
    return list(conn.execute(select(hosts.c.host_id).order_by(hosts.c.host_id)).scalars())


def note_agreed(conn: Connection, host_id: int, look_at_us: int) -> None:
    """At a look the host's digest and ours were the same."""
    conn.execute(update(hosts).where(hosts.c.host_id == host_id).values(agreed_us=look_at_us))


def agreed(conn: Connection, host_id: int) -> int | None:
    """The last look at which the host's digest and ours were the same."""
    at_us: int | None = conn.execute(select(hosts.c.agreed_us).where(hosts.c.host_id == host_id)).scalar_one()
    return at_us


def heard(conn: Connection, name: str = "", glob: str = "") -> list[Heard]:
    """The host of this name, or those that match the glob, or all; ordered by name."""
    query = select(hosts.c.host_id, hosts.c.name, hosts.c.enrolled_at_us, hosts.c.last_heard_us).order_by(hosts.c.name)
    if name:
        query = query.where(hosts.c.name == name)
    return [
        Heard(row.host_id, row.name, row.enrolled_at_us, row.last_heard_us or 0)
        for row in conn.execute(query)
        if name or not glob or fnmatchcase(row.name, glob)
    ]


def count_heard(conn: Connection, since_us: int) -> tuple[int, int]:
    """How many hosts there are, and how many of them were heard since a time."""
    query = select(func.count(), func.count(case((_heard_since(since_us), 1)))).select_from(hosts)
    known, heard = conn.execute(query).one()
    return known, heard


def not_heard(conn: Connection, since_us: int) -> list[tuple[str, int]]:
    """Names of those that were not heard since a time, in their order, each with when it was; 0 if never."""
    query = select(hosts.c.name, hosts.c.last_heard_us).where(
        or_(hosts.c.last_heard_us.is_(None), not_(_heard_since(since_us)))
    )
    return [(row.name, row.last_heard_us or 0) for row in conn.execute(query.order_by(hosts.c.name))]


def _heard_since(time_us: int) -> ColumnElement[bool]:
    return and_(hosts.c.last_heard_us > 0, hosts.c.last_heard_us >= time_us)


# Every batch and beat runs one of these; built once, they cost a third of what they cost built anew.
_LOOK: BindParameter[int] = bindparam("look_us", type_=BigInteger)
_LATEST = case((hosts.c.latest_us > _LOOK, hosts.c.latest_us), else_=_LOOK)
_THIS = hosts.c.host_id == bindparam("of_host")
_NOTE_PART = update(hosts).where(_THIS).values(boot_id=bindparam("of_boot"), whole=False, latest_us=_LATEST)
_NOTE_LOOK = (
    update(hosts)
    .where(_THIS)
    .values(
        boot_id=bindparam("of_boot"),
        look_boot_id=bindparam("of_boot"),
        look_epoch=bindparam("epoch"),
        last_look_us=_LOOK,
        last_heard_us=bindparam("heard_us"),
        whole=true(),
        latest_us=_LATEST,
    )
)
