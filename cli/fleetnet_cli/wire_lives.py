"""As wire.py, for what happened on a host."""

from collections.abc import Iterator

from fleetnet_proto.v1 import query_pb2

from fleetnet_cli import errors, wire
from fleetnet_cli.lives import AgentStart, Gap, Life, LivesQuestion


def request(question: LivesQuestion) -> query_pb2.ListLivesRequest:
    """The question, as asked."""
    return query_pb2.ListLivesRequest(
        sockets=wire.listed(question.sockets),
        since_us=question.since_us,
        without_sockets=question.without_sockets,
        container=question.sockets.container,
        local=wire.net(question.sockets.local) if question.sockets.local else None,
    )


def items(message: query_pb2.LivesPage, host: str) -> Iterator[Life]:
    """What happened on the host."""
    for item in message.items:
        kind = item.WhichOneof("what")
        if kind == "gap":
            yield Gap(host, item.gap.from_us, item.gap.to_us, item.gap.reason)
        elif kind == "agent_start":
            start = item.agent_start
            yield AgentStart(host, start.at_us, start.booted, start.agent_version, start.kernel, start.booted_at_us)
        elif kind == "socket":
            yield wire.socket(item.socket)
        else:
            raise errors.CollectorFailed(
                "the collector tells of something that this version does not know; upgrade fleetnet"
            )
