"""How hosts stand, on the way to the wire."""

from typing import Final

from fleetnet_proto.v1 import admin_pb2, query_pb2

from fleetnet_server.records import ACTIVE, PENDING, PENDING_RENEWAL, RETIRED, REVOKED, HostStanding

_NUMBERS: Final = {
    ACTIVE: query_pb2.HOST_STATUS_ACTIVE,
    PENDING: query_pb2.HOST_STATUS_PENDING,
    PENDING_RENEWAL: query_pb2.HOST_STATUS_PENDING_RENEWAL,
    REVOKED: query_pb2.HOST_STATUS_REVOKED,
    RETIRED: query_pb2.HOST_STATUS_RETIRED,
}


def status_number(status: str) -> query_pb2.HostStatus:
    """A status as the wire has it; one that a later collector has put down is told as none."""
    return _NUMBERS.get(status, query_pb2.HOST_STATUS_UNSPECIFIED)


def standing(host: HostStanding) -> admin_pb2.HostStanding:
    """A host as an answer has it."""
    return admin_pb2.HostStanding(host=host.host, status=status_number(host.status), changed=host.changed)
