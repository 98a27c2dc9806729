"""Hosts and people of a simulated fleet join by the front door: a token each, a key each, a certificate each."""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fleetnet_proto.v1 import admin_pb2, admin_pb2_grpc, enroll_pb2, enroll_pb2_grpc, people_pb2
from fleetnet_server.identity import tokens

_AT_ONCE = 8
_WITHIN_S = 60.0


def join(names: list[str], admin_socket: Path, enroll: str, ca_pem: bytes) -> Iterator[dict[str, str]]:
    """Enroll each host; what its agent would keep."""
    with _doors(admin_socket, enroll, ca_pem) as (desk, porter):

        def one(name: str) -> dict[str, str]:
            token = desk.CreateToken(admin_pb2.CreateTokenRequest(host=name), timeout=_WITHIN_S).token
            key = ec.generate_private_key(ec.SECP256R1())
            asked = enroll_pb2.EnrollRequest(secret=tokens.decode(token)[0], csr=request_for(key))
            answer = porter.Enroll(asked, timeout=_WITHIN_S)
            return _kept(name, key, answer.certificate_pem, answer.ca_pem)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            yield from pool.map(one, names)


def log_in(names: list[str], admin_socket: Path, enroll: str, ca_pem: bytes) -> list[dict[str, str]]:
    """Log each person in; what the command line would keep."""
    with _doors(admin_socket, enroll, ca_pem) as (desk, porter):

        def one(name: str) -> dict[str, str]:
            wished = people_pb2.CreatePersonTokenRequest(person=name, role=people_pb2.ROLE_VIEWER)
            token = desk.CreatePersonToken(wished, timeout=_WITHIN_S).token
            key = ec.generate_private_key(ec.SECP256R1())
            asked = enroll_pb2.EnrollPersonRequest(secret=tokens.decode(token)[0], csr=request_for(key))
            answer = porter.EnrollPerson(asked, timeout=_WITHIN_S)
            return _kept(name, key, answer.certificate_pem, answer.ca_pem)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(one, names))


@contextlib.contextmanager
def _doors(
    admin_socket: Path, enroll: str, ca_pem: bytes
) -> Iterator[tuple[admin_pb2_grpc.AdminServiceStub, enroll_pb2_grpc.EnrollServiceStub]]:
    """Where tokens are made, and where they are traded in."""
    credentials = grpc.ssl_channel_credentials(ca_pem)
    with grpc.insecure_channel(f"unix://{admin_socket}") as admin, grpc.secure_channel(enroll, credentials) as door:
        yield admin_pb2_grpc.AdminServiceStub(admin), enroll_pb2_grpc.EnrollServiceStub(door)


def _kept(name: str, key: ec.EllipticCurvePrivateKey, certificate_pem: bytes, ca_pem: bytes) -> dict[str, str]:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"host": name, "key": pem.decode(), "certificate": certificate_pem.decode(), "ca": ca_pem.decode()}


def write(identities: list[dict[str, str]], file: Path) -> None:
    """For one process of agents or people; readable by nobody else."""
    file.touch(mode=0o600)
    file.write_text("".join(json.dumps(identity) + "\n" for identity in identities))


def request_for(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A request (DER) for a certificate."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ignored")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)
