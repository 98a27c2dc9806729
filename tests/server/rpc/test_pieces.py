"""A report that is stored in pieces, of a collector that is killed between two of them."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import grpc
from fleetnet_proto.v1 import report_pb2, sockets_pb2
from server.agents import ReportStream, ended_with
from server.running import Running, ports_of, run

from server import messages

BEFORE = (22, 80, 443)
OPENED = range(1_000, 2_200)  # three pieces
BRIEF = range(2_000, 2_100)  # of these, what has ended too


def large() -> report_pb2.Batch:
    """One that takes three pieces: it opens many, some of which have ended, and ends one that was there before."""
    told = messages.batch(2, *map(messages.listener, OPENED))
    for port in (80, *BRIEF):
        told.closed.add(key=sockets_pb2.SocketKey(protocol=sockets_pb2.PROTOCOL_TCP, cookie=port))
    return told


def test_after_a_kill_between_two_pieces_nothing_acknowledged_is_missing_and_nothing_is_there_twice(data: Path) -> None:
    killed = Running(data, failpoints="between-pieces=kill@2")
    web1, told = killed.join("web1"), large()
    with killed.channel(web1) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, *map(messages.listener, BEFORE), snapshot=True))
        stream.await_ack(1)
        stream.send(batch=told)
        assert ended_with(stream)[0] is grpc.StatusCode.UNAVAILABLE
    assert killed.wait() == -signal.SIGKILL
    collector = Running(data)
    stored = ports_of(collector, "web1")
    assert set(stored) > set(BEFORE)
    assert 0 < len(stored) - len(BEFORE) < len(OPENED)  # some of the report is there, and not all
    with collector.channel(web1) as channel:
        stream = ReportStream(channel)
        assert stream.open(messages.hello()).committed_sequence == 1  # so the agent tells it again
        stream.send(batch=told)
        stream.await_ack(2)
        stream.close()
    open_now = ({*BEFORE, *OPENED} - {80}) - {*BRIEF}
    assert sorted(ports_of(collector, "web1")) == sorted(open_now)
    assert collector.terminate() == 0
    with closing(sqlite3.connect(data / "fleetnet.db")) as database:
        kept = [port for (port,) in database.execute("SELECT local_port FROM history")]
    assert sorted(kept) == sorted([80, *BRIEF])
    assert "counts of open sockets are not" not in run("doctor", f"--data={data}")[1]
