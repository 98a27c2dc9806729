"""The report stream, from real agents with real certificates to a real database."""

import sqlite3
from collections.abc import Callable, Iterator

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import query_pb2, report_pb2, report_pb2_grpc
from server.agents import DEADLINE_S, Identity, ReportStream, ended_with, pem_of, request_for
from server.running import Running, ports_of, wait_for

from server import messages


@pytest.fixture
def channel(collector: Running, request: pytest.FixtureRequest) -> Iterator[grpc.Channel]:
    """A channel of a host of its own for each test."""
    with collector.channel(collector.join(host_of(request))) as opened:
        yield opened


def host_of(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    return "".join(c if c.isalnum() else "-" for c in name.lower())[:250].strip("-")


def test_what_is_reported_is_acknowledged_and_answered(
    collector: Running, channel: grpc.Channel, request: pytest.FixtureRequest
) -> None:
    stream = ReportStream(channel)
    welcome = stream.open(messages.hello())
    assert (welcome.committed_sequence, welcome.credit) == (0, 4)
    assert abs(welcome.wall_clock_us - messages.now_us()) < 10_000_000
    stream.send(batch=messages.batch(1, messages.listener(443), messages.listener(80), snapshot=True))
    stream.await_ack(1)
    assert ports_of(collector, host_of(request)) == [80, 443]
    stream.close()


def test_many_batches_are_acknowledged_in_order_and_fewer_times(channel: grpc.Channel) -> None:
    stream = ReportStream(channel)
    stream.open(messages.hello())
    stream.send(batch=messages.batch(1, snapshot=True))
    for sequence in range(2, 91):
        stream.send(batch=messages.batch(sequence, messages.listener(1_000 + sequence)))
    acknowledged = [stream.receive().ack.sequence]
    while acknowledged[-1] < 90:
        acknowledged.append(stream.receive().ack.sequence)
    assert acknowledged == sorted(set(acknowledged))
    stream.close()


def test_a_batch_sent_again_is_acknowledged_again_and_changes_nothing(
    collector: Running, channel: grpc.Channel, request: pytest.FixtureRequest
) -> None:
    first = ReportStream(channel)
    first.open(messages.hello())
    snapshot = messages.batch(1, messages.listener(443), snapshot=True)
    first.send(batch=snapshot)
    first.await_ack(1)
    first.close()
    second = ReportStream(channel)
    assert second.open(messages.hello()).committed_sequence == 1
    second.send(batch=snapshot)
    second.await_ack(1)
    assert ports_of(collector, host_of(request)) == [443]
    second.close()


def test_nothing_is_acknowledged_before_it_is_stored(collector: Running, channel: grpc.Channel) -> None:
    stream = ReportStream(channel)
    stream.open(messages.hello())
    with sqlite3.connect(collector.data / "fleetnet.db", isolation_level=None) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        stream.send(batch=messages.batch(1, snapshot=True))
        with pytest.raises(TimeoutError):
            stream.receive(within_s=1.0)
        blocker.execute("ROLLBACK")
    blocker.close()
    stream.await_ack(1)
    stream.close()


def test_a_newer_stream_of_the_host_ends_the_older(
    collector: Running, channel: grpc.Channel, request: pytest.FixtureRequest
) -> None:
    older = ReportStream(channel)
    older.open(messages.hello(epoch=1))
    older.send(batch=messages.batch(1, snapshot=True))
    older.await_ack(1)
    newer = ReportStream(channel)
    newer.open(messages.hello(epoch=2))
    code, sentence = ended_with(older)
    assert code is grpc.StatusCode.ABORTED
    assert "newer stream" in sentence
    newer.send(batch=messages.batch(1, messages.listener(443), epoch=2, snapshot=True))
    newer.await_ack(1)
    assert ports_of(collector, host_of(request)) == [443]
    newer.close()


def test_a_hole_in_the_sequence_ends_the_stream(channel: grpc.Channel) -> None:
    stream = ReportStream(channel)
    stream.open(messages.hello())
    stream.send(batch=messages.batch(1, snapshot=True))
    stream.send(batch=messages.batch(3))
    assert ended_with(stream)[0] is grpc.StatusCode.FAILED_PRECONDITION


def _empty(stream: ReportStream) -> None:
    stream.send()


def _twice(stream: ReportStream) -> None:
    stream.send(hello=messages.hello())


def _no_boot_id(stream: ReportStream) -> None:
    stream.send(batch=report_pb2.Batch(epoch=1, sequence=1, look_at_us=1))


def _other_epoch(stream: ReportStream) -> None:
    stream.send(batch=messages.batch(1, epoch=2))


@pytest.mark.parametrize("harm", [_twice, _no_boot_id, _other_epoch])
def test_what_contradicts_the_stream_ends_it_with_a_sentence(
    channel: grpc.Channel, harm: Callable[[ReportStream], None]
) -> None:
    stream = ReportStream(channel)
    stream.open(messages.hello())
    harm(stream)
    code, sentence = ended_with(stream)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence


def test_a_message_of_a_later_version_is_passed_over(channel: grpc.Channel) -> None:
    stream = ReportStream(channel)
    stream.open(messages.hello())
    _empty(stream)
    stream.send(batch=messages.batch(1, snapshot=True))
    stream.await_ack(1)
    stream.close()


def test_a_stream_that_does_not_begin_with_hello_is_ended(channel: grpc.Channel) -> None:
    stream = ReportStream(channel)
    stream.send(batch=messages.batch(1))
    code, sentence = ended_with(stream)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "begins with Hello" in sentence


def test_bytes_that_are_no_message_are_refused_like_any_other_nonsense(channel: grpc.Channel) -> None:
    report: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream("/fleetnet.v1.ReportService/Report")
    with pytest.raises(grpc.RpcError) as refused:
        next(report(iter([b"\xff\xff\xff"]), timeout=DEADLINE_S))
    assert isinstance(refused.value, grpc.Call)
    assert refused.value.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL}


def test_a_message_above_one_mebibyte_is_refused(channel: grpc.Channel) -> None:
    stream = ReportStream(channel)
    stream.open(messages.hello())
    large = messages.batch(1)
    large.sources.add(name="x" * (1024 * 1024))
    stream.send(batch=large)
    assert ended_with(stream)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_when_the_agent_has_nothing_more_to_say_all_is_stored_before_the_stream_ends(
    collector: Running, channel: grpc.Channel, request: pytest.FixtureRequest
) -> None:
    stream = ReportStream(channel)
    stream.open(messages.hello())
    stream.send(batch=messages.batch(1, snapshot=True))
    for sequence in range(2, 20):
        stream.send(batch=messages.batch(sequence, messages.listener(sequence)))
    stream.done_writing()
    stream.await_ack(19)
    with pytest.raises(EOFError):
        stream.receive()
    assert ports_of(collector, host_of(request)) == list(range(2, 20))


def test_a_host_is_connected_while_it_holds_a_stream(
    collector: Running, channel: grpc.Channel, request: pytest.FixtureRequest
) -> None:
    def connected() -> bool:
        with collector.admin() as admin:
            question = query_pb2.ListHostsRequest(selection=query_pb2.Selection(host=host_of(request)))
            answer = list(collector.queries(admin).ListHosts(question, timeout=DEADLINE_S))
        (item,) = (item for message in answer for item in message.page.items)
        return item.connected

    assert not connected()
    stream = ReportStream(channel)
    stream.open(messages.hello())
    assert connected()
    stream.close()
    wait_for(lambda: True if not connected() else None, "end of the stream")


def test_a_host_renews_its_certificate_over_the_one_it_has(
    collector: Running, channel: grpc.Channel, request: pytest.FixtureRequest
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    renew = report_pb2.RenewRequest(csr=request_for(key, name="somebody-else"))
    answer = report_pb2_grpc.ReportServiceStub(channel).Renew(renew, timeout=DEADLINE_S)
    renewed = Identity(host_of(request), pem_of(key), answer.certificate_pem, answer.ca_pem)
    with collector.channel(renewed) as fresh:
        stream = ReportStream(fresh)
        stream.open(messages.hello())
        stream.close()
    certificate = x509.load_pem_x509_certificate(answer.certificate_pem)
    (name,) = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert name.value == f"spiffe://fleetnet/host/{host_of(request)}"
