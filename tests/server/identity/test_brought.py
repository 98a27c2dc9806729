"""A CA from elsewhere is taken if it can be a fleet's, and else it is said what it lacks."""

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from fleetnet_server.errors import AuthorityError
from fleetnet_server.identity import brought, ca, certificates
from fleetnet_server.identity.ca import Authority, Key

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=sign, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def made(
    key: Key,
    *more: x509.ExtensionType,
    is_ca: bool = True,
    signs: bool = True,
    names_key: bool = True,
    days: int = 10,
    signer: Authority | None = None,
) -> x509.Certificate:
    """As openssl would make it."""
    subject = ca.common_name("an organisation's")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - 30 * DAY)
        .not_valid_after(NOW + days * DAY)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(usage(sign=signs), critical=True)
    )
    if names_key:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    for one in more:
        builder = builder.add_extension(one, critical=False)
    return builder.sign(signer.key if signer else key, hashes.SHA256())


def pair(directory: Path, key: Key, *certificates_: x509.Certificate) -> tuple[Path, Path]:
    key_file, certificate_file = directory / "k.pem", directory / "c.pem"
    key_file.write_bytes(ca.key_bytes(key))
    certificate_file.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates_))
    return key_file, certificate_file


EC = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    "key",
    [EC, ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 3072)],
    ids=["P-256", "P-384", "RSA 3072"],
)
def test_a_root_with_a_strong_key_is_taken_and_signs_for_hosts(tmp_path: Path, key: Key) -> None:
    authority = brought.read(*pair(tmp_path, key, made(key)), NOW)
    host = certificates.issue_host(authority, ec.generate_private_key(ec.SECP256R1()).public_key(), "web1", NOW)
    x509.load_pem_x509_certificate(host.pem).verify_directly_issued_by(authority.certificate)


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (made(EC, is_ca=False), "is not a CA's"),
        (made(EC, signs=False), "may not sign certificates"),
        (made(EC, days=-1), "is good from"),
        (made(EC, names_key=False), "does not name its key"),
        (made(EC, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])), "is not for clients and servers"),
        (made(EC, x509.NameConstraints([x509.DNSName("example.com")], None)), "constrains names"),
        (made(EC, signer=ca.make(NOW)), "is signed by another CA; a fleet's CA is a root"),
        (made(ec.generate_private_key(ec.SECP256R1())), "is not the key of"),
    ],
    ids=["no CA", "does not sign", "ended", "no key id", "servers alone", "names", "intermediate", "another key"],
)
def test_what_it_lacks_is_said(tmp_path: Path, certificate: x509.Certificate, words: str) -> None:
    with pytest.raises(AuthorityError, match=words):
        brought.read(*pair(tmp_path, EC, certificate), NOW)


def test_a_chain_a_weak_key_and_nonsense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AuthorityError, match="holds 2 certificates"):
        brought.read(*pair(tmp_path, EC, made(EC), ca.make(NOW).certificate), NOW)
    weak = rsa.generate_private_key(65537, 2048)
    with pytest.raises(AuthorityError, match="RSA key of 3072 bits or more"):
        brought.read(*pair(tmp_path, weak, made(weak)), NOW)
    key_file, certificate_file = pair(tmp_path, EC, made(EC))
    certificate_file.write_text("nonsense")
    with pytest.raises(AuthorityError, match="does not hold certificates"):
        brought.read(key_file, certificate_file, NOW)
