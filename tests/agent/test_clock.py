"""A wall clock that is set is noticed, with all that it can have shown meanwhile."""

import dataclasses

import pytest
from fleetnet_agent.host import this_host
from fleetnet_agent.uplink.clock import WallClock

S = 1_000_000
HOUR = 3_600 * S


class Clocks:
    """Moved by the test."""

    def __init__(self) -> None:
        self.boottime_us, self.lead_us = 10 * S, 1_000 * S
        self.told: list[tuple[int, int]] = []
        self.held_up_us: list[int] = []  # before the wall clock is read, one reading after the other
        host = dataclasses.replace(this_host(), boottime_us=lambda: self.boottime_us, wall_clock_us=self._wall_us)
        self.watched = WallClock(host, self.told.append)

    def _wall_us(self) -> int:
        if self.held_up_us:
            self.boottime_us += self.held_up_us.pop(0)
        return self.boottime_us + self.lead_us


def test_a_clock_that_goes_on_is_not_set() -> None:
    clocks = Clocks()
    clocks.boottime_us, clocks.lead_us = 20 * S, 1_000 * S + S // 2  # steered
    clocks.watched.check()
    assert clocks.told == []


def test_an_agent_that_is_held_up_between_its_two_readings_takes_no_clock_to_be_set() -> None:
    clocks = Clocks()
    clocks.held_up_us = [3 * S, 0]
    clocks.watched.check()
    assert clocks.told == []
    clocks.held_up_us = []
    clocks.lead_us += 2 * S
    clocks.watched.check()
    assert len(clocks.told) == 1


@pytest.mark.parametrize(("step_us", "least_us", "most_us"), [(HOUR, 1_010, 4_620), (-HOUR // 4, 110, 1_020)])
def test_the_gap_holds_all_moments_that_it_can_have_had_twice_or_never(
    step_us: int, least_us: int, most_us: int
) -> None:
    clocks = Clocks()
    clocks.boottime_us += 10 * S  # it was set at some moment of these ten seconds
    clocks.lead_us += step_us
    clocks.watched.check()
    assert clocks.told == [(least_us * S, most_us * S)]
    clocks.watched.check()
    assert len(clocks.told) == 1
