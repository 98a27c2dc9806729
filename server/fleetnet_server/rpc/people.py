"""What people ask for themselves, on the report port: a new certificate while the present one is good."""

import datetime
from collections.abc import Callable
from typing import Any

import grpc
import structlog
from fleetnet_proto.v1 import people_pb2, people_pb2_grpc

from fleetnet_server.identity.peer import identify_person
from fleetnet_server.rpc.status import errors_as_status
from fleetnet_server.services.health import Health
from fleetnet_server.services.people import People

_log = structlog.get_logger()


class PersonService(people_pb2_grpc.PersonServiceServicer):
    """Answers people, who have come through the gate."""

    def __init__(self, people: People, health: Health, clock: Callable[[], datetime.datetime]) -> None:
        self._people = people
        self._health = health
        self._clock = clock

    async def RenewPerson(  # noqa: N802  # gRPC's name
        self, request: people_pb2.RenewPersonRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> people_pb2.RenewPersonResponse:
        """A new certificate for the key that the person made."""
        async with errors_as_status(context, self._health):
            shown = identify_person(context.auth_context(), self._clock())
            renewed = await self._people.renew(shown, request.csr)
            _log.info("person renewed", person=renewed.person, serial=renewed.certificate.serial)
            return people_pb2.RenewPersonResponse(certificate_pem=renewed.certificate.pem, ca_pem=renewed.ca_pem)
        raise AssertionError("unreachable: an error has ended the call")
