"""Which CAs the fleet trusts, and how each stands.

What must stay true: there is one that issues, from the first start on; who changes how they stand holds that row, so
that two collectors never change it at once.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from fleetnet_server.records import TrustedAuthority
from fleetnet_server.storage.dialect import insert_new
from fleetnet_server.storage.schema import authorities

ISSUING, NEXT, FORMER = "issuing", "next", "former"
_ORDER: Final = (ISSUING, NEXT, FORMER)

_ALL = select(authorities.c.standing, authorities.c.certificate, authorities.c.since_us)


def trusted(conn: Connection) -> tuple[TrustedAuthority, ...]:
    """All of them, the one that issues first; none before the first start."""
    found = [TrustedAuthority(*row) for row in conn.execute(_ALL)]
    return tuple(sorted(found, key=lambda one: _ORDER.index(one.standing)))


def hold(conn: Connection) -> tuple[TrustedAuthority, ...]:
    """The same, and nobody else changes them until the end of the transaction."""
    # Changed by nothing, which holds it on a cluster too, where a row is copied to every machine.
    conn.execute(update(authorities).where(authorities.c.standing == ISSUING).values(standing=ISSUING))
    return trusted(conn)


def adopt(conn: Connection, certificate: bytes, now_us: int) -> tuple[TrustedAuthority, ...]:
    """Begin with this CA where none is known yet; those that are known then."""
    first = {"standing": ISSUING, "certificate": certificate, "since_us": now_us}
    conn.execute(insert_new(conn, authorities).values(first))
    return trusted(conn)


def put(conn: Connection, becomes: Sequence[TrustedAuthority]) -> None:
    """From now on these are trusted, and no others."""
    conn.execute(delete(authorities))
    for one in becomes:
        row = {"standing": one.standing, "certificate": one.certificate, "since_us": one.since_us}
        conn.execute(insert(authorities).values(row))
