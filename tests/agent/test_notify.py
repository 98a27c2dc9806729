"""What the service manager is told, on real datagram sockets."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleetnet_agent.notify import SOME_S, Notifier, without_notify


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket, and how it is named."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.settimeout(5)
        if request.param == "path":
            bound.bind(str(tmp_path / "notify"))
            yield bound, str(tmp_path / "notify")
        else:
            bound.bind("")  # the kernel chooses an abstract name
            yield bound, "@" + os.fsdecode(bound.getsockname()[1:])


def told(manager: socket.socket) -> list[str]:
    manager.setblocking(False)
    try:
        return manager.recv(4096).decode().splitlines()
    except BlockingIOError:
        return []


def test_ready_alive_and_stopping_are_told(manager: tuple[socket.socket, str]) -> None:
    bound, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"})
    notifier.ready()
    assert told(bound) == ["READY=1"]
    notifier.alive("12 sockets")
    assert told(bound) == ["WATCHDOG=1", "STATUS=12 sockets"]
    notifier.alive("12 sockets")
    assert told(bound) == ["WATCHDOG=1"]
    notifier.stopping()
    assert told(bound) == ["STOPPING=1"]
    assert notifier.every_s == 1.5


def test_without_a_watchdog_only_news_is_told(manager: tuple[socket.socket, str]) -> None:
    bound, name = manager
    for environment in ({}, {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}):
        notifier = Notifier({"NOTIFY_SOCKET": name, **environment})
        assert notifier.every_s == SOME_S
        notifier.alive("12 sockets")
        assert told(bound) == ["STATUS=12 sockets"]
        notifier.alive("12 sockets")
        assert told(bound) == []


def test_the_watchdog_may_name_this_process(manager: tuple[socket.socket, str]) -> None:
    environment = {"NOTIFY_SOCKET": manager[1], "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    assert Notifier(environment).every_s == 1.5


def test_a_status_is_one_line_whatever_it_holds(manager: tuple[socket.socket, str]) -> None:
    bound, name = manager
    Notifier({"NOTIFY_SOCKET": name}).alive("connected to x\nREADY=1\x1b[2J" + "y" * 1000)
    (line,) = told(bound)
    assert line.startswith("STATUS=connected to x?READY=1?[2Jyyy")
    assert len(line) < 250


@pytest.mark.parametrize("name", ["", "/nonexistent/notify", "@nobody-listens-here", "vsock:2:1", "/" + "x" * 500])
def test_a_manager_that_is_not_there_is_no_trouble(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"})
    notifier.ready()
    notifier.alive("all is well")
    notifier.stopping()


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"})
        for number in range(2000):
            notifier.alive(f"{number} sockets")


def test_a_child_does_not_speak_for_its_parent() -> None:
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2", "PATH": "/bin"}
    assert without_notify(environment) == {"PATH": "/bin"}
