"""Administration: on the admin socket, whose file says who may, and to operators on the report port (gate.py)."""

from typing import Any

import grpc
import structlog
from fleetnet_proto.v1 import admin_pb2, admin_pb2_grpc, people_pb2

from fleetnet_server.rpc import translate_hosts, translate_labels, translate_people, translate_query, translate_tokens
from fleetnet_server.rpc.gate import asker
from fleetnet_server.rpc.status import errors_as_status
from fleetnet_server.services.enrollment import Enrollment, Terms
from fleetnet_server.services.health import Health
from fleetnet_server.services.hosts import Hosts
from fleetnet_server.services.labels import Labelling
from fleetnet_server.services.people import People

_log = structlog.get_logger()


class AdminService(admin_pb2_grpc.AdminServiceServicer):
    """Answers administrators."""

    def __init__(
        self, enrollment: Enrollment, people: People, labelling: Labelling, hosts: Hosts, health: Health
    ) -> None:
        self._enrollment = enrollment
        self._people = people
        self._labelling = labelling
        self._hosts = hosts
        self._health = health

    async def CreateToken(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.CreateTokenRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.CreateTokenResponse:
        """A one-time token for one host."""
        async with errors_as_status(context, self._health):
            given = translate_labels.records(request.labels)
            terms = Terms(request.max_uses or 1, request.approve, asker(context))
            token = await self._enrollment.create_token(request.host, request.ttl_s, given, terms)
            self._health.works()
            _log.info("token created", by=asker(context), host=token.host, expires_at_us=token.expires_at_us)
            return admin_pb2.CreateTokenResponse(
                token=token.text,
                host=token.host,
                expires_at_us=token.expires_at_us,
                labels=translate_labels.messages(token.labels),
                max_uses=token.terms.max_uses,
                approve=token.terms.approve,
            )
        raise AssertionError("unreachable: an error has ended the call")

    async def ListTokens(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.ListTokensRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.ListTokensResponse:
        """All tokens."""
        async with errors_as_status(context, self._health):
            return admin_pb2.ListTokensResponse(tokens=map(translate_tokens.item, await self._enrollment.tokens()))
        raise AssertionError("unreachable: an error has ended the call")

    async def RevokeToken(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.RevokeTokenRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.RevokeTokenResponse:
        """A token admits nobody any more."""
        async with errors_as_status(context, self._health):
            token = await self._enrollment.revoke_token(request.id)
            self._health.works()
            _log.info("token revoked", by=asker(context), id=token.token_id, host=token.host, person=token.person)
            return admin_pb2.RevokeTokenResponse(token=translate_tokens.item(token))
        raise AssertionError("unreachable: an error has ended the call")

    async def ApproveHosts(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.ApproveHostsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.ApproveHostsResponse:
        """Hosts that wait for it are let in."""
        async with errors_as_status(context, self._health):
            found = await self._hosts.approve(request.hosts)
            self._health.works()
            _log.info("hosts approved", by=asker(context), hosts=[host.host for host in found if host.changed])
            return admin_pb2.ApproveHostsResponse(hosts=map(translate_hosts.standing, found))
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
            changed = sum(host.changed for host in labelled)
            _log.info("hosts labelled", by=asker(context), hosts=len(labelled), changed=changed, **told)
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

    async def RevokeHosts(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.RevokeHostsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.RevokeHostsResponse:
        """Hosts are kept out."""
        async with errors_as_status(context, self._health):
            found = await self._hosts.revoke(request.hosts)
            self._health.works()
            _log.info("hosts revoked", by=asker(context), hosts=[host.host for host in found if host.changed])
            return admin_pb2.RevokeHostsResponse(hosts=map(translate_hosts.standing, found))
        raise AssertionError("unreachable: an error has ended the call")

    async def ForgetHosts(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.ForgetHostsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.ForgetHostsResponse:
        """Hosts leave the fleet."""
        async with errors_as_status(context, self._health):
            found = await self._hosts.forget(request.hosts)
            self._health.works()
            _log.info("hosts retired", by=asker(context), hosts=[host.host for host in found if host.changed])
            return admin_pb2.ForgetHostsResponse(hosts=map(translate_hosts.standing, found))
        raise AssertionError("unreachable: an error has ended the call")

    async def CreatePersonToken(  # noqa: N802  # gRPC's name
        self, request: people_pb2.CreatePersonTokenRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> people_pb2.CreatePersonTokenResponse:
        """A one-time token for one person."""
        async with errors_as_status(context, self._health):
            role = translate_people.role_word(request.role)
            token = await self._people.create_token(request.person, role, request.ttl_s, asker(context))
            self._health.works()
            _log.info(
                "token created",
                by=asker(context),
                person=token.person,
                role=token.role,
                expires_at_us=token.expires_at_us,
            )
            return people_pb2.CreatePersonTokenResponse(
                token=token.text, person=token.person, role=request.role, expires_at_us=token.expires_at_us
            )
        raise AssertionError("unreachable: an error has ended the call")

    async def ListPeople(  # noqa: N802  # gRPC's name
        self, request: people_pb2.ListPeopleRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> people_pb2.ListPeopleResponse:
        """All people."""
        async with errors_as_status(context, self._health):
            everybody = await self._people.everybody()
            return people_pb2.ListPeopleResponse(people=map(translate_people.person_item, everybody))
        raise AssertionError("unreachable: an error has ended the call")

    async def ChangeRole(  # noqa: N802  # gRPC's name
        self, request: people_pb2.ChangeRoleRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> people_pb2.ChangeRoleResponse:
        """Another role for a person."""
        async with errors_as_status(context, self._health):
            person = await self._people.change_role(request.person, translate_people.role_word(request.role))
            self._health.works()
            _log.info("role changed", by=asker(context), person=person.name, role=person.role)
            return people_pb2.ChangeRoleResponse(person=translate_people.person_item(person))
        raise AssertionError("unreachable: an error has ended the call")

    async def RevokePerson(  # noqa: N802  # gRPC's name
        self, request: people_pb2.RevokePersonRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> people_pb2.RevokePersonResponse:
        """A person is kept out."""
        async with errors_as_status(context, self._health):
            person = await self._people.revoke(request.person)
            self._health.works()
            _log.info("person revoked", by=asker(context), person=person.name)
            return people_pb2.RevokePersonResponse(person=translate_people.person_item(person))
        raise AssertionError("unreachable: an error has ended the call")
