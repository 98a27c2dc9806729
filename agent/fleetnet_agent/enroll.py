"""Joining the fleet: a one-time token becomes this host's identity.

1. The token brings the secret and the collector's CA certificate.
2. A TLS handshake with the standard library tells plainly what is wrong, before the token is shown to anybody.
3. The key is made here and stored, so that a full disk is noticed while the token is still good.
4. Secret and request go to EnrollService over TLS rooted in the token's CA alone, with what this host calls itself,
   which counts only where the token is for no host by name; the certificate comes back.
5. The identity is put in place. Where somebody is to approve the host first, its reports are refused until then, and
   `run` tries again by itself.
"""

import base64
import binascii
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

import grpc
from fleetnet_proto.v1 import enroll_pb2, enroll_pb2_grpc

from fleetnet_agent import keys, reach, state
from fleetnet_agent.errors import AgentError, RefusedError, UnreachableError

TOKEN_PREFIX = "fnt1."  # noqa: S105 - the version that every token begins with, no secret
SECRET_BYTES = 32
TOKEN_LIMIT = 65_536  # characters; a token is about 700
CALL_TIMEOUT_S = 20.0
HOSTNAME_LIMIT = 253  # of a name in DNS


@dataclass(frozen=True, slots=True)
class Token:
    """What a token holds."""

    secret: bytes
    ca_pem: bytes


def decode_token(text: str) -> Token:
    """Take a token apart. Raises AgentError where it is none."""
    text = text.strip()
    if not text.startswith(TOKEN_PREFIX):
        raise AgentError(
            "this is not a token; copy the whole line, from fnt1. on, that `fleetnet token create` printed"
        )
    body = text.removeprefix(TOKEN_PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) <= SECRET_BYTES or not keys.is_certificate(raw[SECRET_BYTES:]):
        raise AgentError("the token is damaged or cut short; copy the whole line that `fleetnet token create` printed")
    return Token(raw[:SECRET_BYTES], ssl.DER_cert_to_PEM_cert(raw[SECRET_BYTES:]).encode("ascii"))


def read_token(token_file: str | None, token: str | None) -> str:
    """The token's text, from a file, standard input or the option. Raises AgentError where there is none."""
    if token is not None:
        print(
            "fleetnet-agent: others on this host can read a token given as an option; --token-file keeps it from them",
            file=sys.stderr,
        )
        return token
    if token_file is None:
        raise AgentError("a token is needed; give --token-file FILE, or --token-file - and the token on standard input")
    try:
        if token_file == "-":  # noqa: S105 - a file name
            return sys.stdin.read(TOKEN_LIMIT)
        with Path(token_file).open(encoding="ascii") as file:
            return file.read(TOKEN_LIMIT)
    except OSError as error:
        raise AgentError(
            f"the token file {token_file} cannot be read: {error.strerror}; check its name and permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise AgentError(
            f"{token_file} is not a token file; write to it the line that `fleetnet token create` printed"
        ) from error


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of it."""

    identity: state.Identity
    pending: bool  # somebody is to approve this host before it may report


def enroll(server: str, token_text: str, directory: Path, *, force: bool = False) -> Joined:
    """Enroll this host into `directory`. Raises AgentError; the token is used up only if the collector said yes."""
    host, port = reach.split_address(server, state.ENROLL_PORT)
    token = decode_token(token_text)
    if _has_identity(directory) and not force:
        raise AgentError(f"{directory} already holds an identity; give --force to replace it, or name another --state")
    reach.check(host, port, reach.trust(token.ca_pem))
    made = keys.make_key_and_request()
    state.prepare(directory, made.key_pem)
    try:
        joined = _ask(host, port, token, made)
    except AgentError:
        state.abandon(directory)
        raise
    state.save(directory, joined.identity)
    return joined


def _has_identity(directory: Path) -> bool:
    try:
        return state.exists(directory)
    except OSError as error:
        raise AgentError(
            f"{directory} cannot be read: {error.strerror}; run as its owner or name another --state"
        ) from error


def _ask(host: str, port: int, token: Token, made: keys.KeyAndRequest) -> Joined:
    from fleetnet_agent import keys

    credentials = grpc.ssl_channel_credentials(root_certificates=token.ca_pem)
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(reach.join_address(host, port), credentials, options) as channel:
        request = enroll_pb2.EnrollRequest(
            secret=token.secret, csr=made.request_der, hostname=socket.gethostname()[:HOSTNAME_LIMIT]
        )
        try:
            answer = enroll_pb2_grpc.EnrollServiceStub(channel).Enroll(request, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            raise _sentence(reach.join_address(host, port), error) from error
    try:
        facts = keys.read_certificate(answer.certificate_pem)
        matches = keys.belongs_to(answer.certificate_pem, made.key_pem)
    except ValueError:
        matches = False
    if not matches:
        raise RefusedError(
            "the collector sent a certificate that is not for this host's key; look into the collector's log"
        )
    identity = state.Identity(
        host=answer.host,
        report_addresses=tuple(answer.report_addresses) or (reach.join_address(host, answer.report_port),),
        key_pem=made.key_pem,
        certificate_pem=answer.certificate_pem,
        ca_pem=answer.ca_pem,
        valid_from_us=facts.valid_from_us,
        valid_until_us=facts.valid_until_us,
        enroll_addresses=(reach.join_address(host, port),),
    )
    return Joined(identity, answer.pending)


def _sentence(where: str, error: grpc.RpcError) -> AgentError:
    """The one border where status codes of enrolling become sentences."""
    code, details = error.code(), error.details() or ""
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return RefusedError(f"the collector refused: {details}")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return UnreachableError(
            f"{where} is not an enrollment port; the collector's is {state.ENROLL_PORT} unless set otherwise"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return UnreachableError(f"the collector at {where} did not answer within {CALL_TIMEOUT_S:g} s; try again")
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return RefusedError(f"the collector refused: {details}")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return UnreachableError(f"the collector at {where} is busy ({details}); try again in a minute")
    if code is grpc.StatusCode.UNAVAILABLE:
        return UnreachableError(
            f"{where} ended the connection; check that it is the enrollment port "
            f"({state.ENROLL_PORT} unless set otherwise)"
        )
    return UnreachableError(f"the collector at {where} could not enroll this host ({details}); look into its log")
