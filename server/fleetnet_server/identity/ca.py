"""The collector's own certificate authority: its key, its certificate, and what it signs.

The key stays in DIR/ca.key (0600) and is only ever used here. `open_authority` makes both on the first start; a start
that was killed between the two files is noticed and made good, for then nothing has been signed yet. A certificate
without its key is never replaced: that would cut off every host that trusts it.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleetnet_server.errors import AuthorityError
from fleetnet_server.identity.files import write_private

_LIFE = datetime.timedelta(days=3650)
# Clocks of hosts differ; a certificate is valid a day before it was made, so that none is refused as "not yet valid".
BACKDATE = datetime.timedelta(days=1)
CERTIFICATE_FILE = "ca.pem"
KEY_FILE = "ca.key"


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that can sign."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """Its certificate as a file has it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        """Its certificate as a token has it."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """`builder` with issuer, serial number and key identifier, signed."""
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return (
            builder.issuer_name(self.certificate.subject)
            .serial_number(x509.random_serial_number())
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def open_authority(directory: Path, now: datetime.datetime) -> Authority:
    """The CA of a data directory, made if there is none. Raises OSError and AuthorityError."""
    certificate_file, key_file = directory / CERTIFICATE_FILE, directory / KEY_FILE
    if not certificate_file.exists():
        authority = _new(now)
        write_private(key_file, key_bytes(authority.key))
        write_private(certificate_file, authority.pem, mode=0o644)
        return authority
    certificate = read_certificate(certificate_file)
    if not key_file.exists():
        raise AuthorityError(f"{key_file} is missing, but {certificate_file} is there; put the key back from a backup")
    key = read_key(key_file)
    if key.public_key() != certificate.public_key():
        raise AuthorityError(f"{key_file} is not the key of {certificate_file}; put both back from one backup")
    return Authority(key, certificate)


def read_certificate(file: Path) -> x509.Certificate:
    """The first certificate of a PEM file. Raises OSError and AuthorityError."""
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError as error:
        raise AuthorityError(f"{file} is not a certificate; put it back from a backup") from error


def read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of a PEM file. Raises OSError and AuthorityError."""
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuthorityError(f"{file} is not a private key; put it back from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise AuthorityError(f"{file} is not a P-256 key; put it back from a backup")
    return key


def key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as a file has it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def common_name(text: str) -> x509.Name:
    """A subject of one common name. Only people read it; no decision ever rests on it."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _new(now: datetime.datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # The serial number in the name keeps two fleets' authorities apart where both are trusted.
    subject = common_name(f"fleetnet CA {serial:x}"[:32])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)
