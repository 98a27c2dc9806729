"""gRPC's own health service (grpc.health.v1), beside the services whose standing it tells.

What must stay true: SERVING means that data moves, as /healthz has it, and not only that somebody answers.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc
from fleetnet_proto.v1 import admin_pb2, enroll_pb2, people_pb2, query_pb2, report_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio

_EVERY_S: Final = 2.0
_SERVICES: Final = (
    "",  # the collector as a whole
    *(
        service.full_name
        for file in (report_pb2, query_pb2, admin_pb2, enroll_pb2, people_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
    ),
)


class HealthDesk:
    """Answers on every port it was added to."""

    def __init__(self) -> None:
        self._servicer = aio.HealthServicer()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Answer there too."""
        add: Callable[[Any, grpc.aio.Server], None] = health_pb2_grpc.add_HealthServicer_to_server
        add(self._servicer, server)

    async def follow(self, wrong: Callable[[], str]) -> None:
        """Tell how things stand until cancelled; `wrong` says what is wrong, empty where nothing is."""
        told = None
        while True:
            serving = not wrong()
            if serving is not told:
                told = serving
                await self._tell(serving)
            await asyncio.sleep(_EVERY_S)

    async def stop(self) -> None:
        """Say NOT_SERVING from here on."""
        await self._servicer.enter_graceful_shutdown()

    async def _tell(self, serving: bool) -> None:
        standing = health_pb2.HealthCheckResponse.ServingStatus
        for service in _SERVICES:
            await self._servicer.set(service, standing.SERVING if serving else standing.NOT_SERVING)
