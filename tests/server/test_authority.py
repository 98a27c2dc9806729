"""`fleetnet-server ca`: what an admin types, beside a collector and without one."""

import getpass
import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import admin_pb2, admin_pb2_grpc, report_pb2, report_pb2_grpc
from fleetnet_server.identity import ca, tokens
from server.agents import DEADLINE_S, Identity, ReportStream, ended_with, new_request, pem_of, request_for
from server.monitored import get
from server.postgresql import Server
from server.running import Running, refused, run, start

from server import messages


@pytest.fixture
def database(postgresql: Server) -> Iterator[str]:
    """An empty database."""
    postgresql.execute("CREATE DATABASE of_collectors")
    try:
        yield postgresql.url("of_collectors")
    finally:
        postgresql.execute("DROP DATABASE of_collectors WITH (FORCE)")


def shown(data: Path, *more: str) -> list[dict[str, Any]]:
    status, said = run("ca", "show", f"--data={data}", "-o", "json", *more)
    assert status == 0
    items: list[dict[str, Any]] = json.loads(said)["items"]
    return items


def problems(data: Path, *more: str) -> list[str]:
    """What the doctor finds, but for history, for which this fleet is too young."""
    said = run("doctor", f"--data={data}", *more)[1]
    return [line for line in said.splitlines() if line.startswith("problem") and "problem  history" not in line]


def rotate(collector: Running, *step: str) -> int:
    options = (f"--data={collector.data}", f"--admin-socket={collector.admin_socket}")
    return run("ca", "rotate", *options, *step)[0]


def logged(collector: Running, action: str) -> list[tuple[str, str, str, str]]:
    """Login, peer, subject and result of the entries of an action, the latest first."""
    with collector.admin() as channel:
        log = admin_pb2_grpc.AdminServiceStub(channel).ListLog(admin_pb2.ListLogRequest(), timeout=DEADLINE_S)
    return [(one.login, one.peer, one.subject, one.result) for one in log.entries if one.action == action]


def renew(collector: Running, identity: Identity) -> Identity:
    """As an agent does that is asked to."""
    key = ec.generate_private_key(ec.SECP256R1())
    with collector.channel(identity) as channel:
        asked = report_pb2.RenewRequest(csr=request_for(key))
        answer = report_pb2_grpc.ReportServiceStub(channel).Renew(asked, timeout=DEADLINE_S)
    return Identity(identity.host, pem_of(key), answer.certificate_pem, answer.ca_pem)


def test_init_makes_what_the_first_start_would_and_never_replaces_it(data: Path, tmp_path: Path) -> None:
    assert run("ca", "init", f"--data={data}")[0] == 0
    made = (data / "ca.pem").read_bytes()
    assert "has a CA already" in refused(tmp_path, "ca", "init", f"--data={data}")
    collector = Running(data)
    assert collector.ca_pem == made
    [one] = shown(data)
    assert (one["standing"], one["key_here"], one["hosts_of_it"]) == ("issuing", True, 0)
    assert one["fingerprint"] == ca.fingerprint(x509.load_pem_x509_certificate(made))
    assert "another collector is running" in refused(tmp_path, "ca", "init", f"--data={data}", "--replace")
    assert collector.terminate() == 0
    assert (data / "ca.key").stat().st_mode & 0o777 == 0o600


def test_a_ca_whose_key_is_lost_is_replaced_only_when_that_is_said(used: Path, tmp_path: Path) -> None:
    before = (used / "ca.pem").read_bytes()
    (used / "ca.key").unlink()
    assert "ca.key is missing" in refused(tmp_path, *start(used))
    (used / "ca.pem").unlink()
    assert run("ca", "init", f"--data={used}")[0] == 2  # the database knows the one before
    assert run("ca", "init", f"--data={used}", "--replace")[0] == 0
    collector = Running(used)
    assert collector.ca_pem != before
    made = ca.fingerprint(x509.load_pem_x509_certificate(collector.ca_pem))
    assert logged(collector, "replace-ca") == [(getpass.getuser(), "command line", f"by {made}", "done")]
    collector.join("web1")
    assert collector.terminate() == 0


def test_what_issues_for_another_collector_does_not_write_beside_the_one_that_has_an_embedded_database(
    used: Path, tmp_path: Path
) -> None:
    issue = ("ca", "issue-server", f"--data={used}", "--name=c2.example.com", f"--out={tmp_path}/c2")
    collector = Running(used)
    assert "another collector is running" in refused(tmp_path, *issue)
    assert collector.terminate() == 0
    assert run(*issue)[0] == 0
    collector = Running(used)
    assert [result for *_, result in logged(collector, "issue-server")] == ["done"]
    assert collector.terminate() == 0


def test_a_directory_with_another_ca_than_the_database_knows_does_not_start(used: Path, tmp_path: Path) -> None:
    for file in used.glob("ca.*"):
        file.unlink()
    ca.open_authority(used, x509.load_pem_x509_certificate((used / "server.pem").read_bytes()).not_valid_before_utc)
    assert "is not a CA that the fleet of this database trusts" in refused(tmp_path, *start(used))


def test_an_imported_rsa_ca_is_a_fleet_s_as_any_other(data: Path, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-keyout", "k.pem", "-out", "c.pem", "-days", "9",
         "-subj", "/CN=an organisation", "-addext", "keyUsage=critical,keyCertSign"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    files = (f"--key={tmp_path}/k.pem", f"--certificate={tmp_path}/c.pem")
    assert run("ca", "import", f"--data={data}", *files)[0] == 0
    collector = Running(data)
    web1 = collector.join("web1")
    with collector.channel(web1) as channel:
        assert ReportStream(channel).open(messages.hello()).credit
    assert collector.terminate() == 0
    assert "has a CA already" in refused(tmp_path, "ca", "import", f"--data={data}", *files)


def test_a_key_from_the_service_manager_s_credentials_is_as_good(
    used: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").mkdir()
    (used / "ca.key").rename(tmp_path / "credentials" / "ca.key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    collector = Running(used)
    collector.join("web1")
    assert collector.terminate() == 0
    assert not (used / "ca.key").exists()


def test_the_ca_is_rotated_across_a_kill_after_each_step_and_an_old_session_does_not_outlive_it(data: Path) -> None:
    collector = Running(data)
    web1 = collector.join("web1")
    left = collector.join("left-behind")
    for step in ("", "--finish", "--retire"):
        with collector.channel(web1) as channel:
            ReportStream(channel).open(messages.hello())
        assert rotate(collector, *step.split(), "--leave-behind") == 0
        collector.kill()
        collector = Running(data)
        if step != "--retire":
            web1 = renew(collector, web1)
    assert [one["standing"] for one in shown(data)] == ["issuing"]
    with collector.channel(web1) as channel:
        assert ReportStream(channel).open(messages.hello()).credit
    # It trusts the former alone, so it is the one to refuse; and with the new one's certificate it is refused.
    for ca_pem in (left.ca_pem, collector.ca_pem):
        with collector.channel(Identity("left-behind", left.key_pem, left.certificate_pem, ca_pem)) as channel:
            stream = ReportStream(channel)
            stream.send(hello=messages.hello())
            assert ended_with(stream)[0] is grpc.StatusCode.UNAVAILABLE
    assert [file.name for file in sorted(data.glob("ca*"))] == ["ca.key", "ca.pem"]
    assert problems(data) == []
    assert collector.terminate() == 0


def test_a_stream_over_a_certificate_of_a_ca_that_is_retired_is_ended(data: Path) -> None:
    collector = Running(data)
    web1 = collector.join("web1")
    with collector.channel(web1) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        for step in ("", "--finish", "--retire"):
            assert rotate(collector, *step.split(), "--leave-behind") == 0
        code, sentence = ended_with(stream)
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert "a CA that this fleet does not trust any more" in sentence
    assert collector.terminate() == 0


def test_each_step_is_logged_and_so_is_one_that_would_leave_somebody_behind(data: Path) -> None:
    collector = Running(data)
    collector.join("web1")
    assert rotate(collector) == 0
    assert rotate(collector, "--finish") != 0
    with collector.admin() as channel:
        log = admin_pb2_grpc.AdminServiceStub(channel).ListLog(admin_pb2.ListLogRequest(), timeout=DEADLINE_S)
    said = [(one.action, one.subject, one.result) for one in log.entries if one.action == "rotate-ca"]
    assert said == [("rotate-ca", "finish", "refused: 1 would be left behind"), ("rotate-ca", "begin", "done")]
    assert {login for login, *_ in logged(collector, "rotate-ca")} == {getpass.getuser()}
    assert rotate(collector, "--finish", "--leave-behind") == 0
    with collector.admin() as channel:
        log = admin_pb2_grpc.AdminServiceStub(channel).ListLog(admin_pb2.ListLogRequest(limit=1), timeout=DEADLINE_S)
    assert [(one.action, one.subject, one.result) for one in log.entries] == [
        ("rotate-ca", "finish --leave-behind", "done")
    ]
    assert problems(data) == []
    assert collector.terminate() == 0


def test_hosts_that_do_not_renew_are_told_by_doctor_log_and_metric(data: Path) -> None:
    first = Running(data)
    first.join("web1")
    first.join("web2")
    assert first.terminate() == 0
    assert problems(data) == []
    in_five_days_us = (time.time_ns() // 1_000) + 5 * 86_400_000_000
    with closing(sqlite3.connect(data / "fleetnet.db")) as database, database:
        database.execute("UPDATE certificates SET until_us = ? WHERE name = 'web2'", (in_five_days_us,))
    [problem] = problems(data)
    assert "end within a week, or have ended, and were not renewed (1, of which 0 have ended: web2)" in problem
    collector = Running(data)
    assert "fleetnet_host_certificates_ending 1.0" in get(collector, "/metrics")[1]
    assert "hosts=1 first=web2" in collector.await_log("certificates of hosts end within a week")
    assert collector.terminate() == 0


def test_without_a_collector_nothing_is_rotated(used: Path, tmp_path: Path) -> None:
    said = refused(tmp_path, "ca", "rotate", f"--data={used}", f"--admin-socket={used}/admin.sock")
    assert "no collector answers at" in said


def test_a_collector_without_the_key_serves_hosts_issues_nothing_and_takes_a_newer_pair(
    data: Path, tmp_path: Path, database: str
) -> None:
    url = f"--database={database}"
    first = Running(data, url)
    web1 = first.join("web1")
    other = tmp_path / "other"
    issue = ("ca", "issue-server", f"--data={data}", url, f"--out={other}", "--name=localhost", "--address=127.0.0.1")
    assert run(*issue)[0] == 0
    assert sorted(os.listdir(other)) == ["server.key", "server.pem", "trust.pem"]
    made = x509.load_pem_x509_certificate((other / "server.pem").read_bytes())
    assert logged(first, "issue-server") == [
        (getpass.getuser(), "command line", f"127.0.0.1 localhost until {made.not_valid_after_utc:%Y-%m-%d} "
         f"serial {made.serial_number:x}", "done")
    ]  # fmt: skip
    assert (other / "server.key").stat().st_mode & 0o777 == 0o600
    second = Running(other, url)
    with second.channel(web1) as channel:
        stream = ReportStream(channel)
        assert stream.open(messages.hello()).credit
        stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
        stream.await_ack(1)
        with pytest.raises(grpc.RpcError) as not_here:
            renew(second, web1)
        assert isinstance(not_here.value, grpc.Call)
        assert "does not have the key" in (not_here.value.details() or "")
        secret, _ = tokens.decode(second.token("web2"))
        with pytest.raises(grpc.RpcError):
            second.enroll(secret, new_request())
        assert first.enroll(secret, new_request()).host == "web2"
        assert len(shown(data, url)[0]["collectors_of_it"]) == 2
        assert problems(other, url) == []
        stream.close()
    # The CA changes on the first; the other follows by the database.
    assert rotate(first) == 0
    second.await_log("other CAs are trusted")
    web1 = renew(first, web1)
    with second.channel(web1) as channel:
        ReportStream(channel).open(messages.hello())
    assert second.terminate() == 0
    assert first.terminate() == 0
