"""A host that slept past the end of its certificate, and asks a running collector to be let in again.

Its certificate is signed by the collector's own CA, with the serial of the one that it got when it joined, and has
ended: so nobody has to set a clock.
"""

import hashlib

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import enroll_pb2, enroll_pb2_grpc
from fleetnet_server.identity import ca
from server.agents import DEADLINE_S, Identity, pem_of, request_for
from server.running import Running

from server import forged


def aged(collector: forged.Signs, joined: Identity, authority: ca.Authority | None = None) -> Identity:
    """The same host with a certificate of the same serial that has ended."""
    serial = x509.load_pem_x509_certificate(joined.certificate_pem).serial_number
    uri = f"spiffe://fleetnet/host/{joined.host}"
    return forged.certificate(collector, [uri], name=joined.host, days=-1, serial=serial, authority=authority)


class Slept:
    """One such host, which wants one new key."""

    def __init__(self, collector: Running, old: Identity) -> None:
        self.collector = collector
        self.old = old
        self.key = ec.generate_private_key(ec.SECP256R1())

    def challenge(self) -> bytes:
        with self._port() as channel:
            stub = enroll_pb2_grpc.EnrollServiceStub(channel)
            return stub.Challenge(enroll_pb2.ChallengeRequest(), timeout=DEADLINE_S).challenge

    def request(self, challenge: bytes, signed_by: bytes = b"") -> enroll_pb2.ReadmitRequest:
        """What it says; `signed_by` another key (PEM) than its own."""
        certificate = x509.load_pem_x509_certificate(self.old.certificate_pem).public_bytes(serialization.Encoding.DER)
        csr = request_for(self.key)
        signs = serialization.load_pem_private_key(signed_by or self.old.key_pem, None)
        assert isinstance(signs, ec.EllipticCurvePrivateKey)
        what = b"fleetnet readmit 1\0" + challenge + hashlib.sha256(certificate).digest() + hashlib.sha256(csr).digest()
        signature = signs.sign(what, ec.ECDSA(hashes.SHA256()))
        return enroll_pb2.ReadmitRequest(certificate=certificate, csr=csr, challenge=challenge, signature=signature)

    def say(self, request: enroll_pb2.ReadmitRequest) -> enroll_pb2.ReadmitResponse:
        """Raises grpc.RpcError."""
        with self._port() as channel:
            return enroll_pb2_grpc.EnrollServiceStub(channel).Readmit(request, timeout=DEADLINE_S)

    def ask(self) -> enroll_pb2.ReadmitResponse:
        """Raises grpc.RpcError."""
        return self.say(self.request(self.challenge()))

    def back(self) -> Identity:
        """The host with what it gets, once it was approved."""
        answer = self.ask()
        assert answer.certificate_pem, answer
        return Identity(self.old.host, pem_of(self.key), answer.certificate_pem, answer.ca_pem)

    def _port(self) -> grpc.Channel:
        return grpc.secure_channel(self.collector.enroll_address, grpc.ssl_channel_credentials(self.collector.ca_pem))
