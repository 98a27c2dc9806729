"""Where the errors of the collector become gRPC status codes: here, and nowhere else.

The codes are what the other side acts on, and so part of the contract:
- ABORTED: a newer stream of the same host took over, or another machine is this host; do not fight for it.
- FAILED_PRECONDITION: a batch is missing; connect anew and send a snapshot. Of a certificate: another collector issues.
- INVALID_ARGUMENT: sending the same again will be refused again.
- UNAUTHENTICATED: the certificate or token does not admit.
- PERMISSION_DENIED: it does, and not to this.
- UNAVAILABLE: only for a live look, where the host's agent is away: there the way out is another question.
- RESOURCE_EXHAUSTED: try later; not UNAVAILABLE, which is what gRPC itself says where nobody answers.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog

from fleetnet_server import errors
from fleetnet_server.logs import failure
from fleetnet_server.services.health import Health

_log = structlog.get_logger()

CODES: dict[type[errors.ServerError], grpc.StatusCode] = {
    errors.StorageUnavailable: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.AnswerGivenUp: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StorageDamaged: grpc.StatusCode.DATA_LOSS,
    errors.SchemaNewer: grpc.StatusCode.DATA_LOSS,
    errors.Cloned: grpc.StatusCode.ABORTED,
    errors.Fenced: grpc.StatusCode.ABORTED,
    errors.SequenceHole: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ForeignBatch: grpc.StatusCode.INVALID_ARGUMENT,
    errors.BadBatch: grpc.StatusCode.INVALID_ARGUMENT,
    errors.HostUnknown: grpc.StatusCode.NOT_FOUND,
    errors.HostLeft: grpc.StatusCode.NOT_FOUND,
    errors.TokenRefused: grpc.StatusCode.UNAUTHENTICATED,
    errors.PeerRefused: grpc.StatusCode.UNAUTHENTICATED,
    errors.NotTheIssuer: grpc.StatusCode.FAILED_PRECONDITION,
    errors.NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
    errors.PersonUnknown: grpc.StatusCode.NOT_FOUND,
    errors.TooMuchAtOnce: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.AgentAway: grpc.StatusCode.UNAVAILABLE,
    errors.AskedTooSoon: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.RequestRefused: grpc.StatusCode.INVALID_ARGUMENT,
}
# Ending a call waits for the peer's flow control; a peer that does not read must not keep a handler for ever.
_ABORT_S = 5.0


def code_of(error: errors.ServerError) -> grpc.StatusCode:
    """The status code of an error; the nearest ancestor's where it has none of its own."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), grpc.StatusCode.INTERNAL)


@contextlib.asynccontextmanager
async def errors_as_status(context: grpc.aio.ServicerContext[Any, Any], health: Health) -> AsyncIterator[None]:
    """End the call with the right status if the body raises."""
    try:
        yield
    except (grpc.aio.AbortError, asyncio.CancelledError):
        raise
    except errors.ServerError as error:
        if isinstance(error, errors.StorageError):
            health.failed(error)
        errors.let_go(error)
        await _abort(context, code_of(error), str(error))
    except Exception as error:
        # A client that is gone makes reads and writes fail in several ways; that is its business, not ours. The first
        # write that fails may do so before the call knows that it is over.
        if isinstance(error, grpc.aio.BaseError) or context.cancelled() or context.done():
            raise asyncio.CancelledError from error
        _log.error("request failed inside the collector", **failure(error))
        await _abort(context, grpc.StatusCode.INTERNAL, "the collector failed inside; its log says where")


async def _abort(context: grpc.aio.ServicerContext[Any, Any], code: grpc.StatusCode, sentence: str) -> None:
    async with asyncio.timeout(_ABORT_S):
        await context.abort(code, sentence)
