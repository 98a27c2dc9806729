"""The status that a stream really ended with.

When a collector ends a stream while a message is being written, grpc.aio reports "Internal error from Core" in place
of what the collector said, in about half of the cases (grpc/grpc#36066), and a refusal would look like a lost
connection. The true status is set too, a moment before or after, and each time the call's done-callbacks run: so it is
picked up there.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import grpc
from fleetnet_proto.v1 import report_pb2
from grpc import aio

CORE_DETAILS: Final = "Internal error from Core"
LATE_S: Final = 0.5

T = TypeVar("T")
Call = aio.StreamStreamCall[report_pb2.AgentMessage, report_pb2.CollectorMessage]
Status = tuple[grpc.StatusCode, str | None]


class Verdict:
    """Watches one call from its making on."""

    def __init__(self, call: Call) -> None:
        self._true: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self._call = call
        call.add_done_callback(self._done)

    async def status(self) -> Status:
        """Code and details of the ended call; waits a moment for a true one."""
        code, details = await self._call.code(), await self._call.details()
        if details != CORE_DETAILS:
            return code, details
        try:
            async with asyncio.timeout(LATE_S):
                return await asyncio.shield(self._true)
        except TimeoutError:
            return code, details

    def _done(self, call: Any) -> None:  # noqa: ANN401 - gRPC hands over the call, and types it in several ways
        code, details = _at_once(call.code()), _at_once(call.details())
        if code is not None and details != CORE_DETAILS and not self._true.done():
            self._true.set_result((code, details))


def _at_once(answer: Coroutine[Any, Any, T]) -> T | None:
    """What a coroutine returns that need not wait. An await would be too late: another status may be set by then."""
    try:
        answer.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    answer.close()
    return None
