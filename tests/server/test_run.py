"""The collector as a process: how it begins, ends, is killed, and begins again."""

import os
import signal
import stat
import time
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from fleetnet_proto.v1 import query_pb2
from fleetnet_server.identity import certificates, tokens
from server.agents import DEADLINE_S, ReportStream, new_request
from server.running import Running, launch, ports_of, refused, start, starts_well, wait_for

from server import messages


@pytest.mark.usefixtures("console_script")
def test_a_first_start_makes_everything_and_shows_it_to_nobody(data: Path) -> None:
    running = Running(data)
    try:
        modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in data.iterdir()}
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert {"ca.key", "ca.pem", "server.key", "server.pem", "fleetnet.db", "lock"} <= set(modes)
        assert modes.pop("admin.sock") == 0o660
        assert {mode & 0o077 for mode in modes.values()} == {0}
    finally:
        assert running.terminate() == 0
    assert not running.admin_socket.exists()
    assert not running.admin_socket.with_name("admin.sock.lock").exists()


def test_the_socket_is_made_where_it_is_wanted_with_a_directory_that_its_group_may_enter(
    data: Path, tmp_path: Path
) -> None:
    running = Running(data, admin_socket=tmp_path / "run" / "fleetnet" / "admin.sock")
    try:
        assert stat.S_IMODE(running.admin_socket.parent.stat().st_mode) == 0o755
        assert running.token("web1").startswith("fnt1.")
        # The kernel's own list has it under the name that the file has.
        assert str(running.admin_socket) in Path("/proc/net/unix").read_text().split()
    finally:
        running.kill()


def test_what_was_before_a_restart_is_there_after_it(data: Path) -> None:
    first = Running(data)
    identity, token = first.join("web1"), first.token("db1")
    with first.channel(identity) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
        stream.await_ack(1)
        stream.close()
    assert first.terminate() == 0
    second = Running(data)
    try:
        assert second.ca_pem == first.ca_pem
        assert ports_of(second, "web1") == [443]
        assert second.enroll(tokens.decode(token)[0], new_request()).host == "db1"
        with second.channel(identity) as channel:
            stream = ReportStream(channel)
            assert stream.open(messages.hello()).committed_sequence == 1
            stream.close()
    finally:
        second.kill()


@pytest.mark.usefixtures("console_script")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sends_the_agents_away_and_ends_well(data: Path, number: signal.Signals) -> None:
    running = Running(data)
    with running.channel(running.join("web1")) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
        stream.await_ack(1)
        began = time.monotonic()
        running.process.send_signal(number)
        reconnect = stream.receive().reconnect
        assert 5_000 <= reconnect.after_ms <= 7_000
        assert reconnect.reason == "the collector is stopping"
        with pytest.raises(EOFError):
            stream.receive()
        assert running.wait() == 0
    assert time.monotonic() - began < 20  # of a bound of some 8, which a busy machine may exceed
    assert 'reason="the collector is stopping"' in running.log()
    assert "Traceback" not in running.log()


def test_an_agent_that_does_not_listen_does_not_hold_up_the_end(data: Path) -> None:
    running = Running(data)
    with running.channel(running.join("web1")) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        with (
            running.admin() as admin,
            grpc.secure_channel(running.enroll_address, grpc.ssl_channel_credentials(running.ca_pem)) as idle,
        ):
            grpc.channel_ready_future(admin).result(DEADLINE_S)
            grpc.channel_ready_future(idle).result(DEADLINE_S)
            assert running.terminate() == 0


def test_killed_under_load_it_begins_again_with_all_that_it_acknowledged(data: Path) -> None:
    first = Running(data, "--reports-per-minute=60000")
    identity = first.join("web1")
    with first.channel(identity) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, snapshot=True))
        for sequence in range(2, 400):
            stream.send(batch=messages.batch(sequence, messages.listener(1_000 + sequence)))
        stream.await_ack(20)
        first.kill()
        acknowledged = max([20, *(message.ack.sequence for message in stream.receive_rest())])
    second = Running(data, "--reports-per-minute=60000")
    try:
        with second.channel(identity) as channel:
            stream = ReportStream(channel)
            committed = stream.open(messages.hello()).committed_sequence
            assert committed >= acknowledged
            for sequence in range(max(2, committed - 5), 400):
                stream.send(batch=messages.batch(sequence, messages.listener(1_000 + sequence)))
            stream.await_ack(399)
            assert ports_of(second, "web1") == list(range(1_002, 1_400))
            stream.close()
    finally:
        second.kill()


@pytest.mark.usefixtures("console_script")
def test_killed_at_any_moment_of_its_first_start_it_can_start_again(tmp_path: Path) -> None:
    for step in range(5):
        data = tmp_path / f"data{step}"
        process = launch(*start(data), log_file=tmp_path / "killed.log")
        # Each file that appears is a moment to be killed at; the last of them is a little after.
        wait_for(lambda data=data: True if data.exists() else None, "directory")  # type: ignore[misc]  # a default fixes the loop's value
        time.sleep(step * 0.03)
        process.kill()
        process.communicate()
        assert starts_well(data)


def test_a_socket_that_a_killed_collector_left_is_taken_over(data: Path) -> None:
    first = Running(data)
    first.kill()
    assert first.admin_socket.exists()
    assert starts_well(data)


def test_two_collectors_never_share_a_directory_or_a_socket(data: Path, tmp_path: Path) -> None:
    running = Running(data)
    try:
        assert "another collector is running on" in refused(tmp_path, *start(data))
        other = tmp_path / "other"
        assert "another collector serves the admin socket" in refused(
            tmp_path, *start(other, f"--admin-socket={running.admin_socket}")
        )
        assert running.token("web1")
    finally:
        running.kill()


def test_new_names_make_a_new_certificate_that_hosts_of_before_accept(data: Path) -> None:
    first = Running(data)
    identity = first.join("web1")
    assert first.terminate() == 0
    second = Running(data, "--advertise=collector.example:7443", "--advertise=192.0.2.7:443")
    try:
        certificate = x509.load_pem_x509_certificate((data / "server.pem").read_bytes())
        assert {"collector.example", "192.0.2.7", "127.0.0.1", "localhost", "::1"} <= certificates.names_in(certificate)
        with second.channel(identity) as channel:
            stream = ReportStream(channel)
            stream.open(messages.hello())
            stream.close()
        answer = second.enroll(tokens.decode(second.token("db1"))[0], new_request())
        assert list(answer.report_addresses) == ["collector.example:7443", "192.0.2.7:443"]
    finally:
        second.kill()


def test_a_database_that_becomes_damaged_ends_the_collector_with_a_sentence(used: Path) -> None:
    running = Running(used)
    size = (used / "fleetnet.db").stat().st_size
    with (used / "fleetnet.db").open("r+b") as database:
        database.write(os.urandom(size))
    with running.admin() as channel, pytest.raises(grpc.RpcError) as refused:
        list(running.queries(channel).ListHosts(query_pb2.ListHostsRequest(), timeout=DEADLINE_S))
    assert isinstance(refused.value, grpc.Call)
    # It looks into the database by itself as well, and may have ended already.
    assert refused.value.code() in (grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNAVAILABLE)
    assert running.wait() == 2
    (said,) = (line for line in running.log().splitlines() if not line.startswith("at="))
    assert said.startswith("fleetnet-server: ")
    assert "is damaged" in said
