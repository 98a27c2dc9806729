"""Enrollment tokens: those that let hosts join, and all that were made, those of people among them.

What is called a token's id is the beginning of its secret's hash: it names the token to people, and admits nobody.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, delete, insert, literal, null, select, update

from fleetnet_server.records import Label, MadeToken
from fleetnet_server.storage.schema import person_tokens, tokens

ID_BYTES: Final = 6  # of the hash: two of a million tokens share them once in a thousand times
MOST_LISTED: Final = 10_000


class Admitted(NamedTuple):
    """Whom a token admits."""

    host: str  # empty: whatever it proposes to be called
    labels: tuple[Label, ...]  # that it brings
    approve: bool = False  # only once somebody has approved it


@dataclass(frozen=True, slots=True)
class Terms:
    """How far a token goes, and who says so."""

    max_uses: int = 1
    approve: bool = False
    made_by: str = ""


_ONCE: Final = Terms()


def create(
    conn: Connection,
    secret_hash: bytes,
    host: str,
    created_at_us: int,
    expires_at_us: int,
    labels: Sequence[Label] = (),
    terms: Terms = _ONCE,
) -> None:
    """Keep a token, of whose secret only the SHA-256 is known here."""
    conn.execute(
        insert(tokens).values(
            secret_hash=secret_hash,
            host=host,
            created_at_us=created_at_us,
            expires_at_us=expires_at_us,
            labels=json.dumps(dict(labels)) if labels else "",
            max_uses=terms.max_uses,
            uses=0,
            approve=terms.approve,
            made_by=terms.made_by,
        )
    )


def consume(conn: Connection, secret_hash: bytes, now_us: int) -> Admitted | None:
    """Whom the token admits, and it is used once more; None if it is unknown, used up, revoked or expired.

    One conditional statement: of many callers at once, as many get in as it is for.
    """
    row = conn.execute(
        update(tokens)
        .where(*_admits(secret_hash, now_us))
        .values(used_at_us=now_us, uses=tokens.c.uses + 1)
        .returning(tokens.c.host, tokens.c.labels, tokens.c.approve)
    ).one_or_none()
    if row is None:
        return None
    return Admitted(row.host, _labels(row.labels), bool(row.approve))


def admits(conn: Connection, secret_hash: bytes, now_us: int) -> bool:
    """Whether `consume` would admit somebody."""
    return conn.execute(select(tokens.c.uses).where(*_admits(secret_hash, now_us))).first() is not None


def _admits(secret_hash: bytes, now_us: int) -> tuple[ColumnElement[bool], ...]:
    return (
        tokens.c.secret_hash == secret_hash,
        tokens.c.uses < tokens.c.max_uses,
        tokens.c.expires_at_us > now_us,
        tokens.c.revoked_at_us.is_(None),
    )


def drop_unused(conn: Connection, host_names: Collection[str]) -> None:
    """Of these hosts no token is left to come in by."""
    conn.execute(delete(tokens).where(tokens.c.host.in_(sorted(host_names)), tokens.c.used_at_us.is_(None)))


def listed(conn: Connection) -> list[MadeToken]:
    """All that were made, the newest first, for hosts and for people; as many as are listed at most."""
    return sorted(_found(conn, tokens) + _found(conn, person_tokens), key=_newest_first)[:MOST_LISTED]


def unused(conn: Connection, now_us: int) -> list[str]:
    """The names of the hosts and people whom a token would still admit, ascending; one of several hosts is named by
    its id."""
    found: set[str] = set()
    for table, name, left in (
        (tokens, tokens.c.host, tokens.c.uses < tokens.c.max_uses),
        (person_tokens, person_tokens.c.person, person_tokens.c.used_at_us.is_(None)),
    ):
        query = select(table.c.secret_hash, name).where(
            left, table.c.expires_at_us > now_us, table.c.revoked_at_us.is_(None)
        )
        found.update(owner or bytes(secret_hash)[:ID_BYTES].hex() for secret_hash, owner in conn.execute(query))
    return sorted(found)


def revoke(conn: Connection, token_id: str, now_us: int) -> list[MadeToken]:
    """The token of this id, which admits nobody from now on; none where there is none, and several, of which nothing
    has become, where several begin so."""
    found = [(table, one) for table in (tokens, person_tokens) for one in _found(conn, table, token_id)]
    if len(found) == 1:
        [(table, _)] = found
        beginning = bytes.fromhex(token_id)
        conn.execute(
            update(table)
            .where(*_begins(table, beginning), table.c.revoked_at_us.is_(None))
            .values(revoked_at_us=now_us)
        )
        return _found(conn, table, token_id)
    return [one for _, one in found]


def revoke_made_by(conn: Connection, made_by: str, now_us: int) -> None:
    """What this person made admits nobody from now on, neither hosts nor people."""
    for table, left in (
        (tokens, tokens.c.uses < tokens.c.max_uses),
        (person_tokens, person_tokens.c.used_at_us.is_(None)),
    ):
        conn.execute(
            update(table)
            .where(table.c.made_by == made_by, table.c.revoked_at_us.is_(None), left)
            .values(revoked_at_us=now_us)
        )


def _found(conn: Connection, table: Table, token_id: str = "") -> list[MadeToken]:
    of_hosts = table is tokens
    query = select(
        table.c.secret_hash,
        table.c.host if of_hosts else literal(""),
        literal("") if of_hosts else table.c.person,
        literal("") if of_hosts else table.c.role,
        table.c.labels if of_hosts else literal(""),
        table.c.max_uses if of_hosts else literal(1),
        table.c.uses if of_hosts else null(),
        table.c.approve if of_hosts else literal(0),
        table.c.made_by,
        table.c.created_at_us,
        table.c.expires_at_us,
        table.c.used_at_us,
        table.c.revoked_at_us,
    ).order_by(table.c.created_at_us.desc())
    if token_id:
        query = query.where(*_begins(table, bytes.fromhex(token_id)))
    found = []
    for secret_hash, host, person, role, labels, max_uses, uses, approve, made_by, *times in conn.execute(
        query.limit(MOST_LISTED)
    ):
        created_at_us, expires_at_us, used_at_us, revoked_at_us = (us or 0 for us in times)
        used = int(used_at_us > 0) if uses is None else uses
        found.append(
            MadeToken(
                bytes(secret_hash)[:ID_BYTES].hex(), host, person, role, _labels(labels), max_uses, used, bool(approve),
                made_by, created_at_us, expires_at_us, used_at_us, revoked_at_us,
            )
        )  # fmt: skip
    return found


def _begins(table: Table, beginning: bytes) -> tuple[ColumnElement[bool], ...]:
    """That a hash begins so, as a range of its key."""
    return (table.c.secret_hash >= beginning, table.c.secret_hash <= beginning + b"\xff" * (32 - len(beginning)))


def _newest_first(token: MadeToken) -> tuple[int, str]:
    return (-token.created_at_us, token.token_id)


def _labels(text: str) -> tuple[Label, ...]:
    return tuple(Label(*one) for one in json.loads(text).items()) if text else ()
