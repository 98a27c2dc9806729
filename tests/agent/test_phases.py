"""What hosts do now and then, each does at a time of its own, though a fleet connected or booted at one moment."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from agent.conftest import Loop
from agent.loopback_collector import Collector
from agent.scripted_watch import ScriptedWatch, tcp
from agent.uplinks import eventually, running
from fleetnet_agent.state import Identity
from fleetnet_agent.uplink.renewal import due_at_us
from fleetnet_agent.uplink.run import Pace
from fleetnet_agent.uplink.seldom import Phase

Enrolled = Callable[..., Path]

HOUR_S = 3600.0
DAY_US = 86_400_000_000
MINUTE_US = 60_000_000


class Extreme(random.Random):
    """Draws the upper end, but of one interval the lower, if that is wanted."""

    def __init__(self, lower_up_to: float = 0.0) -> None:
        super().__init__(1)
        self._lower_up_to = lower_up_to

    def uniform(self, a: float, b: float) -> float:
        return a if b == self._lower_up_to else b


@pytest.mark.parametrize("draw", [Extreme(HOUR_S), Extreme()])
def test_the_first_beat_of_a_stream_comes_anywhere_within_an_interval_and_the_next_an_interval_later(
    loop: Loop, collector: Collector, enrolled: Enrolled, draw: Extreme
) -> None:
    at_once = draw.uniform(0, HOUR_S) == 0

    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        pace = Pace(look_every_s=0.002, beat_s=HOUR_S)
        async with running(enrolled(collector.address), watch, pace, draw=draw):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            if at_once:
                await collector.until(lambda: len(collector.store.batches) == 2)
            looks = watch.looks
            await eventually(lambda: watch.looks > looks + 20)

    loop.run(story())
    assert len(collector.store.batches) == 1 + at_once


def test_the_first_digest_of_a_stream_comes_anywhere_within_an_interval() -> None:
    for draw, at_once in ((Extreme(HOUR_S), True), (Extreme(), False)):
        phase = Phase(HOUR_S, draw)
        assert not phase.due
        phase.begin()
        assert phase.due == at_once
        phase.done()
        assert not phase.due


def identity(until_us: int) -> Identity:
    return Identity("web1", ("a:1",), b"", b"", b"", valid_from_us=0, valid_until_us=until_us)


def test_renewals_of_a_fleet_that_was_enrolled_at_one_moment_are_spread_over_a_fifth_of_a_life() -> None:
    due_us = sorted(due_at_us(identity(7 * DAY_US), random.Random(n), DAY_US) for n in range(1_000))
    assert 4.2 * DAY_US <= due_us[0] < 4.3 * DAY_US
    assert 5.5 * DAY_US < due_us[-1] <= 5.6 * DAY_US
    assert max(late - early for early, late in zip(due_us, due_us[50:], strict=False)) < 0.2 * DAY_US


def test_renewals_of_a_fleet_that_was_off_meanwhile_are_spread_over_a_quarter_of_an_hour() -> None:
    now_us = 6 * DAY_US
    due_us = sorted(due_at_us(identity(7 * DAY_US), random.Random(n), now_us) for n in range(1_000))
    assert now_us <= due_us[0] < now_us + MINUTE_US
    assert now_us + 14 * MINUTE_US < due_us[-1] <= now_us + 15 * MINUTE_US


def test_a_renewal_that_is_late_does_not_wait_until_it_is_too_late() -> None:
    for left_us in (20 * MINUTE_US, MINUTE_US, 0, -MINUTE_US):
        now_us = 7 * DAY_US - left_us
        assert now_us <= due_at_us(identity(7 * DAY_US), Extreme(), now_us) <= now_us + max(0, left_us) // 20
