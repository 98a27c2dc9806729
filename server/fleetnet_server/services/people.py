"""Who may ask over the network, and what each may do: tokens, logins, renewals, roles, and keeping people out.

What must stay true: a person's role and standing are read from the database whenever a call begins and never
remembered, so that a change holds at once, whichever collector made it (of calls that go on, see standing.py); of a
person one certificate is good, and the one before only until the newest has been shown, so that an answer that was lost
locks nobody out.
"""

import datetime
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, TypeVar, TypeVarTuple

from fleetnet_server import microseconds
from fleetnet_server.errors import NotPermitted, PeerRefused, PersonUnknown, RequestRefused, TokenRefused
from fleetnet_server.identity import certificates, names, peer, tokens
from fleetnet_server.records import OPERATOR as OPERATOR
from fleetnet_server.records import ROLES as ROLES
from fleetnet_server.records import VIEWER as VIEWER
from fleetnet_server.records import Person
from fleetnet_server.services.authorities import Authorities
from fleetnet_server.services.enrollment import lifetime_s
from fleetnet_server.services.log import Logged
from fleetnet_server.services.renewals import RenewalBudget
from fleetnet_server.storage import people
from fleetnet_server.storage import tokens as stored_tokens
from fleetnet_server.storage.database import Connection, Database

ACTIVE: Final = people.ACTIVE

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class NewPersonToken:
    """A token just made; its text is shown once and kept nowhere."""

    text: str
    person: str
    role: str
    expires_at_us: int


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A person who has just logged in or renewed."""

    person: str
    role: str
    certificate: certificates.ClientCertificate
    ca_pem: bytes


class People:
    """Lets people in, and keeps them out."""

    def __init__(self, db: Database | Logged, authority: Authorities, clock: Callable[[], datetime.datetime]) -> None:
        self._db = db
        self._authority = authority
        self._clock = clock
        self._renewals = RenewalBudget()
        self.changed_at_s = -math.inf  # time.monotonic() when how somebody stands was last changed here

    async def create_token(self, person: str, role: str, ttl_s: int, by: str = "") -> NewPersonToken:
        """A token for one person, once; 0 s means an hour. Raises RequestRefused, StorageError."""
        if not names.is_person_name(person):
            raise RequestRefused(
                f"{person[:64]!r} cannot be the name of a person; use lower-case letters, digits, '.', '-' and '_', "
                "at most 64, beginning and ending with a letter or digit"
            )
        _check_role(role)
        ttl_s = lifetime_s(ttl_s)
        secret, now_us = tokens.new_secret(), microseconds.of(self._clock())
        expires_at_us = now_us + ttl_s * 1_000_000
        kept = (tokens.secret_hash(secret), person, role, now_us, expires_at_us, by)
        await self._db.write(people.create_token, *kept)
        return NewPersonToken(tokens.encode(secret, self._authority.der), person, role, expires_at_us)

    async def admits(self, secret: bytes) -> bool:
        """Whether a token's secret would let a person in now; nothing becomes of it. Raises StorageError."""
        return await self._db.read(people.admits, tokens.secret_hash(secret), microseconds.of(self._clock()))

    async def enroll(self, secret: bytes, csr: bytes) -> LoggedIn:
        """Trade a token's secret for a certificate. Raises TokenRefused, RequestRefused, StorageError."""
        if len(secret) != tokens.SECRET_BYTES:
            raise TokenRefused
        key = certificates.public_key_of(csr)
        now = self._clock()

        def join(connection: Connection) -> LoggedIn:
            found = people.consume_token(connection, tokens.secret_hash(secret), microseconds.of(now))
            if found is None:
                raise TokenRefused
            person, role = found
            issued = self._authority.issue_person(connection, key, person, now)
            certificate = issued.certificate
            people.join(connection, person, role, certificate.serial, certificate.not_after_us, microseconds.of(now))
            return LoggedIn(person, role, certificate, issued.ca_pem)

        return await self._change(join)

    async def renew(self, shown: peer.Person, csr: bytes) -> LoggedIn:
        """A new certificate for a person who shows a good one. Raises PeerRefused, TooMuchAtOnce,
        RequestRefused, StorageError."""
        self._renewals.spend(shown.name)
        key, now = certificates.public_key_of(csr), self._clock()

        def again(connection: Connection) -> LoggedIn:
            issued = self._authority.issue_person(connection, key, shown.name, now, shown)
            certificate = issued.certificate
            kept = (shown.name, shown.serial, certificate.serial, certificate.not_after_us)
            if not people.renew(connection, *kept):
                raise _not_let_in()
            return LoggedIn(shown.name, "", certificate, issued.ca_pem)

        return await self._change(again)

    async def admit(self, shown: peer.Person, role: str) -> None:
        """Return if a person who shows this certificate may do what takes this role. Raises PeerRefused, NotPermitted,
        StorageError."""
        person = await self._db.read(people.find, shown.name)
        self.check(shown, person, role)
        self._authority.note("person", shown.name, shown)
        if person is not None and person.renewed_serial and person.certificate_serial == shown.serial:
            await self._change(people.shown, shown.name, shown.serial)

    def check(self, shown: peer.Person, person: Person | None, role: str) -> None:
        """The same, of a person as just read. Raises PeerRefused, NotPermitted."""
        if person is None or person.status != people.ACTIVE:
            raise _not_let_in()
        if shown.serial not in (person.certificate_serial, person.renewed_serial):
            raise PeerRefused("a newer certificate has taken this one's place; log in again")
        self._authority.check(shown)
        if shown.not_after_us <= microseconds.of(self._clock()):
            raise PeerRefused("the certificate has expired; log in again")
        if ROLES.index(person.role) < ROLES.index(role):
            raise NotPermitted(f"{person.name} is a {person.role}, and this takes an {role}; ask one to do it")

    async def find_each(self, of: Collection[str]) -> dict[str, Person]:
        """Those of some people who are there, by name, as the database has them now. Raises StorageError."""
        return await self._db.read(people.find_each, of)

    async def everybody(self) -> list[Person]:
        """All people, by name. Raises StorageError."""
        return await self._db.read(people.everybody)

    async def change_role(self, name: str, role: str) -> Person:
        """Give a person another role. With that of an operator go the unused tokens that the person made, and
        those that would give it back. Raises PersonUnknown, RequestRefused, StorageError."""
        _check_role(role)
        return await self._change(_change_role, name, role, microseconds.of(self._clock()))

    async def revoke(self, name: str) -> Person:
        """Keep a person out, whose unused tokens go too: those to log in with, and those that the person made. Raises
        PersonUnknown, StorageError."""
        return await self._change(_revoke, name, microseconds.of(self._clock()))

    async def _change(self, work: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        try:
            return await self._db.write(work, *args)
        finally:  # where it failed or nobody waits any longer, it may be written all the same
            self.changed_at_s = time.monotonic()


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise RequestRefused(f"a person is {' or '.join(ROLES)}, and not {role[:64]!r}")


def _change_role(conn: Connection, name: str, role: str, now_us: int) -> Person:
    person = _known(people.change_role(conn, name, role), name)
    if role != OPERATOR:
        people.drop_other_roles(conn, name, role)
        stored_tokens.revoke_made_by(conn, names.uri_of_person(name), now_us)
    return person


def _revoke(conn: Connection, name: str, now_us: int) -> Person:
    person = _known(people.revoke(conn, name), name)
    stored_tokens.revoke_made_by(conn, names.uri_of_person(name), now_us)
    return person


def _known(person: Person | None, name: str) -> Person:
    if person is None:
        raise PersonUnknown(name[:64])
    return person


def _not_let_in() -> PeerRefused:
    # To whoever asks, "unknown" and "revoked" are one.
    return PeerRefused("the person of this certificate is not known here, or was revoked; log in with a new token")
