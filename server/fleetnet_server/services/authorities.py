"""Which CAs the fleet trusts, by which of them is issued, and whether a certificate is of one of them.

What must stay true: a certificate is issued in the transaction that stores its owner, by the CA that issues at that
moment, and what is handed over with it is what is trusted at that moment, and noted. How a collector stands to them is
looked up again every second (`look`), for another collector may have changed it.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fleetnet_server.errors import NotTheIssuer, PeerRefused
from fleetnet_server.identity import ca, certificates
from fleetnet_server.identity.certificates import ClientCertificate
from fleetnet_server.identity.keyring import Keyring
from fleetnet_server.identity.peer import Peer, Person
from fleetnet_server.records import HeldCertificate, TrustedAuthority
from fleetnet_server.storage import authorities
from fleetnet_server.storage import certificates as held
from fleetnet_server.storage.database import Connection, Database

_ELSEWHERE: Final = (
    "this collector does not have the key of the fleet's CA, so it issues no certificates; ask the one that has"
)
_NOT_TRUSTED: Final = "the certificate is of a CA that this fleet does not trust any more; join anew with a new token"
_TOLD_AT_ONCE: Final = 500  # hosts wait for the writer meanwhile
_MOST_UNTOLD: Final = 50_000  # certificates shown and not noted yet; those beyond are noted when they are shown again

_Key: TypeAlias = ec.EllipticCurvePublicKey
_Issue = Callable[[ca.Authority, _Key, str, datetime.datetime], ClientCertificate]


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate just issued, and the CAs to trust, PEM, one after the other."""

    certificate: ClientCertificate
    ca_pem: bytes


class Authorities:
    """How one collector stands to them."""

    def __init__(self, db: Database, keyring: Keyring, trusted: tuple[TrustedAuthority, ...]) -> None:
        self._db = db
        self.keyring = keyring
        self._shown: dict[tuple[str, str], HeldCertificate] = {}
        self._become(trusted)

    @property
    def trusted(self) -> tuple[TrustedAuthority, ...]:
        """Those that are, the one that issues first."""
        return self._trusted

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """The same."""
        return self._certificates

    @property
    def issuing(self) -> ca.Authority | None:
        """The one that issues, if its key is here."""
        return self.keyring.find(self._trusted[0].fingerprint)

    @property
    def der(self) -> bytes:
        """The certificate of the one that issues, as a token has it."""
        return self._trusted[0].certificate

    @property
    def until(self) -> datetime.datetime:
        """When that ends."""
        return self._certificates[0].not_valid_after_utc

    async def look(self) -> bool:
        """Learn what is trusted now; True if that is news. Raises StorageError."""
        trusted = await self._db.read(authorities.trusted)
        if trusted == self._trusted or not trusted:
            return False
        self._become(trusted)
        return True

    def _become(self, trusted: tuple[TrustedAuthority, ...]) -> None:
        self._trusted = trusted
        self._certificates = tuple(ca.from_der(one.certificate) for one in trusted)
        self._by_key = dict(zip(_keys(trusted), trusted, strict=True))

    def issue_host(
        self, conn: Connection, key: _Key, name: str, now: datetime.datetime, shown: Peer | None = None
    ) -> Issued:
        """A certificate for a host that has shown one, or joins. Raises NotTheIssuer, PeerRefused."""
        return self._issue(conn, held.HOST, certificates.issue_host, key, name, now, shown)

    def issue_person(
        self, conn: Connection, key: _Key, name: str, now: datetime.datetime, shown: Person | None = None
    ) -> Issued:
        """A certificate for a person who has shown one, or joins. Raises NotTheIssuer, PeerRefused."""
        return self._issue(conn, held.PERSON, certificates.issue_person, key, name, now, shown)

    def _issue(
        self,
        conn: Connection,
        kind: str,
        issue: _Issue,
        key: _Key,
        name: str,
        now: datetime.datetime,
        shown: Peer | Person | None,
    ) -> Issued:
        trusted = authorities.trusted(conn)
        if shown is not None and shown.issuer_key not in _keys(trusted):
            raise PeerRefused(_NOT_TRUSTED)
        authority = self.keyring.find(trusted[0].fingerprint)
        if authority is None:
            raise NotTheIssuer(_ELSEWHERE)
        certificate = issue(authority, key, name, now)
        handed_over = frozenset(one.fingerprint for one in trusted)
        issuer, until_us = trusted[0].fingerprint, certificate.not_after_us
        # Whoever joins and does not get the answer is not in; whoever renews has what he had.
        held.put(
            conn, HeldCertificate(kind, name, certificate.serial, issuer, handed_over, until_us, shown=shown is None)
        )
        return Issued(certificate, b"".join(ca.pem_of(one.certificate) for one in trusted))

    def check(self, peer: Peer | Person) -> None:
        """Whether a certificate is of a CA that is trusted now: an older TLS session, or a stream, may outlive that.
        Raises PeerRefused."""
        if peer.issuer_key not in self._by_key:
            raise PeerRefused(_NOT_TRUSTED)

    def note(self, kind: str, name: str, peer: Peer | Person) -> None:
        """A certificate has been shown; `tell` writes that down."""
        one = self._by_key.get(peer.issuer_key)
        if one is None or len(self._shown) >= _MOST_UNTOLD:
            return
        trusts = frozenset({one.fingerprint})
        self._shown[kind, name] = HeldCertificate(
            kind, name, peer.serial, one.fingerprint, trusts, peer.not_after_us, shown=True
        )

    async def behind(self) -> list[HeldCertificate]:
        """The hosts that may have to renew: whose certificate is of another CA than the one that issues, who trust
        others than they should, or who have not shown what they were sent. Raises StorageError."""
        found = await self._db.read(held.of_hosts)
        return [one for one in found if one.issuer and (self.is_old(one) or not one.shown)]

    def is_old(self, one: HeldCertificate) -> bool:
        """Whether a certificate is not as it would be issued now."""
        issuing, trusted = self._trusted[0].fingerprint, frozenset(one.fingerprint for one in self._trusted)
        return one.issuer != issuing or one.trusts != trusted

    async def tell(self) -> None:
        """Write down what was shown since the last time, or some of it. Raises StorageError, and then does so the next
        time."""
        some = dict(islice(self._shown.items(), _TOLD_AT_ONCE))
        if not some:
            return
        # While people ask, much is shown and hardly anything of it is news: nobody waits for the writer then.
        if await self._db.read(held.news_of, list(some.values())):
            await self._db.write(held.note_shown, list(some.values()))
        for key, one in some.items():
            if self._shown.get(key) is one:
                del self._shown[key]


def _keys(trusted: tuple[TrustedAuthority, ...]) -> list[bytes]:
    """By which a certificate says which of them it is of."""
    return [ca.key_identifier(ca.from_der(one.certificate)) for one in trusted]
