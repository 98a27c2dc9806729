"""What is too old is looked for again and again as long as a collector runs, whatever fails in between."""

import asyncio
from collections import Counter
from typing import cast

import pytest
from fleetnet_server.errors import StorageUnavailable
from fleetnet_server.run.retention import EVERY_S, keep_clearing
from fleetnet_server.services.health import Health
from fleetnet_server.services.retention import Retention


class Rounds:
    """Each of which comes to this."""

    def __init__(self, *ends: Exception | None) -> None:
        self._ends = iter(ends)

    async def round(self, _now_us: int) -> Counter[str]:
        """The next; is cancelled, when there is none."""
        end = next(self._ends, asyncio.CancelledError())
        if end is not None:
            raise end
        return Counter()


def test_after_rounds_that_fail_it_is_tried_again_soon_and_then_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    waited_s: list[float] = []

    async def sleep(seconds: float) -> None:
        waited_s.append(seconds)

    async def run() -> None:
        full = StorageUnavailable("the disk is full")
        rounds = Rounds(full, full, full, None, full, ZeroDivisionError(), full, *[full] * 7)
        await keep_clearing(cast(Retention, rounds), Health())

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    first_s, *waited_s = waited_s
    assert first_s > 0
    assert waited_s[:7] == [60, 120, 240, EVERY_S, 60, EVERY_S, 60]
    assert waited_s[7:] == [120, 240, 480, 960, 1920, EVERY_S, EVERY_S]
