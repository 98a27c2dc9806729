"""What a host kept while no collector took its reports, from protobuf messages to records.

Hostile, as all of translate_report.py, which says what is refused and what is brought into its range. Here that range
ends with the gap: nothing is told of what came after it.
"""

from collections.abc import Sequence

from fleetnet_proto.v1 import report_pb2, sockets_pb2

from fleetnet_server import records
from fleetnet_server.errors import BadBatch
from fleetnet_server.rpc import bounds, translate_sockets


def rows(message: report_pb2.Backlog) -> int:
    """How many rows it has, for the bounds of its batch; 0 of one that is not there."""
    return len(message.sockets) + len(message.ended)


def past(message: report_pb2.Batch) -> tuple[int, int] | None:
    """The time that a batch tells of which cannot be read, if it has a backlog."""
    if not message.HasField("backlog"):
        return None
    from_us, to_us = sorted(min(max(us, 0), bounds.LAST_US) for us in (message.backlog.from_us, message.backlog.to_us))
    return from_us, to_us


def backlog(message: report_pb2.Batch, holders: Sequence[records.Holder]) -> records.Backlog:
    """The backlog of a batch that has one. Raises BadBatch."""
    for what in _NOT_BESIDE:
        if getattr(message, what):
            raise BadBatch(f"a batch tells of what was kept, and has {what} besides")
    if message.HasField("snapshot"):
        raise BadBatch("a batch tells of what was kept, and is a part of a snapshot besides")
    told = message.backlog
    # A clock that was set back turns a gap round; it was recorded in order, and is named so.
    from_us, to_us = sorted(bounds.time(us) for us in (told.from_us, told.to_us))
    return records.Backlog(
        from_us=from_us,
        to_us=to_us,
        boot_id=bounds.boot_id(told.boot_id),
        sockets=tuple(_past(past, holders, to_us) for past in told.sockets),
        ended=tuple(_ended(closed, to_us) for closed in told.ended),
        last=told.last,
    )


_NOT_BESIDE = (
    "opened",
    "changed",
    "closed",
    "sources",
    "gaps",
    "namespaces",
    "namespaces_gone",
)


def _past(message: report_pb2.PastSocket, holders: Sequence[records.Holder], to_us: int) -> records.PastSocket:
    if message.socket.opened_at_us <= 0:
        raise BadBatch("a socket of the past has no beginning")
    socket = translate_sockets.socket(message.socket, holders, to_us)
    if message.closed_at_us == 0:
        return records.PastSocket(socket, 0, 0)
    how = bounds.enum(message.closed_at_is, sockets_pb2.CLOSED_AT_IS_GAP, "closed_at_is")
    closed_at_us = min(bounds.time(message.closed_at_us), to_us)
    return records.PastSocket(socket, max(closed_at_us, socket.opened_at_us), how)


def _ended(message: sockets_pb2.ClosedSocket, to_us: int) -> records.ClosedSocket:
    if message.closed_at_us <= 0:
        raise BadBatch("the end of a socket of the past has no time")
    return translate_sockets.closed(message, to_us)
