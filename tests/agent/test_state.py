"""The state directory: private, whole at every moment, and plain about what is wrong with it."""

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from agent.authority import Authority
from fleetnet_agent import keys, state
from fleetnet_agent.errors import AgentError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_saved_is_loaded(tmp_path: Path, authority: Authority) -> None:
    saved = authority.write_state(tmp_path / "state", "web1", ["198.18.0.1:7443", "[2001:db8::1]:7443"])
    assert state.load(tmp_path / "state") == saved


def test_the_directory_and_the_key_are_private(tmp_path: Path, authority: Authority) -> None:
    directory = tmp_path / "state"
    directory.mkdir(mode=0o755)
    authority.write_state(directory, "web1", ["a:1"])
    assert mode(directory) == 0o700
    assert mode(directory / "agent.key") == 0o600
    assert sorted(p.name for p in directory.iterdir()) == ["agent.json", "agent.key", "agent.pem", "ca.pem"]


def test_two_agents_never_run_on_one_directory(tmp_path: Path) -> None:
    with (
        state.held(tmp_path),
        pytest.raises(AgentError, match=r"another agent runs on .*; end it first"),
        state.held(tmp_path),
    ):
        pytest.fail("the second got in")
    with state.held(tmp_path):
        pass


def test_a_host_that_is_not_enrolled_is_told_how_to_enroll(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"is not enrolled: .*; run `fleetnet-agent enroll --server"):
        state.load(tmp_path / "nothing")


@pytest.mark.parametrize("damage", ["", "{", '{"host": "web1"}', "[]", '{"host": 1, "report_addresses": 5}'])
def test_damaged_facts_are_a_sentence(enrolled: Callable[..., Path], damage: str) -> None:
    directory = enrolled("a:1")
    (directory / "agent.json").write_text(damage)
    with pytest.raises(AgentError, match="is damaged"):
        state.load(directory)


@pytest.mark.parametrize("damage", ["missing", "empty", "another"])
def test_a_key_that_does_not_fit_is_a_sentence(enrolled: Callable[..., Path], damage: str) -> None:
    key = enrolled("a:1") / "agent.key"
    if damage == "missing":
        key.unlink()
    else:
        key.write_bytes(b"" if damage == "empty" else keys.make_key_and_request().key_pem)
    with pytest.raises(AgentError, match="enroll again with --force"):
        state.load(key.parent)


def renewed(authority: Authority, directory: Path) -> tuple[state.Identity, state.Identity]:
    old = state.load(directory)
    made = keys.make_key_and_request()
    state.prepare(directory, made.key_pem)
    fresh = state.Identity(
        host=old.host,
        report_addresses=old.report_addresses,
        key_pem=made.key_pem,
        certificate_pem=authority.host(old.host, made.request_der),
        ca_pem=old.ca_pem,
        valid_from_us=old.valid_from_us,
        valid_until_us=old.valid_until_us,
    )
    return old, fresh


@pytest.mark.parametrize("stop_at", range(9))
def test_a_stop_at_any_rename_leaves_an_old_or_a_new_identity_that_works(
    enrolled: Callable[..., Path], authority: Authority, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    directory = enrolled("a:1")
    old, fresh = renewed(authority, directory)
    renames = 0
    replace = Path.replace

    def replace_or_stop(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames > stop_at:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_or_stop)
        try:
            state.save(directory, fresh)
            finished = True
        except KeyboardInterrupt:
            finished = False
    found = state.load(directory)
    assert found.certificate_pem in (old.certificate_pem, fresh.certificate_pem)
    assert keys.belongs_to(found.certificate_pem, found.key_pem)
    assert not finished or found == fresh


def test_a_full_disk_is_a_sentence_and_leaves_the_old_identity(
    enrolled: Callable[..., Path], authority: Authority
) -> None:
    directory = enrolled("a:1")
    old = state.load(directory)
    made = keys.make_key_and_request()
    # A file size limit is what an unprivileged test has of a full disk; the kernel reports EFBIG where a disk says
    # ENOSPC, and the way through the code is the same.
    script = (
        "import resource, signal, sys; from pathlib import Path; from fleetnet_agent import state; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50)); "
        "from fleetnet_agent.errors import AgentError\n"
        "try: state.prepare(Path(sys.argv[1]), sys.stdin.buffer.read())\n"
        "except AgentError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, directory], input=made.key_pem, capture_output=True, check=True
    )
    assert b"cannot be written: File too large" in done.stdout
    assert state.load(directory) == old
    assert sorted(p.name for p in directory.iterdir()) == ["agent.json", "agent.key", "agent.pem", "ca.pem"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 50


@pytest.mark.root
def test_a_really_full_disk_is_a_sentence(tmp_path: Path) -> None:
    script = (
        f"mount -t tmpfs -o size=16k tmpfs {tmp_path};"
        f"dd if=/dev/zero of={tmp_path}/filler bs=1k count=16 status=none;"
        f'{sys.executable} -c "from pathlib import Path; from fleetnet_agent import state\n'
        f"state.prepare(Path('{tmp_path}/state'), b'k' * 300)\""
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert "has no room for this host's identity" in done.stderr


def test_a_directory_that_may_not_be_written_is_a_sentence() -> None:
    # In /sys nobody may make a directory, not even root.
    with pytest.raises(AgentError, match=r"cannot be written: .*; run as its owner or name another --state"):
        state.prepare(Path("/sys/fleetnet/state"), b"key")


@pytest.mark.root
def test_root_leaves_the_identity_to_the_owner_of_the_directory(tmp_path: Path, authority: Authority) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    os.chown(directory, 65534, 65534)
    authority.write_state(directory, "web1", ["a:1"])
    assert {(p.stat().st_uid, p.stat().st_gid) for p in directory.iterdir()} == {(65534, 65534)}
