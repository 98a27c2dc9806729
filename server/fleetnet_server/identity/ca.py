"""The collector's own certificate authority: its key, its certificate, and what it signs.

The key stays in DIR/ca.key (0600) and is only ever used here. `open_authority` makes both on the first start; a start
that was killed between the two files is noticed and made good, for then nothing has been signed yet. A certificate
without its key is never replaced: that would cut off every host that trusts it. How one CA takes another's place:
keyring.py.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from fleetnet_server.errors import AuthorityError
from fleetnet_server.identity.files import write_pair

_LIFE = datetime.timedelta(days=3650)
# Clocks of hosts differ; a certificate is valid a day before it was made, so that none is refused as "not yet valid".
BACKDATE = datetime.timedelta(days=1)
CERTIFICATE_FILE = "ca.pem"
KEY_FILE = "ca.key"
LEAST_RSA_BITS = 3072  # as strong as P-256: NIST SP 800-57 part 1, table 2
Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that can sign."""

    key: Key
    certificate: x509.Certificate

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate, hexadecimal."""
        return fingerprint(self.certificate)

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
            .sign(self.key, _hash_for(self.key))
        )


def open_authority(directory: Path, now: datetime.datetime) -> Authority:
    """The CA of a data directory, made if there is none. Raises OSError and AuthorityError."""
    certificate_file, key_file = directory / CERTIFICATE_FILE, directory / KEY_FILE
    if not certificate_file.exists():
        authority = make(now)
        write_pair(key_file, key_bytes(authority.key), authority.pem)
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


def read_certificates(file: Path) -> list[x509.Certificate]:
    """All certificates of a PEM file. Raises OSError and AuthorityError."""
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except ValueError as error:
        raise AuthorityError(f"{file} does not hold certificates; put it back from where it came") from error


def pem_of(der: bytes) -> bytes:
    """A certificate that the database has, as a file has it. Raises AuthorityError."""
    return from_der(der).public_bytes(serialization.Encoding.PEM)


def from_der(der: bytes) -> x509.Certificate:
    """A certificate that the database has. Raises AuthorityError."""
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise AuthorityError("the database holds what is no certificate of a CA; put back a backup of it") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate, hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_identifier(certificate: x509.Certificate) -> bytes:
    """How certificates that it has signed name its key. Raises AuthorityError."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise AuthorityError("a certificate of a CA does not name its key; make another one") from error


def read_key(file: Path) -> Key:
    """The key of a PEM file: P-256, P-384, or RSA. Raises OSError and AuthorityError."""
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuthorityError(f"{file} is not a private key; put it back from a backup") from error
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= LEAST_RSA_BITS:
        return key
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        raise AuthorityError(
            f"{file} is not a P-256 or P-384 key, nor an RSA key of {LEAST_RSA_BITS} bits or more; give one of these"
        )
    return key


def key_bytes(key: Key) -> bytes:
    """A private key as a file has it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def common_name(text: str) -> x509.Name:
    """A subject of one common name. Only people read it; no decision ever rests on it."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _hash_for(key: Key) -> hashes.SHA256 | hashes.SHA384:
    """As strong as the key."""
    return hashes.SHA384() if key.key_size == ec.SECP384R1.key_size else hashes.SHA256()


def make(now: datetime.datetime) -> Authority:
    """A new CA, which is on no disk yet."""
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
