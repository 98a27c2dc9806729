"""What the service manager hears of a running uplink: ready without a collector, alive as long as looks go on."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agent.conftest import Loop
from agent.loopback_collector import Collector
from agent.scripted_watch import ScriptedWatch, tcp
from agent.uplinks import eventually, running
from fleetnet_agent.notify import Notifier
from fleetnet_agent.records import Difference

Enrolled = Callable[..., Path]


class Manager:
    """A service manager that remembers what it was told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))

    def notifier(self, watchdog_s: float) -> Notifier:
        return Notifier({"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(int(watchdog_s * 1e6))})

    def heard(self, *lines: str) -> bool:
        """True if it was told all of these."""
        while True:
            try:
                self.lines += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return set(lines) <= set(self.lines)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


class StuckWatch(ScriptedWatch):
    """A watch whose looks hang while the test wants it so."""

    def __init__(self) -> None:
        super().__init__(tcp(1), tcp(2))
        self.goes = threading.Event()
        self.goes.set()
        self.hangs = threading.Event()

    def look(self) -> Difference:
        if not self.goes.is_set():
            self.hangs.set()
        self.goes.wait()
        return super().look()


def test_it_is_ready_after_the_first_look_without_any_collector(
    loop: Loop, enrolled: Enrolled, manager: Manager
) -> None:
    watch = StuckWatch()
    watch.goes.clear()

    async def story() -> None:
        async with running(enrolled("127.0.0.1:1"), watch, notifier=manager.notifier(0.02)):
            await eventually(watch.hangs.is_set)
            assert not manager.heard("READY=1"), "before the first look"
            watch.goes.set()
            await eventually(lambda: manager.heard("READY=1", "WATCHDOG=1"))
            await eventually(lambda: manager.heard("STATUS=2 sockets, no connection to 127.0.0.1:1"))
            assert "STOPPING=1" not in manager.lines
        assert manager.heard("STOPPING=1")

    loop.run(story())
    assert manager.lines[0] == "READY=1"


def test_it_says_to_whom_it_is_connected(
    loop: Loop, collector: Collector, enrolled: Enrolled, manager: Manager
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch, notifier=manager.notifier(60)):
            await eventually(lambda: manager.heard(f"STATUS=1 sockets, connected to {collector.address}"))

    loop.run(story())


def test_the_watchdog_is_fed_only_while_looks_go_on(
    loop: Loop, collector: Collector, enrolled: Enrolled, manager: Manager
) -> None:
    watch = StuckWatch()

    async def story() -> None:
        async with running(enrolled(collector.address), watch, notifier=manager.notifier(0.02)):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            await eventually(lambda: manager.heard("WATCHDOG=1"))
            watch.goes.clear()
            await eventually(watch.hangs.is_set)
            manager.heard()
            manager.lines.clear()
            await asyncio.sleep(0.1)  # five times the watchdog's time: what does not come cannot be waited for
            assert not manager.heard("WATCHDOG=1"), "a look hangs"
            watch.goes.set()
            await eventually(lambda: manager.heard("WATCHDOG=1"))

    loop.run(story())


@pytest.mark.parametrize("is_there", [True, False])
def test_a_look_that_hangs_holds_up_no_end(
    loop: Loop, collector: Collector, enrolled: Enrolled, is_there: bool
) -> None:
    watch = StuckWatch()
    watch.goes.clear()

    async def story() -> None:
        async with running(enrolled(collector.address if is_there else "127.0.0.1:1"), watch):
            await eventually(watch.hangs.is_set)

    try:
        loop.run(story(), timeout_s=5)
    finally:
        watch.goes.set()
