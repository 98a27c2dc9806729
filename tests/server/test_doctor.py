"""`fleetnet-server migrate` and `fleetnet-server doctor`."""

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleetnet_server.main import main
from server.agents import DEADLINE_S
from server.running import SCRIPT, Running, run, starts_well


def test_migrate_makes_a_database_and_leaves_one_alone_that_is_up_to_date(data: Path) -> None:
    data.mkdir(mode=0o700)
    up_to_date = "fleetnet-server: the database is up to date\n"
    planned = run("migrate", "--plan", f"--data={data}")[1].splitlines()
    assert planned[0].startswith("fleetnet-server: step 0001: The first tables: ")
    assert planned[-1] == f"fleetnet-server: {len(planned) - 1} steps are due; nothing was changed"
    assert not list(data.iterdir())
    status, said = run("migrate", f"--data={data}")
    assert (status, said) == (0, "\n".join(planned[:-1]) + "\n" + up_to_date)
    assert run("migrate", f"--data={data}") == (0, up_to_date)
    assert run("migrate", "--plan", f"--data={data}") == (0, up_to_date)
    assert starts_well(data)


def test_migrate_makes_no_directory_where_none_is(data: Path) -> None:
    command = [str(SCRIPT), "migrate", f"--data={data}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == 2
    assert (
        done.stderr
        == f"fleetnet-server: there is no directory {data}; give the one that the collector runs on with --data\n"
    )
    assert not data.exists()


def test_the_doctor_finds_nothing_wrong_with_a_healthy_collector_running_or_not(data: Path) -> None:
    running = Running(data)
    status, said = run("doctor", f"--data={data}")
    assert (status, {line.split()[0] for line in said.splitlines()}) == (0, {"ok"}), said
    assert f"fleetnet.db (SQLite {sqlite3.sqlite_version}), whole" in said
    assert running.terminate() == 0
    status, said = run("doctor", f"--data={data}")
    assert (status, {line.split()[0] for line in said.splitlines()}) == (0, {"ok"}), said


def _foreign_file(data: Path) -> None:
    (data / "fleetnet.db").write_bytes(b"not a database" * 1_000)


def _newer(data: Path) -> None:
    with sqlite3.connect(data / "fleetnet.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def _open_to_all(data: Path) -> None:
    data.chmod(0o755)


def _key_open_to_all(data: Path) -> None:
    (data / "ca.key").chmod(0o644)


def _no_server_certificate(data: Path) -> None:
    (data / "server.pem").unlink()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_open_to_all, "others can look into"),
        (_key_open_to_all, "others can read the key"),
        (_no_server_certificate, "server.pem; where no collector has run yet start it"),
        (_foreign_file, "is damaged or is no SQLite file"),
        (_newer, "the tables are at step 9999"),
    ],
)
def test_the_doctor_names_each_problem_and_what_to_do(used: Path, harm: Callable[[Path], None], words: str) -> None:
    harm(used)
    status, said = run("doctor", f"--data={used}")
    (problem,) = (line for line in said.splitlines() if line.startswith("problem"))
    assert status == 2
    assert words in problem
    assert ";" in problem


def test_counts_that_are_not_what_there_is_are_named_and_can_be_counted_anew(used: Path) -> None:
    with contextlib.closing(sqlite3.connect(used / "fleetnet.db")) as conn, conn:
        conn.execute(
            "INSERT INTO hosts (host_id, name, status, enrolled_at_us, certificate_serial, generation, whole,"
            " latest_us) VALUES (77, 'web77', 'active', 1, '0a', 0, 1, 0)"
        )
        conn.execute(
            "INSERT INTO counts (host_id, protocol, state, sockets, listeners, highest) VALUES (77, 6, 10, 3, 3, 3)"
        )
    status, said = run("doctor", f"--data={used}")
    (problem,) = (line for line in said.splitlines() if line.startswith("problem"))
    assert status == 2
    assert "of 1 of 1 hosts (web77)" in problem
    assert "`fleetnet-server migrate --recount`" in problem
    recounted = (
        "fleetnet-server: what hosts hold open was counted anew (hosts: 1)\n"
        "fleetnet-server: the database is up to date\n"
    )
    assert run("migrate", "--recount", f"--data={used}") == (0, recounted)
    assert run("doctor", f"--data={used}")[0] == 0


def test_the_doctor_says_so_where_no_collector_has_ever_run(data: Path) -> None:
    status, said = run("doctor", f"--data={data}")
    assert status == 2
    assert "there is no directory" in said


@contextlib.contextmanager
def as_a_user_without_rights() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("command", ["doctor", "migrate", "quarantine", "backup"])
def test_who_may_not_look_there_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    arguments = [command, f"--data={closed / 'data'}", *(["kept"] if command == "backup" else [])]
    main(arguments)  # so that all that it needs is there
    capsys.readouterr()
    with as_a_user_without_rights():
        assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("fleetnet-server: ")
    assert "cannot be used by this user: Permission denied; run this as the collector's user" in said


def _changed(conn: sqlite3.Connection) -> None:
    conn.execute("UPDATE log SET who = 'mallory' WHERE number = 2")


def _deleted(conn: sqlite3.Connection) -> None:
    conn.execute("DELETE FROM log WHERE number = 2")


_LIKE = "at_us, who, login, peer, action, 'web9', result"


def _inserted(conn: sqlite3.Connection) -> None:
    for number in (3, 2):
        conn.execute("UPDATE log SET number = number + 1 WHERE number = ?", (number,))
    conn.execute(f"INSERT INTO log SELECT 2, {_LIKE}, before, hash FROM log WHERE number = 1")


def _appended(conn: sqlite3.Connection) -> None:
    conn.execute(f"INSERT INTO log SELECT 4, {_LIKE}, hash, hash FROM log WHERE number = 3")


def test_the_doctor_finds_where_the_log_of_administration_was_tampered_with(data: Path) -> None:
    running = Running(data)
    for n in range(3):
        running.token(f"web{n}")
    assert running.terminate() == 0
    assert "ok       log of administration, unbroken (entries: 3)" in run("doctor", f"--data={data}")[1]
    as_it_was = (data / "fleetnet.db").read_bytes()
    for tamper, at in ((_changed, 2), (_deleted, 2), (_inserted, 2), (_appended, 4)):
        (data / "fleetnet.db").write_bytes(as_it_was)
        with contextlib.closing(sqlite3.connect(data / "fleetnet.db")) as conn, conn:
            tamper(conn)
        status, said = run("doctor", f"--data={data}")
        assert status == 2
        assert f"problem  the log of administration is broken at entry {at}: somebody has changed it" in said
