"""The command itself, as processes: what it prints, how it ends, what it leaves behind."""

import contextlib
import importlib.metadata
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agent.authority import Authority
from agent.conftest import Loop
from agent.loopback_collector import Collector
from fleetnet_agent.version import VERSION
from fleetnet_proto.v1 import sockets_pb2

SCRIPT = Path(sys.executable).parent / "fleetnet-agent"
SECRET = bytes(range(32))
DEADLINE_S = 60.0
# Two seconds, and a busy machine. What must not be waited for, a helper or an acknowledgement, takes 5 s and more.
SOON_S = 4.5
ANSWER = Path(__file__).parents[1] / "cli/golden/who-listens.json"

Enrolled = Callable[..., Path]


def agent(*words: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [SCRIPT, *words], capture_output=True, text=True, check=False, env=os.environ | environment, timeout=DEADLINE_S
    )


def one_sentence(done: "subprocess.CompletedProcess[str]") -> str:
    """What was said on stderr, which is one line and no traceback."""
    [line] = done.stderr.splitlines()
    assert line.startswith("fleetnet-agent: ")
    assert done.stdout == ""
    return line.removeprefix("fleetnet-agent: ")


class Running:
    """An agent process whose log lines are read one by one."""

    def __init__(self, *words: str | Path, command: list[str] | None = None, place: Path | None = None) -> None:
        whole = [*(command or [str(SCRIPT)]), *map(str, words)]
        self.process = subprocess.Popen(whole, stderr=subprocess.PIPE, cwd=place)
        self._rest = b""
        self.lines: list[str] = []

    def until(self, text: str) -> str:
        """Read until a line holds the text."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not any(text in line for line in self.lines):
            assert self.process.stderr
            ready, _, _ = select.select([self.process.stderr], [], [], max(0, deadline_s - time.monotonic()))
            more = os.read(self.process.stderr.fileno(), 65536) if ready else b""
            assert more, f"no {text!r} in {self.lines}"
            *whole, self._rest = (self._rest + more).split(b"\n")
            self.lines += [line.decode() for line in whole]
        return next(line for line in self.lines if text in line)

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send the signal; the status and how long the end took."""
        began_s = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S), time.monotonic() - began_s


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the agent puts what is to vanish with it."""
    directory = tmp_path / "t"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    return directory


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(*words: str | Path, command: list[str] | None = None, place: Path | None = None) -> Running:
        started.append(Running(*words, command=command, place=place))
        return started[-1]

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(DEADLINE_S)
        assert running.process.stderr
        running.process.stderr.close()


def gone(pid: int) -> bool:
    """True once the process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def await_true(true: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


def test_help_imports_neither_grpc_nor_cryptography() -> None:
    script = (
        "import sys\nfrom fleetnet_agent.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'grpc', 'cryptography', 'google', 'psutil', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_starts_the_helper_does_not_import_grpc() -> None:
    script = "import sys, fleetnet_agent.run, fleetnet_agent.privileges; print('grpc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_version_is_that_of_the_package() -> None:
    assert importlib.metadata.version("fleetnet-agent") == VERSION
    assert agent("--version").stdout == f"fleetnet-agent {VERSION}\n"


def test_enrolling_prints_what_to_do_next(collector: Collector, authority: Authority, tmp_path: Path) -> None:
    collector.tokens[SECRET] = "web1"
    (tmp_path / "token").write_text(authority.token(SECRET) + "\n")
    server = f"127.0.0.1:{collector.enroll_port}"
    done = agent("enroll", "--server", server, "--token-file", tmp_path / "token", "--state", tmp_path / "state")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"enrolled as web1; reports to {collector.address}; start with: "
        f"fleetnet-agent run{' --with-helper' if os.geteuid() == 0 else ''} --state {tmp_path}/state\n"
    )
    again = agent("enroll", "--server", server, "--token-file", tmp_path / "token", "--state", tmp_path / "other")
    assert again.returncode == 4
    assert one_sentence(again).startswith("the collector refused: token refused")


def test_a_token_comes_from_standard_input_too(collector: Collector, authority: Authority, tmp_path: Path) -> None:
    collector.tokens[SECRET] = "web1"
    done = subprocess.run(
        [SCRIPT, "enroll", "--token-file", "-"],
        input=authority.token(SECRET),
        env=os.environ
        | {"FLEETNET_AGENT_SERVER": f"127.0.0.1:{collector.enroll_port}", "FLEETNET_AGENT_STATE": str(tmp_path / "s")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "s/agent.pem").exists()


def test_nobody_at_the_collectors_port_is_status_5(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(authority.token(SECRET))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{unused.getsockname()[1]}"
        done = agent("enroll", "--server", server, "--token-file", tmp_path / "token", "--state", tmp_path / "s")
    assert done.returncode == 5
    assert "cannot be reached: Connection refused; check the address" in one_sentence(done)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["run", "--state", "/nonexistent"],
            "is not enrolled: /nonexistent holds no identity; run `fleetnet-agent enroll",
        ),
        (["enroll", "--token-file", "/nonexistent"], "give --server HOST:PORT"),
        (["enroll", "--server", "a:1"], "a token is needed; give --token-file FILE"),
        (["enroll", "--server", "a:1", "--token-file", "/nonexistent"], "the token file /nonexistent cannot be read"),
        (["run", "--config", "/nonexistent"], "the settings file /nonexistent does not exist"),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(words: list[str], sentence: str) -> None:
    done = agent(*words)
    assert done.returncode == 2
    assert sentence in one_sentence(done)


def test_a_run_reports_real_sockets_and_ends_within_two_seconds(
    loop: Loop, collector: Collector, enrolled: Enrolled, start: Callable[..., Running]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        running = start("run", "--state", enrolled(collector.address))
        running.until("acknowledged")
        ports = {row.local_port for row in collector.store.open.values()}
    assert port in ports
    loop.run(collector.until(lambda: port not in {row.local_port for row in collector.store.open.values()}))
    status, took_s = running.end()
    assert status == 0
    assert took_s < SOON_S
    assert "Traceback" not in "".join(running.lines)


def test_an_agent_without_its_collector_ends_within_two_seconds_too(
    enrolled: Enrolled, start: Callable[..., Running]
) -> None:
    running = start("run", "--state", enrolled("127.0.0.1:1"))
    line = running.until("no connection to 127.0.0.1:1")
    assert line == "fleetnet-agent: no connection to 127.0.0.1:1: Connection refused; trying again"
    status, took_s = running.end(signal.SIGINT)
    assert status == 0
    assert took_s < SOON_S


def test_in_the_middle_of_a_snapshot_that_nobody_stores_it_ends_within_two_seconds(
    loop: Loop, collector: Collector, enrolled: Enrolled, start: Callable[..., Running]
) -> None:
    loop.run(hold_back(collector))
    running = start("run", "--state", enrolled(collector.address))
    loop.run(collector.until(lambda: collector.received))
    status, took_s = running.end()
    assert status == 0
    assert took_s < SOON_S
    assert collector.store.whole_snapshots == 0


async def hold_back(collector: Collector) -> None:
    """Batches are read from now on, and not stored."""
    collector.accepts.clear()


def test_before_its_collector_has_said_anything_it_ends_within_two_seconds(
    enrolled: Enrolled, start: Callable[..., Running]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        running = start("run", "--state", enrolled(f"127.0.0.1:{silent.getsockname()[1]}"))
        running.until("reports as")
        connection, _ = silent.accept()
        with connection:
            status, took_s = running.end()
    assert status == 0
    assert took_s < SOON_S


def test_with_a_helper_that_hangs_it_ends_within_two_seconds_and_the_helper_ends_once_it_can(
    loop: Loop, collector: Collector, enrolled: Enrolled, start: Callable[..., Running], temporary: Path
) -> None:
    running = start("run", "--state", enrolled(collector.address), "--with-helper")
    running.until("acknowledged")
    [helper] = running.children()
    os.kill(helper, signal.SIGSTOP)
    try:
        loop.run(hold_back(collector))
        received = len(collector.received)
        with socket.create_server(("127.0.0.1", 0)):
            loop.run(collector.until(lambda: len(collector.received) > received))
            status, took_s = running.end()
        assert status == 0
        assert took_s < SOON_S
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(helper, signal.SIGCONT)
    await_true(lambda: gone(helper), "the helper outlived its agent")
    await_true(lambda: not list(temporary.iterdir()), "the helper left its socket")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_helper_never_outlives_its_agent_and_leaves_nothing(
    collector: Collector, enrolled: Enrolled, start: Callable[..., Running], temporary: Path, number: int
) -> None:
    running = start("run", "--state", enrolled(collector.address), "--with-helper")
    running.until("acknowledged")
    [helper] = running.children()
    assert len(list(temporary.glob("*/helper.sock"))) == 1
    running.end(number)
    await_true(lambda: gone(helper), "the helper outlived its agent")
    await_true(lambda: not list(temporary.iterdir()), "the helper left its socket")


def test_an_agent_over_its_budget_reports_on_and_says_what_it_does_less(
    loop: Loop, collector: Collector, enrolled: Enrolled, start: Callable[..., Running]
) -> None:
    running = start("run", "--state", enrolled(collector.address), "--memory-ceiling-mib", "1")
    line = running.until("source budget")
    assert re.search(r"used \d+ MiB of memory where 1 are allowed: keeps no caches", line)
    loop.run(collector.until(lambda: collector.store.whole_snapshots == 1))
    told = [source for batch in list(collector.store.batches) for source in batch.sources if source.name == "budget"]
    assert not told[0].ok
    assert "keeps no caches" in told[0].detail
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        loop.run(collector.until(lambda: port in {row.local_port for row in collector.store.open.values()}))


def test_the_service_manager_is_told_by_the_agent_alone(
    enrolled: Enrolled, start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        running = start("run", "--with-helper", "--state", enrolled("127.0.0.1:1"))
        assert manager.recv(4096) == b"READY=1", "without any collector"
        assert manager.recv(4096).startswith(b"STATUS=")
        assert running.end()[0] == 0
        told = [manager.recv(4096)]
        while told[-1] != b"STOPPING=1":
            told.append(manager.recv(4096))
    assert b"READY=1" not in told


def test_with_the_helper_the_owner_of_a_socket_is_told(
    collector: Collector, enrolled: Enrolled, start: Callable[..., Running]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        start("run", "--state", enrolled(collector.address), "--with-helper").until("acknowledged")
    owners = {
        batch.processes[index].pid
        for batch in list(collector.store.batches)
        for row in (*batch.opened, *batch.changed)
        if (row.local_port, row.state, row.key.netns) == (port, sockets_pb2.STATE_LISTEN, 0)
        for index in batch.holders[row.holder].owners
    }
    assert owners == {os.getpid()}


def test_an_agent_whose_helper_dies_says_so_and_goes_on(
    loop: Loop, collector: Collector, enrolled: Enrolled, start: Callable[..., Running], temporary: Path
) -> None:
    running = start("run", "--state", enrolled(collector.address), "--with-helper")
    running.until("acknowledged")
    [helper] = running.children()
    os.kill(helper, signal.SIGKILL)
    assert "stay unknown until the agent is restarted" in running.until("the helper ended")
    assert "restart the agent's service" in running.until("source owners: the helper")
    loop.run(collector.until(lambda: told_of_owners(collector)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        loop.run(collector.until(lambda: port in {row.local_port for row in collector.store.open.values()}))
    assert running.end()[0] == 0
    assert not list(temporary.iterdir())


def told_of_owners(collector: Collector) -> bool:
    told = [source for batch in collector.store.batches for source in batch.sources if source.name == "owners"]
    return "restart the agent's service" in told[-1].detail


def test_a_helper_that_is_there_already_is_left_alone(
    collector: Collector, enrolled: Enrolled, start: Callable[..., Running], temporary: Path
) -> None:
    path = temporary / "helper.sock"
    first = start("run", "--state", enrolled(collector.address), "--with-helper", "--helper-socket", path)
    first.until("acknowledged")
    second = agent("once", "--with-helper", "--helper-socket", path)
    assert second.returncode == 2
    assert f"a helper already answers on {path}; leave out --with-helper to use it" in one_sentence(second)
    assert agent("once", "--helper-socket", path).returncode == 0
    assert first.end()[0] == 0
    assert not path.exists()


@pytest.mark.root
def test_started_as_root_it_becomes_the_owner_of_the_state_for_good(
    collector: Collector, enrolled: Enrolled, start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = enrolled(collector.address)
    for path in (directory, *directory.iterdir()):
        os.chown(path, 65534, 65534)
    # Everything is imported before root is given up, for this Python may lie where only root can read.
    script = (
        "import sys, encodings.idna, grpc, fleetnet_agent.uplink.run, fleetnet_agent.watch; "
        "from fleetnet_agent.main import main; sys.exit(main(sys.argv[1:]))"
    )
    # And what it needs is named relative to where it stands, for the directories above that are root's alone.
    monkeypatch.setenv("TMPDIR", ".")
    running = start("run", "--with-helper", "--state", ".", command=[sys.executable, "-c", script], place=directory)
    running.until("acknowledged")
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    fields = {line.partition(":")[0]: line.partition(":")[2].split() for line in status.splitlines()}
    assert fields["Uid"] == fields["Gid"] == ["65534"] * 4
    assert fields["Groups"] == []
    assert fields["CapEff"] == fields["CapPrm"] == ["0" * 16]
    [helper] = running.children()
    assert Path(f"/proc/{helper}").stat().st_uid == 0
    assert running.end()[0] == 0
    await_true(lambda: gone(helper), "the helper outlived its agent")


@pytest.mark.root
def test_root_that_stays_root_says_so_once(
    collector: Collector, enrolled: Enrolled, start: Callable[..., Running]
) -> None:
    running = start("run", "--state", enrolled(collector.address))
    running.until("acknowledged")
    assert sum("stays root, for" in line for line in running.lines) == 1


def test_once_prints_what_would_be_sent_and_needs_no_state() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = agent("once", "-o", "json", "--with-helper", FLEETNET_AGENT_STATE="/nonexistent")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert (document["api_version"], document["kind"]) == ("fleetnet/v1", "SocketList")
    assert document["coverage"]["hosts_asked"] == 1
    wanted = ("host", "tcp", port, "LISTEN")
    [item] = [
        one for one in document["items"] if (one["netns"], one["protocol"], one["local_port"], one["state"]) == wanted
    ]
    assert item["host"] is None
    assert (item["family"], item["local_address"]) == ("ipv4", "127.0.0.1")
    assert (item["remote_address"], item["remote_port"]) == (None, None)
    assert (item["owner_status"], [owner["pid"] for owner in item["owners"]]) == ("known", [os.getpid()])
    assert item["uid"] == os.getuid()
    answered = json.loads(ANSWER.read_text())  # the shape that an answer of the fleet has
    assert list(document) == [*answered, "namespaces"]
    assert list(document["coverage"]) == list(answered["coverage"])
    assert {tuple(one) for one in document["items"]} == {tuple(answered["items"][0])}
    owners = {tuple(owner) for one in document["items"] for owner in one["owners"]}
    assert owners == {tuple(answered["items"][0]["owners"][0])}
    assert all(item["inode"] is None or item["inode"] > 0 for item in document["items"])


def test_once_shows_the_interfaces_and_routes_beside_the_sockets() -> None:
    (own,) = json.loads(agent("once", "-o", "json").stdout)["namespaces"]
    assert (own["netns"], own["unread"], own["routes_left_out"]) == ("host", False, 0)
    lo = own["interfaces"][0]
    assert (lo["index"], lo["name"], lo["hardware_address"], lo["driver"]) == (1, "lo", "00:00:00:00:00:00", None)
    assert {"address": "127.0.0.1", "prefix_length": 8, "peer": None, "scope": 254} in lo["addresses"]
    assert all(route["table"] != 255 for route in own["routes"])


def test_once_keeps_still_when_its_reader_has_seen_enough() -> None:
    with subprocess.Popen([SCRIPT, "once"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == b""


def test_doctor_says_what_is_right_and_what_to_do(collector: Collector, enrolled: Enrolled) -> None:
    directory = enrolled(collector.address)
    done = agent("doctor", "--state", directory, "--helper-socket", "/nonexistent")
    found = {line[8:].partition(": ")[0]: (line[:8].strip(), line[8:]) for line in done.stdout.splitlines()}
    assert done.returncode == 1, "there is no helper"
    assert found["helper"][0] == "missing"
    well = ("state", "state directory", "key", "certificate", "collector", "namespaces")
    assert all(found[topic][0] == "ok" for topic in well)
    assert "start fleetnet-helper --socket /nonexistent" in found["helper"][1]
    assert "source tcp" in found
    (directory / "agent.key").chmod(0o644)
    assert "mode 0644, so others may read it; chmod 600 it" in agent("doctor", "--state", directory).stdout


def test_doctor_says_what_waits_in_the_spool(collector: Collector, enrolled: Enrolled) -> None:
    state = enrolled(collector.address)
    assert "ok      spool: empty; up to 64 MiB are kept" in agent("doctor", "--state", state).stdout
    assert "ok      spool: switched off" in agent("doctor", "--state", state, "--spool-size", "0").stdout
    (state / "spool.db").write_bytes(bytes(3 << 20))
    said = agent("doctor", "--state", state, "--spool-size", "8").stdout
    assert "ok      spool: 3.0 MiB of 8 MiB wait for a collector, written " in said
    (state / "spool.damaged").touch()
    said = agent("doctor", "--state", state).stdout
    assert f"problem spool: {state / 'spool.damaged'} was damaged and set aside; look for a failing disk" in said


def test_doctor_says_the_same_as_json(collector: Collector, enrolled: Enrolled) -> None:
    directory = enrolled(collector.address)
    document = json.loads(agent("doctor", "-o", "json", "--state", directory).stdout)
    assert (document["api_version"], document["kind"]) == ("fleetnet/v1", "FindingList")
    plain = agent("doctor", "--state", directory).stdout.splitlines()
    assert [f"{one['verdict']:8}{one['topic']}" for one in document["items"]] == [line.split(": ")[0] for line in plain]
    assert all(one["words"] for one in document["items"])


def test_doctor_on_a_host_that_is_not_enrolled(tmp_path: Path) -> None:
    done = agent("doctor", "--state", tmp_path / "none")
    assert done.returncode == 1
    assert done.stdout.startswith("problem state: this host is not enrolled")
    assert done.stderr == ""
