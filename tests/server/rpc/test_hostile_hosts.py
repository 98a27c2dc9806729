"""One enrolled host that wants to harm the others, and a stranger: the collector and its answers go on."""

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleetnet_proto.v1 import network_pb2, query_pb2, report_pb2, sockets_pb2
from fleetnet_server import records
from fleetnet_server.errors import BadBatch, RequestRefused
from fleetnet_server.identity import certificates
from fleetnet_server.rpc import stream, translate_query, translate_report, translate_sockets
from server.agents import DEADLINE_S, ReportStream, new_request
from server.running import Running, starts_well

from server import messages


@pytest.fixture
def hostile(collector: Running, request: pytest.FixtureRequest) -> Iterator[ReportStream]:
    """A stream of a host of its own for each test, open and with a snapshot stored."""
    name = request.node.name.replace("_", "-")
    with collector.channel(collector.join(name)) as channel:
        opened = ReportStream(channel)
        opened.open(messages.hello())
        opened.send(batch=messages.batch(1, snapshot=True))
        opened.await_ack(1)
        yield opened
        opened.close()


def _with_sources(sequence: int, names: range) -> report_pb2.Batch:
    batch = messages.batch(sequence)
    for name in names:
        batch.sources.add(name=f"source{name}", ok=False, detail="\N{EURO SIGN}" * 512)
    return batch


def test_a_flood_of_sources_is_refused_and_the_fleet_is_answered(collector: Running, hostile: ReportStream) -> None:
    hostile.send(batch=_with_sources(2, range(64)))
    hostile.await_ack(2)
    hostile.send(batch=_with_sources(3, range(64, 128)))
    assert [hostile.receive().WhichOneof("message") for _ in range(2)] == ["resync", "ack"]
    with collector.admin() as admin:
        answer = list(collector.queries(admin).ListHosts(query_pb2.ListHostsRequest(), timeout=DEADLINE_S))
    assert max(len(item.degraded) for message in answer for item in message.page.items) == 64
    assert answer[-1].HasField("end")


def test_hosts_with_much_to_tell_come_on_pages_that_a_client_takes() -> None:
    items = [query_pb2.HostItem(host=f"h{n}", degraded=["\N{EURO SIGN}" * 512] * 64) for n in range(200)]
    pages = list(translate_query.host_pages(items))
    assert max(page.ByteSize() for page in pages) < 2 * 1024 * 1024
    assert [item.host for page in pages for item in page.items] == [item.host for item in items]


def test_processes_without_rows_are_not_read_on_the_loop_that_all_hosts_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_in: list[threading.Thread] = []
    translate = translate_report.batch

    def noted(message: report_pb2.Batch) -> records.Batch:
        read_in.append(threading.current_thread())
        return translate(message)

    monkeypatch.setattr(translate_report, "batch", noted)
    batch = messages.batch(1)
    batch.processes.extend([sockets_pb2.Process(pid=1)] * 1_000)
    asyncio.run(stream._translated(batch))
    assert read_in[0] is not threading.current_thread()


def test_routes_are_not_read_on_the_loop_that_all_hosts_share(monkeypatch: pytest.MonkeyPatch) -> None:
    read_in: list[threading.Thread] = []
    translate = translate_report.batch

    def noted(message: report_pb2.Batch) -> records.Batch:
        read_in.append(threading.current_thread())
        return translate(message)

    monkeypatch.setattr(translate_report, "batch", noted)
    batch = messages.batch(1)
    batch.namespaces.add(netns=5).routes.extend(
        [network_pb2.Route(family=sockets_pb2.FAMILY_IPV4, destination=bytes(4))] * 1_000
    )
    asyncio.run(stream._translated(batch))
    assert read_in[0] is not threading.current_thread()


def test_a_holder_with_more_owners_than_a_host_has_is_refused() -> None:
    batch = messages.batch(1, messages.listener(443))
    batch.holders[0].owners.extend([0] * translate_sockets.MAX_OWNERS)
    with pytest.raises(BadBatch, match="owners"):
        translate_report.batch(batch)


def test_a_request_of_a_later_version_is_refused_like_any_other_nonsense() -> None:
    request = new_request()
    with pytest.raises(RequestRefused):
        certificates.public_key_of(request.replace(b"\x02\x01\x00", b"\x02\x01\x07", 1))


@pytest.mark.slow
def test_who_does_not_finish_the_handshake_gives_the_place_back(collector: Running) -> None:
    host, port = collector.report_address.rsplit(":", 1)
    began = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=30) as stranger:
        while stranger.recv(4096):
            pass
    assert time.monotonic() - began < 20


@pytest.mark.usefixtures("console_script")
def test_a_low_limit_of_open_files_is_raised(data: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(65_536, hard) if hard != resource.RLIM_INFINITY else 65_536
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        running = Running(data)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        assert resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)[0] == wanted
    finally:
        running.kill()
    assert starts_well(data)
