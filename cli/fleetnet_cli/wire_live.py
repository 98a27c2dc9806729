"""Live looks: protobuf messages on one side, the records of live.py on the other."""

from collections.abc import Iterator

from fleetnet_proto.v1 import live_pb2, query_pb2
from google.protobuf.message import Message

from fleetnet_cli import wire
from fleetnet_cli.live import InterfaceCounters, LiveItem, LiveQuestion, LiveSocket, Statistic, Timer

_NOT_COUNTERS = ("netns", "name", "mtu", "flags")


def request(question: LiveQuestion) -> query_pb2.LiveRequest:
    """The question, as asked."""
    return query_pb2.LiveRequest(
        host=question.host,
        wanted=live_pb2.LiveWanted(
            sockets=question.sockets,
            details=question.details,
            interfaces=question.interfaces,
            statistics=question.statistics,
            netns=question.netns,
        ),
    )


def items(page: query_pb2.LivePage) -> Iterator[LiveItem]:
    """Everything that one page holds."""
    yield from map(_socket, page.sockets)
    yield from map(_counters, page.interfaces)
    for one in page.statistics:
        yield Statistic(one.netns, one.group, one.name, one.value)


def _socket(message: query_pb2.LiveItem) -> LiveSocket:
    timer = message.timer
    return LiveSocket(
        wire.socket(message.socket),
        Timer(timer.kind, timer.expires_ms, timer.retransmits) if message.HasField("timer") else None,
        _fields(message.tcp) if message.HasField("tcp") else None,
        _fields(message.memory) if message.HasField("memory") else None,
    )


def _counters(message: live_pb2.InterfaceCounters) -> InterfaceCounters:
    counters = {name: value for name, value in _fields(message).items() if name not in _NOT_COUNTERS}
    return InterfaceCounters(message.netns, message.name, message.mtu, message.flags, counters)


def _fields(message: Message) -> dict[str, int]:
    return {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
