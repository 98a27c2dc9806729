"""Collectors as processes on PostgreSQL: how one is told of its database, and two of them before one."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import psycopg
import pytest
from fleetnet_proto.v1 import query_pb2
from server.agents import ReportStream, ended_with
from server.monitored import get
from server.postgresql import Server
from server.rpc import test_live as live_looks
from server.running import Running, launch, ports_of, refused, start, wait_for

from server import messages


@pytest.fixture
def database(postgresql: Server) -> Iterator[str]:
    """An empty database."""
    postgresql.execute("CREATE DATABASE of_a_collector")
    try:
        yield postgresql.url("of_a_collector")
    finally:
        postgresql.execute("DROP DATABASE of_a_collector WITH (FORCE)")


def run(*arguments: str) -> tuple[int, str]:
    process = launch(*arguments, log_file=Path(os.devnull))
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def test_a_collector_keeps_everything_on_the_server_and_no_file(data: Path, database: str) -> None:
    for first in (True, False):
        running = Running(data, f"--database={database}")
        if first:
            web1 = running.join("web1")
        with running.channel(web1) as channel:
            stream = ReportStream(channel)
            assert stream.open(messages.hello()).committed_sequence == (0 if first else 1)
            stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
            stream.await_ack(1)
            stream.close()
        assert ports_of(running, "web1") == [443]
        status, said = run("doctor", f"--data={data}", f"--database={database}")
        assert status == 0, said
        assert running.terminate() == 0
    assert not list(data.glob("*.db*"))


def test_migrate_makes_the_tables_and_the_doctor_says_before_that_they_are_missing(data: Path, database: str) -> None:
    assert Running(data).terminate() == 0
    told = (f"--data={data}", f"--database={database}")
    status, said = run("doctor", *told)
    assert status != 0
    assert "`fleetnet-server migrate`" in said
    status, said = run("migrate", *told)
    assert (status, said.splitlines()[-1]) == (0, "fleetnet-server: the database is up to date")
    assert run("doctor", *told)[0] == 0


def test_what_is_wrong_with_the_database_is_one_sentence_at_the_start(
    data: Path, tmp_path: Path, postgresql: Server
) -> None:
    nowhere = postgresql.url("nowhere")
    assert "is not there; CREATE DATABASE it" in refused(tmp_path, *start(data, f"--database={nowhere}"))
    with_password = nowhere.replace("postgres@", "postgres:secret@")
    said = refused(tmp_path, *start(data, f"--database={with_password}"))
    assert "holds a password, which others can read on the command line" in said
    assert "secret" not in said


def test_a_host_moves_between_two_collectors_that_share_database_and_ca(tmp_path: Path, database: str) -> None:
    one = Running(tmp_path / "one", f"--database={database}")
    (tmp_path / "other").mkdir(mode=0o700)
    for name in ("ca.pem", "ca.key"):
        shutil.copy(tmp_path / "one" / name, tmp_path / "other" / name)
    other = Running(tmp_path / "other", f"--database={database}")
    web1 = one.join("web1")
    with one.channel(web1) as here, other.channel(web1) as there:
        old, new = ReportStream(here), ReportStream(there)
        old.open(messages.hello())
        old.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
        old.await_ack(1)
        assert new.open(messages.hello()).committed_sequence == 1
        new.send(batch=messages.batch(2, messages.listener(80)))
        new.await_ack(2)
        # The old one hears of it when it has something to say.
        old.send(batch=messages.batch(2, messages.listener(81)))
        assert ended_with(old)[0] is grpc.StatusCode.ABORTED
        new.close()
    assert ports_of(one, "web1") == ports_of(other, "web1") == [80, 443]
    assert (one.terminate(), other.terminate()) == (0, 0)


def test_a_live_look_is_had_through_the_collector_that_the_host_does_not_report_to(
    tmp_path: Path, database: str
) -> None:
    one = Running(tmp_path / "one", f"--database={database}")
    (tmp_path / "other").mkdir(mode=0o700)
    for name in ("ca.pem", "ca.key"):
        shutil.copy(tmp_path / "one" / name, tmp_path / "other" / name)
    other = Running(tmp_path / "other", f"--database={database}")
    web1 = one.join("web1")
    with one.channel(web1) as channel, one.admin() as beside, other.admin() as admin:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
        stream.await_ack(1)
        for queries in (one.queries(beside), other.queries(admin)):
            host = live_looks.Host("web1", stream, queries)
            answer = host.ask()
            asked = host.asked()
            assert asked.wanted == live_looks.EVERYTHING
            stream.send(live=live_looks.part(asked.request, live_looks.live(443), last=False))
            stream.send(live=live_looks.part(asked.request, live_looks.live(80)))
            parts = answer.parts()
            assert [part.WhichOneof("part") for part in parts] == ["coverage", "page", "page", "end"]
            assert [item.socket.local_port for item in answer.items()] == [443, 80]
            assert answer.items()[0].timer == live_looks.live(443).timer
        answer = host.ask()
        stream.send(live=live_looks.part(host.asked().request, refused=True, trouble="busy just now"))
        code, words = answer.refusal()
        assert (code, "busy just now" in words) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
        stream.close()
        # Its end is noted a moment later.
        away = (grpc.StatusCode.UNAVAILABLE, "the agent of web1 is not connected to any collector")
        wait_for(
            lambda: ((told := host.ask().refusal())[0] is away[0] and away[1] in told[1]) or None, "that it is away"
        )
    assert (one.terminate(), other.terminate()) == (0, 0)


def test_a_question_whose_asker_is_gone_ends_on_the_server_and_holds_up_no_host(
    data: Path, database: str, postgresql: Server
) -> None:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%gaps%'"
    running = Running(data, f"--database={database}", "--question-timeout=600")
    web1 = running.join("web1")
    with (
        psycopg.connect(database.replace("+psycopg", "")) as holder,
        running.channel(web1) as channel,
        running.admin() as admin,
    ):
        holder.execute("LOCK TABLE gaps")
        calls = [running.queries(admin).ListSockets(query_pb2.ListSocketsRequest()) for _ in range(8)]
        assert wait_for(lambda: postgresql.asked(asked) > [3] or None, "questions that wait")
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1))
        stream.await_ack(1)
        for call in calls:
            call.cancel()
        assert wait_for(lambda: postgresql.asked(asked) == [0] or None, "the end of their statements")
        assert get(running, "/healthz") == (200, "ok\n")
        stream.close()
    assert ports_of(running, "web1") == []
    assert running.terminate() == 0
