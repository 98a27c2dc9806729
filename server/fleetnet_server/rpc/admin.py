"""Administration, on the admin socket: who may open the socket's file may do this."""

from typing import Any

import grpc
import structlog
from fleetnet_proto.v1 import admin_pb2, admin_pb2_grpc

from fleetnet_server.rpc import translate_labels, translate_query
from fleetnet_server.rpc.status import errors_as_status
from fleetnet_server.services.enrollment import Enrollment
from fleetnet_server.services.health import Health
from fleetnet_server.services.labels import Labelling

_log = structlog.get_logger()


class AdminService(admin_pb2_grpc.AdminServiceServicer):
    """Answers administrators."""

    def __init__(self, enrollment: Enrollment, labelling: Labelling, health: Health) -> None:
        self._enrollment = enrollment
        self._labelling = labelling
        self._health = health

    async def CreateToken(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.CreateTokenRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.CreateTokenResponse:
        """A one-time token for one host."""
        async with errors_as_status(context, self._health):
            given = translate_labels.records(request.labels)
            token = await self._enrollment.create_token(request.host, request.ttl_s, given)
            self._health.works()
            _log.info("token created", host=token.host, expires_at_us=token.expires_at_us)
            return admin_pb2.CreateTokenResponse(
                token=token.text,
                host=token.host,
                expires_at_us=token.expires_at_us,
                labels=translate_labels.messages(token.labels),
            )
        raise AssertionError("unreachable: an error has ended the call")

    async def LabelHosts(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.LabelHostsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.LabelHostsResponse:
        """Labels given to hosts and taken from them."""
        async with errors_as_status(context, self._health):
            globs = translate_query.globs_to_label(request)
            given = translate_labels.records(request.set)
            labelled, unmatched = await self._labelling.label(request.hosts, globs, given, request.remove)
            self._health.works()
            told = {"given": [f"{key}={value}" for key, value in given], "taken": list(request.remove)}
            _log.info("hosts labelled", hosts=len(labelled), changed=sum(host.changed for host in labelled), **told)
            return admin_pb2.LabelHostsResponse(
                hosts=[
                    admin_pb2.LabelledHost(
                        host=host.host, labels=translate_labels.messages(host.labels), changed=host.changed
                    )
                    for host in labelled
                ],
                unmatched_globs=unmatched,
            )
        raise AssertionError("unreachable: an error has ended the call")
