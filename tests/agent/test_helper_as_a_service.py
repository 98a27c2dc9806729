"""The helper as a service of its own: its socket is the service manager's, and so is its network namespace."""

import contextlib
import fcntl
import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from fleetnet_agent.helper.client import HelperClient
from fleetnet_agent.helper.handed import UnfitError, handed_over
from fleetnet_agent.helper.home import SIOCGSKNS
from fleetnet_agent.helper.scan import Question

# As a service manager does it: the socket is descriptor 3, and the environment says for whom.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execvp(sys.argv[2], sys.argv[2:])
"""
HELPER = (sys.executable, "-m", "fleetnet_agent.helper.main")


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket that the service manager made."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "helper.sock"))
        made.listen()
        yield made


@contextlib.contextmanager
def handed(
    given: socket.socket, *options: str, wrap: tuple[str, ...] = (), told: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A helper that was started with this socket; it need not be ready."""
    command = [sys.executable, "-c", HAND_OVER, str(given.fileno()), *wrap, *HELPER, *options]
    environment = {**os.environ, **(told or {})}
    with subprocess.Popen(
        command, pass_fds=[given.fileno()], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_a_socket_that_was_handed_over_is_served_and_not_removed(listener: socket.socket) -> None:
    path = Path(listener.getsockname())
    with handed(listener) as process:
        assert HelperClient(path, answer_within_s=60).scan(Question()).pids, "even before it is ready nobody is refused"
        process.terminate()
        assert process.wait(60) == 0
    assert path.is_socket()
    with handed(listener):
        assert HelperClient(path, answer_within_s=60).scan(Question()).pids


@pytest.mark.root
def test_it_answers_for_the_namespace_of_its_socket_wherever_it_is_itself(listener: socket.socket) -> None:
    path = Path(listener.getsockname())
    here = os.stat("/proc/self/ns/net").st_ino
    with handed(listener, wrap=("unshare", "--net")) as process:
        client = HelperClient(path, answer_within_s=60)
        listing = client.namespaces()
        apart = os.stat(f"/proc/{process.pid}/ns/net").st_ino
        assert (apart != here, listing.own) == (True, here)
        # Numbers count from there: the one that it is in has one, and the own has none.
        numbers = {one.inode: one.nsid for one in listing.namespaces}
        assert (numbers[here], numbers[apart] is None) == (None, False)
        with client.events(4096) as events:
            assert netns_of(events) == here


def netns_of(opened: socket.socket) -> int:
    """The inode of the network namespace that a socket is in."""
    descriptor = fcntl.ioctl(opened, SIOCGSKNS)
    try:
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)


def test_with_a_watchdog_it_says_that_it_is_alive_though_nobody_asks(listener: socket.socket, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        with handed(listener, told={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}):
            assert [manager.recv(100) for _ in range(4)] == [b"READY=1", *[b"WATCHDOG=1"] * 3]


def test_who_may_ask_is_named_by_number_or_name(listener: socket.socket) -> None:
    for user in ("root", "0", pwd.getpwuid(os.getuid()).pw_name):
        with handed(listener, "--allow-uid", user) as process:
            assert process.stderr
            assert "ready on" in process.stderr.readline()
    with handed(listener, "--allow-uid", "nobody-of-that-name") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "there is no user 'nobody-of-that-name' on this host; make it, or give a number" in said


def test_what_is_no_listening_unix_socket_is_not_served(tmp_path: Path) -> None:
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(tmp_path / "silent.sock"))
    with bound, socket.create_server(("127.0.0.1", 0)) as internet:
        for given in (bound, internet):
            with handed(given) as process:
                _, said = process.communicate(timeout=60)
            assert process.returncode == 2
            assert "handed over something else than a listening unix socket" in said


def test_what_was_handed_to_another_process_or_is_more_than_one_is_left_alone(listener: socket.socket) -> None:
    mine = str(os.getpid())
    assert handed_over({}) is None
    assert handed_over({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, listener.fileno()) is None
    assert handed_over({"LISTEN_PID": mine, "LISTEN_FDS": "0"}, listener.fileno()) is None
    with pytest.raises(UnfitError, match="2 sockets"):
        handed_over({"LISTEN_PID": mine, "LISTEN_FDS": "2"}, listener.fileno())


def test_without_a_socket_and_without_a_name_for_one_it_says_what_it_needs() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEETNET_")}
    done = subprocess.run(HELPER, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "--socket is needed" in done.stderr) == (2, True)
