"""One-time enrollment tokens."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from fleetnet_server.records import Label
from fleetnet_server.storage.schema import person_tokens, tokens


class Admitted(NamedTuple):
    """Whom a token admits."""

    host: str
    labels: tuple[Label, ...]  # that it brings


def create(
    conn: Connection,
    secret_hash: bytes,
    host: str,
    created_at_us: int,
    expires_at_us: int,
    labels: Sequence[Label] = (),
) -> None:
    """Keep a token, of whose secret only the SHA-256 is known here."""
    conn.execute(
        insert(tokens).values(
            secret_hash=secret_hash,
            host=host,
            created_at_us=created_at_us,
            expires_at_us=expires_at_us,
            labels=json.dumps(dict(labels)) if labels else "",
        )
    )


def consume(conn: Connection, secret_hash: bytes, now_us: int) -> Admitted | None:
    """Whom the token admits, and it is used up; None if it is unknown, used or expired.

    One conditional statement: of many callers at once, one gets the host.
    """
    row = conn.execute(
        update(tokens)
        .where(tokens.c.secret_hash == secret_hash, tokens.c.used_at_us.is_(None), tokens.c.expires_at_us > now_us)
        .values(used_at_us=now_us)
        .returning(tokens.c.host, tokens.c.labels)
    ).one_or_none()
    if row is None:
        return None
    labels = json.loads(row.labels) if row.labels else {}
    return Admitted(row.host, tuple(Label(*one) for one in labels.items()))


def unused(conn: Connection, now_us: int) -> list[str]:
    """The names of the hosts and people whom a token would still admit, ascending."""
    found: set[str] = set()
    for table, name in ((tokens, tokens.c.host), (person_tokens, person_tokens.c.person)):
        query = select(name).where(table.c.used_at_us.is_(None), table.c.expires_at_us > now_us)
        found.update(conn.execute(query).scalars())
    return sorted(found)
