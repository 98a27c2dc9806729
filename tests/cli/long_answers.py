"""A collector whose answers are as long as a test wants, made page by page as they are taken: none of it holds them."""

from collections.abc import Iterator

import grpc
from cli.canned import Canned
from fleetnet_proto.v1 import query_pb2

from cli import fleet

PAGE_ITEMS = 100
_HOSTS = 50


class Long(Canned):
    """Answers every question about sockets with so many pages."""

    def __init__(self, pages: int) -> None:
        super().__init__()
        self.coverage = fleet.all_fresh()
        self.pages = pages

    def ListSockets(  # noqa: N802  # the name in the .proto
        self, request: query_pb2.ListSocketsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListSocketsResponse]:
        yield query_pb2.ListSocketsResponse(coverage=self.coverage)
        for number in range(self.pages):
            items = (fleet.listeners() + fleet.connections()) * (PAGE_ITEMS // 7 + 1)
            page = query_pb2.SocketPage(items=items[:PAGE_ITEMS])
            for item in page.items:
                item.host = f"web{number * _HOSTS // self.pages}"
            yield query_pb2.ListSocketsResponse(page=page)
        yield query_pb2.ListSocketsResponse(end=query_pb2.End(items=self.pages * PAGE_ITEMS))
