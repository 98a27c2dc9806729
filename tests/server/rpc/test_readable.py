"""What is no request at all is refused as such at every door, and few lines tell of it."""

from pathlib import Path

import grpc
import pytest
from fleetnet_proto.v1 import report_pb2
from fuzz import doors
from server.agents import Identity
from server.running import Running

from server import messages

# A length that nothing follows, and a group that does not end.
NONSENSE = (b"\x0a\xff", b"\x0b")


@pytest.fixture(scope="module")
def host(collector: Running) -> Identity:
    """One of the fleet."""
    return collector.join("nonsense")


def test_what_cannot_be_read_is_refused_and_is_no_mistake_of_the_collectors(collector: Running, host: Identity) -> None:
    before = len(collector.log().splitlines())
    strangers = grpc.secure_channel(collector.enroll_address, grpc.ssl_channel_credentials(collector.ca_pem))
    with strangers as stranger, collector.channel(host) as reports, collector.admin() as admin:
        for channel, method in (
            (stranger, "EnrollService/Enroll"),
            (stranger, "EnrollService/EnrollPerson"),
            (reports, "ReportService/Renew"),
            (admin, "AdminService/CreateToken"),
            (admin, "QueryService/ListSockets"),
            (admin, "QueryService/WatchSockets"),
            (admin, "QueryService/Live"),
        ):
            for request in NONSENSE * 5:
                code = doors.call(channel, f"fleetnet.v1.{method}", request)
                assert code is grpc.StatusCode.INVALID_ARGUMENT, method
    said = collector.log().splitlines()[before:]
    assert [line for line in said if "level=error" in line] == []
    # At each of the three ports a line within ten seconds; on a slow machine it may take longer.
    assert 3 <= len([line for line in said if "cannot be read" in line]) < len(NONSENSE * 5)


def test_reports_behind_one_that_failed_are_no_mistakes_of_the_collectors(data: Path) -> None:
    collector = Running(data)
    try:
        with collector.channel(collector.join("web1")) as channel:
            for epoch in range(1, 6):
                stream = doors.ByteStream(channel)
                stream.open()
                stream.send(report_pb2.AgentMessage(hello=messages.hello(epoch)))
                stream.receive()
                # Each comes where an earlier one was due.
                for sequence in range(2, 40):
                    stream.send(report_pb2.AgentMessage(batch=messages.batch(sequence, epoch=epoch)))
                while not isinstance(ended := stream.receive(), grpc.StatusCode):
                    pass
                assert ended is grpc.StatusCode.FAILED_PRECONDITION
                stream.close()
        # What nobody asked for asyncio tells of when it is collected: at the end at the latest.
        assert collector.terminate() == 0
        assert "never retrieved" not in collector.log()
    finally:
        collector.kill()
