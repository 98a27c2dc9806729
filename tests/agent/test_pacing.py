"""When a look at everything is due, and when one ahead of its interval may be made; on a clock of the test's."""

import itertools

import pytest
from agent.proc_tree import Clock
from fleetnet_agent.budget import MIB, NO_CEILINGS, Budget, Ceilings, Usage
from fleetnet_agent.pacing import FULL_LOOK_SHARE, LARGE, SMALL, STRETCHED_AT_MOST_S, Pacing


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pacing(clock: Clock) -> Pacing:
    return Pacing(Budget(NO_CEILINGS), lambda: Usage(clock(), 0, 0), clock)


def takes(clock: Clock, pacing: Pacing, seconds: float) -> None:
    """A look that is nothing but reading."""
    began_us = clock()
    clock.go(seconds)
    pacing.read(began_us)
    pacing.looked(began_us)


def test_the_first_look_is_due_at_once(clock: Clock) -> None:
    one = pacing(clock)
    assert not one.has_looked
    assert one.is_full_look_due(LARGE)
    takes(clock, one, 0.01)
    assert one.has_looked
    assert not one.is_full_look_due(SMALL)


def test_a_look_is_due_half_a_call_before_its_interval_is_over(clock: Clock) -> None:
    one = pacing(clock)
    takes(clock, one, 0.01)
    clock.go(4.4)
    assert not one.is_full_look_due(LARGE)
    clock.go(0.2)
    assert one.is_full_look_due(LARGE)


@pytest.mark.parametrize(
    ("reading_s", "interval_s"), [(0.01, 1.0), (0.1, 2.5), (0.5, 12.5), (60.0, STRETCHED_AT_MOST_S)]
)
def test_where_reading_takes_long_it_is_done_more_rarely_within_bounds(
    clock: Clock, reading_s: float, interval_s: float
) -> None:
    one = pacing(clock)
    takes(clock, one, reading_s)
    assert one.interval_s(SMALL) == 1.0, "one alone may have been held up"
    takes(clock, one, reading_s)
    assert one.interval_s(SMALL) == pytest.approx(interval_s)


def test_a_look_ahead_of_its_interval_waits_until_the_last_one_was_a_small_share_of_the_time(clock: Clock) -> None:
    one = pacing(clock)
    takes(clock, one, 0.04)
    clock.go(0.04 / FULL_LOOK_SHARE - 0.01)
    assert not one.may_look_early()
    clock.go(0.02)
    assert one.may_look_early()


def test_near_a_ceiling_both_wait_longer(clock: Clock) -> None:
    used_us = itertools.count(0, 10_000_000)
    one = Pacing(Budget(Ceilings(cpu_percent=5)), lambda: Usage(clock(), next(used_us), 40 * MIB), clock)
    one.is_over(LARGE)
    takes(clock, one, 0.04)
    one.is_over(LARGE)
    assert one.allowance.look_factor == 2
    assert one.interval_s(LARGE) == 10.0
    clock.go(0.04 / FULL_LOOK_SHARE + 0.01)
    assert not one.may_look_early()
