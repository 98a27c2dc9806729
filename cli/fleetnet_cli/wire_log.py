"""The log of administration on the wire on one side, the CLI's own records on the other; see wire.py."""

from fleetnet_proto.v1 import admin_pb2

from fleetnet_cli.records import LogEntry


def request(limit: int) -> admin_pb2.ListLogRequest:
    """The question for so many entries."""
    return admin_pb2.ListLogRequest(limit=min(limit, 2**32 - 1))


def entry(item: admin_pb2.LogEntry) -> LogEntry:
    """An entry."""
    return LogEntry(
        item.number, item.at_us, item.who, item.login, item.peer, item.action, item.subject, item.result, item.hash
    )
