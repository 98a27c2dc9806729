"""Entries of the log, on the way to the wire."""

from fleetnet_proto.v1 import admin_pb2

from fleetnet_server.records import LoggedEntry


def item(logged: LoggedEntry) -> admin_pb2.LogEntry:
    """An entry as an answer has it."""
    entry = logged.entry
    return admin_pb2.LogEntry(
        number=logged.number,
        at_us=entry.at_us,
        who=entry.who,
        login=entry.login,
        peer=entry.peer,
        action=entry.action,
        subject=entry.subject,
        result=entry.result,
        hash=logged.hash,
    )
