"""The privileged helper as a process of its own, on a real socket."""

import contextlib
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleetnet_agent.helper import frames, protocol, server
from fleetnet_agent.helper.client import HelperClient, HelperUnavailableError
from fleetnet_agent.helper.server import Server
from fleetnet_agent.owners.scan import Question


def start(path: Path, *options: str, user: int | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fleetnet_agent.helper.main", "--socket", str(path), *options],
        stderr=subprocess.PIPE,
        text=True,
        user=user,
    )


@contextlib.contextmanager
def running(path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    with start(path, *options) as process:
        try:
            assert process.stderr
            assert "ready" in process.stderr.readline()
            yield process
        finally:
            process.terminate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "helper.sock"


@pytest.fixture
def helper(path: Path) -> Iterator[subprocess.Popen[str]]:
    with running(path) as process:
        yield process


@pytest.mark.usefixtures("helper")
def test_it_tells_who_holds_a_socket(path: Path) -> None:
    with socket.socket() as one:
        inode = os.fstat(one.fileno()).st_ino
        answer = HelperClient(path).scan(Question(inodes=frozenset({inode})))
    assert [(process.pid, process.inodes) for process in answer.processes] == [(os.getpid(), (inode,))]
    assert os.getpid() in answer.pids


@pytest.mark.usefixtures("helper")
def test_its_socket_is_for_its_user_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_told_to_end_it_removes_its_socket(path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with running(path) as process:
            process.send_signal(number)
            assert process.wait(10) == 0
        assert not path.exists()


def test_a_socket_that_is_served_is_not_taken_over(path: Path) -> None:
    with running(path) as first:
        with start(path) as second:
            _, said = second.communicate(timeout=10)
        assert second.returncode == 2
        assert said.count("\n") == 1
        assert "another process listens" in said
        HelperClient(path).scan(Question(inodes=frozenset()))
        assert first.poll() is None


def test_a_socket_that_was_left_behind_is_replaced(path: Path) -> None:
    with running(path) as killed:
        killed.kill()
        killed.wait(10)
    assert path.exists()
    with running(path):
        HelperClient(path).scan(Question(inodes=frozenset()))


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with start(path) as process:
        _, said = process.communicate(timeout=10)
    assert (process.returncode, path.read_text()) == (2, "precious")
    assert "not a socket" in said


def test_where_it_cannot_listen_it_says_so_in_one_sentence(tmp_path: Path) -> None:
    with start(tmp_path / "missing/helper.sock") as process:
        _, said = process.communicate(timeout=10)
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert "No such file" in said


def test_at_its_end_it_does_not_remove_the_socket_of_another(path: Path) -> None:
    first = Server(path, os.getuid())
    path.unlink()
    second = Server(path, os.getuid())
    first.close()
    assert path.exists()
    second.close()
    assert not path.exists()


def raw(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(path))
    return connection


@pytest.mark.usefixtures("helper")
def test_silent_and_slow_clients_do_not_keep_others_from_their_answer(path: Path) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(raw(path)) for _ in range(server.CLIENTS_AT_ONCE - 1)]
        silent[0].sendall(struct.pack("!I", 100) + b"{")
        assert HelperClient(path).scan(Question(inodes=frozenset())).pids


def test_a_place_that_a_silent_client_took_is_free_again_after_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CLIENT_HAS_S", 0.3)
    with _served(Server(path, os.getuid())), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(raw(path)) for _ in range(server.CLIENTS_AT_ONCE)]
        with pytest.raises(HelperUnavailableError):
            HelperClient(path).scan(Question(inodes=frozenset()))
        assert all(one.recv(1) == b"" for one in silent)  # the helper hangs up
        assert HelperClient(path).scan(Question(inodes=frozenset())).pids


@pytest.mark.parametrize("request_frame", [struct.pack("!I", 2**32 - 1), struct.pack("!I", 4) + b"nope"])
def test_a_request_that_is_too_long_or_none_leaves_it_working(
    request_frame: bytes, path: Path, helper: subprocess.Popen[str]
) -> None:
    with raw(path) as connection:
        connection.sendall(request_frame)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer == b"" or b"error" in answer
    assert HelperClient(path).scan(Question(inodes=frozenset())).pids
    assert helper.poll() is None


def test_a_client_that_is_not_allowed_gets_no_answer(path: Path) -> None:
    class Stranger(Server):
        """Allows nobody."""

        def __init__(self, path: Path) -> None:
            super().__init__(path, os.getuid())
            self._allowed = frozenset()

    with _served(Stranger(path)), pytest.raises(HelperUnavailableError, match=r"ended|reset|Broken pipe"):
        HelperClient(path).scan(Question(inodes=frozenset()))


@contextlib.contextmanager
def _served(serving: Server) -> Iterator[None]:
    def serve() -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            serving.serve()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        serving._listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        serving.close()
        assert not thread.is_alive()


@pytest.mark.root
def test_the_allowed_user_may_ask_and_another_may_not(path: Path, tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    ask = (
        "import os, sys; from pathlib import Path; from fleetnet_agent.helper.client import HelperClient, Question;"
        "os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]));"
        "print(len(HelperClient(Path(sys.argv[1])).scan(Question()).pids))"
    )

    def answered(user: int) -> bool:
        done = subprocess.run(
            [sys.executable, "-c", ask, str(path), str(user)], capture_output=True, text=True, check=False
        )
        assert "HelperUnavailableError" in done.stderr or done.returncode == 0
        return done.returncode == 0

    with running(path, "--allow-uid", "65534"):
        assert answered(65534)
        assert answered(0)
        assert not answered(65533)
        path.chmod(0o666)  # even where the file lets everybody in
        assert not answered(65533)


def test_a_client_without_a_helper_says_why(path: Path) -> None:
    with pytest.raises(HelperUnavailableError, match="No such file"):
        HelperClient(path).scan(Question())


def test_a_client_does_not_wait_for_ever(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        began_s = time.monotonic()
        with pytest.raises(HelperUnavailableError, match="within"):
            HelperClient(path, answer_within_s=0.2).scan(Question())
        assert time.monotonic() - began_s < 5


def test_a_client_takes_no_nonsense_for_an_answer(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        answering = threading.Thread(target=_answer_once, args=(listener, b'{"processes": [], "pids": {}}'))
        answering.start()
        with pytest.raises(HelperUnavailableError, match="not an answer"):
            HelperClient(path).scan(Question())
        answering.join(10)


def _answer_once(listener: socket.socket, raw: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        frames.receive(connection, protocol.REQUEST_BYTES, time.monotonic() + 10)
        frames.send(connection, raw, time.monotonic() + 10)


def test_a_helper_that_was_restarted_is_simply_there_again(path: Path) -> None:
    client = HelperClient(path)
    for _ in range(2):
        with running(path) as process:
            assert client.scan(Question(inodes=frozenset())).pids
            process.terminate()
            process.wait(10)
        with pytest.raises(HelperUnavailableError):
            client.scan(Question())


def test_every_option_has_its_environment_twin(path: Path) -> None:
    environment = {**os.environ, "FLEETNET_AGENT_HELPER_SOCKET": str(path), "FLEETNET_AGENT_HELPER_ALLOW_UID": "no"}
    done = subprocess.run(
        [sys.executable, "-m", "fleetnet_agent.helper.main"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--allow-uid" in done.stderr
    assert "required" not in done.stderr
