"""Who stands at the other end of a connection on the report port.

gRPC has checked the chain up to our CA; everything else is checked here, for gRPC would
1. fall back to the common name where there is no URI, and take the first where there are several,
2. accept TLS 1.2, and a certificate without a purpose or with another one,
3. let a certificate in after its end by resuming an older TLS session.
What is refused here is refused before a byte of the sender's message has been looked at.
"""

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from fleetnet_server.errors import NotPermitted, PeerRefused, RequestRefused
from fleetnet_server.identity.names import host_of, person_of

_MOST_BYTES = 8192  # of a certificate; ours have some 500
_UNREADABLE = "the certificate cannot be read"


@dataclass(frozen=True, slots=True)
class Peer:
    """A host that has shown its certificate."""

    host: str
    serial: str
    not_after_us: int
    issuer_key: bytes = b""  # identifier of the key that has signed it


@dataclass(frozen=True, slots=True)
class Person:
    """A person who has shown a certificate. What it is good for, its collector's database says."""

    name: str
    serial: str
    not_after_us: int
    issuer_key: bytes = b""  # identifier of the key that has signed it


@dataclass(frozen=True, slots=True)
class Ended:
    """A host, and the key of a certificate of it that has ended; that it has the private key is not known yet."""

    peer: Peer
    key: ec.EllipticCurvePublicKey


def identify(auth_context: Mapping[str, Iterable[bytes]], now: datetime.datetime) -> Peer:
    """The host that the TLS session belongs to. Raises PeerRefused."""
    host, certificate = _identified(auth_context, now, _host, "enroll the host again")
    return Peer(host, _serial(certificate), _end_us(certificate), _issuer_key(certificate))


def identify_person(auth_context: Mapping[str, Iterable[bytes]], now: datetime.datetime) -> Person:
    """The person that the TLS session belongs to. Raises PeerRefused, and NotPermitted where it belongs to a host."""
    name, certificate = _identified(auth_context, now, _person, "log in again")
    return Person(name, _serial(certificate), _end_us(certificate), _issuer_key(certificate))


def identify_ended(der: bytes, trusted: Iterable[x509.Certificate], now: datetime.datetime) -> Ended:
    """The host of a certificate (DER) that has ended, which TLS has not looked at. Raises PeerRefused, and
    RequestRefused where it has not ended yet."""
    if len(der) > _MOST_BYTES:
        raise PeerRefused(_UNREADABLE)
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise PeerRefused(_UNREADABLE) from error
    # The key first: whoever has made the certificate himself chooses how long it takes to check.
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PeerRefused("the certificate is not for a P-256 key, as those of hosts are")
    if not any(is_of(certificate, one) for one in trusted):
        raise PeerRefused("the certificate is of no CA that this fleet trusts now; join anew with a new token")
    host = _host(_only_uri(certificate))
    _check_purpose(certificate)
    if now < certificate.not_valid_after_utc:
        raise RequestRefused(
            f"the certificate has not ended, but is good until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, "
            "and is renewed where reports go; check the clock of this host"
        )
    return Ended(Peer(host, _serial(certificate), _end_us(certificate), _issuer_key(certificate)), key)


def is_of(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the one was issued by the other."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _identified(
    auth_context: Mapping[str, Iterable[bytes]],
    now: datetime.datetime,
    who: Callable[[str], str],
    way_out: str,
) -> tuple[str, x509.Certificate]:
    check_tls(auth_context)
    context = {key: list(values) for key, values in auth_context.items()}
    certificate = _certificate(context.get("x509_pem_cert", []))
    name = who(_only_uri(certificate))
    if [uri.decode("utf-8", "replace") for uri in context.get("peer_spiffe_id", [])] != _uris(certificate):
        raise PeerRefused("the certificate and the TLS session do not name the same peer")
    _check_purpose(certificate)
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise PeerRefused(f"the certificate has expired or is not valid yet; {way_out}")
    return name, certificate


def _serial(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:x}"


def _issuer_key(certificate: x509.Certificate) -> bytes:
    """Which CA it is of. TLS has checked the signature; where the CA does not say which key is meant, none is."""
    try:
        of_issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return b""
    return of_issuer.key_identifier or b""


def _end_us(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp()) * 1_000_000


def check_tls(auth_context: Mapping[str, Iterable[bytes]]) -> None:
    """Raises PeerRefused unless the connection is TLS 1.3, which is all that is asked of who has no certificate yet."""
    if list(auth_context.get("transport_security_type", ())) != [b"ssl"]:
        raise PeerRefused("the connection is not TLS")
    if list(auth_context.get("ssl_tls_version", ())) != [b"TLSv1.3"]:
        raise PeerRefused("the connection is not TLS 1.3; use a fleetnet and a TLS library that speak it")


def _certificate(pems: list[bytes]) -> x509.Certificate:
    if len(pems) != 1:
        raise PeerRefused("the connection shows no certificate")
    try:
        return x509.load_pem_x509_certificate(pems[0])
    except ValueError as error:
        raise PeerRefused(_UNREADABLE) from error


def _names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return []


def _uris(certificate: x509.Certificate) -> list[str]:
    return [name.value for name in _names(certificate) if isinstance(name, x509.UniformResourceIdentifier)]


def _only_uri(certificate: x509.Certificate) -> str:
    names = _names(certificate)
    if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise PeerRefused("the certificate does not have exactly one name, the URI of a host or a person")
    uri: str = names[0].value
    return uri


def _host(uri: str) -> str:
    host = host_of(uri)
    if host is None:
        raise PeerRefused("the one name in the certificate is not that of a host")
    return host


def _person(uri: str) -> str:
    if host_of(uri) is not None:
        raise NotPermitted("this is the certificate of a host, and hosts may not ask; `fleetnet login` gets you one")
    person = person_of(uri)
    if person is None:
        raise PeerRefused("the one name in the certificate is not that of a person")
    return person


def _check_purpose(certificate: x509.Certificate) -> None:
    try:
        purposes = list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise PeerRefused("the certificate does not say what it is for") from error
    if purposes != [ExtendedKeyUsageOID.CLIENT_AUTH] or is_ca:
        raise PeerRefused("the certificate is not for client authentication alone")
