"""When the length of a queue is told: when it lasts."""

import pytest
from fleetnet_agent.queues import Queues, Unsettled


def told_at(*looks: Queues) -> list[Queues]:
    """What is told of a socket whose queues were told as the first of these, look by look."""
    unsettled, told, known = Unsettled(), [], looks[0]
    for now in looks[1:]:
        if 1 in unsettled:
            if unsettled.is_worth_telling(1, now):
                told.append(now)
        elif now != known:
            unsettled.begin(1, known, now)
        known = now
    return told


def test_a_length_seen_once_is_not_told() -> None:
    assert told_at((0, 0), (7, 0), (0, 0), (0, 9), (0, 0)) == []


def test_a_length_seen_twice_running_is_told() -> None:
    assert told_at((5, 0), (7, 0), (7, 0)) == [(7, 0)]


def test_an_emptied_queue_is_told_when_it_stays_empty() -> None:
    assert told_at((5, 0), (0, 0), (0, 0)) == [(0, 0)]


def test_a_queue_told_empty_that_is_full_in_two_looks_is_told_whatever_its_length() -> None:
    assert told_at((0, 0), (0, 7), (0, 9)) == [(0, 9)]


def test_a_queue_told_full_is_not_told_while_its_length_keeps_changing() -> None:
    assert told_at((0, 3), (0, 7), (0, 9), (0, 4), (0, 8)) == []


def test_a_length_that_is_back_is_not_told() -> None:
    assert told_at((5, 0), (7, 0), (5, 0), (5, 0)) == []


def test_after_it_was_told_it_has_to_move_again() -> None:
    assert told_at((0, 0), (7, 0), (7, 0), (7, 0), (7, 0)) == [(7, 0)]


@pytest.mark.parametrize("gone", [True, False])
def test_while_it_is_followed_what_was_told_is_kept_and_forgotten_after(gone: bool) -> None:
    unsettled = Unsettled()
    unsettled.begin(1, (0, 0), (7, 0))
    assert unsettled.told(1) == (0, 0)
    if gone:
        unsettled.forget({1})
    else:
        assert unsettled.is_worth_telling(1, (7, 0))
    assert unsettled.told(1) is None
