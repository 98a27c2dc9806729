"""Counts are put down again and again as long as a collector runs, whatever fails in between."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

import pytest
from fleetnet_server.errors import StorageUnavailable
from fleetnet_server.run import trends
from fleetnet_server.services.health import Health
from fleetnet_server.services.trends import Trends

_ROUNDS = 5


class Rounds:
    """Of which some fail."""

    def __init__(self) -> None:
        self.begun_us: list[int] = []
        self.over = asyncio.Event()

    async def round(self, now: Callable[[], int]) -> int:
        self.begun_us.append(now())
        if len(self.begun_us) == _ROUNDS:
            self.over.set()
        if len(self.begun_us) == 2:
            raise StorageUnavailable("the disk is full")
        if len(self.begun_us) == 3:
            raise ZeroDivisionError
        return 1


def test_a_round_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trends, "EVERY_US", 20_000)
    monkeypatch.setattr(trends, "_AGAIN_S", 0.0)

    async def run() -> tuple[list[int], Health]:
        rounds, health = Rounds(), Health()
        task = asyncio.create_task(trends.keep_putting_down(cast(Trends, rounds), health))
        async with asyncio.timeout(60):
            await rounds.over.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return rounds.begun_us, health

    begun_us, health = asyncio.run(run())
    assert begun_us == sorted(begun_us)
    assert "the disk is full" in health.wrong(0)
