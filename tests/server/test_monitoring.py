"""What a monitoring system sees of a collector: metrics, /healthz, and gRPC's health service."""

import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fleetnet_proto.v1 import query_pb2, report_pb2
from fleetnet_server.services import health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server.agents import DEADLINE_S, ReportStream
from server.monitored import get, metrics
from server.running import Running, refused, start, wait_for

from server import messages


@pytest.fixture
def alone(data: Path) -> Iterator[Running]:
    """A collector that no other test has counted on."""
    running = Running(data)
    yield running
    running.kill()


def test_what_hosts_report_is_counted(alone: Running) -> None:
    before = metrics(alone)
    assert before["fleetnet_agents|connected"] == before["fleetnet_batches_total"] == 0
    alone.join("never-heard")
    with alone.channel(alone.join("web1")) as channel, alone.admin() as admin:
        stream = ReportStream(channel)
        hello = messages.hello()
        hello.spool_bytes, hello.spool_oldest_us = 4096, hello.wall_clock_us - 90_000_000
        stream.open(hello)
        stream.send(batch=messages.batch(1, messages.listener(443), messages.listener(80), snapshot=True))
        stream.await_ack(1)
        stream.send(batch=messages.batch(2, messages.listener(22)))
        stream.await_ack(2)
        list(alone.queries(admin).ListHosts(query_pb2.ListHostsRequest(), timeout=DEADLINE_S))
        now = metrics(alone)
        gap = report_pb2.Gap(from_us=hello.wall_clock_us - 90_000_000, to_us=hello.wall_clock_us)
        told = messages.backlog(3, gap, messages.past(messages.listener(81), gap.from_us + 1, gap.from_us + 2))
        told.backlog.left_bytes = 1024
        stream.send(batch=told)
        stream.await_ack(3)
        told_some = metrics(alone)
        stream.close()
    assert (now["fleetnet_agents|connected"], now["fleetnet_agents|silent"]) == (1, 1)
    assert now["fleetnet_batches_total"] == 2
    assert now["fleetnet_rows_total|opened"] == 3
    assert now["fleetnet_streams_opened_total"] == 1
    assert now["fleetnet_commit_seconds_count"] >= 2
    assert now["fleetnet_question_seconds_count|hosts"] == 1
    assert (now["fleetnet_spool_bytes"], now["fleetnet_spooling_agents"]) == (4096, 1)
    assert now["fleetnet_spool_oldest_seconds"] == pytest.approx(90)
    assert (told_some["fleetnet_spool_bytes"], told_some["fleetnet_rows_total|past"]) == (1024, 1)
    assert time.time() - now["fleetnet_last_stored_timestamp_seconds"] < 60
    assert now["fleetnet_certificate_expiry_timestamp_seconds|server"] > time.time()
    assert now["process_open_fds"] > 0
    later = wait_for(lambda: seen if (seen := metrics(alone))["fleetnet_agents|connected"] == 0 else None, "the end")
    assert later["fleetnet_agents|away"] == 1
    assert later["fleetnet_spool_bytes"] == 0


def test_the_number_of_series_does_not_grow_with_the_fleet(alone: Running) -> None:
    with alone.admin() as admin:
        list(alone.queries(admin).ListHosts(query_pb2.ListHostsRequest(), timeout=DEADLINE_S))
    few = set(metrics(alone))
    for number in range(5):
        with alone.channel(alone.join(f"web{number}")) as channel:
            stream = ReportStream(channel)
            stream.open(messages.hello())
            batch = messages.batch(1, messages.listener(443), snapshot=True)
            batch.gaps.append(report_pb2.Gap(from_us=1, to_us=2, reason=f"of web{number}"))
            stream.send(batch=batch)
            stream.await_ack(1)
            stream.close()
    new = {name.split("|")[0] for name in set(metrics(alone)) - few}
    assert new == {
        *("fleetnet_rows_total", "fleetnet_rows_created", "fleetnet_gaps_total", "fleetnet_gaps_created"),
        *("fleetnet_streams_closed_total", "fleetnet_streams_closed_created"),
    }
    assert "web1" not in get(alone, "/metrics")[1]


def test_healthz_says_when_nothing_can_be_stored_and_when_it_can_again(alone: Running) -> None:
    assert get(alone, "/healthz") == (200, "ok\n")
    with alone.channel(alone.join("web1")) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        blocker = sqlite3.connect(alone.data / "fleetnet.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
        status, words = wait_for(lambda: told if (told := get(alone, "/healthz"))[0] != 200 else None, "trouble")
        blocker.rollback()
        blocker.close()
        assert status == 503
        assert "busy" in words or "locked" in words or "database" in words
        stream.close()
    with alone.channel(alone.join("web2")) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
        stream.await_ack(1)
        assert get(alone, "/healthz") == (200, "ok\n")
        stream.close()


def test_hosts_that_are_connected_and_say_nothing_are_not_health(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def story() -> None:
        watched = health.Health()
        assert watched.wrong(3) == ""
        now_s = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now_s + health.STILL_S + 1)
        assert watched.wrong(0) == ""
        assert watched.wrong(3) == "3 hosts are connected, and nothing has been stored for 181 s"
        watched.works()
        assert watched.wrong(3) == ""

    asyncio.run(story())


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 405), ("GET", "/../", 404)]
)
def test_there_is_nothing_else(collector: Running, method: str, path: str, status: int) -> None:
    assert get(collector, path, method)[0] == status


def test_who_connects_and_says_nothing_keeps_nobody_waiting(collector: Running) -> None:
    host, _, port = collector.metrics_address.rpartition(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(20)]
    assert get(collector, "/healthz")[0] == 200
    for one in silent:
        one.close()


def test_grpc_health_answers_on_the_admin_socket_for_each_service(collector: Running) -> None:
    with collector.admin() as admin:
        stub = health_pb2_grpc.HealthStub(admin)
        for service in ("", "fleetnet.v1.ReportService", "fleetnet.v1.QueryService"):
            request = health_pb2.HealthCheckRequest(service=service)
            serving = health_pb2.HealthCheckResponse.SERVING
            wait_for(lambda: stub.Check(request, timeout=DEADLINE_S).status == serving or None, service)  # noqa: B023 - waited for here
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            stub.Check(health_pb2.HealthCheckRequest(service="fleetnet.v1.Nothing"), timeout=DEADLINE_S)


def test_grpc_health_on_the_report_port_is_for_hosts_of_the_fleet(collector: Running) -> None:
    with collector.channel(collector.join("balancer")) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refused(tmp_path, *start(tmp_path / "data", f"--metrics-listen=127.0.0.1:{port}"))
    assert sentence == (
        f"fleetnet-server: --metrics-listen 127.0.0.1:{port} is in use by another program; "
        "stop it, or choose another port"
    )
