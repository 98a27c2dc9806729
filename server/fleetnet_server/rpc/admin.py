"""Administration: on the admin socket, whose file says who may, and to operators on the report port (gate.py)."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog
from fleetnet_proto.v1 import admin_pb2, admin_pb2_grpc, people_pb2

from fleetnet_server.identity import names
from fleetnet_server.rpc import (
    logins,
    translate_hosts,
    translate_labels,
    translate_log,
    translate_people,
    translate_query,
    translate_tokens,
)
from fleetnet_server.rpc.gate import LOCAL, asker
from fleetnet_server.rpc.status import errors_as_status
from fleetnet_server.services.description import Description
from fleetnet_server.services.enrollment import Enrollment, Terms
from fleetnet_server.services.health import Health
from fleetnet_server.services.hosts import Hosts
from fleetnet_server.services.labels import Labelling
from fleetnet_server.services.log import Logged, Wish
from fleetnet_server.services.people import People

_ENTRIES = 100  # of the log, where nobody says how many

_Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.get_logger()


class AdminService(admin_pb2_grpc.AdminServiceServicer):
    """Answers administrators."""

    def __init__(
        self,
        enrollment: Enrollment,
        people: People,
        labelling: Labelling,
        hosts: Hosts,
        log: Logged,
        description: Description,
        health: Health,
    ) -> None:
        self._enrollment = enrollment
        self._people = people
        self._labelling = labelling
        self._description = description
        self._hosts = hosts
        self._log = log
        self._health = health

    @contextlib.asynccontextmanager
    async def _doing(self, context: _Context, action: str, subject: str) -> AsyncIterator[None]:
        """Do what is wished, and log it, also where it is refused."""
        who = asker(context)
        login = logins.claimed(context) if who == LOCAL else ""
        wish = Wish(who, login, context.peer(), action, subject, names.person_of(who) or "")
        async with errors_as_status(context, self._health), self._log.doing(wish):
            yield

    async def ListLog(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.ListLogRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.ListLogResponse:
        """The last entries of the log."""
        async with errors_as_status(context, self._health):
            found = await self._log.latest(request.limit or _ENTRIES)
            return admin_pb2.ListLogResponse(entries=map(translate_log.item, found))
        raise AssertionError("unreachable: an error has ended the call")

    async def CreateToken(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.CreateTokenRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.CreateTokenResponse:
        """A one-time token for one host."""
        async with self._doing(context, "create-token", _token_words(request)):
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
        async with self._doing(context, "revoke-token", request.id):
            token = await self._enrollment.revoke_token(request.id)
            self._health.works()
            _log.info("token revoked", by=asker(context), id=token.token_id, host=token.host, person=token.person)
            return admin_pb2.RevokeTokenResponse(token=translate_tokens.item(token))
        raise AssertionError("unreachable: an error has ended the call")

    async def ApproveHosts(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.ApproveHostsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.ApproveHostsResponse:
        """Hosts that wait for it are let in."""
        async with self._doing(context, "approve-hosts", " ".join(request.hosts)):
            found = await self._hosts.approve(request.hosts)
            self._health.works()
            _log.info("hosts approved", by=asker(context), hosts=[host.host for host in found if host.changed])
            return admin_pb2.ApproveHostsResponse(hosts=map(translate_hosts.standing, found))
        raise AssertionError("unreachable: an error has ended the call")

    async def LabelHosts(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.LabelHostsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.LabelHostsResponse:
        """Labels given to hosts and taken from them."""
        async with self._doing(context, "label-hosts", _label_words(request)):
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
        async with self._doing(context, "revoke-hosts", " ".join(request.hosts)):
            found = await self._hosts.revoke(request.hosts)
            self._health.works()
            _log.info("hosts revoked", by=asker(context), hosts=[host.host for host in found if host.changed])
            return admin_pb2.RevokeHostsResponse(hosts=map(translate_hosts.standing, found))
        raise AssertionError("unreachable: an error has ended the call")

    async def ForgetHosts(  # noqa: N802  # gRPC's name
        self, request: admin_pb2.ForgetHostsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.ForgetHostsResponse:
        """Hosts leave the fleet."""
        async with self._doing(context, "forget-hosts", " ".join(request.hosts)):
            found = await self._hosts.forget(request.hosts)
            self._health.works()
            _log.info("hosts retired", by=asker(context), hosts=[host.host for host in found if host.changed])
            return admin_pb2.ForgetHostsResponse(hosts=map(translate_hosts.standing, found))
        raise AssertionError("unreachable: an error has ended the call")

    async def CreatePersonToken(  # noqa: N802  # gRPC's name
        self, request: people_pb2.CreatePersonTokenRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> people_pb2.CreatePersonTokenResponse:
        """A one-time token for one person."""
        async with self._doing(
            context, "create-person-token", f"{request.person} {translate_people.role_word(request.role)}"
        ):
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
        async with self._doing(context, "change-role", f"{request.person} {translate_people.role_word(request.role)}"):
            person = await self._people.change_role(request.person, translate_people.role_word(request.role))
            self._health.works()
            _log.info("role changed", by=asker(context), person=person.name, role=person.role)
            return people_pb2.ChangeRoleResponse(person=translate_people.person_item(person))
        raise AssertionError("unreachable: an error has ended the call")

    async def RevokePerson(  # noqa: N802  # gRPC's name
        self, request: people_pb2.RevokePersonRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> people_pb2.RevokePersonResponse:
        """A person is kept out."""
        async with self._doing(context, "revoke-person", request.person):
            person = await self._people.revoke(request.person)
            self._health.works()
            _log.info("person revoked", by=asker(context), person=person.name)
            return people_pb2.RevokePersonResponse(person=translate_people.person_item(person))
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
                held_back=[
                    admin_pb2.HeldBack(
                        host=one.host,
                        over=one.over,
                        held_s=one.held_s,
                        since_us=told.at_us - int(one.since_s * 1e6),
                        last_at_us=told.at_us - int(one.last_s * 1e6),
                    )
                    for one in told.held_back
                ],
            )
        raise AssertionError("unreachable: an error has ended the call")


def _token_words(request: admin_pb2.CreateTokenRequest) -> str:
    words = [request.host or f"up to {request.max_uses or 1} hosts"]
    words += [f"{label.key}={label.value}" for label in request.labels] + ["to be approved"] * request.approve
    return " ".join(words)


def _label_words(request: admin_pb2.LabelHostsRequest) -> str:
    given = [f"{label.key}={label.value}" for label in request.set]
    return " ".join([*request.hosts, *request.host_globs, *given, *(f"{key}-" for key in request.remove)])
