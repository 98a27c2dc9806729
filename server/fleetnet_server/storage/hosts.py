"""Hosts of the fleet: who they are, how far their reports have come, and which stream of theirs may write."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    case,
    func,
    literal_column,
    select,
    true,
    update,
)

from fleetnet_server.records import ACTIVE, PENDING, RETIRED, GoodCertificates, Host, Selection, StaleHost
from fleetnet_server.storage import labels
from fleetnet_server.storage.dialect import execute_rows, hold_each, insert_new, select_constant, select_each
from fleetnet_server.storage.moments import among
from fleetnet_server.storage.schema import hosts

ANY_SERIAL: Final = "*"
_ALL: Final = Selection()

_HOST = select(
    hosts.c.host_id,
    hosts.c.name,
    hosts.c.status,
    hosts.c.enrolled_at_us,
    hosts.c.certificate_serial,
    hosts.c.renewed_serial,
)
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
    status: str


class Newest(NamedTuple):
    """The newest stream of an active host, and which certificates of the host are good."""

    generation: int
    certificate_serial: str
    renewed_serial: str


def good(serial: str, certificate_serial: str, renewed_serial: str) -> bool:
    """Whether a certificate of this serial is good for a host that has the other two in its row."""
    return serial == certificate_serial or renewed_serial in (serial, ANY_SERIAL)


def in_fleet(at_us: int = 0) -> ColumnElement[bool]:
    """Of the rows of hosts: that they are asked about a time of the collector's clock, or now."""
    here = hosts.c.status.not_in([literal_column(f"'{status}'") for status in (PENDING, RETIRED)])
    return here | (hosts.c.status_since_us > at_us) if at_us else here


def enrolled() -> ColumnElement[bool]:
    """Of the rows of hosts: that they are in the fleet, or were."""
    return hosts.c.status != literal_column(f"'{PENDING}'")


def enroll(conn: Connection, name: str, serial: str, now_us: int, status: str = ACTIVE) -> Host:
    """The host of this name with this certificate alone, active or pending; a name that enrolled before keeps host_id
    and history."""
    # Two collectors may be told of the same host at once: one of them finds that the other was first.
    now = {"status": status, "status_since_us": now_us, "certificate_serial": serial, "renewed_serial": ""}
    new = insert_new(conn, hosts).values(
        name=name,
        enrolled_at_us=now_us,
        generation=0,
        whole=False,
        latest_us=0,
        **now,
    )
    conn.execute(new)
    conn.execute(update(hosts).where(hosts.c.name == name).values(now))
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


def renew(conn: Connection, name: str, shown: str, serial: str) -> bool:
    """The certificate of serial `shown` makes way for another, and is good until a stream is opened with that; False,
    and nothing is done, where the host is not active or the certificate is not good any more."""
    row = conn.execute(_HOST.where(hosts.c.name == name).with_for_update()).one_or_none()
    host = None if row is None else Host(*row)
    if host is None or not _is_good(host, shown):
        return False
    # One that no stream was opened with keeps the one before it good: a copy of the host that is not let in could shut
    # the host out otherwise, by renewing twice.
    untried = shown == host.certificate_serial and host.renewed_serial
    conn.execute(
        update(hosts)
        .where(hosts.c.host_id == host.host_id)
        .values(certificate_serial=serial, renewed_serial=host.renewed_serial if untried else shown)
    )
    return True


def readmit(conn: Connection, host_id: int, shown: str, serial: str) -> None:
    """The certificate of serial `shown`, which has ended, makes way for another in this row, which is held. It is still
    good to ask with until a stream is opened with the other, for an answer may be lost."""
    conn.execute(
        update(hosts).where(hosts.c.host_id == host_id).values(certificate_serial=serial, renewed_serial=shown)
    )


def may_renew(conn: Connection, name: str, shown: str) -> bool:
    """Whether `renew` would do it."""
    host = find(conn, name)
    return host is not None and _is_good(host, shown)


def _is_good(host: Host, shown: str) -> bool:
    return host.status == ACTIVE and good(shown, host.certificate_serial, host.renewed_serial)


def keep_out(conn: Connection, host_ids: Collection[int], status: str, now_us: int) -> None:
    """From now on these hosts, whose rows are held, are revoked or retired, and none of their certificates is good."""
    kept_out = {"status": status, "status_since_us": now_us, "certificate_serial": "", "renewed_serial": ""}
    conn.execute(update(hosts).where(among(hosts, host_ids)).values(kept_out))


def approve(conn: Connection, host_ids: Collection[int], now_us: int) -> None:
    """From now on these hosts, whose rows are held, are active."""
    conn.execute(update(hosts).where(among(hosts, host_ids)).values(status=ACTIVE, status_since_us=now_us))


def judged_since(conn: Connection, since_us: int) -> list[GoodCertificates]:
    """Of the hosts that were let in again, revoked or retired since a time, which certificates are good now."""
    # Who has just joined for the first time had none before. ANY_SERIAL is of who has not joined for long.
    query = select(
        hosts.c.name, hosts.c.generation, hosts.c.status, hosts.c.certificate_serial, hosts.c.renewed_serial
    ).where(
        hosts.c.status_since_us >= since_us,
        hosts.c.status_since_us > hosts.c.enrolled_at_us,
        hosts.c.renewed_serial != ANY_SERIAL,
    )
    return [
        GoodCertificates(name, generation, frozenset({*serials} - {""}) if status == ACTIVE else frozenset())
        for name, generation, status, *serials in conn.execute(query)
    ]


def last_look(conn: Connection, host_id: int) -> int:
    """The last whole look at a host, its own clock; 0 if there was none."""
    return conn.execute(select(hosts.c.last_look_us).where(hosts.c.host_id == host_id)).scalar_one() or 0


def generations(conn: Connection, host_ids: Iterable[int]) -> dict[int, Newest]:
    """The newest streams of those of some hosts that are there and active. Their rows are held until the end of the
    transaction, so that no other stream of them gets between."""
    rows = hold_each(conn, _GENERATION, hosts, ("of_host",), [(host_id,) for host_id in sorted(host_ids)])
    return {host_id: Newest(*newest) for host_id, *newest in rows}


def hold(conn: Connection, host_ids: Iterable[int]) -> None:
    """Hold the rows of some hosts until the end of the transaction."""
    hold_each(conn, _HOLD, hosts, ("of_host",), [(host_id,) for host_id in sorted(host_ids)])


def fence(conn: Connection, streams: Sequence[tuple[int, int, str]]) -> None:
    """From now on the newest stream of each of some hosts is the one of this number, opened with the certificate of
    this serial: (host_id, generation, serial). Where that is the newest, the one before is no good any more."""
    execute_rows(conn, _FENCE, ("of_host", "newest", "shown"), streams)


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
    """All hosts, retired ones too, ascending, each with when its last whole look was committed; 0 of one that has made
    none."""
    query = select(hosts.c.host_id, func.coalesce(hosts.c.last_heard_us, 0)).order_by(hosts.c.host_id)
    return [(host_id, heard_us) for host_id, heard_us in conn.execute(query)]


def reported(conn: Connection) -> dict[int, tuple[int, int]]:
    """Of each host the number of its newest stream, and when its last whole look was committed; 0 if none was."""
    return {host_id: (generation, heard_us) for host_id, generation, heard_us in conn.execute(_REPORTED)}


def agreed(conn: Connection, host_id: int) -> int | None:
    """The last look at which the host's digest and ours were the same."""
    at_us: int | None = conn.execute(select(hosts.c.agreed_us).where(hosts.c.host_id == host_id)).scalar_one()
    return at_us


def heard(conn: Connection, asked: Selection = _ALL, *, and_pending: bool = False) -> list[Heard]:
    """The host that is asked of, or those that match one of the globs and have all of the labels, if they were in the
    fleet then, or with `and_pending` wait now to be let into it; ordered by name."""
    columns = (hosts.c.host_id, hosts.c.name, hosts.c.enrolled_at_us, hosts.c.last_heard_us, hosts.c.status)
    meant = enrolled() if asked.host and asked.though_left else in_fleet(asked.at_us)
    if and_pending and not asked.at_us:
        meant |= hosts.c.status == PENDING
    query = select(*columns).where(meant).order_by(hosts.c.name)
    if asked.host:
        query = query.where(hosts.c.name == asked.host)
    return [
        Heard(row.host_id, row.name, row.enrolled_at_us, row.last_heard_us or 0, row.status)
        for row in conn.execute(query.where(*labels.had(asked.labels)))
        if _is_meant(row.name, asked)
    ]


def names(conn: Connection, host_ids: Collection[int], asked: Selection = _ALL) -> dict[int, str]:
    """Of these hosts the names of those that `heard` would find, in the order of the names."""
    query = select(hosts.c.host_id, hosts.c.name).where(among(hosts, host_ids), in_fleet()).order_by(hosts.c.name)
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
    .where(bindparam("since_us", type_=BigInteger) > _LAST_HEARD, in_fleet())
    .order_by(hosts.c.name)
)
# Every batch and beat runs one of these; built once, they cost a third of what they cost built anew.
_LOOK: BindParameter[int] = bindparam("look_us", type_=BigInteger)
_LATEST = case((hosts.c.latest_us > _LOOK, hosts.c.latest_us), else_=_LOOK)
_THIS = hosts.c.host_id == bindparam("of_host")
_GENERATION = select(hosts.c.host_id, hosts.c.generation, hosts.c.certificate_serial, hosts.c.renewed_serial).where(
    _THIS, hosts.c.status == literal_column(f"'{ACTIVE}'")
)
_HOLD = select(hosts.c.host_id).where(_THIS)
_FENCE = (
    update(hosts)
    .where(_THIS)
    .values(
        generation=bindparam("newest"),
        renewed_serial=case(
            (hosts.c.certificate_serial == bindparam("shown"), literal_column("''")), else_=hosts.c.renewed_serial
        ),
    )
)
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
