"""Administration, on the admin socket: who may open the socket's file may do this."""

from typing import Any

import grpc
import structlog
from fleetnet_proto.v1 import admin_pb2, admin_pb2_grpc

from fleetnet_server.rpc.status import errors_as_status
from fleetnet_server.services.description import Description
from fleetnet_server.services.enrollment import Enrollment
from fleetnet_server.services.health import Health

_log = structlog.get_logger()


class AdminService(admin_pb2_grpc.AdminServiceServicer):
    """Answers administrators."""

    def __init__(self, enrollment: Enrollment, description: Description, health: Health) -> None:
        self._enrollment = enrollment
        self._description = description
        self._health = health

    async def CreateToken(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.CreateTokenRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.CreateTokenResponse:
        """A one-time token for one host."""
        async with errors_as_status(context, self._health):
            token = await self._enrollment.create_token(request.host, request.ttl_s)
            self._health.works()
            _log.info("token created", host=token.host, expires_at_us=token.expires_at_us)
            return admin_pb2.CreateTokenResponse(token=token.text, host=token.host, expires_at_us=token.expires_at_us)
        raise AssertionError("unreachable: an error has ended the call")

    async def DescribeCollector(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.DescribeCollectorRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.DescribeCollectorResponse:
        """What this collector says of itself."""
        async with errors_as_status(context, self._health):
            told = await self._description.describe()
            return admin_pb2.DescribeCollectorResponse(
                version=told.version,
                at_us=told.at_us,
                server_certificate_until_us=told.server_certificate_until_us,
                ca_certificate_until_us=told.ca_certificate_until_us,
                refused=[
                    admin_pb2.RefusedReports(
                        host=one.host, reports=one.reports, last_at_us=one.last_at_us, reason=one.reason
                    )
                    for one in told.refused
                ],
            )
        raise AssertionError("unreachable: an error has ended the call")
