"""A certificate says what the collector knows, whatever the request said."""

import datetime
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from fleetnet_server.errors import RequestRefused
from fleetnet_server.identity import ca, certificates

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> ca.Authority:
    return ca.open_authority(tmp_path_factory.mktemp("ca"), NOW)


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> x509.CertificateSigningRequest:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db1")])
    uri = x509.UniformResourceIdentifier("spiffe://fleetnet/host/db1")
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(x509.SubjectAlternativeName([uri, x509.DNSName("db1")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def der(csr: x509.CertificateSigningRequest) -> bytes:
    return csr.public_bytes(serialization.Encoding.DER)


def test_names_and_wishes_of_the_request_are_ignored(authority: ca.Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issued = certificates.issue_host(authority, certificates.public_key_of(der(request(key))), "web1", NOW)
    certificate = x509.load_pem_x509_certificate(issued.pem)
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.public_key() == key.public_key()
    names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    assert names == [x509.UniformResourceIdentifier("spiffe://fleetnet/host/web1")]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    purposes = list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert purposes == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert "db1" not in certificate.subject.rfc4514_string()


def test_a_host_certificate_lives_fifty_days(authority: ca.Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issued = certificates.issue_host(authority, key.public_key(), "web1", NOW)
    certificate = x509.load_pem_x509_certificate(issued.pem)
    assert certificate.not_valid_after_utc == NOW + datetime.timedelta(days=50)
    assert issued.not_after_us == int(certificate.not_valid_after_utc.timestamp()) * 1_000_000
    assert issued.serial == f"{certificate.serial_number:x}"


def test_no_certificate_outlives_its_authority(authority: ca.Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    end = authority.certificate.not_valid_after_utc
    issued = certificates.issue_host(authority, key.public_key(), "web1", end - datetime.timedelta(days=1))
    assert x509.load_pem_x509_certificate(issued.pem).not_valid_after_utc == end


def test_the_longest_name_fits(authority: ca.Authority) -> None:
    host = "a" * 253
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = x509.load_pem_x509_certificate(certificates.issue_host(authority, key.public_key(), host, NOW).pem)
    (name,) = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert name.value == f"spiffe://fleetnet/host/{host}"


def test_the_server_certificate_has_all_names_and_serves_only(authority: ca.Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = {"collector.example", "127.0.0.1", "::1", "localhost"}
    certificate = certificates.issue_server(authority, key.public_key(), names, NOW)
    assert certificates.names_in(certificate) == names
    purposes = list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert purposes == [ExtendedKeyUsageOID.SERVER_AUTH]


def forged() -> bytes:
    """A request for one key, with the signature of another."""
    mine, other = (der(request(ec.generate_private_key(ec.SECP256R1()))) for _ in range(2))
    if len(mine) != len(other):
        return forged()
    return mine[:-60] + other[-60:]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"", "not PKCS #10"),
        (lambda: b"\x30\x80garbage", "not PKCS #10"),
        (lambda: bytes(8193), "at most 8192"),
        (lambda: der(request(ec.generate_private_key(ec.SECP384R1()))), "not for a P-256 key"),
        (lambda: der(request(rsa.generate_private_key(65537, 2048))), "not for a P-256 key"),
        (
            lambda: der(
                x509.CertificateSigningRequestBuilder()
                .subject_name(x509.Name([]))
                .sign(ed25519.Ed25519PrivateKey.generate(), None)
            ),
            "not for a P-256 key",
        ),
        (forged, "not signed by its own key|not PKCS #10"),
    ],
    ids=["empty", "garbage", "too large", "P-384", "RSA", "Ed25519", "forged"],
)
def test_other_requests_are_refused_in_one_sentence(make: Callable[[], bytes], words: str) -> None:
    with pytest.raises(RequestRefused, match=words):
        certificates.public_key_of(make())
