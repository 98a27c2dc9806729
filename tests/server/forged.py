"""Certificates and requests that no collector and no agent of ours would make, as an attacker does.

A name is written byte for byte, for libraries refuse to write some of those that an attacker would.
"""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from fleetnet_server.identity import ca
from server.agents import Identity, pem_of

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


class Signs(Protocol):
    """A collector whose CA lies in a folder."""

    data: Path
    ca_pem: bytes


# Tags of DER, ITU-T X.690 section 8, and of a GeneralName's URI, RFC 5280 section 4.2.1.6.
_INTEGER, _BIT_STRING, _SEQUENCE, _NO_ATTRIBUTES, _URI = 0x02, 0x03, 0x30, 0xA0, 0x86
# ecdsa-with-SHA256, RFC 5758 section 3.2.
_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def certificate(
    collector: Signs,
    uris: Sequence[str],
    *,
    name: str = "web1",
    purposes: tuple[x509.ObjectIdentifier, ...] = (CLIENT,),
    authority: ca.Authority | None = None,
    days: float = 7,
    serial: int | None = None,
) -> Identity:
    """A certificate as nobody would issue it, signed with the collector's own key, and with a serial that it does not
    know, unless told otherwise."""
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(ca.common_name(name))
        .public_key(key.public_key())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    )
    if uris:
        names = _der(_SEQUENCE, b"".join(_der(_URI, uri.encode()) for uri in uris))
        extension = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names)
        builder = builder.add_extension(extension, critical=False)
    authority = authority or ca.open_authority(collector.data, now)
    if serial is None:
        signed = authority.sign(builder)
    else:
        of_issuer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        named = builder.issuer_name(authority.certificate.subject).serial_number(serial)
        signed = named.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(of_issuer), critical=False
        ).sign(authority.key, hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM)
    return Identity(name, pem_of(key), pem, collector.ca_pem)


def request(key: ec.EllipticCurvePrivateKey, name: x509.Name, *wishes: x509.ExtensionType) -> bytes:
    """A request (DER) that is signed as it should be, for whatever it wishes."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    for wish in wishes:
        builder = builder.add_extension(wish, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def unsigned_request(public_key: bytes) -> bytes:
    """A request (DER) for a SubjectPublicKeyInfo of which nobody needs to have the private key."""
    wanted = _der(_INTEGER, b"\0") + _der(_SEQUENCE, b"") + public_key + _der(_NO_ATTRIBUTES, b"")
    signature = _der(_BIT_STRING, b"\0" + bytes(64))
    return _der(_SEQUENCE, _der(_SEQUENCE, wanted) + _ECDSA_WITH_SHA256 + signature)


def _der(tag: int, content: bytes) -> bytes:
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
