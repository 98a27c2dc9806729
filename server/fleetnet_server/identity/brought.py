"""A CA that is brought from elsewhere: whether it can be a fleet's.

It must be a root of its own. An intermediate CA is not taken: hosts would have to trust the root above it, and with
that whatever else this root has signed would be a collector to them.
"""

import datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from fleetnet_server.errors import AuthorityError
from fleetnet_server.identity import ca
from fleetnet_server.identity.ca import Authority

T = TypeVar("T", bound=x509.ExtensionType)

_PURPOSES = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)


def read(key_file: Path, certificate_file: Path, now: datetime.datetime) -> Authority:
    """The CA of these two files. Raises OSError and AuthorityError, which says what it lacks."""
    found = ca.read_certificates(certificate_file)
    if len(found) != 1:
        raise AuthorityError(
            f"{certificate_file} holds {len(found)} certificates, and a fleet's CA is one, a root; give that alone"
        )
    certificate, key = found[0], ca.read_key(key_file)
    if key.public_key() != certificate.public_key():
        raise AuthorityError(f"{key_file} is not the key of {certificate_file}; give the one that it was made with")
    if wrong := _wrong(certificate, now):
        raise AuthorityError(f"{certificate_file} {wrong}")
    return Authority(key, certificate)


def _wrong(certificate: x509.Certificate, now: datetime.datetime) -> str:
    """What keeps a certificate from being a CA's of a fleet, in words that continue its file's name; empty: nothing."""
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, ValueError, TypeError):
        return "is signed by another CA; a fleet's CA is a root, for hosts trust all that a root has signed"
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        return f"is good from {certificate.not_valid_before_utc} to {certificate.not_valid_after_utc}; give one that is"
    try:
        return _extensions_wrong(certificate.extensions)
    except (x509.DuplicateExtension, ValueError):
        return "has extensions that cannot be read; make another one"


def _extensions_wrong(extensions: x509.Extensions) -> str:
    constraints = _find(extensions, x509.BasicConstraints)
    usage = _find(extensions, x509.KeyUsage)
    purposes = _find(extensions, x509.ExtendedKeyUsage)
    if constraints is None or not constraints.ca:
        return "is not a CA's (basicConstraints CA:TRUE is missing); make one that is"
    if usage is None or not usage.key_cert_sign:
        return "may not sign certificates (keyUsage keyCertSign is missing); make one that may"
    if purposes is not None and not set(purposes) >= set(_PURPOSES):
        return "is not for clients and servers (extendedKeyUsage); make one that says nothing of it, or both"
    if _find(extensions, x509.NameConstraints) is not None:
        return "constrains names, and a host's is a URI that no such list knows; make one without nameConstraints"
    if _find(extensions, x509.SubjectKeyIdentifier) is None:
        return "does not name its key (subjectKeyIdentifier is missing); make one that does"
    return ""


def _find(extensions: x509.Extensions, kind: type[T]) -> T | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
