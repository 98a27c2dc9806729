"""How a host comes into the fleet and stays in it: tokens, its first certificate, and each renewal.

A token is used up, the host is noted and its certificate is signed in one transaction: of many who bring the same
token exactly one gets in, and a certificate exists only for a host that is stored.
"""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fleetnet_server.errors import HostUnknown, RequestRefused, TokenRefused
from fleetnet_server.identity import certificates, tokens
from fleetnet_server.identity.names import is_host_name
from fleetnet_server.identity.peer import Peer
from fleetnet_server.records import Host, Label
from fleetnet_server.services import labels
from fleetnet_server.services.authorities import Authorities
from fleetnet_server.storage import hosts, machines
from fleetnet_server.storage import tokens as stored_tokens
from fleetnet_server.storage.database import Connection, Database

DEFAULT_TTL_S = 3_600
MIN_TTL_S = 60
MAX_TTL_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made; its text is shown once and kept nowhere."""

    text: str
    host: str
    expires_at_us: int
    labels: tuple[Label, ...] = ()  # that the host has once it has enrolled


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A host that has just joined or renewed."""

    host: str
    certificate: certificates.ClientCertificate
    ca_pem: bytes


class Enrollment:
    """Lets hosts in."""

    def __init__(self, db: Database, authority: Authorities, clock: Callable[[], datetime.datetime]) -> None:
        self._db = db
        self._authority = authority
        self._clock = clock

    async def create_token(self, host: str, ttl_s: int, given: Sequence[Label] = ()) -> NewToken:
        """A token for one host, once, which gives it these labels; 0 s means an hour. Raises RequestRefused,
        StorageError."""
        if not is_host_name(host):
            raise RequestRefused(
                f"{host[:64]!r} cannot be the name of a host; use lower-case letters, digits, '.', '-' and '_', "
                "at most 253, beginning and ending with a letter or digit"
            )
        ttl_s = lifetime_s(ttl_s)
        labels.check(given)
        secret = tokens.new_secret()
        now_us = _us(self._clock())
        expires_at_us = now_us + ttl_s * 1_000_000
        kept = (tokens.secret_hash(secret), host, now_us, expires_at_us, tuple(given))
        await self._db.write(stored_tokens.create, *kept)
        return NewToken(tokens.encode(secret, self._authority.der), host, expires_at_us, tuple(given))

    async def enroll(self, secret: bytes, csr: bytes) -> Enrolled:
        """Trade a token's secret for a certificate. Raises TokenRefused, RequestRefused, StorageError."""
        if len(secret) != tokens.SECRET_BYTES:
            raise TokenRefused
        key = certificates.public_key_of(csr)
        now = self._clock()

        def join(connection: Connection) -> Enrolled:
            admitted = stored_tokens.consume(connection, tokens.secret_hash(secret), _us(now))
            if admitted is None:
                raise TokenRefused
            issued = self._authority.issue_host(connection, key, admitted.host, now, joins=True)
            joined = hosts.enroll(connection, admitted.host, issued.certificate.serial, _us(now))
            machines.enrolled_anew(connection, joined.host_id)
            if admitted.labels:
                labels.give(connection, joined, admitted.labels)
            return Enrolled(admitted.host, issued.certificate, issued.ca_pem)

        return await self._db.write(join)

    async def renew(self, host: Host, csr: bytes) -> Enrolled:
        """A new certificate for a host that showed its present one. Raises RequestRefused, StorageError."""
        key, now = certificates.public_key_of(csr), self._clock()

        def again(connection: Connection) -> Enrolled:
            issued = self._authority.issue_host(connection, key, host.name, now)
            hosts.renewed(connection, host.host_id, issued.certificate.serial)
            return Enrolled(host.name, issued.certificate, issued.ca_pem)

        return await self._db.write(again)

    def check(self, shown: Peer) -> None:
        """Whether the certificate is of a CA that is trusted now. Raises PeerRefused."""
        self._authority.check(shown)

    async def active_host(self, name: str) -> Host:
        """The host of that name, if it may report. Raises HostUnknown, StorageError."""
        host = await self._db.read(hosts.find, name)
        if host is None or host.status != hosts.ACTIVE:
            raise HostUnknown(name)
        return host


def lifetime_s(asked_s: int) -> int:
    """How long a token lives, of which so many seconds were asked; 0 means an hour. Raises RequestRefused."""
    ttl_s = asked_s or DEFAULT_TTL_S
    if not MIN_TTL_S <= ttl_s <= MAX_TTL_S:
        raise RequestRefused(f"a token cannot live {ttl_s} s; choose between one minute and 30 days")
    return ttl_s


def _us(time: datetime.datetime) -> int:
    return int(time.timestamp() * 1_000_000)
