"""Labels of hosts from protobuf messages to records, and back."""

from collections.abc import Iterable

from fleetnet_proto.v1 import query_pb2

from fleetnet_server.records import Label
from fleetnet_server.services import labels


def asked(wanted: Iterable[query_pb2.Label]) -> tuple[Label, ...]:
    """Those that hosts are asked for by, each once. Raises RequestRefused where no host can have one."""
    found = tuple(dict.fromkeys(records(wanted)))
    labels.check_asked(found)
    return found


def records(given: Iterable[query_pb2.Label]) -> tuple[Label, ...]:
    """These as they are; whoever takes them checks them."""
    return tuple(Label(one.key, one.value) for one in given)


def messages(given: Iterable[Label]) -> list[query_pb2.Label]:
    """These on the wire."""
    return [query_pb2.Label(key=key, value=value) for key, value in given]
