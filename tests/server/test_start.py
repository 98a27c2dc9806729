"""What keeps a collector from starting is one sentence on stderr, status 2, and nothing touched."""

import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from server.running import refused, start, starts_well


@pytest.mark.parametrize("option", ["--listen", "--enroll-listen"])
def test_a_port_in_use_is_said_in_one_sentence(data: Path, tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        sentence = refused(tmp_path, *start(data, f"{option}={address}"))
    assert sentence == (
        f"fleetnet-server: {option} {address} is in use by another program; stop it, or choose another port"
    )


def _file_for_directory(data: Path) -> None:
    shutil.rmtree(data)
    data.write_text("")


def _foreign_file(data: Path) -> None:
    (data / "fleetnet.db").write_bytes(b"not a database" * 1_000)


def _directory_for_file(data: Path) -> None:
    (data / "fleetnet.db").unlink()
    (data / "fleetnet.db").mkdir()


def _broken_page(data: Path) -> None:
    database = data / "fleetnet.db"
    content = bytearray(database.read_bytes())
    content[4_096:] = os.urandom(len(content) - 4_096)
    database.write_bytes(content)


def _newer(data: Path) -> None:
    with sqlite3.connect(data / "fleetnet.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def _no_ca_key(data: Path) -> None:
    (data / "ca.key").unlink()


def _ca_key_unreadable(data: Path) -> None:
    (data / "ca.key").unlink()
    (data / "ca.key").mkdir()


def _file_for_socket(data: Path) -> None:
    (data / "admin.sock").write_text("mine")


def _link_for_lock(data: Path) -> None:
    (data / "lock").unlink()
    (data / "lock").symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_file_for_directory, "is not a directory, or not in one; choose another with --data"),
        (_foreign_file, "is damaged or is no SQLite file"),
        (_directory_for_file, "is a directory; name a file in it"),
        (_broken_page, "is damaged or is no SQLite file"),
        (_newer, "was written by a newer fleetnet-server"),
        (_no_ca_key, r"ca\.key is missing"),
        (_ca_key_unreadable, "keys in .* cannot be read or written"),
        (_file_for_socket, "is there and is not a socket"),
        (_link_for_lock, "data directory .* cannot be used"),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_one_sentence_and_left_alone(
    used: Path, tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    harm(used)
    before = _content(used)
    assert re.search(words, refused(tmp_path, *start(used)))
    assert _content(used) == before


def _content(data: Path) -> dict[str, bytes]:
    # The lock is taken, and SQLite may make a new shared-memory file beside a database that it looks at.
    kept = [
        path for path in sorted(data.glob("*")) if path.is_file() and not path.name.endswith(("lock", "-shm", "-wal"))
    ]
    return {path.name: path.read_bytes() for path in kept}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--listen=nonsense", "--listen 'nonsense' is not HOST:PORT"),
        ("--listen=192.0.2.1:7443", "--listen 192.0.2.1:7443 is not an address of this machine"),
        ("--enroll-listen=no-such-host.invalid:1", "the host is not known here"),
        ("--advertise=0.0.0.0:7443", "is nowhere a host can connect to"),
        ("--database=mysql://localhost/x", "cannot be used by this version"),
        ("--database=nonsense", "is not a database URL"),
        ("--data=/proc/fleetnet", "the data directory /proc/fleetnet cannot be used"),
        ("--config=/proc/no-such-file", "there is no configuration file"),
    ],
)
def test_a_wrong_option_is_said_in_one_sentence(data: Path, tmp_path: Path, option: str, words: str) -> None:
    assert words in refused(tmp_path, *start(data, option))


def test_a_directory_that_others_use_is_neither_used_nor_closed(data: Path, tmp_path: Path) -> None:
    data.mkdir(mode=0o755)
    (data / "theirs").write_text("untouched")
    assert "holds files that are not the collector's" in refused(tmp_path, *start(data))
    assert stat.S_IMODE(data.stat().st_mode) == 0o755
    assert os.listdir(data) == ["theirs"]


def test_an_empty_directory_made_by_hand_is_closed_to_others(data: Path) -> None:
    data.mkdir(mode=0o755)
    assert starts_well(data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_another_programs_socket_is_not_taken_over(data: Path, tmp_path: Path) -> None:
    data.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(data / "admin.sock"))
        theirs.listen()
        assert "another program serves the socket" in refused(tmp_path, *start(data))
    assert (data / "admin.sock").exists()


def test_help_does_not_wait_for_heavy_libraries() -> None:
    look = (
        "import sys, fleetnet_server.main\n"
        "print(sorted({'grpc', 'google', 'sqlalchemy', 'alembic', 'structlog', 'cryptography'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
