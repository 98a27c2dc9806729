"""One-time enrollment tokens."""

from sqlalchemy import Connection, insert, update

from fleetnet_server.storage.schema import tokens


def create(conn: Connection, secret_hash: bytes, host: str, created_at_us: int, expires_at_us: int) -> None:
    """Keep a token, of whose secret only the SHA-256 is known here."""
    conn.execute(
        insert(tokens).values(
            secret_hash=secret_hash, host=host, created_at_us=created_at_us, expires_at_us=expires_at_us
        )
    )


def consume(conn: Connection, secret_hash: bytes, now_us: int) -> str | None:
    """The host that the token admits, and the token is used up; None if it is unknown, used or expired.

    One conditional statement: of many callers at once, one gets the host.
    """
    return conn.execute(
        update(tokens)
        .where(tokens.c.secret_hash == secret_hash, tokens.c.used_at_us.is_(None), tokens.c.expires_at_us > now_us)
        .values(used_at_us=now_us)
        .returning(tokens.c.host)
    ).scalar_one_or_none()
