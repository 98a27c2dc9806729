"""The privileged helper as a process of its own, on a real socket."""

import contextlib
import json
import os
import resource
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
from fleetnet_agent.helper.requests import STATISTICS_FILES, Kind
from fleetnet_agent.helper.scan import Question
from fleetnet_agent.helper.server import Server


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


def test_it_ends_also_where_what_tells_it_to_is_lost_on_the_way(path: Path) -> None:
    program = (
        "from fleetnet_agent.helper import main, server\n"
        "serve = server.Server.serve\n"
        "def serve_on(self, *told):\n"
        "    try:\n"
        "        serve(self, *told)\n"
        "    except BaseException:\n"
        "        serve(self, *told)\n"
        "server.Server.serve = serve_on\n"
        f"raise SystemExit(main.main(['--socket', {str(path)!r}]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert "ready" in process.stderr.readline()
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert not path.exists()


def test_no_wait_for_a_client_is_for_ever_so_a_signal_that_came_just_before_it_is_noticed(path: Path) -> None:
    serving = Server(path, os.getuid())
    assert serving._listener.gettimeout() is None
    with _served(serving):
        HelperClient(path).scan(Question(inodes=frozenset()))
        waits_s = serving._listener.gettimeout()
        assert waits_s is not None
        assert waits_s <= 5


@pytest.mark.usefixtures("helper")
def test_its_socket_is_for_its_user_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_tells_its_service_manager_when_it_is_ready(path: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
            with start(path) as process:
                assert manager.recv(100) == b"READY=1"
                assert HelperClient(path).scan(Question(inodes=frozenset())).pids
                process.terminate()


def test_told_to_end_it_removes_its_socket(path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with running(path) as process:
            process.send_signal(number)
            assert process.wait(60) == 0
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
        serving.close()
        thread.join(60)
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


def test_a_path_that_is_too_long_for_a_socket_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 108)  # sun_path in linux/un.h, and the file system allows 255
    with start(path) as refused:
        _, said = refused.communicate()
    assert (refused.returncode, said) == (2, f"fleetnet-helper: cannot listen on {path}: AF_UNIX path too long\n")
    with pytest.raises(HelperUnavailableError, match="path too long"):
        HelperClient(path).scan(Question())


def test_a_client_does_not_wait_for_ever(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        began_s = time.monotonic()
        with pytest.raises(HelperUnavailableError, match="within"):
            HelperClient(path, answer_within_s=0.2).scan(Question())
        assert time.monotonic() - began_s < 20


def test_a_client_takes_no_nonsense_for_an_answer(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        answering = threading.Thread(target=_answer_once, args=(listener, b'{"processes": [], "pids": {}}'))
        answering.start()
        with pytest.raises(HelperUnavailableError, match="not an answer"):
            HelperClient(path).scan(Question())
        answering.join(10)


def _answer_once(listener: socket.socket, raw: bytes, descriptors: list[int] | None = None) -> None:
    connection, _ = listener.accept()
    with connection:
        frames.receive(connection, protocol.REQUEST_BYTES, time.monotonic() + 10)
        frames.send(connection, raw, time.monotonic() + 10, descriptors)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("announced", [0, 1, 3])
@pytest.mark.parametrize("question", ["open", "events"])
def test_a_client_keeps_no_descriptor_of_an_answer_with_another_number_of_them(
    path: Path, announced: int, question: str
) -> None:
    opened = json.dumps({"descriptors": [[7, "diag"]] * announced, "refused": []}).encode()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket() as one:
        listener.bind(str(path))
        listener.listen()
        before = open_descriptors()
        raw = opened if question == "open" else b'{"buffer_bytes": 1}'
        answering = threading.Thread(target=_answer_once, args=(listener, raw, [one.fileno()] * 2))
        answering.start()
        client = HelperClient(path)
        with pytest.raises(HelperUnavailableError, match="descriptors"):
            client.open(Kind.DIAG, [7]) if question == "open" else client.events(1)
        answering.join(10)
        assert open_descriptors() == before


def test_what_is_not_taken_out_of_an_answer_is_closed(path: Path) -> None:
    raw = json.dumps({"descriptors": [[7, "diag"], [7, "diag"], [8, "diag"]], "refused": [[9, "gone"]]}).encode()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket() as one:
        listener.bind(str(path))
        listener.listen()
        before = open_descriptors()
        answering = threading.Thread(target=_answer_once, args=(listener, raw, [one.fileno()] * 3))
        answering.start()
        with HelperClient(path).open(Kind.DIAG, [7, 8, 9]) as inside:
            os.close(inside.take(8)["diag"])
            assert inside.refused == {9: "gone"}
        answering.join(10)
        assert open_descriptors() == before


@pytest.mark.usefixtures("helper")
def test_it_lists_its_own_namespace(path: Path) -> None:
    listing = HelperClient(path).namespaces()
    assert listing.own == os.stat("/proc/self/ns/net").st_ino
    (own,) = [one for one in listing.namespaces if one.inode == listing.own]
    assert own.pids


@pytest.mark.root
@pytest.mark.usefixtures("helper")
@pytest.mark.parametrize(("kind", "names"), [("diag", {"diag"}), ("route", {"route"})])
def test_it_opens_sockets_inside_a_namespace_and_no_other(path: Path, kind: str, names: set[str]) -> None:
    client = HelperClient(path)
    own = client.namespaces().own
    with client.open(Kind(kind), [own, own + 1_000_000]) as inside:
        assert inside.refused == {own + 1_000_000: "No such file or directory"}
        opened = inside.take(own)
        assert opened.keys() == names
        for descriptor in opened.values():
            socket.socket(fileno=descriptor).close()


@pytest.mark.root
@pytest.mark.usefixtures("helper")
def test_it_opens_the_statistics_of_a_namespace(path: Path) -> None:
    client = HelperClient(path)
    own = client.namespaces().own
    with client.open(Kind.STATISTICS, [own]) as inside:
        opened = {name: os.fdopen(descriptor) for name, descriptor in inside.take(own).items()}
    assert {"snmp", "netstat", "dev"} <= opened.keys() <= set(STATISTICS_FILES)
    assert "lo:" in opened["dev"].read()
    for file in opened.values():
        file.close()


@pytest.mark.root
def test_nothing_that_it_opened_stays_open_in_it(path: Path, helper: subprocess.Popen[str]) -> None:
    client = HelperClient(path)

    def held() -> list[str]:
        # A moment after its answer the helper still has the connection on which it gave it.
        return sorted(os.listdir(f"/proc/{helper.pid}/fd"))

    own = client.namespaces().own
    before = held()
    for _ in range(5):
        for kind in Kind:
            with client.open(kind, [own]):
                pass
        client.events(1 << 16).close()
        client.namespaces()
    deadline_s = time.monotonic() + 10
    while len(held()) > len(before):
        assert time.monotonic() < deadline_s


@pytest.mark.root
@pytest.mark.usefixtures("helper")
def test_events_of_all_namespaces_come_with_the_buffer_that_was_asked_for(path: Path) -> None:
    with HelperClient(path).events(1 << 20) as events:
        assert events.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 << 20


def test_a_lack_of_descriptors_costs_an_answer_and_not_the_helper(path: Path, helper: subprocess.Popen[str]) -> None:
    client = HelperClient(path)
    held = set(map(int, os.listdir(f"/proc/{helper.pid}/fd")))
    lowest_free = min(set(range(len(held) + 1)) - held)
    limits = resource.prlimit(helper.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(helper.pid, resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    with raw(path) as waiting:  # accept() fails, and the connection waits
        waiting.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
    assert helper.poll() is None
    resource.prlimit(helper.pid, resource.RLIMIT_NOFILE, limits)
    assert client.scan(Question(inodes=frozenset())).pids


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
