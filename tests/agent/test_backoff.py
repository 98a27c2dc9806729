"""Reconnection: quick at first, then at a place of the agent's own in a round; an acknowledgement alone makes it quick
again. What a fleet does of that is test_herd's."""

import random

import pytest
from fleetnet_agent.uplink.backoff import BASE_S, CAP_S, MAX_FLOOR_S, NEAR, NEAR_UNTIL, QUICK, Backoff


class Most(random.Random):
    """Draws the upper end, to show the bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Clock:
    """Stands still unless it is set."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def away(backoff: Backoff, clock: Clock, times: int, addresses: int = 1) -> list[float]:
    """Attempts that fail at once: how long is waited before each."""
    waits = []
    for _ in range(times):
        waits.append(backoff.after_failure(addresses))
        clock.now_s += waits[-1]
    return waits


def place(seed: int, bases_later: float) -> float:
    """How long the first attempt in the round is waited for, so many bases after the loss."""
    clock = Clock()
    backoff = Backoff(random.Random(seed), clock=clock)
    backoff.after_failure()
    clock.now_s += BASE_S * bases_later
    return backoff.after_failure()


def test_for_a_moment_it_is_tried_often_then_in_a_short_round_and_then_in_a_long_one() -> None:
    clock = Clock()
    assert away(Backoff(Most(), clock=clock), clock, 9) == [0.5, 1, 1, 8, 8, 8, 50, 50, 50]


def test_whenever_a_collector_is_back_within_that_moment_it_is_found() -> None:
    for seed in range(500):
        clock = Clock()
        backoff = Backoff(random.Random(seed), clock=clock)
        while clock.now_s < 1_000.0 + BASE_S * QUICK:
            wait_s = backoff.after_failure()
            assert wait_s <= 1.0
            clock.now_s += wait_s
        assert clock.now_s < 1_003.5


def test_what_hung_for_long_is_not_tried_quickly() -> None:
    clock = Clock()
    backoff = Backoff(Most(), clock=clock)
    backoff.after_failure()
    clock.now_s += 20
    assert backoff.after_failure() == CAP_S


@pytest.mark.parametrize(("bases_later", "round_s"), [(QUICK, NEAR * BASE_S), (NEAR_UNTIL, CAP_S)])
def test_a_place_is_drawn_after_the_cap_and_anywhere_in_the_round(bases_later: float, round_s: float) -> None:
    late = sorted(place(seed, bases_later) for seed in range(2_000))
    # Jitter before the cap would pile up at the cap; a uniform draw has its median in the middle.
    assert late[-1] <= round_s
    assert 0.44 < late[1000] / round_s < 0.56
    assert late[20] / round_s < 0.04
    assert len({round(s, 5) for s in late}) > 1900


def test_a_place_is_kept_however_long_an_attempt_hangs_and_however_early_a_timer_is() -> None:
    clock = Clock()
    backoff = Backoff(random.Random(1), clock=clock)
    backoff.after_sent_away(0)  # which ends the moment
    clock.now_s += backoff.after_failure()
    place_s = clock.now_s
    for hung_s, rounds in ((0.0, 1), (20.0, 2), (-0.001, 3), (49.9, 4), (130.0, 7)):
        clock.now_s += hung_s
        clock.now_s += backoff.after_failure()
        assert abs(clock.now_s - place_s - rounds * CAP_S) < 1e-6


def test_of_several_addresses_each_is_tried_in_every_round() -> None:
    clock = Clock()
    waits = away(Backoff(Most(), clock=clock), clock, 13, addresses=3)
    assert waits == [0.5, 1, 1, 8, 0.5, 0.5, 7, 0.5, 0.5, 7, 0.5, 0.5, 50]


def test_only_an_acknowledgement_makes_it_quick_again() -> None:
    clock = Clock()
    backoff = Backoff(Most(), clock=clock)
    assert away(backoff, clock, 10)[-1] == CAP_S
    backoff.acknowledged()
    assert backoff.after_failure() == BASE_S


def test_another_outage_has_another_place() -> None:
    clock = Clock()
    backoff = Backoff(random.Random(1), clock=clock)
    places = set()
    for _ in range(20):
        away(backoff, clock, 40)
        places.add(round(clock.now_s % CAP_S, 3))
        backoff.acknowledged()
    assert len(places) == 20


def test_what_the_collector_asks_for_is_a_floor_and_the_jitter_comes_on_top() -> None:
    assert Backoff(Most()).after_sent_away(10) == 10.5
    draws = [Backoff(random.Random(n)).after_sent_away(10) for n in range(100)]
    assert min(draws) >= 10
    assert len(set(draws)) == 100


def test_who_is_sent_away_again_and_again_comes_later_each_time() -> None:
    backoff = Backoff(Most())
    assert [backoff.after_sent_away(2) for _ in range(9)] == [2.5, 3, 4, 6, 10, 18, 34, 52, 52]


def test_who_came_in_vain_many_times_comes_when_the_collector_calls() -> None:
    clock = Clock()
    backoff = Backoff(Most(), clock=clock)
    away(backoff, clock, 10)
    assert backoff.after_sent_away(3) == 3.5


def test_who_was_called_and_finds_nobody_takes_a_place() -> None:
    backoff = Backoff(Most(), clock=Clock())
    backoff.after_sent_away(3)
    assert backoff.after_failure() == CAP_S


def test_who_was_called_and_finds_nobody_tries_the_other_addresses_before_that() -> None:
    clock = Clock()
    backoff = Backoff(Most(), clock=clock)
    for _ in range(2):
        backoff.after_sent_away(3)
        assert away(backoff, clock, 3, addresses=3)[:2] == [0.5, 0.5]


def test_no_collector_sends_an_agent_away_for_ever() -> None:
    assert Backoff(Most()).after_sent_away(1e12) <= MAX_FLOOR_S + CAP_S
    assert Backoff(Most()).after_sent_away(-5) == BASE_S


def test_a_refusal_is_tried_again_slowly_from_the_first_time_on() -> None:
    draws = [Backoff(random.Random(n)).after_refusal() for n in range(100)]
    assert min(draws) >= CAP_S / 2
    assert max(draws) <= CAP_S


def test_a_thousand_failures_do_not_overflow() -> None:
    clock = Clock()
    backoff = Backoff(Most(), clock=clock)
    assert away(backoff, clock, 3000)[-1] == CAP_S
    assert [backoff.after_sent_away(0) for _ in range(3000)][-1] == CAP_S


def test_however_long_a_collector_was_away_a_minute_is_enough_to_come_back_and_tell() -> None:
    clock = Clock()
    assert max(away(Backoff(random.Random(1), clock=clock), clock, 2_000)) < 55.0
