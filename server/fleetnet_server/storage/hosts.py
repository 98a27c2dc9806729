"""Hosts of the fleet: who they are, how far their reports have come, and which stream of theirs may write."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    bindparam,
    case,
    func,
    literal_column,
    select,
    true,
    update,
)

from fleetnet_server.records import Host, Selection, StaleHost
from fleetnet_server.storage import labels
from fleetnet_server.storage.dialect import execute_rows, hold_each, insert_new, select_constant, select_each
from fleetnet_server.storage.moments import among
from fleetnet_server.storage.schema import hosts

ACTIVE = "active"
_ALL: Final = Selection()

_HOST = select(hosts.c.host_id, hosts.c.name, hosts.c.status, hosts.c.enrolled_at_us, hosts.c.certificate_serial)
_BY_NAME = _HOST.where(hosts.c.name == bindparam("of_name"))


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


def find_each(conn: Connection, names: Iterable[str]) -> dict[str, Host]:
    """Those of some hosts that are there, by name."""
    found = [Host(*row) for row in select_each(conn, _BY_NAME, ("of_name",), [(name,) for name in sorted(set(names))])]
    return {host.name: host for host in found}


def renewed(conn: Connection, host_id: int, serial: str) -> None:
    """Note the serial of the host's new certificate."""
    conn.execute(update(hosts).where(hosts.c.host_id == host_id).values(certificate_serial=serial))


def generations(conn: Connection, host_ids: Iterable[int]) -> dict[int, int]:
    """The numbers of the newest streams of those of some hosts that are there and active. Their rows are held until the
    end of the transaction, so that no other stream of them gets between."""
    return dict(hold_each(conn, _GENERATION, hosts, ("of_host",), [(host_id,) for host_id in sorted(host_ids)]))


def hold(conn: Connection, host_ids: Iterable[int]) -> None:
    """Hold the rows of some hosts until the end of the transaction."""
    hold_each(conn, _HOLD, hosts, ("of_host",), [(host_id,) for host_id in sorted(host_ids)])


def fence(conn: Connection, streams: Sequence[tuple[int, int]]) -> None:
    """From now on the newest stream of each of some hosts is the one of this number: (host_id, generation)."""
    execute_rows(conn, _FENCE, ("of_host", "newest"), streams)


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


def note_agreed(conn: Connection, looks: Sequence[tuple[int, int]]) -> None:
    """At looks, given as (host_id, at_us) and each of another host, the host's digest and ours were the same."""
    if looks:
        execute_rows(conn, _NOTE_AGREED, ("of_host", "look_us"), looks)


def all_heard(conn: Connection) -> list[tuple[int, int]]:
    """All hosts, ascending, each with when its last whole look was committed; 0 of one that has made none."""
    query = select(hosts.c.host_id, func.coalesce(hosts.c.last_heard_us, 0)).order_by(hosts.c.host_id)
    return [(host_id, heard_us) for host_id, heard_us in conn.execute(query)]


def reported(conn: Connection) -> dict[int, tuple[int, int]]:
    """Of each host the number of its newest stream, and when its last whole look was committed; 0 if none was."""
    return {host_id: (generation, heard_us) for host_id, generation, heard_us in conn.execute(_REPORTED)}


def agreed(conn: Connection, host_id: int) -> int | None:
    """The last look at which the host's digest and ours were the same."""
    at_us: int | None = conn.execute(select(hosts.c.agreed_us).where(hosts.c.host_id == host_id)).scalar_one()
    return at_us


def heard(conn: Connection, asked: Selection = _ALL) -> list[Heard]:
    """The host that is asked of, or those that match one of the globs and have all of the labels; ordered by name."""
    query = select(hosts.c.host_id, hosts.c.name, hosts.c.enrolled_at_us, hosts.c.last_heard_us).order_by(hosts.c.name)
    if asked.host:
        query = query.where(hosts.c.name == asked.host)
    return [
        Heard(row.host_id, row.name, row.enrolled_at_us, row.last_heard_us or 0)
        for row in conn.execute(query.where(*labels.had(asked.labels)))
        if _is_meant(row.name, asked)
    ]


def names(conn: Connection, host_ids: Collection[int], asked: Selection = _ALL) -> dict[int, str]:
    """Of these hosts the names of those that `heard` would find, in the order of the names."""
    query = select(hosts.c.host_id, hosts.c.name).where(among(hosts, host_ids)).order_by(hosts.c.name)
    found = conn.execute(query.where(*labels.had(asked.labels)))
    return {row.host_id: row.name for row in found if _is_meant(row.name, asked)}


def unmatched(globs: Collection[str], names: Collection[str]) -> tuple[str, ...]:
    """The globs that match none of these names."""
    return tuple(glob for glob in globs if not any(fnmatchcase(name, glob) for name in names))


def _is_meant(name: str, asked: Selection) -> bool:
    if asked.host:
        return name == asked.host
    return not asked.host_globs or any(fnmatchcase(name, glob) for glob in asked.host_globs)


def not_heard(conn: Connection, since_us: int) -> tuple[StaleHost, ...]:
    """Those that were not heard since a time, in the order of their names."""
    # Who was never heard is not in any case, whatever time is asked about.
    return tuple(map(StaleHost._make, select_constant(conn, _NOT_HEARD, {"since_us": max(since_us, 1)})))


_LAST_HEARD = func.coalesce(hosts.c.last_heard_us, literal_column("0", BigInteger))
_REPORTED = select(hosts.c.host_id, hosts.c.generation, _LAST_HEARD)
_NOT_HEARD = (
    select(hosts.c.name, _LAST_HEARD)
    .where(bindparam("since_us", type_=BigInteger) > _LAST_HEARD)
    .order_by(hosts.c.name)
)
# Every batch and beat runs one of these; built once, they cost a third of what they cost built anew.
_LOOK: BindParameter[int] = bindparam("look_us", type_=BigInteger)
_LATEST = case((hosts.c.latest_us > _LOOK, hosts.c.latest_us), else_=_LOOK)
_THIS = hosts.c.host_id == bindparam("of_host")
_GENERATION = select(hosts.c.host_id, hosts.c.generation).where(_THIS, hosts.c.status == literal_column(f"'{ACTIVE}'"))
_HOLD = select(hosts.c.host_id).where(_THIS)
_FENCE = update(hosts).where(_THIS).values(generation=bindparam("newest"))
_NOTE_AGREED = update(hosts).where(_THIS).values(agreed_us=_LOOK)
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
