"""Reconnection: full jitter drawn after the cap, made short again by an acknowledgement alone."""

import random

from fleetnet_agent.uplink.backoff import BASE_S, CAP_S, MAX_FLOOR_S, Backoff


class Most(random.Random):
    """Draws the upper end, to show the bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_the_bound_doubles_up_to_the_cap() -> None:
    backoff = Backoff(Most())
    assert [backoff.after_failure() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 50, 50]


def test_the_jitter_is_drawn_after_the_cap() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(20):
        backoff.after_failure()
    late = sorted(backoff.after_failure() for _ in range(2000))
    # Jitter before the cap would pile up at the cap; a uniform draw has its median in the middle.
    assert late[-1] <= CAP_S
    assert 22 < late[1000] < 28
    assert late[20] < 2
    assert len({round(s, 3) for s in late}) > 1900


def test_only_an_acknowledgement_makes_the_bound_small_again() -> None:
    backoff = Backoff(Most())
    for _ in range(10):
        backoff.after_failure()
    assert backoff.after_failure() == CAP_S
    backoff.acknowledged()
    assert backoff.after_failure() == BASE_S


def test_what_the_collector_asks_for_is_a_floor_and_the_jitter_comes_on_top() -> None:
    assert Backoff(Most()).after_failure(floor_s=10) == 10.5
    draws = [Backoff(random.Random(n)).after_failure(floor_s=10) for n in range(100)]
    assert min(draws) >= 10
    assert len(set(draws)) == 100


def test_no_collector_sends_an_agent_away_for_ever() -> None:
    assert Backoff(Most()).after_failure(floor_s=1e12) <= MAX_FLOOR_S + CAP_S
    assert Backoff(Most()).after_failure(floor_s=-5) == BASE_S


def test_a_refusal_is_tried_again_slowly_from_the_first_time_on() -> None:
    draws = [Backoff(random.Random(n)).after_refusal() for n in range(100)]
    assert min(draws) >= CAP_S / 2
    assert max(draws) <= CAP_S


def test_a_thousand_failures_do_not_overflow() -> None:
    backoff = Backoff(Most())
    assert [backoff.after_failure() for _ in range(3000)][-1] == CAP_S


def test_however_long_a_collector_was_away_a_minute_is_enough_to_come_back_and_tell() -> None:
    backoff = Backoff(random.Random(1))
    assert max(backoff.after_failure() for _ in range(2_000)) < 55.0
