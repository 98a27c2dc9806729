"""A collector that gives fixed answers: a real gRPC server on a real unix socket, for tests of the command line alone.

It pages its items two by two, so that every answer takes several messages, and can be told to fail in the ways that
collectors fail.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import TypeVar

import grpc
from fleetnet_proto.v1 import admin_pb2, admin_pb2_grpc, query_pb2, query_pb2_grpc

Item = TypeVar("Item")
_PAGE = 2


class Canned(query_pb2_grpc.QueryServiceServicer, admin_pb2_grpc.AdminServiceServicer):
    """What it answers, and what it was asked."""

    def __init__(self) -> None:
        self.coverage = query_pb2.Coverage()
        self.sockets: list[query_pb2.SocketItem] = []
        self.hosts: list[query_pb2.HostItem] = []
        self.truncated = False
        self.refuses: tuple[grpc.StatusCode, str] | None = None
        self.breaks_after_pages: int | None = None
        self.forgets_the_end = False
        self.silent: threading.Event | None = None
        self.asked: list[query_pb2.ListSocketsRequest | query_pb2.ListHostsRequest | admin_pb2.CreateTokenRequest] = []

    def ListSockets(  # noqa: N802  # the name in the .proto
        self, request: query_pb2.ListSocketsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListSocketsResponse]:
        self._take(request, context)
        host = request.selection.host
        if host and host not in {h.host for h in self.hosts}:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no host {host}")
        items = [s for s in self.sockets if host in ("", s.host)]
        yield query_pb2.ListSocketsResponse(coverage=self.coverage)
        for page in self._pages(items, context):
            yield query_pb2.ListSocketsResponse(page=query_pb2.SocketPage(items=page))
        if not self.forgets_the_end:
            yield query_pb2.ListSocketsResponse(end=query_pb2.End(items=len(items), truncated=self.truncated))

    def ListHosts(  # noqa: N802  # likewise
        self, request: query_pb2.ListHostsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListHostsResponse]:
        self._take(request, context)
        yield query_pb2.ListHostsResponse(coverage=self.coverage)
        for page in self._pages(self.hosts, context):
            yield query_pb2.ListHostsResponse(page=query_pb2.HostPage(items=page))
        yield query_pb2.ListHostsResponse(end=query_pb2.End(items=len(self.hosts), truncated=self.truncated))

    def ListNamespaces(  # noqa: N802  # likewise
        self, request: query_pb2.ListNamespacesRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListNamespacesResponse]:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not yet")
        yield query_pb2.ListNamespacesResponse()

    def Live(  # noqa: N802  # likewise
        self, request: query_pb2.LiveRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.LiveResponse]:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not yet")
        yield query_pb2.LiveResponse()

    def CreateToken(  # noqa: N802  # likewise
        self, request: admin_pb2.CreateTokenRequest, context: grpc.ServicerContext
    ) -> admin_pb2.CreateTokenResponse:
        self._take(request, context)
        return admin_pb2.CreateTokenResponse(
            token="fnt1.c2VjcmV0", host=request.host, expires_at_us=1_772_374_200_000_000
        )

    def _take(
        self,
        request: query_pb2.ListSocketsRequest | query_pb2.ListHostsRequest | admin_pb2.CreateTokenRequest,
        context: grpc.ServicerContext,
    ) -> None:
        self.asked.append(request)
        if self.silent is not None:
            self.silent.wait(30)
        if self.refuses is not None:
            context.abort(*self.refuses)

    def _pages(self, items: list[Item], context: grpc.ServicerContext) -> Iterator[list[Item]]:
        for number, start in enumerate(range(0, len(items), _PAGE)):
            if number == self.breaks_after_pages:
                context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")
            yield items[start : start + _PAGE]


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
