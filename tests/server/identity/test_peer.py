"""Whoever is not plainly a host of the fleet is nobody."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from fleetnet_server.errors import PeerRefused
from fleetnet_server.identity import ca, certificates, peer

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
WEB1 = "spiffe://fleetnet/host/web1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> ca.Authority:
    return ca.open_authority(tmp_path_factory.mktemp("ca"), NOW)


def context(pem: bytes, changes: dict[str, list[bytes]] | None = None) -> dict[str, list[bytes]]:
    """What gRPC says of a connection that showed this certificate."""
    shown = {
        "transport_security_type": [b"ssl"],
        "ssl_tls_version": [b"TLSv1.3"],
        "x509_pem_cert": [pem],
        "peer_spiffe_id": [WEB1.encode()],
    }
    return shown | (changes or {})


def certificate(
    authority: ca.Authority,
    names: tuple[x509.GeneralName, ...],
    purposes: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    is_ca: bool = False,
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(ca.common_name("web1"))
        .public_key(KEY.public_key())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return authority.sign(builder).public_bytes(serialization.Encoding.PEM)


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def test_a_certificate_that_the_collector_issued_names_its_host(authority: ca.Authority) -> None:
    issued = certificates.issue_host(authority, KEY.public_key(), "web1", NOW)
    signed_by = ca.key_identifier(authority.certificate)
    assert peer.identify(context(issued.pem), NOW) == peer.Peer("web1", issued.serial, issued.not_after_us, signed_by)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "exactly one name"),
        ((x509.DNSName("web1"),), "exactly one name"),
        ((uri(WEB1), uri("spiffe://fleetnet/host/db1")), "exactly one name"),
        ((uri(WEB1), uri("https://example.org/")), "exactly one name"),
        ((uri(WEB1), x509.DNSName("web1")), "exactly one name"),
        ((uri("spiffe://fleetnet/host/WEB1"),), "not that of a host"),
        ((uri("spiffe://fleetnet/host/web1/../db1"),), "not that of a host"),
        ((uri("spiffe://fleetnet/person/web1"),), "not that of a host"),
        ((uri("spiffe://other/host/web1"),), "not that of a host"),
    ],
)
def test_any_other_name_is_refused(authority: ca.Authority, names: tuple[x509.GeneralName, ...], words: str) -> None:
    with pytest.raises(PeerRefused, match=words):
        peer.identify(context(certificate(authority, names)), NOW)


@pytest.mark.parametrize(
    "purposes",
    [
        (),
        (ExtendedKeyUsageOID.SERVER_AUTH,),
        (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,),
    ],
)
def test_a_certificate_for_anything_but_clients_is_refused(
    authority: ca.Authority, purposes: tuple[x509.ObjectIdentifier, ...]
) -> None:
    with pytest.raises(PeerRefused, match=r"what it is for|not for client"):
        peer.identify(context(certificate(authority, (uri(WEB1),), purposes)), NOW)


def test_a_certificate_that_could_sign_others_is_refused(authority: ca.Authority) -> None:
    with pytest.raises(PeerRefused, match="not for client"):
        peer.identify(context(certificate(authority, (uri(WEB1),), is_ca=True)), NOW)


@pytest.mark.parametrize("days", [-2.0, 50.0, 50.5])
def test_a_certificate_out_of_its_time_is_refused_however_it_got_in(authority: ca.Authority, days: float) -> None:
    issued = certificates.issue_host(authority, KEY.public_key(), "web1", NOW)
    with pytest.raises(PeerRefused, match="expired"):
        peer.identify(context(issued.pem), NOW + datetime.timedelta(days=days))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ssl_tls_version": [b"TLSv1.2"]}, r"not TLS 1\.3"),
        ({"ssl_tls_version": []}, r"not TLS 1\.3"),
        ({"transport_security_type": [b"insecure"]}, "not TLS"),
        ({"x509_pem_cert": []}, "shows no certificate"),
        ({"x509_pem_cert": [b"garbage"]}, "cannot be read"),
        ({"peer_spiffe_id": []}, "do not name the same peer"),
        ({"peer_spiffe_id": [b"spiffe://fleetnet/host/db1"]}, "do not name the same peer"),
        ({"peer_spiffe_id": [WEB1.encode(), WEB1.encode()]}, "do not name the same peer"),
    ],
)
def test_a_connection_that_is_not_as_it_must_be_is_refused(
    authority: ca.Authority, changes: dict[str, list[bytes]], words: str
) -> None:
    issued = certificates.issue_host(authority, KEY.public_key(), "web1", NOW)
    with pytest.raises(PeerRefused, match=words):
        peer.identify(context(issued.pem, changes), NOW)


def test_no_refusal_tells_of_other_hosts(authority: ca.Authority) -> None:
    with pytest.raises(PeerRefused) as refused:
        peer.identify(context(certificate(authority, (uri("spiffe://other/host/web1"),))), NOW)
    assert "web1" not in str(refused.value)
