"""What those who watch are told, put on the wire once for all who are told it: a hundred people who come at one moment
would else have each socket a hundred times at once.

What must stay true: a page is kept no longer than somebody is still to be told it.
"""

import weakref
from collections.abc import Callable, Iterator
from typing import Any

from fleetnet_proto.v1 import query_pb2

from fleetnet_server import microseconds
from fleetnet_server.rpc import translate_query
from fleetnet_server.services.news import Came, News, There, Went


class Told:
    """By all who watch."""

    def __init__(self) -> None:
        self._kept: weakref.WeakKeyDictionary[There | Came | Went, bytes] = weakref.WeakKeyDictionary()

    def messages(self, news: News) -> Iterator[bytes]:
        """WatchSocketsResponses, each with the time at which it is taken."""
        for part in self._parts(news):
            # Of messages that stand one after another, protobuf reads the fields of one.
            yield query_pb2.WatchSocketsResponse(at_us=microseconds.now()).SerializeToString() + part

    def _parts(self, news: News) -> Iterator[bytes]:
        if not isinstance(news, There | Came | Went):
            yield from _written(news)
        elif kept := self._kept.get(news):
            yield kept
        else:
            parts = _written(news)
            first, second = next(parts, None), next(parts, None)
            if first is not None and second is None:  # what needs several messages may need many
                self._kept[news] = first
            yield from (part for part in (first, second) if part is not None)
            yield from parts


def _written(news: News) -> Iterator[bytes]:
    return (part.SerializeToString() for part in translate_query.news(news))


def as_it_is(serializer: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """For gRPC: the same serializer, but that what is on the wire's form already goes as it is."""
    if serializer is None:
        return None
    return lambda message: message if isinstance(message, bytes) else serializer(message)
