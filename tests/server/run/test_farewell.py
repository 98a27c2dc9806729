"""A collector that stops calls its hosts back in turn."""

import itertools
import random

import pytest
from fleetnet_server.run.farewell import FROM_S, turns_ms


@pytest.mark.parametrize(("hosts", "within_s"), [(0, 2), (1, 2), (40, 2), (400, 20), (1_000, 50), (10_000, 50)])
def test_turns_lie_evenly_over_a_time_that_suits_the_fleet(hosts: int, within_s: float) -> None:
    turns_s = sorted(ms / 1_000 - FROM_S for ms in itertools.islice(turns_ms(hosts, random.Random(1)), hosts))
    slot_s = within_s / max(1, hosts)
    for number, turn_s in enumerate(turns_s):
        assert number * slot_s - 0.001 <= turn_s <= (number + 1) * slot_s


def test_who_came_first_is_not_called_first() -> None:
    turns = list(itertools.islice(turns_ms(100, random.Random(1)), 100))
    assert turns != sorted(turns)


def test_one_that_comes_while_it_stops_is_given_a_turn_as_well() -> None:
    assert len(list(itertools.islice(turns_ms(3, random.Random(1)), 10))) == 10
