"""Questions about what happened on a host from protobuf messages to records, and answers back."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fleetnet_proto.v1 import query_pb2

from fleetnet_server.errors import RequestRefused
from fleetnet_server.lives import AgentStart, Life, LivesQuestion
from fleetnet_server.records import Gap
from fleetnet_server.rpc import bounds, known, translate_query
from fleetnet_server.rpc.pages import in_pages


def question(message: query_pb2.ListLivesRequest) -> LivesQuestion:
    """Which sockets of which host, and of what time. Raises RequestRefused, also of what is not known here."""
    known.check(message)
    selection = message.sockets.selection
    if not selection.host or selection.host_glob:
        raise RequestRefused("what happened is asked of one host; name it exactly")
    if not 0 < message.since_us <= bounds.LAST_US:
        raise RequestRefused("the time since which is asked for is not between 1970 and 2100")
    if 0 < selection.at_us < message.since_us:
        raise RequestRefused("the time since which is asked for is later than the time up to which")
    sockets = replace(
        translate_query.socket_question(message.sockets),
        container=translate_query.text(message.container, "container"),
        local=translate_query.net(message.local) if message.HasField("local") else None,
    )
    return LivesQuestion(sockets, message.since_us, message.without_sockets)


def pages(lives: Sequence[Life]) -> Iterator[query_pb2.LivesPage]:
    """In their order, on as many pages as their size needs."""
    return (query_pb2.LivesPage(items=page) for page in in_pages(_items(lives)))


def _items(lives: Sequence[Life]) -> Iterator[query_pb2.LifeItem]:
    owners: dict[int, list[query_pb2.OwnerItem]] = {}  # as for other pages of sockets
    for life in lives:
        if isinstance(life, Gap):
            yield query_pb2.LifeItem(gap=query_pb2.GapItem(from_us=life.from_us, to_us=life.to_us, reason=life.reason))
        elif isinstance(life, AgentStart):
            yield query_pb2.LifeItem(agent_start=query_pb2.AgentStart(**life._asdict()))
        else:
            told = owners.setdefault(id(life.holder), translate_query.owner_items(life.holder))
            yield query_pb2.LifeItem(socket=translate_query.socket_item(life, told))
