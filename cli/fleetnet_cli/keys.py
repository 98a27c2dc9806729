"""A person's key, the request for its certificate, and what a certificate says. Only `login` imports this: cryptography
takes a tenth of a second and 10 MiB, which no question needs.
"""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, slots=True)
class KeyAndRequest:
    """A fresh key and the request to certify it."""

    key_pem: bytes
    request_der: bytes  # PKCS #10


@dataclass(frozen=True, slots=True)
class Life:
    """From when to when a certificate is good."""

    begins: datetime
    ends: datetime


def make_key_and_request() -> KeyAndRequest:
    """Make a P-256 key and a request without any name in it: the collector knows the name from the token."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyAndRequest(key_pem, request.public_bytes(serialization.Encoding.DER))


def is_certificate(der: bytes) -> bool:
    """True if the bytes are one X.509 certificate."""
    try:
        x509.load_der_x509_certificate(der)
    except ValueError:
        return False
    return True


def plain(pem: bytes) -> bytes:
    """The certificates of a PEM text and nothing else that stood in it. Raises ValueError where there are none."""
    found = x509.load_pem_x509_certificates(pem)
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in found)


def life_of(certificate_pem: bytes, key_pem: bytes) -> Life:
    """The life of a certificate. Raises ValueError where it is none, or not for this key."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    key = serialization.load_pem_private_key(key_pem, password=None)
    try:
        matches = key.public_key() == certificate.public_key()
    except UnsupportedAlgorithm:  # a kind of key that we never make
        matches = False
    if not matches:
        raise ValueError("the certificate is for another key")
    return Life(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
