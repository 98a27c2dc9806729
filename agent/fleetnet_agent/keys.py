"""The host's key, the request for its certificate, and what a certificate says.

The only module that imports cryptography: it costs 10 MiB, so only enrolling imports this one, and the process that
`apart.py` starts.
"""

import datetime
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetnet_agent.apart import Proof


@dataclass(frozen=True, slots=True)
class KeyAndRequest:
    """A fresh key and the request to certify it."""

    key_pem: bytes
    request_der: bytes  # PKCS #10


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What the agent needs to know of its certificate; times since 1970 UTC."""

    uri: str  # its one SPIFFE URI, "" where it has none or several
    valid_from_us: int
    valid_until_us: int


def make_key_and_request() -> KeyAndRequest:
    """Make a P-256 key and a request without any name in it: the collector knows the name from the token."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyAndRequest(key_pem, request.public_bytes(serialization.Encoding.DER))


def prove(certificate_pem: bytes, key_pem: bytes, wanted_key_pem: bytes, challenge: bytes) -> Proof:
    """Ask for another key to be certified, signed as enroll.proto has it by the key of the certificate. Raises
    ValueError where one of them cannot be used."""
    certificate = x509.load_pem_x509_certificate(certificate_pem).public_bytes(serialization.Encoding.DER)
    key, wanted = _p256(key_pem), _p256(wanted_key_pem)
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(wanted, hashes.SHA256())
    request = csr.public_bytes(serialization.Encoding.DER)
    digests = [hashlib.sha256(part).digest() for part in (certificate, request)]
    signature = key.sign(b"".join((b"fleetnet readmit 1\0", challenge, *digests)), ec.ECDSA(hashes.SHA256()))
    return Proof(certificate, request, signature, key_id(wanted_key_pem))


def key_id(key_pem: bytes) -> str:
    """What people call a key: 16 digits of the SHA-256 of its public part. Raises ValueError where it is none."""
    public = _p256(key_pem).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:16]


def _p256(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not one that an agent makes")
    return key


def read_certificate(pem: bytes) -> CertificateFacts:
    """Read a certificate. Raises ValueError where it is none, or none that can be used."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    except (x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"the certificate cannot be used: {error}") from error
    return CertificateFacts(
        uri=uris[0] if len(uris) == 1 else "",
        valid_from_us=_us(certificate.not_valid_before_utc),
        valid_until_us=_us(certificate.not_valid_after_utc),
    )


def is_certificate(der: bytes) -> bool:
    """True if the bytes are one X.509 certificate."""
    try:
        x509.load_der_x509_certificate(der)
    except ValueError:
        return False
    return True


def belongs_to(certificate_pem: bytes, key_pem: bytes) -> bool:
    """True if the certificate is for this key. Raises ValueError where it is none."""
    key = serialization.load_pem_private_key(key_pem, password=None)
    try:
        return key.public_key() == x509.load_pem_x509_certificate(certificate_pem).public_key()
    except UnsupportedAlgorithm:  # a kind of key that we never make
        return False


def _us(moment: datetime.datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
