"""The keys of CAs: each is known by what it holds, and no stop between two files loses one."""

import datetime
import itertools
import shutil
from pathlib import Path

import pytest
from fleetnet_server.identity import ca, files, keyring
from fleetnet_server.identity.ca import Authority
from fleetnet_server.identity.keyring import Keyring

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def two(directory: Path) -> tuple[Authority, Authority]:
    """The one that issues, and one beside it."""
    first = ca.open_authority(directory, NOW)
    return first, Keyring(directory).make(NOW)


def held(directory: Path, credentials: Path | None = None) -> set[str]:
    return {one.fingerprint for one in Keyring(directory, credentials)}


def test_one_that_is_made_stands_beside_the_one_that_issues_and_is_found_again(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    assert held(tmp_path) == {first.fingerprint, second.fingerprint}
    assert ca.open_authority(tmp_path, NOW).fingerprint == first.fingerprint
    for file in keyring.files(tmp_path):
        assert file.stat().st_mode & 0o777 == (0o600 if file.suffix == ".key" else 0o644)


def test_put_in_order_the_one_that_issues_has_the_plain_names_and_the_former_stays(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    both = frozenset({first.fingerprint, second.fingerprint})
    Keyring(tmp_path).put_in_order(second.fingerprint, both)
    assert ca.open_authority(tmp_path, NOW).fingerprint == second.fingerprint
    assert held(tmp_path) == both
    assert len(keyring.files(tmp_path)) == 4
    Keyring(tmp_path).put_in_order(first.fingerprint, both)
    assert ca.open_authority(tmp_path, NOW).fingerprint == first.fingerprint
    Keyring(tmp_path).put_in_order(first.fingerprint, frozenset({first.fingerprint}))
    assert held(tmp_path) == {first.fingerprint}
    assert [file.name for file in keyring.files(tmp_path)] == ["ca.key", "ca.pem"]


def test_a_stop_between_any_two_files_loses_no_key_and_the_next_start_puts_them_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tmp_path / "before"
    before.mkdir()
    first, second = two(before)
    both, whole = frozenset({first.fingerprint, second.fingerprint}), files.write_private
    for step in itertools.count():
        directory = tmp_path / f"stopped{step}"
        shutil.copytree(before, directory)
        left = itertools.count(step, -1)

        def write(path: Path, content: bytes, mode: int = 0o600, left: "itertools.count[int]" = left) -> None:
            if next(left) == 0:
                raise KeyboardInterrupt
            whole(path, content, mode)

        with monkeypatch.context() as patched:
            for module in (files, keyring):
                patched.setattr(module, "write_private", write)
            try:
                Keyring(directory).put_in_order(second.fingerprint, both)
            except KeyboardInterrupt:
                stopped = True
            else:
                stopped = False
        assert held(directory) == both
        Keyring(directory).put_in_order(second.fingerprint, both)
        assert ca.open_authority(directory, NOW).fingerprint == second.fingerprint
        assert held(directory) == both
        if not stopped:
            assert step >= 4
            return


def test_a_key_that_the_service_manager_lends_is_used_and_never_written(tmp_path: Path) -> None:
    data, lent = tmp_path / "data", tmp_path / "credentials"
    data.mkdir()
    lent.mkdir()
    first = ca.open_authority(data, NOW)
    (data / "ca.key").rename(lent / "ca.key")
    assert held(data) == set()
    assert held(data, lent) == {first.fingerprint}
    ring = Keyring(data, lent)
    second = ring.make(NOW)
    both = frozenset({first.fingerprint, second.fingerprint})
    ring.put_in_order(first.fingerprint, both)
    assert not (data / "ca.key").exists()
    ring.put_in_order(second.fingerprint, both)
    kept = [ca.read_key(file).public_key() for file in keyring.files(data) if file.suffix == ".key"]
    assert kept == [second.certificate.public_key()]
    assert held(data, lent) == both
