"""A CA for tests, which issues what the collector's issues: a server certificate, and hosts' with one SPIFFE URI."""

import base64
import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from fleetnet_agent import keys, state
from fleetnet_proto.v1 import enroll_pb2

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER


class Authority:
    """Key and certificate of a CA."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key(), 3650.0)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(PEM)

    def token(self, secret: bytes) -> str:
        raw = secret + self.certificate.public_bytes(DER)
        return "fnt1." + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def server(self, *names: str, days: float = 1) -> tuple[bytes, bytes]:
        """Key and certificate, PEM, for these host names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        certificate = self._leaf(key.public_key(), alternatives, ExtendedKeyUsageOID.SERVER_AUTH, days)
        return _key_pem(key), certificate.public_bytes(PEM)

    def host(self, name: str, request_der: bytes, days: float = 7) -> bytes:
        """Certificate, PEM, for the key of the request."""
        public_key = x509.load_der_x509_csr(request_der).public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://fleetnet/host/{name}")])
        return self._leaf(public_key, uri, ExtendedKeyUsageOID.CLIENT_AUTH, days).public_bytes(PEM)

    def check_proof(self, request: enroll_pb2.ReadmitRequest) -> str:
        """The host that asks to be let in again, once its signature is checked as enroll.proto has it."""
        certificate = x509.load_der_x509_certificate(request.certificate)
        certificate.verify_directly_issued_by(self.certificate)
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        digests = [hashlib.sha256(part).digest() for part in (request.certificate, request.csr)]
        signed = b"".join((b"fleetnet readmit 1\0", request.challenge, *digests))
        key.verify(request.signature, signed, ec.ECDSA(hashes.SHA256()))
        [uri] = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        name: str = uri.value.rpartition("/")[2]
        return name

    def write_state(self, directory: Path, name: str, addresses: Sequence[str], days: float = 7) -> state.Identity:
        """A state directory as enrolling leaves it."""
        made = keys.make_key_and_request()
        certificate = self.host(name, made.request_der, days)
        facts = keys.read_certificate(certificate)
        identity = state.Identity(
            host=name,
            report_addresses=tuple(addresses),
            key_pem=made.key_pem,
            certificate_pem=certificate,
            ca_pem=self.pem,
            valid_from_us=facts.valid_from_us,
            valid_until_us=facts.valid_until_us,
        )
        state.prepare(directory, made.key_pem)
        state.save(directory, identity)
        return identity

    def _leaf(
        self,
        public_key: ec.EllipticCurvePublicKey,
        alternatives: x509.SubjectAlternativeName,
        usage: x509.ObjectIdentifier,
        days: float,
    ) -> x509.Certificate:
        builder = self._builder(x509.Name([]), public_key, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(alternatives, critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: float) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        life = datetime.timedelta(days=days)
        beginning = now - datetime.timedelta(minutes=5) if days > 0 else now + 2 * life
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(beginning)
            .not_valid_after(now + life)
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
