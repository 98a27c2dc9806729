"""Requests that cannot be read, where the gate does not stand: enrollment, renewal, the admin socket.

gRPC takes one for a mistake of the service's: it logs an error for each, and tells the sender UNKNOWN. A stranger would
so write as many lines as he likes. Here such a request is refused as what it is, and few lines tell of it.

What must stay true: a service never sees a request that could not be read.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message

from fleetnet_server.logs import Sparing
from fleetnet_server.rpc.told import as_it_is

SENTENCE: Final = "the request cannot be read; it is none of fleetnet's"

_Context = grpc.aio.ServicerContext[Any, Any]


class Readable(grpc.aio.ServerInterceptor):
    """Stands before services that take one message; those that take a stream of them read for themselves."""

    def __init__(self) -> None:
        self._refusals = Sparing()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """gRPC's own hook: what is to handle the call."""
        handler = await continuation(handler_call_details)
        # The gate takes bytes, and reads them itself.
        if handler is None or handler.request_streaming or handler.request_deserializer is None:
            return handler
        return self._reading(handler)

    def _reading(self, handler: "grpc.RpcMethodHandler[Any, Any]") -> "grpc.RpcMethodHandler[Any, Any]":
        # The stubs know only handlers of the blocking server, so these are of any type here.
        read: Any = handler.request_deserializer
        streams: Any = handler.unary_stream
        answers: Any = handler.unary_unary

        def message_of(request: bytes) -> Message | None:
            try:
                message: Message = read(request)
            except DecodeError:
                return None
            return message

        async def stream(request: Message | None, context: _Context) -> AsyncIterator[Any]:
            await self._check(request, context)
            async for part in streams(request, context):
                yield part

        async def written(request: Message | None, context: _Context) -> Any:  # noqa: ANN401  # whatever it answers
            await self._check(request, context)
            return await (streams or answers)(request, context)

        made: Any = stream if inspect.isasyncgenfunction(streams) else written
        make: Any = grpc.unary_unary_rpc_method_handler if streams is None else grpc.unary_stream_rpc_method_handler
        reading: grpc.RpcMethodHandler[Any, Any] = make(
            made, request_deserializer=message_of, response_serializer=as_it_is(handler.response_serializer)
        )
        return reading

    async def _check(self, request: Message | None, context: _Context) -> None:
        if request is None:
            self._refusals.warning("request refused", kind=SENTENCE, peer=context.peer(), reason=SENTENCE)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, SENTENCE)
