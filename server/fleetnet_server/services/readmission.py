"""How a host comes back that slept past the end of its certificate: it asks, and somebody approves it.

1. It shows the certificate, a request for a new key, and a signature by the old key over both and a challenge of ours.
2. The first time, what it asks for is noted, and `fleetnet hosts` shows it. It asks again, for the same key, and waits.
3. Somebody approves it (services/hosts.py). The next time it asks it gets a certificate, as for a renewal.

What must stay true: only the newest certificate of a host that is not kept out counts, so an older key that was stolen
gets nothing; what is approved is the key that was asked for first, so nobody slips in behind what somebody has looked
at; where a second key is wanted with the same certificate, two have the old key, and neither is let in by it.
"""

import datetime
import enum
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetnet_server import microseconds
from fleetnet_server.errors import PeerRefused
from fleetnet_server.identity import certificates, challenges, peer
from fleetnet_server.identity.peer import Ended
from fleetnet_server.records import ACTIVE, PENDING, Host, Readmission
from fleetnet_server.services.authorities import Authorities
from fleetnet_server.services.log import Logged
from fleetnet_server.services.renewals import RenewalBudget
from fleetnet_server.storage import hosts, readmissions
from fleetnet_server.storage.database import Connection, Database

AGAIN_S: Final = 30
MOST_AGAIN_S: Final = 3_600
_ASKING_PER_S: Final = 10  # of all that wait together; of who enrolls, 50 requests are answered in a second
_APPROVED_FOR_US: Final = 7 * 86_400_000_000  # whoever has not come by then asks anew

_NOT_IN: Final = (
    "the host of this certificate is not in the fleet, was revoked, or has a newer certificate; "
    "enroll it again with a new token"
)
_RIVALS: Final = (
    "another machine asks to be let in as this host with the same old key, so neither is; "
    "enroll the one that is the host again with a new token"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a host says, as it came; enroll.proto."""

    certificate: bytes
    csr: bytes
    challenge: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What it is told."""

    host: str
    certificate: certificates.ClientCertificate | None = None  # None: it waits
    ca_pem: bytes = b""
    again_after_s: int = 0
    is_new: bool = False  # it has not asked before


class _Stands(enum.Enum):
    """How a wish stands."""

    NEW = enum.auto()
    WAITS = enum.auto()
    APPROVED = enum.auto()
    RIVAL = enum.auto()


class ReadmissionDesk:
    """Lets hosts in again."""

    def __init__(self, db: Database | Logged, authority: Authorities, clock: Callable[[], datetime.datetime]) -> None:
        self._db = db
        self._authority = authority
        self._clock = clock
        self._challenges = challenges.Challenges()
        self._renewals = RenewalBudget()

    def challenge(self) -> bytes:
        """What a host is to sign."""
        return self._challenges.make()

    async def ask(self, wanted: Wanted, address: str) -> Answer:
        """A host asks, from this address. Raises PeerRefused, RequestRefused, TooMuchAtOnce, NotTheIssuer,
        StorageError."""
        self._challenges.spend(wanted.challenge)
        now = self._clock()
        ended = peer.identify_ended(wanted.certificate, self._authority.certificates, now)
        signed = challenges.signed(wanted.challenge, wanted.certificate, wanted.csr)
        challenges.check_signature(ended.key, wanted.signature, signed)
        key = certificates.public_key_of(wanted.csr)
        asks = Readmission(ended.peer.serial, _fingerprint(key), address, microseconds.of(now), 0, 0)
        # Who waits asks often, and is answered without the writer.
        waits = await self._db.read(_waits, ended.peer.host, asks)
        if waits is not None:
            return waits
        answer = await self._db.write(self._proceed, ended, key, asks, now)
        if answer is None:
            raise PeerRefused(_RIVALS)
        return answer

    def _proceed(
        self, conn: Connection, ended: Ended, key: ec.EllipticCurvePublicKey, asks: Readmission, now: datetime.datetime
    ) -> Answer | None:
        """None where a rival was found, which is noted."""
        host = _held(conn, ended.peer.host)
        asked = readmissions.find(conn, host.host_id)
        match _how_it_stands(host, asked, asks):
            case _Stands.NEW:
                readmissions.put(conn, host.host_id, asks)
                return Answer(host.name, again_after_s=_again_after_s(conn), is_new=True)
            case _Stands.WAITS:
                return Answer(host.name, again_after_s=_again_after_s(conn))
            case _Stands.RIVAL:
                assert asked is not None
                readmissions.put(conn, host.host_id, replace(asked, rival_at_us=asks.asked_at_us))
                return None
            case _Stands.APPROVED:
                self._renewals.spend(host.name)
                issued = self._authority.issue_host(conn, key, host.name, now, ended.peer)
                hosts.readmit(conn, host.host_id, ended.peer.serial, issued.certificate.serial)
                return Answer(host.name, issued.certificate, issued.ca_pem)


def _waits(conn: Connection, name: str, asks: Readmission) -> Answer | None:
    """What to tell who only has to wait on. Raises PeerRefused."""
    host = _in_fleet(hosts.find(conn, name))
    stands = _how_it_stands(host, readmissions.find(conn, host.host_id), asks)
    return Answer(name, again_after_s=_again_after_s(conn)) if stands is _Stands.WAITS else None


def _held(conn: Connection, name: str) -> Host:
    """The host, whose row is held until the end of the transaction. Raises PeerRefused."""
    host = _in_fleet(hosts.find(conn, name))
    hosts.hold(conn, [host.host_id])
    return _in_fleet(hosts.find(conn, name))  # as it is now


def _in_fleet(host: Host | None) -> Host:
    if host is None or host.status not in (ACTIVE, PENDING):
        raise PeerRefused(_NOT_IN)
    return host


def _how_it_stands(host: Host, asked: Readmission | None, asks: Readmission) -> _Stands:
    """Raises PeerRefused."""
    if asks.serial not in (host.certificate_serial, host.renewed_serial):
        raise PeerRefused(_NOT_IN)
    if asked is None or asked.serial != asks.serial:
        return _Stands.NEW
    if asked.rival_at_us:
        raise PeerRefused(_RIVALS)
    if asked.wanted_key != asks.wanted_key:
        return _Stands.RIVAL
    if not asked.approved_at_us:
        return _Stands.WAITS
    return _Stands.APPROVED if asks.asked_at_us < asked.approved_at_us + _APPROVED_FOR_US else _Stands.NEW


def _again_after_s(conn: Connection) -> int:
    """The more wait, the seldomer each asks."""
    return min(max(AGAIN_S, readmissions.count(conn) // _ASKING_PER_S), MOST_AGAIN_S)


def _fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()
