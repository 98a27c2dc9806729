"""A collector that gives fixed answers: a real gRPC server on a real unix socket, for tests of the command line alone.

It pages its items two by two, so that every answer takes several messages, and can be told to fail in the ways that
collectors fail.
"""

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent import futures
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import grpc
from fleetnet_proto.v1 import admin_pb2, admin_pb2_grpc, live_pb2, people_pb2, query_pb2, query_pb2_grpc, sockets_pb2

Item = TypeVar("Item")
Request = (
    query_pb2.ListSocketsRequest
    | query_pb2.FindSocketsRequest
    | query_pb2.SeekSocketsRequest
    | query_pb2.WatchSocketsRequest
    | query_pb2.ListHostsRequest
    | query_pb2.SeekHostsRequest
    | query_pb2.ListNamespacesRequest
    | query_pb2.ListLivesRequest
    | query_pb2.LiveRequest
    | admin_pb2.CreateTokenRequest
    | people_pb2.CreatePersonTokenRequest
    | people_pb2.ListPeopleRequest
    | people_pb2.ChangeRoleRequest
    | people_pb2.RevokePersonRequest
    | admin_pb2.LabelHostsRequest
    | admin_pb2.DescribeCollectorRequest
    | admin_pb2.ListTokensRequest
    | admin_pb2.ListLogRequest
    | admin_pb2.RevokeTokenRequest
    | admin_pb2.ApproveHostsRequest
    | admin_pb2.RevokeHostsRequest
    | admin_pb2.ForgetHostsRequest
)
_PAGE = 2


class Canned(query_pb2_grpc.QueryServiceServicer, admin_pb2_grpc.AdminServiceServicer):
    """What it answers, and what it was asked."""

    def __init__(self) -> None:
        self.coverage = query_pb2.Coverage()
        self.sockets: list[query_pb2.SocketItem] = []
        self.narrows = False  # to hosts, states, listeners, ports and remote addresses, where these are asked for
        self.hosts: list[query_pb2.HostItem] = []
        self.then: tuple[query_pb2.Coverage, list[query_pb2.SocketItem]] | None = None  # of sockets at a time past
        self.coverages_of_hosts: dict[str, query_pb2.Coverage] = {}  # of questions about one host
        self.watched: list[list[query_pb2.WatchSocketsResponse]] = []  # of each connection
        self.connections = 0
        self.stays = False  # after what is told it is waited for the test's end
        self.left = threading.Event()
        self.truncated = False
        self.refuses: tuple[grpc.StatusCode, str] | None = None
        self.breaks_after_pages: int | None = None
        self.forgets_the_end = False
        self.silent: threading.Event | None = None
        self.asked: list[Request] = []
        self.namespaces: list[query_pb2.NamespaceItem] = []
        self.live_sockets: list[query_pb2.LiveItem] = []
        self.counters: list[live_pb2.InterfaceCounters] = []
        self.statistics: list[live_pb2.Statistic] = []
        self.lives: list[query_pb2.LifeItem] = []
        self.people: list[people_pb2.PersonItem] = []
        self.tokens: list[admin_pb2.TokenItem] = []
        self.log: list[admin_pb2.LogEntry] = []
        self.logins: list[str] = []  # what those who asked for the log say to be called
        self.trouble = ""
        self.described: admin_pb2.DescribeCollectorResponse | None = None  # None: older, and does not know the question
        self.live_refusals: list[tuple[grpc.StatusCode, str]] = []

    def ListSockets(  # noqa: N802  # the name in the .proto
        self, request: query_pb2.ListSocketsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListSocketsResponse]:
        return self._found(request, request, context)

    def _found(
        self, asked: Request, request: query_pb2.ListSocketsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListSocketsResponse]:
        self._take(asked, context)
        host = request.selection.host
        self._know(host, context)
        protocols = request.protocols or sockets_pb2.Protocol.values()
        coverage, sockets = self.then if self.then and request.selection.at_us else (self.coverage, self.sockets)
        items = [s for s in sockets if host in ("", s.host) and s.protocol in protocols]
        if self.narrows:
            items = [s for s in items if _is_sought(s, asked, request)]
        yield query_pb2.ListSocketsResponse(coverage=coverage)
        for page in self._pages(items, context):
            yield query_pb2.ListSocketsResponse(page=query_pb2.SocketPage(items=page))
        if not self.forgets_the_end:
            yield query_pb2.ListSocketsResponse(end=query_pb2.End(items=len(items), truncated=self.truncated))

    def FindSockets(  # noqa: N802  # likewise
        self, request: query_pb2.FindSocketsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListSocketsResponse]:
        return self._found(request, request.sockets, context)

    def SeekSockets(  # noqa: N802  # likewise
        self, request: query_pb2.SeekSocketsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListSocketsResponse]:
        return self._found(request, request.sockets, context)

    def WatchSockets(  # noqa: N802  # likewise
        self, request: query_pb2.WatchSocketsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.WatchSocketsResponse]:
        self._take(request, context)
        connection, self.connections = self.connections, self.connections + 1
        yield from self.watched[min(connection, len(self.watched) - 1)] if self.watched else ()
        if self.stays:
            self.left.wait(30)
        context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")

    def ListHosts(  # noqa: N802  # likewise
        self, request: query_pb2.ListHostsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListHostsResponse]:
        return self._listed(request, request, context)

    def SeekHosts(  # noqa: N802  # likewise
        self, request: query_pb2.SeekHostsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListHostsResponse]:
        return self._listed(request, request.hosts, context)

    def _listed(
        self, asked: Request, request: query_pb2.ListHostsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListHostsResponse]:
        self._take(asked, context)
        self._know(request.selection.host, context)
        items = [h for h in self.hosts if request.selection.host in ("", h.host)]
        coverage = self.coverages_of_hosts.get(request.selection.host, self.coverage)
        yield query_pb2.ListHostsResponse(coverage=coverage)
        for page in self._pages(items, context):
            yield query_pb2.ListHostsResponse(page=query_pb2.HostPage(items=page))
        yield query_pb2.ListHostsResponse(end=query_pb2.End(items=len(items), truncated=self.truncated))

    def ListNamespaces(  # noqa: N802  # likewise
        self, request: query_pb2.ListNamespacesRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListNamespacesResponse]:
        self._take(request, context)
        self._know(request.selection.host, context)
        host = request.selection.host
        of_host = [n for n in self.namespaces if host in ("", n.host)]
        items = [n for n in of_host if not request.own_only or n.namespace.netns == 0]
        yield query_pb2.ListNamespacesResponse(coverage=self.coverage)
        for page in self._pages([_pruned(n, request) for n in items], context):
            yield query_pb2.ListNamespacesResponse(page=query_pb2.NamespacePage(items=page))
        yield query_pb2.ListNamespacesResponse(end=query_pb2.End(items=len(items)))

    def ListLives(  # noqa: N802  # likewise
        self, request: query_pb2.ListLivesRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListLivesResponse]:
        self._take(request, context)
        self._know(request.sockets.selection.host, context)
        items = [life for life in self.lives if not (request.without_sockets and life.HasField("socket"))]
        yield query_pb2.ListLivesResponse(coverage=self.coverage)
        for page in self._pages(items, context):
            yield query_pb2.ListLivesResponse(page=query_pb2.LivesPage(items=page))
        yield query_pb2.ListLivesResponse(end=query_pb2.End(items=len(items), truncated=self.truncated))

    def Live(  # noqa: N802  # likewise
        self, request: query_pb2.LiveRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.LiveResponse]:
        self._take(request, context)
        self._know(request.host, context)
        if self.live_refusals:
            context.abort(*self.live_refusals.pop(0))
        wanted = request.wanted
        yield query_pb2.LiveResponse(coverage=self.coverage)
        pages = [query_pb2.LivePage(sockets=page) for page in self._pages(self.live_sockets, context) if wanted.sockets]
        pages += [query_pb2.LivePage(interfaces=self.counters)] * wanted.interfaces
        pages += [query_pb2.LivePage(statistics=self.statistics)] * wanted.statistics
        pages += [query_pb2.LivePage(trouble=self.trouble)] * bool(self.trouble)
        for page in pages:
            yield query_pb2.LiveResponse(page=page)
        items = sum(len(p.sockets) + len(p.interfaces) + len(p.statistics) for p in pages)
        yield query_pb2.LiveResponse(end=query_pb2.End(items=items))

    def CreateToken(  # noqa: N802  # likewise
        self, request: admin_pb2.CreateTokenRequest, context: grpc.ServicerContext
    ) -> admin_pb2.CreateTokenResponse:
        self._take(request, context)
        return admin_pb2.CreateTokenResponse(
            token="fnt1.c2VjcmV0",
            host=request.host,
            expires_at_us=1_772_374_200_000_000,
            labels=request.labels,
            max_uses=request.max_uses or 1,
            approve=request.approve,
        )

    def ListTokens(  # noqa: N802  # likewise
        self, request: admin_pb2.ListTokensRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ListTokensResponse:
        self._take(request, context)
        return admin_pb2.ListTokensResponse(tokens=self.tokens)

    def ListLog(  # noqa: N802  # likewise
        self, request: admin_pb2.ListLogRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ListLogResponse:
        self._take(request, context)
        self.logins += [str(value) for key, value in context.invocation_metadata() if key == "fleetnet-login"]
        return admin_pb2.ListLogResponse(entries=self.log[: request.limit])

    def RevokeToken(  # noqa: N802  # likewise
        self, request: admin_pb2.RevokeTokenRequest, context: grpc.ServicerContext
    ) -> admin_pb2.RevokeTokenResponse:
        self._take(request, context)
        for token in self.tokens:
            if token.id == request.id:
                token.revoked_at_us = 1_772_374_200_000_000
                return admin_pb2.RevokeTokenResponse(token=token)
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"'{request.id}' is not the id of one token")
        raise AssertionError("unreachable: the call was ended")

    def ApproveHosts(  # noqa: N802  # likewise
        self, request: admin_pb2.ApproveHostsRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ApproveHostsResponse:
        self._take(request, context)
        hosts = self._stand(request.hosts, query_pb2.HOST_STATUS_ACTIVE, context)
        return admin_pb2.ApproveHostsResponse(hosts=hosts)

    def CreatePersonToken(  # noqa: N802  # likewise
        self, request: people_pb2.CreatePersonTokenRequest, context: grpc.ServicerContext
    ) -> people_pb2.CreatePersonTokenResponse:
        self._take(request, context)
        return people_pb2.CreatePersonTokenResponse(
            token="fnt1.c2VjcmV0", person=request.person, role=request.role, expires_at_us=1_772_374_200_000_000
        )

    def ListPeople(  # noqa: N802  # likewise
        self, request: people_pb2.ListPeopleRequest, context: grpc.ServicerContext
    ) -> people_pb2.ListPeopleResponse:
        self._take(request, context)
        return people_pb2.ListPeopleResponse(people=self.people)

    def ChangeRole(  # noqa: N802  # likewise
        self, request: people_pb2.ChangeRoleRequest, context: grpc.ServicerContext
    ) -> people_pb2.ChangeRoleResponse:
        self._take(request, context)
        person = self._person(request.person, context)
        person.role = request.role
        return people_pb2.ChangeRoleResponse(person=person)

    def RevokePerson(  # noqa: N802  # likewise
        self, request: people_pb2.RevokePersonRequest, context: grpc.ServicerContext
    ) -> people_pb2.RevokePersonResponse:
        self._take(request, context)
        person = self._person(request.person, context)
        person.revoked = True
        return people_pb2.RevokePersonResponse(person=person)

    def _person(self, name: str, context: grpc.ServicerContext) -> people_pb2.PersonItem:
        for person in self.people:
            if person.person == name:
                return person
        context.abort(grpc.StatusCode.NOT_FOUND, f'nobody named "{name}" has logged in yet')
        raise AssertionError("unreachable: the call was ended")

    def LabelHosts(  # noqa: N802  # likewise
        self, request: admin_pb2.LabelHostsRequest, context: grpc.ServicerContext
    ) -> admin_pb2.LabelHostsResponse:
        self._take(request, context)
        for name in request.hosts:
            self._know(name, context)
        unmatched = [g for g in request.host_globs if not any(fnmatchcase(h.host, g) for h in self.hosts)]
        if unmatched:
            return admin_pb2.LabelHostsResponse(unmatched_globs=unmatched)
        globs = (*request.hosts, *request.host_globs)
        meant = [h for h in self.hosts if any(fnmatchcase(h.host, glob) for glob in globs)]
        return admin_pb2.LabelHostsResponse(hosts=[_labelled(host, request) for host in meant])

    def DescribeCollector(  # noqa: N802  # likewise
        self, request: admin_pb2.DescribeCollectorRequest, context: grpc.ServicerContext
    ) -> admin_pb2.DescribeCollectorResponse:
        self._take(request, context)
        if self.described is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
        return self.described

    def RevokeHosts(  # noqa: N802  # likewise
        self, request: admin_pb2.RevokeHostsRequest, context: grpc.ServicerContext
    ) -> admin_pb2.RevokeHostsResponse:
        self._take(request, context)
        hosts = self._stand(request.hosts, query_pb2.HOST_STATUS_REVOKED, context)
        return admin_pb2.RevokeHostsResponse(hosts=hosts)

    def ForgetHosts(  # noqa: N802  # likewise
        self, request: admin_pb2.ForgetHostsRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ForgetHostsResponse:
        self._take(request, context)
        hosts = self._stand(request.hosts, query_pb2.HOST_STATUS_RETIRED, context)
        return admin_pb2.ForgetHostsResponse(hosts=hosts)

    def _stand(
        self, names: Collection[str], status: query_pb2.HostStatus, context: grpc.ServicerContext
    ) -> list[admin_pb2.HostStanding]:
        for name in names:
            self._know(name, context)
        found = []
        for host in self.hosts:
            if host.host in names:
                changed, host.status = host.status != status, status
                found.append(admin_pb2.HostStanding(host=host.host, status=status, changed=changed))
        return found

    def _take(
        self,
        request: Request,
        context: grpc.ServicerContext,
    ) -> None:
        self.asked.append(request)
        if self.silent is not None:
            self.silent.wait(30)
        if self.refuses is not None:
            context.abort(*self.refuses)

    def _know(self, host: str, context: grpc.ServicerContext) -> None:
        if host and host not in {h.host for h in self.hosts}:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no host {host}")

    def _pages(self, items: list[Item], context: grpc.ServicerContext) -> Iterator[list[Item]]:
        for number, start in enumerate(range(0, len(items), _PAGE)):
            if number == self.breaks_after_pages:
                context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")
            yield items[start : start + _PAGE]


def _is_sought(socket: query_pb2.SocketItem, asked: Request, request: query_pb2.ListSocketsRequest) -> bool:
    globs, remotes = {request.selection.host_glob}, set[bytes]()
    if isinstance(asked, query_pb2.FindSocketsRequest) and asked.HasField("remote"):
        remotes = {asked.remote.address}
    elif isinstance(asked, query_pb2.SeekSocketsRequest):
        globs, remotes = globs.union(asked.host_globs), {net.address for net in asked.remotes}
    if globs != {""} and not any(fnmatchcase(socket.host, glob) for glob in globs):
        return False
    if remotes and socket.remote_address not in remotes:
        return False
    if request.local_ports and not any(p.first <= socket.local_port <= p.last for p in request.local_ports):
        return False
    if request.exposed_only and socket.exposure == query_pb2.EXPOSURE_NO:
        return False
    listens = bool(socket.scope)
    return socket.state in (request.states or sockets_pb2.State.values()) and (listens or not request.listeners_only)


def _labelled(host: query_pb2.HostItem, request: admin_pb2.LabelHostsRequest) -> admin_pb2.LabelledHost:
    before = {label.key: label.value for label in host.labels}
    after = before | {label.key: label.value for label in request.set}
    labels = [query_pb2.Label(key=k, value=v) for k, v in sorted(after.items()) if k not in request.remove]
    return admin_pb2.LabelledHost(host=host.host, labels=labels, changed=labels != list(host.labels))


def _pruned(item: query_pb2.NamespaceItem, request: query_pb2.ListNamespacesRequest) -> query_pb2.NamespaceItem:
    kept = query_pb2.NamespaceItem()
    kept.CopyFrom(item)
    if request.without_interfaces:
        del kept.namespace.interfaces[:], kept.interfaces_since_us[:]
    if request.without_routes:
        del kept.namespace.routes[:], kept.routes_since_us[:]
    return kept


def serve(canned: Canned, path: Path) -> Callable[[], None]:
    """Starts answering on a unix socket; returns what ends it."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    query_pb2_grpc.add_QueryServiceServicer_to_server(canned, server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(canned, server)
    server.add_insecure_port(f"unix:{path}")
    server.start()

    def end() -> None:
        server.stop(None).wait()

    return end
