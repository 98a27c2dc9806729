"""Key files are whole or not there, and nobody else's."""

import os
import stat
from pathlib import Path

import pytest
from fleetnet_server.identity.files import write_private


@pytest.fixture
def _open_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_open_umask")
def test_a_key_is_its_owners_alone_from_the_moment_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    really_open = os.open

    def watched(path: os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        descriptor = really_open(path, flags, mode)
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr("os.open", watched)
    write_private(tmp_path / "key", b"secret")
    assert modes[0] == 0o600
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_what_a_killed_process_left_behind_is_not_reused(tmp_path: Path) -> None:
    left = tmp_path / "key.new"
    left.write_bytes(b"half")
    left.chmod(0o644)
    write_private(tmp_path / "key", b"whole")
    assert (tmp_path / "key").read_bytes() == b"whole"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"untouched")
    (tmp_path / "key.new").symlink_to(other)
    write_private(tmp_path / "key", b"secret")
    assert other.read_bytes() == b"untouched"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(tmp_path / "key", b"new")
    assert (tmp_path / "key").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["key"]
