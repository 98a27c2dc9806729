"""A host whose certificate has ended asks for another, at the enrollment port, and waits until somebody approves it.

1. It makes a key and stores it: what somebody approves is that key, so it asks for the same one until it has an answer.
2. It fetches a challenge, and signs it with the key of the certificate that has ended.
3. It is told to wait, and asks again when it was told to, or a little later; or it has its certificate.

What must stay true: the collector that is asked is one that this host trusts; nothing of the identity that there is
changes before the new certificate is here, and has been looked at; however the collector answers, no agent asks more
than once in AGAIN_S.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from fleetnet_proto.v1 import enroll_pb2, enroll_pb2_grpc
from grpc import StatusCode, aio

from fleetnet_agent import apart, state
from fleetnet_agent.uplink.channel import open_channel_as_stranger

CALL_TIMEOUT_S: Final = 20.0
AGAIN_S: Final = 30.0
MOST_AGAIN_S: Final = 3_600.0


class WaitsError(Exception):
    """It has asked, and is to ask again after so many seconds."""

    def __init__(self, words: str, again_after_s: float) -> None:
        super().__init__(words)
        self.again_after_s = again_after_s


class NotEndedError(Exception):
    """By the collector's clock the certificate is still good."""


async def readmit(directory: Path, identity: state.Identity) -> state.Identity:
    """Get and store a new certificate for a host whose own has ended. Raises WaitsError, NotEndedError, AgentError,
    AioRpcError, or ValueError where what came cannot be used."""
    key_pem = await asyncio.to_thread(state.waiting_key, directory, apart.make_key)
    address, key_id, answer = await _ask(identity, key_pem)
    if not answer.certificate_pem:
        raise WaitsError(
            f"the certificate of this host has ended; {address} was asked for another, and waits for an operator: "
            f"fleetnet host approve {identity.host} (key {key_id})",
            min(max(AGAIN_S, answer.again_after_s), MOST_AGAIN_S),
        )
    valid_from_us, valid_until_us = await asyncio.to_thread(
        apart.examine, answer.certificate_pem, key_pem, answer.ca_pem
    )
    fresh = replace(
        identity,
        key_pem=key_pem,
        certificate_pem=answer.certificate_pem,
        ca_pem=answer.ca_pem,
        valid_from_us=valid_from_us,
        valid_until_us=valid_until_us,
    )
    state.prepare(directory, key_pem)
    state.save(directory, fresh)
    return fresh


def addresses(identity: state.Identity) -> tuple[str, ...]:
    """Enrollment ports, in the order to try: those that are known, and the usual one of each collector."""
    usual = (f"{address.rpartition(':')[0]}:{state.ENROLL_PORT}" for address in identity.report_addresses)
    return tuple(dict.fromkeys((*identity.enroll_addresses, *usual)))


async def _ask(identity: state.Identity, key_pem: bytes) -> tuple[str, str, enroll_pb2.ReadmitResponse]:
    """Of one collector after the other: its address, what people call the key, and what it says."""
    failed: aio.AioRpcError | None = None
    for address in addresses(identity):
        async with open_channel_as_stranger(address, identity) as channel:
            stub: enroll_pb2_grpc.EnrollServiceAsyncStub = enroll_pb2_grpc.EnrollServiceStub(channel)
            try:
                challenge = await stub.Challenge(enroll_pb2.ChallengeRequest(), timeout=CALL_TIMEOUT_S)
                proof = await asyncio.to_thread(
                    apart.prove, identity.certificate_pem, identity.key_pem, key_pem, challenge.challenge
                )
                request = enroll_pb2.ReadmitRequest(
                    certificate=proof.certificate,
                    csr=proof.request,
                    challenge=challenge.challenge,
                    signature=proof.signature,
                )
                return address, proof.key_id, await stub.Readmit(request, timeout=CALL_TIMEOUT_S)
            except aio.AioRpcError as error:
                if error.code() is StatusCode.INVALID_ARGUMENT:
                    raise NotEndedError(error.details()) from error
                failed = error
                if error.code() is StatusCode.UNAUTHENTICATED:
                    break  # another collector would say the same
    if failed is None:
        raise ValueError("the identity names no collector")
    raise failed
