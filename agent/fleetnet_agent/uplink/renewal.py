"""A fresh certificate before the old one ends, or when the collector wants that, for with it comes which CAs to trust.

What must stay true: the moment is drawn at random between 60 and 80 % of the certificate's life, so that a fleet that
was enrolled in one minute does not renew in one minute (nor does one that is switched on in one minute with that moment
past); however often a collector wants it, a host is not kept busy by it; the new key is on the disk before its
certificate is asked for; a failure costs nothing but another attempt. Where the certificate has ended, no collector
lets this host in any more, and it asks to be approved (readmission.py).
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from fleetnet_proto.v1 import report_pb2, report_pb2_grpc
from grpc import aio

from fleetnet_agent import apart, state
from fleetnet_agent.errors import AgentError
from fleetnet_agent.log import Log
from fleetnet_agent.uplink.channel import open_channel
from fleetnet_agent.uplink.readmission import NotEndedError, WaitsError, readmit

EARLIEST, LATEST = 0.6, 0.8  # of the certificate's life
CALL_TIMEOUT_S: Final = 20.0
CLOCK_CHECK_S: Final = 600.0  # a sleep of days would not notice that the wall clock was set
RETRY_S: Final = 900.0
AT_MOST_EVERY_S: Final = 10.0  # where a collector wants it; a key takes a tenth of a second
LATER: Final = 1.5  # so much later at most a host asks again that waits to be approved
OVERDUE: Final = 0.05  # of what is left of the certificate's life, but no longer than RETRY_S


def due_at_us(identity: state.Identity, draw: random.Random, now_us: int) -> int:
    """When to renew this certificate, wall clock."""
    life_us = identity.valid_until_us - identity.valid_from_us
    due_us = identity.valid_from_us + int(life_us * draw.uniform(EARLIEST, LATEST))
    if due_us > now_us:
        return due_us
    left_us = max(0, identity.valid_until_us - now_us)
    return now_us + int(draw.uniform(0.0, min(RETRY_S * 1e6, left_us * OVERDUE)))


async def renew_forever(
    directory: Path, log: Log, draw: random.Random, renewed: Callable[[], None], wanted: asyncio.Event
) -> None:
    """Renew whenever it is due or wanted, and call `renewed` afterwards. Ends only by being cancelled."""
    identity = state.load(directory)
    while True:
        await _until(due_at_us(identity, draw, _now_us()), wanted)
        identity, is_ours = await _renewed(directory, identity, log, draw, wanted)
        if is_ours:
            log.say("certificate renewed")
            renewed()
        # Where this host's clock is days ahead, or certificates live too short, the next is due at once.
        await _rest(draw, wanted)


async def _renewed(
    directory: Path, former: state.Identity, log: Log, draw: random.Random, wanted: asyncio.Event
) -> tuple[state.Identity, bool]:
    """Try until there is another identity than `former`; False where somebody else has put it there."""
    while True:
        wanted.clear()
        try:
            identity = state.load(directory)
            if identity.certificate_pem != former.certificate_pem:
                return identity, False
            how = renew if identity.valid_until_us > _now_us() else _readmitted
            return await how(directory, identity), True
        except WaitsError as waits:
            log.situation("renewal", str(waits))
            await asyncio.sleep(waits.again_after_s * draw.uniform(1.0, LATER))
        except (AgentError, aio.AioRpcError, ValueError) as error:
            words = error.details() if isinstance(error, aio.AioRpcError) else str(error)
            log.situation("renewal", f"the certificate could not be renewed: {words}; trying again")
            await _rest(draw, wanted)


async def _readmitted(directory: Path, identity: state.Identity) -> state.Identity:
    """For a host whose certificate has ended by its own clock. Raises as `readmit` and `renew`."""
    try:
        return await readmit(directory, identity)
    except NotEndedError:
        return await renew(directory, identity)


async def _rest(draw: random.Random, wanted: asyncio.Event) -> None:
    """A while, or until it is wanted, which is not at once either."""
    await asyncio.sleep(AT_MOST_EVERY_S)
    await _wait(wanted, draw.uniform(RETRY_S / 2, RETRY_S) - AT_MOST_EVERY_S)


async def renew(directory: Path, identity: state.Identity) -> state.Identity:
    """Get and store a new certificate for a new key. Raises AgentError, AioRpcError or ValueError."""
    key_pem, request_der = await asyncio.to_thread(apart.make_key_and_request)
    state.prepare(directory, key_pem)
    answer = await _ask(identity, request_der)
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
    state.save(directory, fresh)
    return fresh


async def _ask(identity: state.Identity, request_der: bytes) -> report_pb2.RenewResponse:
    for remaining, address in zip(
        reversed(range(len(identity.report_addresses))), identity.report_addresses, strict=True
    ):
        async with open_channel(address, identity) as channel:
            stub: report_pb2_grpc.ReportServiceAsyncStub = report_pb2_grpc.ReportServiceStub(channel)
            try:
                return await stub.Renew(report_pb2.RenewRequest(csr=request_der), timeout=CALL_TIMEOUT_S)
            except aio.AioRpcError:
                if not remaining:
                    raise
    raise ValueError("the identity names no report address")


def _now_us() -> int:
    return time.time_ns() // 1_000


async def _until(moment_us: int, wanted: asyncio.Event) -> None:
    while not wanted.is_set() and (left_s := moment_us / 1e6 - time.time()) > 0:
        await _wait(wanted, min(left_s, CLOCK_CHECK_S))


async def _wait(wanted: asyncio.Event, at_most_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await wanted.wait()
