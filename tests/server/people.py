"""People of a test's fleet, who log in to a running collector and ask it over mutual TLS."""

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import admin_pb2_grpc, enroll_pb2, enroll_pb2_grpc, people_pb2, people_pb2_grpc, query_pb2
from fleetnet_server.identity import tokens
from server.agents import DEADLINE_S, Identity, pem_of, request_for
from server.running import Running

VIEWER, OPERATOR = people_pb2.ROLE_VIEWER, people_pb2.ROLE_OPERATOR


def administration(channel: grpc.Channel) -> admin_pb2_grpc.AdminServiceStub:
    return admin_pb2_grpc.AdminServiceStub(channel)


def person_token(collector: Running, person: str, role: people_pb2.Role = VIEWER) -> str:
    """A token for a person, made on the collector's machine."""
    with collector.admin() as channel:
        request = people_pb2.CreatePersonTokenRequest(person=person, role=role)
        return administration(channel).CreatePersonToken(request, timeout=DEADLINE_S).token


def enroll_person(collector: Running, secret: bytes, csr: bytes) -> enroll_pb2.EnrollPersonResponse:
    """What the enrollment port answers. Raises grpc.RpcError."""
    credentials = grpc.ssl_channel_credentials(collector.ca_pem)
    with grpc.secure_channel(collector.enroll_address, credentials) as channel:
        request = enroll_pb2.EnrollPersonRequest(secret=secret, csr=csr)
        return enroll_pb2_grpc.EnrollServiceStub(channel).EnrollPerson(request, timeout=DEADLINE_S)


def log_in(collector: Running, person: str, role: people_pb2.Role = VIEWER) -> Identity:
    """A person who has just logged in."""
    key = ec.generate_private_key(ec.SECP256R1())
    answer = enroll_person(collector, tokens.decode(person_token(collector, person, role))[0], request_for(key))
    return Identity(person, pem_of(key), answer.certificate_pem, answer.ca_pem)


def renew(collector: Running, identity: Identity) -> Identity:
    """The same person with a new certificate. Raises grpc.RpcError."""
    key = ec.generate_private_key(ec.SECP256R1())
    with collector.channel(identity) as channel:
        request = people_pb2.RenewPersonRequest(csr=request_for(key))
        answer = people_pb2_grpc.PersonServiceStub(channel).RenewPerson(request, timeout=DEADLINE_S)
    return Identity(identity.host, pem_of(key), answer.certificate_pem, answer.ca_pem)


def ask(collector: Running, identity: Identity) -> int:
    """How many messages an answer about all hosts has. Raises grpc.RpcError."""
    with collector.channel(identity) as channel:
        answer = collector.queries(channel).ListHosts(query_pb2.ListHostsRequest(), timeout=DEADLINE_S)
        return len(list(answer))


def revoke(collector: Running, person: str) -> None:
    """Keep a person out."""
    with collector.admin() as channel:
        administration(channel).RevokePerson(people_pb2.RevokePersonRequest(person=person), timeout=DEADLINE_S)


def change_role(collector: Running, person: str, role: people_pb2.Role) -> None:
    """Give a person another role."""
    with collector.admin() as channel:
        administration(channel).ChangeRole(people_pb2.ChangeRoleRequest(person=person, role=role), timeout=DEADLINE_S)


def refused(error: "pytest.ExceptionInfo[grpc.RpcError]") -> tuple[grpc.StatusCode, str]:
    """With what a call was refused."""
    assert isinstance(error.value, grpc.Call)
    return error.value.code(), error.value.details() or ""
