"""Requests for a certificate that ask for what no host gets, or that are there to cost something: each is refused, or
its wishes are ignored; there is one line for it, and no more of the processor's time than for an honest one."""

import re
from collections.abc import Callable, Iterator

import grpc
import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from fleetnet_proto.v1 import report_pb2, report_pb2_grpc
from fleetnet_server.identity import tokens
from fleetnet_server.identity.ca import BACKDATE
from fleetnet_server.identity.certificates import HOST_LIFE
from server.agents import DEADLINE_S, ReportStream
from server.running import Running

from bench.measures import cpu_s
from server import forged, messages

WEB1 = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web1")])
KEY = ec.generate_private_key(ec.SECP256R1())
SIGNING = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
EACH_TIMES = 3
CPU_S_EACH = 0.25  # what a handshake and a key of ours take, and a hundred times that
# A prime of the size is not needed by who only wants to keep others busy, and takes minutes to find.
HUGE_RSA = rsa.RSAPublicNumbers(65_537, 2**16_383 + 1).public_key()


def names(count: int) -> x509.SubjectAlternativeName:
    """So many that a request asks for."""
    return x509.SubjectAlternativeName([x509.DNSName(f"h{number}.example.org") for number in range(count)])


def commonly(text: str) -> bytes:
    """A request of somebody who is called so."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    return forged.request(KEY, subject, x509.SubjectAlternativeName([x509.DNSName("*")]))


IGNORED: dict[str, Callable[[], bytes]] = {
    "CA": lambda: forged.request(KEY, WEB1, x509.BasicConstraints(ca=True, path_length=None), SIGNING),
    "server": lambda: forged.request(KEY, WEB1, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
    "any purpose": lambda: forged.request(
        KEY, WEB1, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    ),
    "wildcard": lambda: forged.request(KEY, WEB1, x509.SubjectAlternativeName([x509.DNSName("*.example.org")])),
    "many names": lambda: forged.request(KEY, WEB1, names(200)),
    "control characters": lambda: commonly("\x1b[2J\r\n\x07\u202e"),
    "a line of a log": lambda: commonly("x\nat=2026-01-01T00:00:00Z level=info event=ready"),
    "markup": lambda: commonly("<script>alert(1)</script>"),
}


def public_bytes(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    """A SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def weak_curve() -> bytes:
    """A request for a key on a curve of 192 bits, which some libraries do not know any more."""
    try:
        return forged.request(ec.generate_private_key(ec.SECP192R1()), WEB1)
    except UnsupportedAlgorithm:
        # secp192r1 is 1.2.840.10045.3.1.1, secp256r1 ends with 7. The point is none of that curve; nobody gets so far.
        return forged.unsigned_request(public_bytes(KEY.public_key()).replace(b"\x03\x01\x07", b"\x03\x01\x01", 1))


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "10,000 names": (lambda: forged.request(KEY, WEB1, names(10_000)), "bytes; at most|larger than max"),
    "RSA of 16,384 bits": (lambda: forged.unsigned_request(public_bytes(HUGE_RSA)), "not for a P-256 key"),
    "a weak curve": (weak_curve, "not for a P-256 key|not PKCS #10"),
    "a larger curve": (lambda: forged.request(ec.generate_private_key(ec.SECP521R1()), WEB1), "not for a P-256 key"),
    "a key that is not its own": (lambda: forged.unsigned_request(public_bytes(KEY.public_key())), "signed|PKCS"),
    "nothing": (lambda: b"", "not PKCS #10"),
    "nested without end": (lambda: b"\x30\x80" * 4_000, "not PKCS #10"),
    "a length of 4 GiB": (lambda: b"\x30\x84\xff\xff\xff\xff" + bytes(100), "not PKCS #10"),
}


@pytest.fixture(scope="module")
def honest(collector: Running) -> Iterator[ReportStream]:
    """A host that reports all the while."""
    with collector.channel(collector.join("honest")) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, snapshot=True))
        stream.await_ack(1)
        yield stream
        stream.close()


def refusal(collector: Running, csr: bytes) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        collector.enroll(bytes(32), csr)
    assert isinstance(refused.value, grpc.Call)
    assert refused.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
    return refused.value.details() or ""


@pytest.mark.parametrize("kind", IGNORED)
def test_what_a_host_does_not_get_is_not_in_its_certificate(collector: Running, kind: str) -> None:
    host = f"wishes-{list(IGNORED).index(kind)}"
    answer = collector.enroll(tokens.decode(collector.token(host))[0], IGNORED[kind]())
    signed = x509.load_pem_x509_certificate(answer.certificate_pem)
    found = {extension.oid: extension.value for extension in signed.extensions}
    assert found.pop(x509.BasicConstraints.oid) == x509.BasicConstraints(ca=False, path_length=None)
    assert found.pop(x509.ExtendedKeyUsage.oid) == x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    usage = found.pop(x509.KeyUsage.oid)
    assert isinstance(usage, x509.KeyUsage)
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
    uri = x509.UniformResourceIdentifier(f"spiffe://fleetnet/host/{host}")
    assert found.pop(x509.SubjectAlternativeName.oid) == x509.SubjectAlternativeName([uri])
    assert found.keys() == {x509.SubjectKeyIdentifier.oid, x509.AuthorityKeyIdentifier.oid}
    assert signed.subject.rfc4514_string() == f"CN={host}"
    assert signed.not_valid_after_utc - signed.not_valid_before_utc == HOST_LIFE + BACKDATE
    log = collector.await_log(f'event="host enrolled" host={host} ')
    assert log.count(f'host enrolled" host={host} ') == 1
    assert "event=ready" not in log.partition("admin_socket=")[2].partition("\n")[2]
    assert log.replace("\n", "").isprintable()


def test_other_requests_are_refused_in_few_lines_and_at_no_great_cost(collector: Running, honest: ReportStream) -> None:
    requests = {kind: make() for kind, (make, _) in REFUSED.items()}
    before_s, lines_before = cpu_s(collector.process.pid), len(collector.log().splitlines())
    for _ in range(EACH_TIMES):
        for kind, csr in requests.items():
            assert re.search(REFUSED[kind][1], refusal(collector, csr)), kind
    used_s = cpu_s(collector.process.pid) - before_s
    assert used_s < CPU_S_EACH * EACH_TIMES * len(requests)
    honest.send(batch=messages.batch(2, messages.listener(443)))
    honest.await_ack(2)
    lines = collector.log().splitlines()[lines_before:]
    # The same kind again is counted, and told with the next line ten seconds later at the earliest.
    assert 1 <= len([line for line in lines if "enrollment refused" in line]) < EACH_TIMES
    assert [line for line in lines if "level=error" in line] == []


def test_a_host_of_the_fleet_gets_no_more_when_it_renews(collector: Running) -> None:
    # A host each, for one that renews again and again is told to wait.
    for number, make in enumerate(IGNORED.values()):
        pem = _renewed(collector, f"renews{number}", make())
        signed = x509.load_pem_x509_certificate(pem)
        assert not signed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert signed.subject.rfc4514_string() == f"CN=renews{number}"
    for number, (make, words) in enumerate(REFUSED.values()):
        with pytest.raises(grpc.RpcError) as refused:
            _renewed(collector, f"refused{number}", make())
        assert isinstance(refused.value, grpc.Call)
        assert re.search(words, refused.value.details() or "")
    assert "level=error" not in collector.log()


def _renewed(collector: Running, host: str, csr: bytes) -> bytes:
    with collector.channel(collector.join(host)) as channel:
        stub = report_pb2_grpc.ReportServiceStub(channel)
        return stub.Renew(report_pb2.RenewRequest(csr=csr), timeout=DEADLINE_S).certificate_pem
