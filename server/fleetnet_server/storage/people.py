"""People who ask over the network, and their tokens: what each may do, and which certificate is good."""

from collections.abc import Collection
from dataclasses import fields

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from fleetnet_server.records import Person
from fleetnet_server.storage.dialect import insert_new
from fleetnet_server.storage.schema import people, person_tokens

ACTIVE, REVOKED = "active", "revoked"

_PERSON = select(*(people.c[field.name] for field in fields(Person)))


def find(conn: Connection, name: str) -> Person | None:
    """The person of this name."""
    row = conn.execute(_PERSON.where(people.c.name == name)).one_or_none()
    return None if row is None else Person(*row)


def find_each(conn: Connection, names: Collection[str]) -> dict[str, Person]:
    """Those of some people who are there, by name."""
    return {row.name: Person(*row) for row in conn.execute(_PERSON.where(people.c.name.in_(sorted(names))))}


def everybody(conn: Connection) -> list[Person]:
    """All people, by name."""
    return [Person(*row) for row in conn.execute(_PERSON.order_by(people.c.name))]


def join(conn: Connection, name: str, role: str, serial: str, until_us: int, now_us: int) -> None:
    """A person has logged in and may ask with this certificate alone; a name that was there before keeps its row."""
    now = {
        "role": role, "status": ACTIVE, "certificate_serial": serial, "renewed_serial": "",
        "certificate_until_us": until_us,
    }  # fmt: skip
    conn.execute(insert_new(conn, people).values(name=name, joined_at_us=now_us, **now))
    conn.execute(update(people).where(people.c.name == name).values(now))


def renew(conn: Connection, name: str, shown: str, serial: str, until_us: int) -> bool:
    """The certificate of serial `shown` has made way for another, and is good until that is shown; False, and nothing
    is done, where it is not good any more."""
    done = conn.execute(
        update(people)
        .where(
            people.c.name == name,
            people.c.status == ACTIVE,
            (people.c.certificate_serial == shown) | (people.c.renewed_serial == shown),
        )
        .values(certificate_serial=serial, renewed_serial=shown, certificate_until_us=until_us)
    )
    return bool(done.rowcount)


def shown(conn: Connection, name: str, serial: str) -> None:
    """The newest certificate has been shown: the one before is no good from now on."""
    conn.execute(
        update(people).where(people.c.name == name, people.c.certificate_serial == serial).values(renewed_serial="")
    )


def change_role(conn: Connection, name: str, role: str) -> Person | None:
    """The person with another role; None where there is none of this name."""
    conn.execute(update(people).where(people.c.name == name).values(role=role))
    return find(conn, name)


def revoke(conn: Connection, name: str) -> Person | None:
    """The person, kept out from now on, and with no token left to come back by; None where there is none."""
    # Their row first: who makes a token holds it (`hold`), so whatever was being made is there to be found afterwards.
    conn.execute(update(people).where(people.c.name == name).values(status=REVOKED))
    conn.execute(delete(person_tokens).where(person_tokens.c.person == name, person_tokens.c.used_at_us.is_(None)))
    return find(conn, name)


def hold(conn: Connection, name: str) -> Person | None:
    """The person of this name, of whom nothing changes until the end of the transaction."""
    row = conn.execute(_PERSON.where(people.c.name == name).with_for_update()).one_or_none()
    return None if row is None else Person(*row)


def drop_other_roles(conn: Connection, name: str, role: str) -> None:
    """No token is left by which this person would come by another role."""
    of_other = (person_tokens.c.person == name) & (person_tokens.c.role != role)
    conn.execute(delete(person_tokens).where(of_other, person_tokens.c.used_at_us.is_(None)))


def create_token(
    conn: Connection,
    secret_hash: bytes,
    person: str,
    role: str,
    created_at_us: int,
    expires_at_us: int,
    made_by: str = "",
) -> None:
    """Keep a token, of whose secret only the SHA-256 is known here."""
    conn.execute(
        insert(person_tokens).values(
            secret_hash=secret_hash,
            person=person,
            role=role,
            created_at_us=created_at_us,
            expires_at_us=expires_at_us,
            made_by=made_by,
        )
    )


def consume_token(conn: Connection, secret_hash: bytes, now_us: int) -> tuple[str, str] | None:
    """The person and the role that the token lets in, and it is used up; None if it is unknown, used or expired.

    One conditional statement: of many callers at once, one gets in.
    """
    row = conn.execute(
        update(person_tokens)
        .where(*_admits(secret_hash, now_us))
        .values(used_at_us=now_us)
        .returning(person_tokens.c.person, person_tokens.c.role)
    ).one_or_none()
    return None if row is None else (row.person, row.role)


def admits(conn: Connection, secret_hash: bytes, now_us: int) -> bool:
    """Whether `consume_token` would let somebody in."""
    return conn.execute(select(person_tokens.c.person).where(*_admits(secret_hash, now_us))).first() is not None


def _admits(secret_hash: bytes, now_us: int) -> tuple[ColumnElement[bool], ...]:
    return (
        person_tokens.c.secret_hash == secret_hash,
        person_tokens.c.used_at_us.is_(None),
        person_tokens.c.expires_at_us > now_us,
        person_tokens.c.revoked_at_us.is_(None),
    )
