"""The certificate that the collector shows: kept in DIR, made anew when its names change or its end comes near.

The CA stays; only the leaf changes, so no host notices. Key and certificate are two files: a start that was killed
between them finds a pair that does not match, and makes a new one.
"""

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetnet_server.errors import AuthorityError
from fleetnet_server.identity import ca, certificates
from fleetnet_server.identity.files import write_private

CERTIFICATE_FILE = "server.pem"
KEY_FILE = "server.key"


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What the collector shows, as files have it."""

    key_pem: bytes
    certificate_pem: bytes
    not_after: datetime.datetime


class ServerIdentity:
    """The collector's certificate over time. `credentials` give each new connection the newest one."""

    def __init__(
        self,
        directory: Path,
        authority: ca.Authority,
        names: Iterable[str],
        clock: Callable[[], datetime.datetime],
    ) -> None:
        """Read the pair of files, or make it. Raises OSError."""
        self._directory = directory
        self._authority = authority
        self._names = frozenset(names)
        self._clock = clock
        self.current = self._usable() or self._issue()

    def renew_if_due(self) -> bool:
        """Make a new certificate if the present one nears its end; True if so. Raises OSError, and keeps the old."""
        if self._fresh(self.current.not_after):
            return False
        self.current = self._issue()
        return True

    def credentials(self, client_certificates: bool) -> grpc.ServerCredentials:
        """TLS for one port; with `client_certificates`, only for peers whose chain ends at our CA."""
        shown = self.current

        def newest() -> grpc.ServerCertificateConfiguration | None:
            # Called by gRPC at every handshake: None keeps what it has.
            nonlocal shown
            if shown is self.current:
                return None
            shown = self.current
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
            root_certificates=self._authority.pem if client_certificates else None,
        )

    def _usable(self) -> ServerCertificate | None:
        try:
            certificate = ca.read_certificate(self._directory / CERTIFICATE_FILE)
            key = ca.read_key(self._directory / KEY_FILE)
            certificate.verify_directly_issued_by(self._authority.certificate)
        except (FileNotFoundError, AuthorityError, InvalidSignature, ValueError, TypeError):
            return None
        same_key = key.public_key() == certificate.public_key()
        right_names = certificates.names_in(certificate) == self._names
        if not (same_key and right_names and self._fresh(certificate.not_valid_after_utc)):
            return None
        return _pair(key, certificate)

    def _fresh(self, not_after: datetime.datetime) -> bool:
        # Where the CA itself ends soon, a new certificate would not live longer than the one there is.
        limit = min(
            certificates.SERVER_RENEW_BEFORE, (self._authority.certificate.not_valid_after_utc - self._clock()) / 2
        )
        return not_after - self._clock() > limit

    def _issue(self) -> ServerCertificate:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = certificates.issue_server(self._authority, key.public_key(), sorted(self._names), self._clock())
        pair = _pair(key, certificate)
        write_private(self._directory / KEY_FILE, pair.key_pem)
        write_private(self._directory / CERTIFICATE_FILE, pair.certificate_pem, mode=0o644)
        return pair


def _pair(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> ServerCertificate:
    return ServerCertificate(
        key_pem=ca.key_bytes(key),
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        not_after=certificate.not_valid_after_utc,
    )
