"""Hosts of a test's fleet: their keys and certificates, and their report streams, driven message by message."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fleetnet_proto.v1 import live_pb2, report_pb2, report_pb2_grpc

DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What a host holds after enrolling."""

    host: str
    key_pem: bytes
    certificate_pem: bytes
    ca_pem: bytes


class ReportStream:
    """One report stream of a host, driven message by message."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._outgoing: queue.SimpleQueue[report_pb2.AgentMessage | None] = queue.SimpleQueue()
        self._incoming: queue.SimpleQueue[report_pb2.CollectorMessage | grpc.RpcError | None] = queue.SimpleQueue()
        self._call = report_pb2_grpc.ReportServiceStub(channel).Report(self._requests())
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def send(
        self,
        *,
        hello: report_pb2.Hello | None = None,
        batch: report_pb2.Batch | None = None,
        live: live_pb2.LivePart | None = None,
        other: report_pb2.AgentMessage | None = None,
    ) -> None:
        """Write a message; `other` is one of another kind, whole."""
        self._outgoing.put(other or report_pb2.AgentMessage(hello=hello, batch=batch, live=live))

    def receive(self, within_s: float = DEADLINE_S) -> report_pb2.CollectorMessage:
        """The next message. Raises grpc.RpcError where the call ended with an error, EOFError where it just ended."""
        try:
            got = self._incoming.get(timeout=within_s)
        except queue.Empty:
            raise TimeoutError(f"nothing came within {within_s} s") from None
        if isinstance(got, grpc.RpcError):
            raise got
        if got is None:
            raise EOFError
        return got

    def receive_all(self) -> list[report_pb2.CollectorMessage]:
        """Everything up to a plain end. Raises grpc.RpcError where it is not plain."""
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except EOFError:
            return messages

    def receive_rest(self) -> list[report_pb2.CollectorMessage]:
        """Everything up to the end, whatever it is."""
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except (EOFError, grpc.RpcError):
            return messages

    def open(self, hello: report_pb2.Hello) -> report_pb2.Welcome:
        """Say Hello, and be welcomed."""
        self.send(hello=hello)
        return self.receive().welcome

    def await_ack(self, sequence: int) -> None:
        """Read until everything up to `sequence` is acknowledged."""
        while (message := self.receive()).ack.sequence < sequence:
            assert message.WhichOneof("message") == "ack", message

    def done_writing(self) -> None:
        """Say that nothing more comes."""
        self._outgoing.put(None)

    def close(self) -> None:
        """Break it off."""
        self._outgoing.put(None)
        self._call.cancel()
        self._thread.join(DEADLINE_S)

    def _requests(self) -> Iterator[report_pb2.AgentMessage]:
        while (message := self._outgoing.get()) is not None:
            yield message

    def _receive(self) -> None:
        try:
            for message in self._call:
                self._incoming.put(message)
        except grpc.RpcError as error:
            self._incoming.put(error)
        else:
            self._incoming.put(None)


def request_for(key: ec.EllipticCurvePrivateKey, name: str = "ignored") -> bytes:
    """A certificate request (DER)."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def new_request() -> bytes:
    """A certificate request (DER) for a key that nobody keeps."""
    return request_for(ec.generate_private_key(ec.SECP256R1()))


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as a file has it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def ended_with(stream: ReportStream) -> tuple[grpc.StatusCode, str]:
    """How the collector ends the stream."""
    with pytest.raises(grpc.RpcError) as ended:
        stream.receive_all()
    assert isinstance(ended.value, grpc.Call)
    return ended.value.code(), ended.value.details() or ""
