"""The certificates of hosts, of people and of the collector itself.

Of a request only the public key is used, and only after its signature has shown that the sender holds the
private key. The name comes from the token or from the certificate in use, never from the request.
"""

import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from fleetnet_server.errors import RequestRefused
from fleetnet_server.identity.ca import BACKDATE, Authority, common_name
from fleetnet_server.identity.names import uri_of, uri_of_person

# Renewed after 80 % of it at the latest. What is left then is more than an agent keeps while its collector is away.
HOST_LIFE = datetime.timedelta(days=50)
PERSON_LIFE = datetime.timedelta(days=30)
SERVER_LIFE = datetime.timedelta(days=90)
# Below this much left, the collector makes itself a new certificate.
SERVER_RENEW_BEFORE = datetime.timedelta(days=30)
# A P-256 request is about 200 bytes; more is no request of ours and not worth parsing.
_MAX_CSR_BYTES = 8192


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate just issued to a host or a person."""

    pem: bytes
    serial: str  # hexadecimal, as openssl prints it
    not_after_us: int


def public_key_of(csr: bytes) -> ec.EllipticCurvePublicKey:
    """The key that a PKCS #10 request (DER) asks to have certified. Raises RequestRefused."""
    if len(csr) > _MAX_CSR_BYTES:
        raise RequestRefused(f"the certificate request has {len(csr)} bytes; at most {_MAX_CSR_BYTES} are read")
    try:
        request = x509.load_der_x509_csr(csr)
        key = request.public_key()
        # First, for a stranger chooses the key: to check a signature by a large RSA key takes long.
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise RequestRefused("the certificate request is not for a P-256 key")
        signed = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion) as error:
        raise RequestRefused("the certificate request is not PKCS #10 in DER") from error
    if not signed:
        raise RequestRefused("the certificate request is not signed by its own key")
    return key


def issue_host(
    authority: Authority, key: ec.EllipticCurvePublicKey, host: str, now: datetime.datetime
) -> ClientCertificate:
    """A certificate for `host`: one SPIFFE URI, client authentication only, fifty days."""
    return _issue_client(authority, _leaf_of(authority, key, host, now, HOST_LIFE), uri_of(host))


def issue_person(
    authority: Authority, key: ec.EllipticCurvePublicKey, person: str, now: datetime.datetime
) -> ClientCertificate:
    """A certificate for `person`: likewise, thirty days. What the person may do does not stand in it."""
    return _issue_client(authority, _leaf_of(authority, key, person, now, PERSON_LIFE), uri_of_person(person))


def _leaf_of(
    authority: Authority,
    key: ec.EllipticCurvePublicKey,
    subject: str,
    now: datetime.datetime,
    life: datetime.timedelta,
) -> x509.CertificateBuilder:
    until = min(now + life, authority.certificate.not_valid_after_utc)
    return _leaf(key, subject, now, until, ExtendedKeyUsageOID.CLIENT_AUTH)


def _issue_client(authority: Authority, leaf: x509.CertificateBuilder, uri: str) -> ClientCertificate:
    name = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
    certificate = authority.sign(leaf.add_extension(name, critical=True))
    return ClientCertificate(
        pem=certificate.public_bytes(serialization.Encoding.PEM),
        serial=f"{certificate.serial_number:x}",
        not_after_us=int(certificate.not_valid_after_utc.timestamp()) * 1_000_000,
    )


def issue_server(
    authority: Authority,
    key: ec.EllipticCurvePublicKey,
    names: Iterable[str],
    now: datetime.datetime,
    life: datetime.timedelta = SERVER_LIFE,
) -> x509.Certificate:
    """A certificate for a collector: server authentication only, for exactly these names and addresses."""
    until = min(now + life, authority.certificate.not_valid_after_utc)
    return authority.sign(
        _leaf(key, "fleetnet collector", now, until, ExtendedKeyUsageOID.SERVER_AUTH).add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
        )
    )


def names_in(certificate: x509.Certificate) -> frozenset[str]:
    """The names and addresses that a server's certificate is for."""
    try:
        value = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    return frozenset(str(name.value) for name in value)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _leaf(
    key: ec.EllipticCurvePublicKey,
    subject: str,
    now: datetime.datetime,
    until: datetime.datetime,
    purpose: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(common_name(subject[:64]))  # the upper bound of X.520; the whole name is in the URI
        .public_key(key)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
