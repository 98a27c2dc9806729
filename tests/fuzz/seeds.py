"""What is right before it is made wrong: what hosts and people say when they mean it.

A host's messages are those of a recording, and a backlog; of every other call there is one request that is answered.
"""

import ssl
from collections.abc import Iterator
from typing import Final

from agent.authority import Authority
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import (
    admin_pb2,
    enroll_pb2,
    live_pb2,
    people_pb2,
    query_pb2,
    report_pb2,
    sockets_pb2,
)
from google.protobuf.message import Message
from recorded import streams
from recorded.releases import recorded_releases
from server.agents import request_for

from server import messages

HOST: Final = "fuzz"
_KEY = ec.generate_private_key(ec.SECP256R1())
_SELECTION = query_pb2.Selection(host_glob="fuzz*", limit=50, max_age_ms=120_000)
_SOCKETS = query_pb2.ListSocketsRequest(
    selection=_SELECTION,
    protocols=[sockets_pb2.PROTOCOL_TCP],
    states=[sockets_pb2.STATE_LISTEN],
)
_LABEL = query_pb2.Label(key="role", value="web")
_HAS_ENDED = Authority("fuzz").host(HOST, request_for(_KEY), days=-1)
_READMIT = enroll_pb2.ReadmitRequest(
    certificate=ssl.PEM_cert_to_DER_cert(_HAS_ENDED.decode()),
    csr=request_for(_KEY),
    challenge=bytes(56),
    signature=_KEY.sign(bytes(56), ec.ECDSA(hashes.SHA256())),
)

# By the full name of the method, as the path of a call has it.
REQUESTS: Final[dict[str, Message]] = {
    "fleetnet.v1.ReportService/Renew": report_pb2.RenewRequest(csr=request_for(_KEY)),
    "fleetnet.v1.EnrollService/Enroll": enroll_pb2.EnrollRequest(secret=bytes(32), csr=request_for(_KEY)),
    "fleetnet.v1.EnrollService/EnrollPerson": enroll_pb2.EnrollPersonRequest(secret=bytes(32), csr=request_for(_KEY)),
    "fleetnet.v1.EnrollService/Challenge": enroll_pb2.ChallengeRequest(),
    "fleetnet.v1.EnrollService/Readmit": _READMIT,
    "fleetnet.v1.PersonService/RenewPerson": people_pb2.RenewPersonRequest(csr=request_for(_KEY)),
    "fleetnet.v1.QueryService/ListSockets": _SOCKETS,
    "fleetnet.v1.QueryService/FindSockets": query_pb2.FindSocketsRequest(sockets=_SOCKETS),
    "fleetnet.v1.QueryService/SeekSockets": query_pb2.SeekSocketsRequest(sockets=_SOCKETS),
    "fleetnet.v1.QueryService/WatchSockets": query_pb2.WatchSocketsRequest(),
    "fleetnet.v1.QueryService/ListHosts": query_pb2.ListHostsRequest(selection=_SELECTION),
    "fleetnet.v1.QueryService/SeekHosts": query_pb2.SeekHostsRequest(
        hosts=query_pb2.ListHostsRequest(selection=_SELECTION)
    ),
    "fleetnet.v1.QueryService/ListNamespaces": query_pb2.ListNamespacesRequest(selection=_SELECTION),
    "fleetnet.v1.QueryService/ListLives": query_pb2.ListLivesRequest(
        sockets=query_pb2.ListSocketsRequest(selection=query_pb2.Selection(host=HOST, limit=50)), since_us=1
    ),
    "fleetnet.v1.QueryService/Live": query_pb2.LiveRequest(host=HOST, wanted=live_pb2.LiveWanted(sockets=True)),
    "fleetnet.v1.AdminService/CreateToken": admin_pb2.CreateTokenRequest(host="never-joins", ttl_s=60, labels=[_LABEL]),
    "fleetnet.v1.AdminService/CreatePersonToken": people_pb2.CreatePersonTokenRequest(
        person="alice", role=people_pb2.ROLE_VIEWER, ttl_s=60
    ),
    "fleetnet.v1.AdminService/ListPeople": people_pb2.ListPeopleRequest(),
    "fleetnet.v1.AdminService/ChangeRole": people_pb2.ChangeRoleRequest(person="alice", role=people_pb2.ROLE_VIEWER),
    "fleetnet.v1.AdminService/RevokePerson": people_pb2.RevokePersonRequest(person="nobody"),
    "fleetnet.v1.AdminService/LabelHosts": admin_pb2.LabelHostsRequest(host_globs=["fuzz*"], set=[_LABEL]),
    "fleetnet.v1.AdminService/DescribeCollector": admin_pb2.DescribeCollectorRequest(),
    # Of somebody who is not there, and whose name no cut or copied one of ours can become.
    "fleetnet.v1.AdminService/RevokeHosts": admin_pb2.RevokeHostsRequest(hosts=["nowhere"]),
    "fleetnet.v1.AdminService/ForgetHosts": admin_pb2.ForgetHostsRequest(hosts=["nowhere"]),
    "fleetnet.v1.AdminService/ApproveHosts": admin_pb2.ApproveHostsRequest(hosts=["nowhere"]),
    "fleetnet.v1.AdminService/ListTokens": admin_pb2.ListTokensRequest(),
    "fleetnet.v1.AdminService/RevokeToken": admin_pb2.RevokeTokenRequest(id="0" * 12),
    "fleetnet.v1.AdminService/ListLog": admin_pb2.ListLogRequest(limit=10),
}


def recording() -> list[report_pb2.AgentMessage]:
    """What an agent of the last release said, Hello first, as of now."""
    told = streams.read(recorded_releases()[-1] / streams.AGENT, report_pb2.AgentMessage)
    now_us = messages.now_us()
    return streams.moved(told, now_us - 1_000_000 - streams.last_look_us(told), now_us)


def batches(told: list[report_pb2.AgentMessage]) -> Iterator[report_pb2.Batch]:
    """Those of a recording, and then part of a backlog, of the same boot and epoch."""
    yield from (message.batch for message in told if message.HasField("batch"))
    now_us = messages.now_us()
    gap = report_pb2.Gap(
        from_us=now_us - 60_000_000, to_us=now_us - 30_000_000, reason="the collector was away", kept=True
    )
    with_gap = messages.batch(1)
    with_gap.gaps.append(gap)
    late = messages.backlog(
        1, gap, messages.past(messages.listener(80), now_us - 50_000_000, now_us - 40_000_000), last=True
    )
    for batch in (with_gap, late):
        batch.boot_id, batch.epoch = told[0].hello.boot_id, told[0].hello.epoch
        if batch.HasField("backlog"):
            batch.backlog.boot_id = batch.boot_id
        yield batch


def live_parts(told: list[report_pb2.AgentMessage]) -> list[live_pb2.LivePart]:
    """Parts of live looks."""
    return [message.live for message in told if message.HasField("live")]
