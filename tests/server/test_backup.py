"""`fleetnet-server backup` and `restore`."""

import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import warm
from server.agents import DEADLINE_S, ReportStream
from server.messages import batch, hello, listener
from server.postgresql import Server
from server.running import Running, ports_of, starts_well


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Status and what was said of a command that ends by itself."""
    done = warm.SERVER.run([*map(str, arguments)], environment=os.environ, timeout=DEADLINE_S)
    return done.returncode, done.stdout, done.stderr


def well(*arguments: str | Path) -> str:
    status, said, complaint = run(*arguments)
    assert (status, complaint) == (0, ""), complaint
    return said


def refused(*arguments: str | Path) -> str:
    status, said, complaint = run(*arguments)
    assert (status, said, complaint.count("\n")) == (2, "", 1), complaint
    return complaint


def files(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir() if file.is_file() and file.name != "lock"}


def test_a_backup_is_of_one_moment_of_a_running_collector_and_is_gone_back_to(data: Path, tmp_path: Path) -> None:
    running, kept, elsewhere = Running(data), tmp_path / "kept", tmp_path / "elsewhere"
    identity = running.join("web1")
    with running.channel(identity) as channel:
        stream = ReportStream(channel)
        stream.open(hello())
        stream.send(batch=batch(1, listener(443), snapshot=True))
        stream.await_ack(1)
        assert "keep it as safe as the CA's key" in well("backup", f"--data={data}", kept)
        stream.send(batch=batch(2, listener(80)))
        stream.await_ack(2)
        stream.close()
    assert running.terminate() == 0
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    well("restore", f"--data={elsewhere}", kept)
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in elsewhere.iterdir()} == dict.fromkeys(
        ("ca.key", "ca.pem", "server.key", "server.pem", "fleetnet.db", "lock"), 0o600
    )
    again = Running(elsewhere)
    assert ports_of(again, "web1") == [443]
    # The host is known by the certificate that it has, and hears from where on it is to tell.
    with again.channel(identity) as channel:
        stream = ReportStream(channel)
        assert stream.open(hello()).committed_sequence == 1
        stream.close()
    assert again.terminate() == 0


def test_nothing_is_replaced(data: Path, tmp_path: Path, lived_in: Path) -> None:
    kept = tmp_path / "kept"
    well("backup", f"--data={lived_in}", kept)
    before = kept.read_bytes()
    assert "a backup never replaces one" in refused("backup", f"--data={lived_in}", kept)
    assert kept.read_bytes() == before
    assert starts_well(data)
    before_all = files(data)
    assert "is there already" in refused("restore", f"--data={data}", kept)
    assert files(data) == before_all


def test_a_restore_that_was_cut_short_is_done_again(data: Path, tmp_path: Path, lived_in: Path) -> None:
    kept = tmp_path / "kept"
    well("backup", f"--data={lived_in}", kept)
    well("restore", f"--data={data}", kept)
    (data / "fleetnet.db").rename(data / "fleetnet.db.new")
    (data / "server.pem").unlink()
    well("restore", f"--data={data}", kept)
    assert starts_well(data)


def _no_backup(kept: Path) -> None:
    kept.write_bytes(b"something else" * 1_000)


def _a_database(kept: Path) -> None:
    with sqlite3.connect(kept) as conn:
        conn.execute("DROP TABLE backup")
    conn.close()


def _cut_off(kept: Path) -> None:
    os.truncate(kept, kept.stat().st_size // 2)


def _of_a_newer(kept: Path) -> None:
    with sqlite3.connect(kept) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
    conn.close()


def _gone(kept: Path) -> None:
    kept.unlink()


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (_no_backup, "is no backup made by fleetnet-server, or is damaged; nothing was changed"),
        (_a_database, "is no backup"),
        (_cut_off, "damaged"),
        (_of_a_newer, "newer fleetnet-server"),
        (_gone, "there is no file"),
    ],
)
def test_what_is_no_whole_backup_is_left_out(
    data: Path, tmp_path: Path, lived_in: Path, harm: Callable[[Path], None], why: str
) -> None:
    kept = tmp_path / "kept"
    well("backup", f"--data={lived_in}", kept)
    harm(kept)
    assert why in refused("restore", f"--data={data}", kept)
    assert not list(data.glob("*.*"))


def test_what_is_no_collectors_directory_is_said(tmp_path: Path, lived_in: Path) -> None:
    assert "there is no database" in refused("backup", f"--data={tmp_path}", tmp_path / "kept")
    assert "cannot be used" in refused("backup", f"--data={lived_in}", tmp_path / "nowhere" / "kept")
    assert list(tmp_path.iterdir()) == []


def test_of_a_database_on_a_server_the_ca_is_kept(data: Path, tmp_path: Path, postgresql: Server) -> None:
    url = f"--database={postgresql.url()}"
    kept, elsewhere = tmp_path / "kept", tmp_path / "elsewhere"
    running = Running(data, url)
    identity = running.join("web1")
    assert running.terminate() == 0
    assert "pg_dump" in well("backup", f"--data={data}", url, kept)
    well("restore", f"--data={elsewhere}", url, kept)
    again = Running(elsewhere, url)
    with again.channel(identity) as channel:
        stream = ReportStream(channel)
        stream.open(hello())
        stream.close()
    assert again.terminate() == 0
    embedded = tmp_path / "embedded"
    assert starts_well(embedded)
    well("backup", f"--data={embedded}", tmp_path / "other")
    assert "cannot be put on a server" in refused("restore", f"--data={tmp_path / 'new'}", url, tmp_path / "other")
