"""How a person comes by a login, and keeps it: a one-time token becomes an identity, an identity a newer one.

1. The token brings the secret and the collector's CA certificate.
2. A TLS handshake with the standard library tells plainly what is wrong, before the token is shown to anybody.
3. The key is made here, and room for the file is taken, so that a full disk is noticed while the token is still good.
4. Secret and request go to the enrollment port over TLS rooted in the token's CA alone; the certificate comes back.
5. The file is put in place. To renew is the same, with the certificate that is still good in the token's place.
"""

import base64
import binascii
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetnet_cli.channel import anonymous, secure  # first: it tells gRPC what this is to know when it is loaded

# isort: split

import grpc
from fleetnet_proto.v1 import enroll_pb2, enroll_pb2_grpc, people_pb2, people_pb2_grpc

from fleetnet_cli import errors, identities, keys, reach, wire_people
from fleetnet_cli.errors import CliError, NotAuthorised, Unreachable, UsageError
from fleetnet_cli.identities import Draft, Identity

ENROLL_PORT = 7444
_PREFIX = "fnt1."
_SECRET_BYTES = 32
_PERSON = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)  # it goes into a file, as it came


@dataclass(frozen=True, slots=True)
class Token:
    """What a token holds."""

    secret: bytes
    ca_pem: bytes


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A login that is in place."""

    identity: Identity
    role: str  # as the collector said; it may change at any time


def decode_token(text: str) -> Token:
    """Take a token apart. Raises UsageError where it is none, without the text in it."""
    text = text.strip()
    if not text.startswith(_PREFIX):
        raise UsageError(
            f"this is not a token; copy the whole line, from {_PREFIX} on, that fleetnet token create printed"
        )
    body = text.removeprefix(_PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) <= _SECRET_BYTES or not keys.is_certificate(raw[_SECRET_BYTES:]):
        raise UsageError("the token is damaged or cut short; copy the whole line that fleetnet token create printed")
    return Token(raw[:_SECRET_BYTES], ssl.DER_cert_to_PEM_cert(raw[_SECRET_BYTES:]).encode("ascii"))


def log_in(server: str, token_text: str, path: Path, timeout_s: float) -> LoggedIn:
    """Trade a token for a login, kept at `path`. Raises CliError; the token is used up only if the collector said
    yes."""
    host, port = reach.split_address(server, ENROLL_PORT)
    address = reach.join_address(host, port)
    token = decode_token(token_text)
    if trouble := reach.trouble(address, token.ca_pem):
        raise trouble
    with Draft(path) as draft:
        made = keys.make_key_and_request()
        request = enroll_pb2.EnrollPersonRequest(secret=token.secret, csr=made.request_der)
        with anonymous(address, token.ca_pem) as channel:
            answer = _call(enroll_pb2_grpc.EnrollServiceStub(channel).EnrollPerson, request, address, timeout_s)
        if not _PERSON.fullmatch(answer.person):
            raise CliError("the collector calls you by a name that cannot be one; look into its log")
        questions = _questions_address(host, list(answer.question_addresses), answer.question_port)
        identity = _identity(questions, answer.person, made, answer)
        draft.keep(identity)
    return LoggedIn(identity, wire_people.role(answer.role))


def renew(path: Path, timeout_s: float) -> LoggedIn:
    """A login in the place of one that is still good, for a new key. Raises CliError."""
    old = identities.load(path)
    with Draft(path) as draft:
        made = keys.make_key_and_request()
        request = people_pb2.RenewPersonRequest(csr=made.request_der)
        with secure(old.server, old) as channel:
            stub = people_pb2_grpc.PersonServiceStub(channel)
            answer = _call(stub.RenewPerson, request, old.server, timeout_s, old)
        identity = _identity(old.server, old.person, made, answer)
        draft.keep(identity)
    return LoggedIn(identity, "")


def _questions_address(dialled: str, advertised: list[str], port: int) -> str:
    """Where to ask: of the addresses that are told the one of the host that was dialled, which can be reached from
    here, or the first."""
    told = [reach.join_address(*reach.split_address(address)) for address in advertised]
    same = [address for address in told if reach.split_address(address)[0] == dialled]
    return (same or told or [reach.join_address(dialled, port)])[0]


def _identity(
    server: str,
    person: str,
    made: keys.KeyAndRequest,
    answer: enroll_pb2.EnrollPersonResponse | people_pb2.RenewPersonResponse,
) -> Identity:
    try:
        certificate_pem, ca_pem = keys.plain(answer.certificate_pem), keys.plain(answer.ca_pem)
        life = keys.life_of(certificate_pem, made.key_pem)
    except ValueError as error:
        raise CliError(
            f"the collector sent what is no certificate for the key made here ({error}); look into its log"
        ) from error
    return Identity(
        server=server,
        person=person,
        valid_from=life.begins,
        valid_until=life.ends,
        key_pem=made.key_pem,
        certificate_pem=certificate_pem,
        ca_pem=ca_pem,
    )


def _call(call: Any, request: object, address: str, timeout_s: float, own: Identity | None = None) -> Any:  # noqa: ANN401  # whatever is called, and what it answers
    try:
        return call(request, timeout=timeout_s)
    except grpc.RpcError as error:
        raise _sentence(address, error, own) from error


def _sentence(address: str, error: grpc.RpcError, own: Identity | None) -> errors.CliError:
    """What a status means to somebody who logs in."""
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    details = " ".join(((error.details() or "") if isinstance(error, grpc.Call) else "").split())
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return NotAuthorised(f"the collector refuses: {details}")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Unreachable(
            f"nobody logs in at {address}: it is no enrollment port ({ENROLL_PORT} unless set otherwise), or its "
            "fleetnet-server is to be upgraded"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unreachable(f"the collector at {address} did not answer in time; try again, or give it longer")
    if code is grpc.StatusCode.UNAVAILABLE:
        trouble = reach.trouble(address, own.ca_pem, own) if own is not None else None
        return trouble or Unreachable(
            f"{address} ended the connection; check that it is the enrollment port ({ENROLL_PORT} unless set otherwise)"
        )
    return CliError(f"the collector at {address} could not do it ({details or code.name}); look into its log")
