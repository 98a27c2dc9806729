"""One event loop for all asyncio of this process: with two, gRPC's event machinery breaks (grpc/grpc#25364)."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from agent.authority import Authority
from agent.loopback_collector import Collector, Store

T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own; tests stay plain functions."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 90.0) -> T:
        """Run the coroutine to its end; TimeoutError if that takes too long."""

        async def bounded() -> T:
            async with asyncio.timeout(timeout_s):
                return await work

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result(timeout_s + 5)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority("test CA")


@pytest.fixture
def collector(loop: Loop, authority: Authority) -> Iterator[Collector]:
    made = Collector(authority, Store())
    loop.run(made.start())
    yield made
    loop.run(made.stop())


@pytest.fixture
def enrolled(tmp_path: Path, authority: Authority) -> Callable[..., Path]:
    """Makes a state directory as enrolling would, for a host that reports to these addresses."""

    def make(*addresses: str, name: str = "web1", days: float = 7) -> Path:
        directory = tmp_path / f"state-{name}"
        authority.write_state(directory, name, addresses, days)
        return directory

    return make
