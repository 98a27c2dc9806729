"""The newest certificate of each host, person and collector: by whom it was issued, and what was handed over with it.

What must stay true: that an owner trusts a CA is said only once the certificate has been shown with which it was handed
over, for an answer may be lost on its way, and whoever shows a certificate has stored what came along.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, select, update

from fleetnet_server.records import ACTIVE, HeldCertificate
from fleetnet_server.storage.dialect import insert_new
from fleetnet_server.storage.schema import certificates, hosts, people

HOST, PERSON, COLLECTOR = "host", "person", "collector"

_HELD = select(
    certificates.c.kind,
    certificates.c.name,
    certificates.c.serial,
    certificates.c.issuer,
    certificates.c.trusts,
    certificates.c.until_us,
    certificates.c.shown,
)


def put(conn: Connection, held: HeldCertificate) -> None:
    """This is the newest of its owner's."""
    now = {
        "serial": held.serial, "issuer": held.issuer, "trusts": " ".join(sorted(held.trusts)),
        "until_us": held.until_us, "shown": held.shown,
    }  # fmt: skip
    key = {"kind": held.kind, "name": held.name}
    conn.execute(insert_new(conn, certificates).values({**key, **now}))
    conn.execute(
        update(certificates).where(certificates.c.kind == held.kind, certificates.c.name == held.name).values(now)
    )


def note_shown(conn: Connection, shown: Sequence[HeldCertificate]) -> None:
    """These, some hundreds at most, were shown. Of one that is not the newest: where the newest has been shown, its
    owner has gone back to an older state, and what came with the newest is gone; else it may still be on its way."""
    for one in news_of(conn, shown):
        put(conn, one)


def news_of(conn: Connection, shown: Sequence[HeldCertificate]) -> list[HeldCertificate]:
    """What `note_shown` would put down of these; mostly nothing, for all was shown before."""
    found = conn.execute(_HELD.where(certificates.c.name.in_({one.name for one in shown})))
    known = {(row.kind, row.name): _held(row) for row in found}
    news = []
    for one in shown:
        newest = known.get((one.kind, one.name))
        if newest is not None and newest.serial == one.serial:
            if not newest.shown:
                news.append(replace(newest, shown=True))
        elif newest is None or newest.shown:
            news.append(one)
    return news


def forget(conn: Connection) -> None:
    """Nothing is known of any."""
    conn.execute(delete(certificates))


def of_hosts(conn: Connection) -> list[HeldCertificate]:
    """Of each host that may report, by name."""
    return _of_each(conn, hosts, HOST)


def of_people(conn: Connection) -> list[HeldCertificate]:
    """Of each person who may ask, by name."""
    return _of_each(conn, people, PERSON)


def ending(conn: Connection, after_us: int, before_us: int) -> list[str]:
    """The hosts that may report and whose certificates end in a time, by name."""
    query = select(hosts.c.name).join_from(hosts, certificates, certificates.c.name == hosts.c.name)
    found = query.where(
        certificates.c.kind == HOST,
        hosts.c.status == ACTIVE,
        certificates.c.until_us > after_us,
        certificates.c.until_us <= before_us,
    )
    return list(conn.execute(found.order_by(hosts.c.name)).scalars())


def of_collectors(conn: Connection) -> list[HeldCertificate]:
    """Of each collector, by the name of its machine."""
    query = _HELD.where(certificates.c.kind == COLLECTOR).order_by(certificates.c.name)
    return [_held(row) for row in conn.execute(query)]


def _of_each(conn: Connection, owners: Table, kind: str) -> list[HeldCertificate]:
    known = {row.name: _held(row) for row in conn.execute(_HELD.where(certificates.c.kind == kind))}
    names = conn.execute(select(owners.c.name).where(owners.c.status == ACTIVE).order_by(owners.c.name)).scalars()
    return [known.get(name, HeldCertificate(kind, name)) for name in names]


def _held(row: Row[*tuple[Any, ...]]) -> HeldCertificate:
    trusts = frozenset(row.trusts.split())
    return HeldCertificate(row.kind, row.name, row.serial, row.issuer, trusts, row.until_us, row.shown)
