"""How a host comes into the fleet and stays in it: tokens, its first certificate, and each renewal.

A token is used up, the host is noted and its certificate is signed in one transaction: of many who bring the same
token exactly one gets in, and a certificate exists only for a host that is stored.
"""

import datetime
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fleetnet_server import microseconds
from fleetnet_server.errors import KEPT_OUT, WAITS, PeerRefused, RequestRefused, TokenRefused
from fleetnet_server.identity import certificates, tokens
from fleetnet_server.identity.names import is_host_name
from fleetnet_server.identity.peer import Peer
from fleetnet_server.records import ACTIVE, PENDING, Label, MadeToken
from fleetnet_server.services import labels
from fleetnet_server.services.authorities import Authorities
from fleetnet_server.services.log import Logged
from fleetnet_server.services.renewals import RenewalBudget
from fleetnet_server.storage import hosts, machines, readmissions
from fleetnet_server.storage import tokens as stored_tokens
from fleetnet_server.storage.database import Connection, Database
from fleetnet_server.storage.tokens import Terms as Terms

DEFAULT_TTL_S = 3_600
MIN_TTL_S = 60
MAX_TTL_S = 30 * 86_400
MOST_USES: Final = 10_000
_ONCE: Final = Terms()
_TOKEN_ID = re.compile(rf"[0-9a-f]{{{2 * stored_tokens.ID_BYTES}}}")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made; its text is shown once and kept nowhere."""

    text: str
    host: str
    expires_at_us: int
    labels: tuple[Label, ...] = ()  # that the host has once it has enrolled
    terms: Terms = _ONCE


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A host that has just joined or renewed."""

    host: str
    certificate: certificates.ClientCertificate
    ca_pem: bytes
    pending: bool = False  # the certificate is good for nothing until somebody has approved the host


class Enrollment:
    """Lets hosts in."""

    def __init__(
        self,
        db: Database | Logged,
        authority: Authorities,
        clock: Callable[[], datetime.datetime],
        joined: Callable[[], None] = lambda: None,
    ) -> None:
        """`joined` hears that a host has, once it is stored."""
        self._joined = joined
        self._db = db
        self._authority = authority
        self._clock = clock
        self._renewals = RenewalBudget()

    async def create_token(self, host: str, ttl_s: int, given: Sequence[Label] = (), terms: Terms = _ONCE) -> NewToken:
        """A token for one host, or for as many as `terms` says of whatever names where none is given, which gives them
        these labels; 0 s means an hour. Raises RequestRefused, StorageError."""
        _check_terms(host, given, terms)
        if host and not is_host_name(host):
            raise RequestRefused(
                f"{host[:64]!r} cannot be the name of a host; use lower-case letters, digits, '.', '-' and '_', "
                "at most 253, beginning and ending with a letter or digit"
            )
        ttl_s = lifetime_s(ttl_s)
        labels.check(given)
        secret = tokens.new_secret()
        now_us = microseconds.of(self._clock())
        expires_at_us = now_us + ttl_s * 1_000_000
        kept = (tokens.secret_hash(secret), host, now_us, expires_at_us, tuple(given), terms)
        await self._db.write(stored_tokens.create, *kept)
        return NewToken(tokens.encode(secret, self._authority.der), host, expires_at_us, tuple(given), terms)

    async def tokens(self) -> list[MadeToken]:
        """All that were made, the newest first. Raises StorageError."""
        return await self._db.read(stored_tokens.listed)

    async def revoke_token(self, token_id: str) -> MadeToken:
        """The token of this id, which admits nobody from now on. Raises RequestRefused, StorageError."""
        return await self._db.write(_revoke_token, token_id, microseconds.of(self._clock()))

    async def admits(self, secret: bytes) -> bool:
        """Whether a token's secret would admit a host now; nothing becomes of it. Raises StorageError."""
        return await self._db.read(stored_tokens.admits, tokens.secret_hash(secret), microseconds.of(self._clock()))

    async def enroll(self, secret: bytes, csr: bytes, proposed: str = "") -> Enrolled:
        """Trade a token's secret for a certificate; `proposed` is what the host calls itself, which counts only where
        the token is for no host by name. Raises TokenRefused, RequestRefused, StorageError."""
        if len(secret) != tokens.SECRET_BYTES:
            raise TokenRefused
        key = certificates.public_key_of(csr)
        now = self._clock()

        def join(connection: Connection) -> Enrolled:
            admitted = stored_tokens.consume(connection, tokens.secret_hash(secret), microseconds.of(now))
            if admitted is None:
                raise TokenRefused
            name = admitted.host or _proposed(connection, proposed)
            issued = self._authority.issue_host(connection, key, name, now)
            status = PENDING if admitted.approve else ACTIVE
            joined = hosts.enroll(connection, name, issued.certificate.serial, microseconds.of(now), status)
            machines.enrolled_anew(connection, joined.host_id)
            readmissions.drop(connection, [joined.host_id])
            if admitted.labels:
                labels.give(connection, joined, admitted.labels)
            return Enrolled(name, issued.certificate, issued.ca_pem, pending=admitted.approve)

        enrolled = await self._db.write(join)
        self._joined()
        return enrolled

    def check(self, shown: Peer) -> None:
        """Whether the certificate is of a CA that is trusted now. Raises PeerRefused."""
        self._authority.check(shown)

    async def waits(self, shown: Peer) -> bool:
        """Whether the host of a certificate that admits nobody waits to be approved. Raises StorageError."""
        host = await self._db.read(hosts.find, shown.host)
        return host is not None and host.status == PENDING and host.certificate_serial == shown.serial

    async def renew(self, shown: Peer, csr: bytes) -> Enrolled:
        """A new certificate for a host that showed a good one. Raises PeerRefused, TooMuchAtOnce,
        RequestRefused, StorageError."""
        if not await self._db.read(hosts.may_renew, shown.host, shown.serial):
            # Before a byte of the request is read.
            raise PeerRefused(WAITS if await self.waits(shown) else KEPT_OUT)
        self._renewals.spend(shown.host)
        key, now = certificates.public_key_of(csr), self._clock()

        def again(connection: Connection) -> Enrolled:
            issued = self._authority.issue_host(connection, key, shown.host, now, shown)
            if not hosts.renew(connection, shown.host, shown.serial, issued.certificate.serial):
                raise PeerRefused(KEPT_OUT)
            return Enrolled(shown.host, issued.certificate, issued.ca_pem)

        return await self._db.write(again)


def _revoke_token(conn: Connection, token_id: str, now_us: int) -> MadeToken:
    found = stored_tokens.revoke(conn, token_id, now_us) if _TOKEN_ID.fullmatch(token_id) else []
    if len(found) != 1:
        raise RequestRefused(
            f"{token_id[:32]!r} is not the id of one token; `fleetnet token list` shows the ids of all"
        )
    return found[0]


def _check_terms(host: str, given: Sequence[Label], terms: Terms) -> None:
    """Raises RequestRefused."""
    if host and terms.max_uses != 1:
        raise RequestRefused(f"a token for {host[:64]!r} admits that host once; leave the name out for several hosts")
    if not 1 <= terms.max_uses <= MOST_USES:
        raise RequestRefused(f"a token cannot admit {terms.max_uses} hosts; choose between 1 and {MOST_USES}")
    if not (host or given or terms.approve):
        # Mostly a name that was left out by mistake.
        raise RequestRefused(
            "a token for nobody in particular would admit anybody; name the host (--host NAME), or say what those have "
            "in common that it admits (--label K=V), or that they are to be approved (--approve)"
        )


def _proposed(conn: Connection, proposed: str) -> str:
    """The name that a host proposes, if it can have that. Raises RequestRefused."""
    name = proposed.lower()
    if not is_host_name(name):
        raise RequestRefused(
            f"this host calls itself {proposed[:64]!r}, which cannot be the name of a host; make a token for it by "
            "name: `fleetnet token create --host NAME`"
        )
    if hosts.find(conn, name) is not None:
        # Whoever holds a token for several could become any host of the fleet otherwise.
        raise RequestRefused(
            f"the name {name!r} is taken; make a token for this host by name: `fleetnet token create --host NAME`"
        )
    return name


def lifetime_s(asked_s: int) -> int:
    """How long a token lives, of which so many seconds were asked; 0 means an hour. Raises RequestRefused."""
    ttl_s = asked_s or DEFAULT_TTL_S
    if not MIN_TTL_S <= ttl_s <= MAX_TTL_S:
        raise RequestRefused(f"a token cannot live {ttl_s} s; choose between one minute and 30 days")
    return ttl_s
