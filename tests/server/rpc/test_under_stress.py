"""A slow database, hosts that report much, and a signal in the middle of it: real streams against a real process."""

import contextlib
import re
import signal
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fleetnet_proto.v1 import report_pb2
from server.agents import Identity, ReportStream
from server.running import Running, ports_of

from server import messages

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


@contextlib.contextmanager
def locked(data: Path) -> Iterator[sqlite3.Connection]:
    """Another process's lock on the database, as long as the block lasts or until ROLLBACK."""
    with contextlib.closing(sqlite3.connect(data / "fleetnet.db", timeout=60, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        yield blocker


def load_of(collector: Running) -> dict[str, float]:
    """What the collector had borne by its end."""
    [line] = (line for line in collector.log().splitlines() if "event=load" in line)
    return {name: float(number) for name, number in re.findall(r"(\w+)=([0-9.]+)(?: |$)", line)}


def batches(count: int, rows: int) -> list[report_pb2.Batch]:
    """A snapshot of nothing, and differences of so many listeners each."""
    told = [messages.batch(1, snapshot=True)]
    for n in range(count):
        ports = range(1_000 + n * rows, 1_000 + (n + 1) * rows)
        told.append(messages.batch(n + 2, *(messages.listener(port) for port in ports)))
    return told


def deliver(collector: Running, identity: Identity, told: list[report_pb2.Batch], failed: list[Exception]) -> None:
    """What an agent does: send all, and after each end of the stream what was not acknowledged."""
    try:
        while not _delivered(collector, identity, told):
            pass
    except (grpc.RpcError, TimeoutError, EOFError) as error:
        failed.append(error)


def _delivered(collector: Running, identity: Identity, told: list[report_pb2.Batch]) -> bool:
    """True if one stream got to the end."""
    acknowledged = 0
    with collector.channel(identity) as channel:
        stream = ReportStream(channel)
        try:
            acknowledged = stream.open(messages.hello()).committed_sequence
            for batch in told[acknowledged:]:
                stream.send(batch=batch)
            while acknowledged < len(told) and (message := stream.receive()).HasField("ack"):
                acknowledged = message.ack.sequence
        except grpc.RpcError as error:
            if not isinstance(error, grpc.Call) or error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
        stream.close()
    return acknowledged == len(told)


def test_while_the_database_is_slow_no_more_is_held_than_the_bound_and_nothing_is_lost(data: Path) -> None:
    collector = Running(data, "--memory-mib=4")
    try:
        hosts = [f"web{n}" for n in range(16)]
        identities = [collector.join(host) for host in hosts]
        # About 110 kB of memory each, 14 MB in all.
        told, failed = batches(8, 120), list[Exception]()
        threads = [threading.Thread(target=deliver, args=(collector, who, told, failed)) for who in identities]
        for thread in threads:
            thread.start()
        for _ in range(4):
            with locked(data) as blocker:
                threads[0].join(1.5)
                blocker.execute("ROLLBACK")
            # A moment in which the collector finds the lock free.
            threads[0].join(0.3)
        for thread in threads:
            thread.join(90)
        assert not any(thread.is_alive() for thread in threads)
        assert failed == []
        for host in hosts:
            assert ports_of(collector, host) == list(range(1_000, 1_960))
        assert collector.terminate() == 0
        load = load_of(collector)
        assert 2 * MIB < load["most_held_bytes"] <= 4 * MIB
        assert load["held_bytes"] == 0
    finally:
        collector.kill()


def test_a_host_over_its_quota_is_read_more_slowly_and_loses_nothing(data: Path) -> None:
    collector = Running(data, "--rows-per-minute=600")
    try:
        with collector.channel(collector.join("busy")) as channel:
            stream = ReportStream(channel)
            stream.open(messages.hello())
            told = batches(7, 90)
            for batch in told:
                stream.send(batch=batch)
            stream.await_ack(len(told))
            stream.send(batch=messages.batch(len(told) + 1))
            stream.await_ack(len(told) + 1)
            stream.close()
        assert ports_of(collector, "busy") == list(range(1_000, 1_630))
        [line] = (line for line in collector.log().splitlines() if "more than its quota" in line)
        assert "host=busy rows_per_minute=600" in line
        assert collector.terminate() == 0
        assert load_of(collector)["slowed_s"] > 2
    finally:
        collector.kill()


def test_at_a_signal_each_stream_is_told_another_time_to_come_back(data: Path) -> None:
    collector = Running(data, "--streams-per-second=2")
    try:
        streams = []
        with contextlib.ExitStack() as channels:
            for n in range(12):
                stream = ReportStream(channels.enter_context(collector.channel(collector.join(f"web{n}"))))
                stream.send(hello=messages.hello())
                streams.append(stream)
                assert stream.receive().HasField("welcome")
                stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
            collector.process.send_signal(signal.SIGTERM)
            endings = [stream.receive_all() for stream in streams]
            assert collector.wait() == 0
        after_ms = [ending[-1].reconnect.after_ms for ending in endings]
        # 12 streams at 2 a second: spread over 9 s.
        assert all(500 <= ms <= 9_000 for ms in after_ms)
        assert len(set(after_ms)) > 6
        assert max(after_ms) > 2_000
        acknowledged = sum(any(message.ack.sequence == 1 for message in ending) for ending in endings)
        with contextlib.closing(sqlite3.connect(data / "fleetnet.db")) as database:
            [(stored,)] = database.execute("SELECT sum(last_sequence) FROM sessions")
        # Some may not have been read any more; of those that were, each is stored and its host knows.
        assert 6 < acknowledged == stored
    finally:
        collector.kill()


@pytest.mark.parametrize("signals", [1, 2])
def test_it_ends_within_a_bound_though_the_database_does_nothing_and_at_once_at_a_second_signal(
    data: Path, signals: int
) -> None:
    collector = Running(data)
    identity = collector.join("web1")
    try:
        with collector.channel(identity) as channel:
            stream = ReportStream(channel)
            stream.open(messages.hello())
            told = batches(5, 10)
            with locked(data):
                stream.send(batch=told[0])
                with pytest.raises(TimeoutError):
                    stream.receive(within_s=0.5)
                collector.process.send_signal(signal.SIGTERM)
                collector.await_log("event=stopping")
                if signals == 2:
                    collector.process.send_signal(signal.SIGTERM)
                # On a busy machine; the lock is held for as long as it takes.
                collector.process.wait(60)
                assert collector.wait() == (0 if signals == 1 else -signal.SIGTERM)
            stream.close()
    finally:
        collector.kill()
    again = Running(data)
    try:
        failed = list[Exception]()
        deliver(again, identity, told, failed)
        assert failed == []
        assert ports_of(again, "web1") == list(range(1_000, 1_050))
    finally:
        again.kill()
