"""A report that cannot be stored costs its host a gap, and not its stream."""

import os
import sqlite3
import time
from collections.abc import Iterator
from importlib.metadata import version

import grpc
import pytest
from cryptography import x509
from fleetnet_proto.v1 import admin_pb2, admin_pb2_grpc, report_pb2
from fleetnet_server.services.quarantine import MOST_IN_AN_HOUR, NOT_STORED
from server.agents import DEADLINE_S, ReportStream, ended_with
from server.running import Running, launch, ports_of

from server import messages


@pytest.fixture
def host(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    return name.replace("_", "-")


@pytest.fixture
def stream(collector: Running, host: str) -> Iterator[ReportStream]:
    """A stream of a host of its own for each test, with a snapshot stored."""
    with collector.channel(collector.join(host)) as channel:
        opened = ReportStream(channel)
        opened.open(messages.hello())
        opened.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
        opened.await_ack(1)
        yield opened
        opened.close()


def _unreadable(sequence: int, *, snapshot: bool = False) -> report_pb2.Batch:
    """A batch whose socket points at a holder that is not there."""
    batch = messages.batch(sequence, messages.listener(6_000 + sequence), snapshot=snapshot)
    batch.opened[0].holder = 5
    return batch


def _until(stream: ReportStream, sequence: int) -> list[str]:
    """The kinds of messages up to the acknowledgement of `sequence`, acknowledgements left out."""
    kinds = []
    while (message := stream.receive()).ack.sequence < sequence:
        if message.WhichOneof("message") != "ack":
            kinds.append(message.WhichOneof("message") or "")
    return kinds


def _rows(collector: Running, query: str, host: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(f"file:{collector.data}/fleetnet.db?mode=ro", uri=True) as database:
        rows = database.execute(f"{query} WHERE host_id = (SELECT host_id FROM hosts WHERE name = ?)", (host,))
        found = rows.fetchall()
    database.close()
    return found


def test_it_is_kept_as_it_came_and_the_stream_goes_on_with_a_request_to_tell_everything_anew(
    collector: Running, host: str, stream: ReportStream
) -> None:
    bad = _unreadable(2)
    stream.send(batch=bad)
    stream.send(batch=messages.batch(3, messages.listener(80)))
    assert _until(stream, 3) == ["resync"]
    assert ports_of(collector, host) == [80, 443]
    [kept] = _rows(collector, "SELECT sequence, reason, message FROM quarantine", host)
    assert kept == (2, "a socket points at a holder that is not in the batch", bad.SerializeToString())
    assert _rows(collector, "SELECT reason FROM gaps", host) == [(NOT_STORED,)]
    assert _rows(collector, "SELECT whole FROM hosts", host) == [(0,)]
    assert f'event="report set aside" host={host} sequence=2' in collector.log()


def test_the_next_snapshot_makes_the_host_whole_and_the_gap_reaches_up_to_it(
    collector: Running, host: str, stream: ReportStream
) -> None:
    stream.send(batch=_unreadable(2))
    assert _until(stream, 2) == ["resync"]
    again = messages.batch(3, messages.listener(443), messages.listener(6_002), snapshot=True)
    stream.send(batch=again)
    stream.await_ack(3)
    assert _rows(collector, "SELECT whole FROM hosts", host) == [(1,)]
    assert max(_rows(collector, "SELECT to_us, reason FROM gaps", host)) == (again.look_at_us, NOT_STORED)
    assert ports_of(collector, host) == [443, 6_002]


def test_a_snapshot_that_lacks_a_part_ends_nothing(collector: Running, host: str, stream: ReportStream) -> None:
    first = messages.batch(2, messages.listener(80), snapshot=True)
    first.snapshot.last = False
    bad, last = _unreadable(3, snapshot=True), messages.batch(4, messages.listener(22), snapshot=True)
    bad.snapshot.part, bad.snapshot.last = 1, False
    last.snapshot.part = 2
    for part in (first, bad, last):
        stream.send(batch=part)
    assert _until(stream, 4) == ["resync"]
    assert ports_of(collector, host) == [22, 80, 443]
    assert _rows(collector, "SELECT whole FROM hosts", host) == [(0,)]


def test_a_snapshot_is_asked_for_once_and_not_for_each(stream: ReportStream) -> None:
    for sequence in range(2, 6):
        stream.send(batch=_unreadable(sequence))
    stream.send(batch=messages.batch(6))
    assert _until(stream, 6) == ["resync"]


def test_a_host_that_sends_nothing_else_is_refused(collector: Running, host: str, stream: ReportStream) -> None:
    for sequence in range(2, 2 + MOST_IN_AN_HOUR):
        stream.send(batch=_unreadable(sequence))
    _until(stream, 1 + MOST_IN_AN_HOUR)
    stream.send(batch=_unreadable(2 + MOST_IN_AN_HOUR))
    code, sentence = ended_with(stream)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "more than 10 within an hour" in sentence
    assert len(_rows(collector, "SELECT sequence FROM quarantine", host)) == MOST_IN_AN_HOUR


def test_the_doctor_and_the_list_say_whose_reports_and_why(collector: Running, host: str, stream: ReportStream) -> None:
    stream.send(batch=_unreadable(2))
    _until(stream, 2)
    said = {}
    for command in ("doctor", "quarantine"):
        process = launch(command, f"--data={collector.data}", log_file=collector.data.parent / os.devnull)
        said[command] = process.communicate(timeout=DEADLINE_S)[0]
        assert process.returncode == (2 if command == "doctor" else 0)
    assert f"problem  1 reports of {host} could not be stored, the last at" in said["doctor"]
    [line] = (line for line in said["quarantine"].splitlines() if f" {host} " in line)
    assert "sequence 2 " in line
    assert line.endswith("kept: a socket points at a holder that is not in the batch")


def test_a_collector_says_of_itself_what_a_doctor_asks(collector: Running, host: str, stream: ReportStream) -> None:
    stream.send(batch=_unreadable(2))
    _until(stream, 2)
    before_us = time.time_ns() // 1_000
    with collector.admin() as channel:
        request = admin_pb2.DescribeCollectorRequest()
        told = admin_pb2_grpc.AdminServiceStub(channel).DescribeCollector(request, timeout=DEADLINE_S)
    assert told.version == version("fleetnet-server")
    assert before_us <= told.at_us <= time.time_ns() // 1_000
    ca = x509.load_pem_x509_certificate(collector.ca_pem).not_valid_after_utc
    assert told.ca_certificate_until_us == ca.timestamp() * 1_000_000
    assert before_us < told.server_certificate_until_us < told.ca_certificate_until_us
    [refused] = [one for one in told.refused if one.host == host]
    assert refused.reports == 1
    assert before_us - 60_000_000 < refused.last_at_us <= told.at_us
    assert "holder" in refused.reason
