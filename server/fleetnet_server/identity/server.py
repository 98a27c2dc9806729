"""The certificate that the collector shows: kept in DIR, made anew when its names change, its end comes near, or
another CA issues.

Key and certificate are two files: a start that was killed between them finds a pair that does not match, and makes a
new one. A collector without the CA's key shows what another has made for it, and looks whether there is a newer one.
"""

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetnet_server.errors import AuthorityError
from fleetnet_server.identity import ca, certificates
from fleetnet_server.identity.files import write_pair
from fleetnet_server.identity.peer import is_of

CERTIFICATE_FILE = "server.pem"
KEY_FILE = "server.key"


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What the collector shows, as files have it."""

    key_pem: bytes
    certificate_pem: bytes
    not_after: datetime.datetime
    serial: str  # hexadecimal


class ServerIdentity:
    """The collector's certificate over time. `credentials` give each new connection the newest one."""

    def __init__(
        self,
        directory: Path,
        authority: ca.Authority | None,
        names: Iterable[str],
        clock: Callable[[], datetime.datetime],
        trusted: Sequence[x509.Certificate] = (),
    ) -> None:
        """Read the pair of files, or make it; `trusted` are the CAs that the fleet trusts, if these are more than
        `authority`, of which there is none where its key is not here. Raises OSError and AuthorityError."""
        self._directory = directory
        self._authority = authority
        self._names = frozenset(names)
        self._clock = clock
        self._trusted = tuple(trusted) or (authority.certificate,) if authority else tuple(trusted)
        self.current = self._usable() or self._issue()

    def follow(self, authority: ca.Authority | None, trusted: Sequence[x509.Certificate]) -> None:
        """These are trusted from now on, and the first of them issues, which `authority` is if its key is here. Raises
        OSError and AuthorityError, and then shows what it has shown."""
        self._authority, self._trusted = authority, tuple(trusted)
        if authority is not None:
            self.current = self._usable() or self._issue()

    def renew_if_due(self) -> bool:
        """Take a newer certificate if the present one nears its end, or one was put there; True if so. Raises OSError
        and AuthorityError, and keeps the old."""
        if self._authority is None:
            found = self._usable()
            if found is None or found.certificate_pem == self.current.certificate_pem:
                return False
            self.current = found
            return True
        if self._fresh(self.current.not_after):
            return False
        self.current = self._issue()
        return True

    @property
    def issuer(self) -> str:
        """The fingerprint of the CA that the certificate shown is of; empty if the fleet does not trust it any more."""
        certificate = x509.load_pem_x509_certificate(self.current.certificate_pem)
        return next((ca.fingerprint(one) for one in self._trusted if is_of(certificate, one)), "")

    def credentials(self, client_certificates: bool) -> grpc.ServerCredentials:
        """TLS for one port; with `client_certificates`, only for peers whose chain ends at our CA."""
        told = (self.current, self._trusted)

        def newest() -> grpc.ServerCertificateConfiguration | None:
            # Called by gRPC at every handshake: None keeps what it has.
            nonlocal told
            if told == (now := (self.current, self._trusted)):
                return None
            told = now
            return self._configuration(client_certificates)

        # The stubs do not know that None is allowed; gRPC's own documentation of the fetcher says so.
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(client_certificates),
            newest,  # type: ignore[arg-type]
            require_client_authentication=client_certificates,
        )

    def _configuration(self, client_certificates: bool) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(self.current.key_pem, self.current.certificate_pem)],
            root_certificates=self._roots_pem() if client_certificates else None,
        )

    def _roots_pem(self) -> bytes:
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in self._trusted)

    def _usable(self) -> ServerCertificate | None:
        try:
            certificate = ca.read_certificate(self._directory / CERTIFICATE_FILE)
            key = ca.read_key(self._directory / KEY_FILE)
        except (FileNotFoundError, AuthorityError, ValueError, TypeError):
            return None
        if key.public_key() != certificate.public_key():
            return None
        if self._authority is None:
            lasts = certificate.not_valid_after_utc > self._clock()
            return _pair(key, certificate) if lasts and any(is_of(certificate, one) for one in self._trusted) else None
        right_names = certificates.names_in(certificate) == self._names
        ours = is_of(certificate, self._authority.certificate)
        if not (ours and right_names and self._fresh(certificate.not_valid_after_utc)):
            return None
        return _pair(key, certificate)

    def _fresh(self, not_after: datetime.datetime) -> bool:
        # Where the CA itself ends soon, a new certificate would not live longer than the one there is.
        assert self._authority is not None
        limit = min(
            certificates.SERVER_RENEW_BEFORE, (self._authority.certificate.not_valid_after_utc - self._clock()) / 2
        )
        return not_after - self._clock() > limit

    def _issue(self) -> ServerCertificate:
        if self._authority is None:
            raise AuthorityError(
                f"{self._directory / CERTIFICATE_FILE} is not there, has ended, or is of no CA that the fleet trusts, "
                f"and the CA's key is not here; put there what `fleetnet-server ca issue-server` makes, {KEY_FILE} too"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = certificates.issue_server(self._authority, key.public_key(), sorted(self._names), self._clock())
        pair = _pair(key, certificate)
        write_pair(self._directory / KEY_FILE, pair.key_pem, pair.certificate_pem)
        return pair


def _pair(key: ca.Key, certificate: x509.Certificate) -> ServerCertificate:
    return ServerCertificate(
        key_pem=ca.key_bytes(key),
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        not_after=certificate.not_valid_after_utc,
        serial=f"{certificate.serial_number:x}",
    )
