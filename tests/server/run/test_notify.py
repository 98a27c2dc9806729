"""What the collector tells the service manager, as a process of its own on a real socket."""

import os
import signal
import socket
from pathlib import Path

import pytest

from demo.fleet import Fleet, environment
from demo.programs import Programs


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bound.bind(str(tmp_path / "notify"))
    bound.settimeout(60)
    return bound


def test_it_is_ready_when_it_serves_alive_while_its_loop_turns_and_says_that_it_stops(
    manager: socket.socket, tmp_path: Path
) -> None:
    told = {**environment(tmp_path), "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with manager, Programs(tmp_path, told) as programs:
        fleet = Fleet(tmp_path, programs)
        fleet.start_collector()
        assert manager.recv(300) == b"READY=1"
        assert manager.recv(300).splitlines() == [b"WATCHDOG=1", b"STATUS=0 hosts connected; all is well"]
        assert manager.recv(300) == b"WATCHDOG=1"
        os.kill(fleet.collector.pid, signal.SIGTERM)
        while (last := manager.recv(300)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1"
        assert fleet.collector.wait() == 0
