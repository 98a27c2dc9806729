"""Tokens for several hosts, and one that many show at once, at real collectors."""

import concurrent.futures
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import admin_pb2, query_pb2
from fleetnet_server.identity import tokens
from server.agents import DEADLINE_S, Identity, ReportStream, ended_with, new_request, pem_of, request_for
from server.people import administration
from server.running import Running, ports_of

from server import messages

WAITING = (
    grpc.StatusCode.UNAUTHENTICATED,
    "the host of this certificate waits for an operator to approve it; it is tried again by itself",
)

# That it has enrolled, the labels of the token, and that whichever machine reports first is the host.
NOTED = {"hosts", "labels", "machines"}


def _outcome(collector: Running, secret: bytes, hostname: str) -> str:
    """Whom a token lets in, or with what it is refused."""
    try:
        return collector.enroll(secret, new_request(), hostname).host
    except grpc.RpcError as error:
        return (error.details() or "").partition(":")[0] if isinstance(error, grpc.Call) else str(error)


def test_of_twenty_who_show_one_token_at_two_collectors_at_once_one_gets_in(
    side_by_side: Callable[[int], list[Running]],
) -> None:
    collectors = side_by_side(2)
    secret, _ = tokens.decode(collectors[0].token("crowd"))
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        came = [pool.submit(_outcome, collectors[n % 2], secret, "") for n in range(20)]
        assert sorted(one.result() for one in came) == ["crowd", *["token refused"] * 19]


def _join(collector: Running, secret: bytes, hostname: str) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    answer = collector.enroll(secret, request_for(key), hostname)
    assert (answer.host, answer.pending) == (hostname, True)
    return Identity(hostname, pem_of(key), answer.certificate_pem, answer.ca_pem)


def _tables_of(collector: Running, *hosts: str) -> set[str]:
    """The tables that have anything of these hosts."""
    with contextlib.closing(sqlite3.connect(f"file:{collector.data}/fleetnet.db?mode=ro", uri=True)) as conn:
        mine = f"SELECT host_id FROM hosts WHERE name IN ({', '.join('?' * len(hosts))})"
        having = "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = ?"
        tables = [name for (name,) in conn.execute(having, ("host_id",))]
        assert len(tables) > 10
        return {
            table
            for table in tables
            if conn.execute(f"SELECT 1 FROM {table} WHERE host_id IN ({mine})", hosts).fetchone()
        }


def _status(collector: Running) -> dict[str, str]:
    with collector.admin() as channel:
        answer = list(collector.queries(channel).ListHosts(query_pb2.ListHostsRequest(), timeout=DEADLINE_S))
    items = [item for message in answer for item in message.page.items]
    return {item.host: query_pb2.HostStatus.Name(item.status).removeprefix("HOST_STATUS_").lower() for item in items}


def test_three_hosts_of_one_token_wait_and_nothing_of_theirs_is_stored_until_they_are_approved(data: Path) -> None:
    running = Running(data)
    label = query_pb2.Label(key="role", value="web")
    wish = admin_pb2.CreateTokenRequest(max_uses=3, approve=True, labels=[label])
    with running.admin() as channel:
        made = administration(channel).CreateToken(wish, timeout=DEADLINE_S)
    secret, _ = tokens.decode(made.token)
    names = ["web1", "web2", "web3"]
    joined = [_join(running, secret, name) for name in names]
    assert _outcome(running, secret, "web4") == "token refused"
    for identity in joined:
        with running.channel(identity) as channel:
            stream = ReportStream(channel)
            stream.send(hello=messages.hello())
            stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
            assert ended_with(stream) == WAITING
            stream.close()
    assert _status(running) == dict.fromkeys(names, "pending")
    assert _tables_of(running, *names) == NOTED
    with running.admin() as channel:
        request = admin_pb2.ApproveHostsRequest(hosts=names[:2])
        administration(channel).ApproveHosts(request, timeout=DEADLINE_S)
        with pytest.raises(grpc.RpcError, match="web9"):
            administration(channel).ApproveHosts(admin_pb2.ApproveHostsRequest(hosts=["web9"]), timeout=DEADLINE_S)
    for identity in joined[:2]:
        with running.channel(identity) as channel:
            stream = ReportStream(channel)
            stream.open(messages.hello())
            stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
            stream.await_ack(1)
            stream.close()
        assert ports_of(running, identity.host) == [443]
    with running.channel(joined[2]) as channel:
        stream = ReportStream(channel)
        stream.send(hello=messages.hello())
        assert ended_with(stream) == WAITING
        stream.close()
    assert _status(running) == {"web1": "active", "web2": "active", "web3": "pending"}
    assert _tables_of(running, "web3") == NOTED
    assert running.terminate() == 0
