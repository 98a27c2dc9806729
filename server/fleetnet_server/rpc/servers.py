"""The three gRPC servers: report and questions, enrollment, administration. Nothing answers on a port that is not its
own, and on the first nobody is answered whom the gate has not let through.

All services of one server object answer on all of its ports, so each port has a server object of its own; all live on
one event loop, for gRPC's Python breaks with two in a process.
"""

from pathlib import Path

import grpc
from fleetnet_proto.v1 import (
    admin_pb2_grpc,
    authority_pb2_grpc,
    enroll_pb2_grpc,
    people_pb2_grpc,
    query_pb2_grpc,
    report_pb2_grpc,
)

from fleetnet_server.rpc.admin import AdminService
from fleetnet_server.rpc.authority import AuthorityService
from fleetnet_server.rpc.enroll import EnrollService
from fleetnet_server.rpc.gate import MOST_QUESTION_BYTES, Gate
from fleetnet_server.rpc.people import PersonService
from fleetnet_server.rpc.query import QueryService
from fleetnet_server.rpc.readable import Readable
from fleetnet_server.rpc.report import STREAM_AGE_S, ReportService
from fleetnet_server.rpc.translate_report import MAX_MESSAGE_BYTES

_Options = list[tuple[str, int]]

# Without this a second collector binds the same port silently, and takes half of the connections.
_ALONE = ("grpc.so_reuseport", 0)
# No agent and no command line packs its messages. One that is packed is refused before it is unpacked: 16 kB become as
# many MiB, and a core is busy with each for some 30 ms.
_PLAIN = ("grpc.compression_enabled_algorithms_bitset", 1)  # grpc/impl/compression_types.h: bit 0, identity
# Whoever connects and does not come to the end of the handshake gives the place back soon; gRPC waits two minutes.
_HANDSHAKE = ("grpc.server_handshake_timeout_ms", 10_000)
_KEEPALIVE: _Options = [
    # An agent pings every 30 s without data; gRPC by itself would call that abuse below 5 minutes.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # An agent that vanished without a word is noticed within two minutes.
    ("grpc.keepalive_time_ms", 90_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]


# What an idle stream costs, times ten thousand: gRPC measures each connection with a ping after each message, both
# ways, to have more than 64 KiB on their way, which a look at a host hardly ever is; and keeps room to send 16 KiB at
# once, where what is sent are acknowledgements.
_QUIET: _Options = [("grpc.http2.bdp_probe", 0), ("grpc.tsi.max_frame_size", 2_048)]


def report_server(
    service: ReportService, queries: QueryService, administration: AdminService, persons: PersonService, gate: Gate
) -> grpc.aio.Server:
    """For hosts and people, over mutual TLS."""
    server = grpc.aio.server(
        interceptors=[Readable(), gate],
        options=[
            _ALONE,
            _PLAIN,
            _HANDSHAKE,
            *_KEEPALIVE,
            *_QUIET,
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            # An agent's connection always has its stream, and a person's its answer.
            ("grpc.max_connection_idle_ms", 60_000),
            # A stream ends itself by its age; this catches a connection that outlives its streams. What is watched is
            # cut off by it and goes on over the next one.
            ("grpc.max_connection_age_ms", int(STREAM_AGE_S * 1_000)),
            ("grpc.max_connection_age_grace_ms", 300_000),
            # An agent needs two calls at once, its stream and a renewal; a person one or two.
            ("grpc.max_concurrent_streams", 8),
        ],
    )
    report_pb2_grpc.add_ReportServiceServicer_to_server(service, server)
    query_pb2_grpc.add_QueryServiceServicer_to_server(queries, server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(administration, server)
    people_pb2_grpc.add_PersonServiceServicer_to_server(persons, server)
    return server


def enroll_server(service: EnrollService) -> grpc.aio.Server:
    """For strangers, over TLS: small messages, few at once, short connections."""
    server = grpc.aio.server(
        interceptors=[Readable()],
        options=[
            _ALONE,
            _PLAIN,
            _HANDSHAKE,
            ("grpc.max_receive_message_length", 64 * 1024),
            ("grpc.max_metadata_size", 8 * 1024),
            ("grpc.max_connection_idle_ms", 60_000),
            ("grpc.max_connection_age_ms", 300_000),
            ("grpc.max_connection_age_grace_ms", 30_000),
            ("grpc.max_concurrent_streams", 8),
        ],
        maximum_concurrent_rpcs=256,
    )
    enroll_pb2_grpc.add_EnrollServiceServicer_to_server(service, server)
    return server


def admin_server(queries: QueryService, administration: AdminService, authority: AuthorityService) -> grpc.aio.Server:
    """For people on this machine, over the admin socket."""
    server = grpc.aio.server(
        interceptors=[Readable()],
        options=[
            _ALONE,
            _PLAIN,
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", MOST_QUESTION_BYTES),
        ],
    )
    query_pb2_grpc.add_QueryServiceServicer_to_server(queries, server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(administration, server)
    authority_pb2_grpc.add_AuthorityServiceServicer_to_server(authority, server)
    return server


def bind_admin(server: grpc.aio.Server, path: Path) -> bool:
    """Listen on the admin socket, from this very call on; False if that failed."""
    try:
        return server.add_insecure_port(f"unix:{path}") != 0
    except RuntimeError:
        return False


def bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    """Listen on `address`; the real port, or 0 if that failed."""
    try:
        return server.add_secure_port(address, credentials)
    except RuntimeError:
        return 0
