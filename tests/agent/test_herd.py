"""A thousand agents whose collector comes back: in no second more than 5 % of them, and all within the minute. Where it
was away for a moment all are back within seconds, as fast as its door lets them.

Simulated, from seeds, so what holds here holds always. In truth, with places drawn afresh, 20 of 1,000 are expected in
a second: that more than 50 come in some second of one return has a chance of less than 1 in 1,000,000.
"""

import asyncio
import random

import pytest
from agent.herd import Agent, Door, most_in_a_second, simulate
from fleetnet_agent.uplink.backoff import BASE_S, CAP_S, NEAR
from fleetnet_server.limits import Limits
from fleetnet_server.run.farewell import turns_ms

AGENTS = 1_000
MOST = AGENTS * 5 // 100
WITHIN_S = 60.0


async def return_of(doors: list[Door], seed: int) -> None:
    """All lose their streams at one moment, which is 0."""
    await asyncio.gather(*(Agent(seed, number).come_back(doors) for number in range(AGENTS)))


def assert_good(door: Door) -> None:
    assert most_in_a_second(door.arrivals_s) <= MOST
    assert len(door.acknowledged_s) == AGENTS
    assert max(door.acknowledged_s) - door.back_at_s < WITHIN_S


def assert_let_in_at_the_rate(door: Door) -> None:
    # Its rate, and the tenth of a second's worth that it lets in at once.
    assert most_in_a_second(door.let_in_s) <= Limits().streams_per_second * 1.1 + 1
    assert len(door.acknowledged_s) == AGENTS
    assert max(door.acknowledged_s) - door.back_at_s < WITHIN_S


@pytest.mark.parametrize("away_s", [30.0, 600.0])
def test_however_long_it_was_away_they_come_evenly_and_all_within_a_minute(away_s: float) -> None:
    async def story(seed: int) -> None:
        door = Door(away_s + random.Random(seed).uniform(0, 10))
        await return_of([door], seed)
        assert_good(door)
        assert len(door.arrivals_s) == AGENTS, "nobody has to be sent away"

    for seed in range(24 if away_s == 600.0 else 12):
        simulate(story(seed))


@pytest.mark.parametrize("away_s", [1.5, 8.0, 21.0])
def test_one_that_is_back_soon_is_held_by_its_door(away_s: float) -> None:
    async def story(seed: int) -> None:
        door = Door(away_s)
        await return_of([door], seed)
        assert_let_in_at_the_rate(door)

    for seed in range(6):
        simulate(story(seed))


def test_one_that_is_started_again_has_all_of_them_within_a_short_round() -> None:
    async def story(seed: int) -> None:
        door = Door(8.0)
        await return_of([door], seed)
        assert max(door.acknowledged_s) - door.back_at_s < NEAR * BASE_S + 1.0

    for seed in range(6):
        simulate(story(seed))


def test_one_that_accepted_many_and_cut_them_off_at_one_moment_has_not_brought_them_together() -> None:
    async def story(seed: int) -> None:
        # 400 of them hang in it when it dies.
        door = Door(200.0 + seed, hangs=(100.0, 160.0))
        await return_of([door], seed)
        assert_good(door)

    for seed in range(6):
        simulate(story(seed))


def test_each_of_several_addresses_is_tried_in_every_round() -> None:
    async def story(seed: int) -> None:
        # The first stays away, the other one comes back.
        doors = [Door(float("inf")), Door(100.0 + seed)]
        await return_of(doors, seed)
        assert_good(doors[1])

    for seed in range(6):
        simulate(story(seed))


def test_an_address_that_swallows_everything_does_not_keep_them_from_the_other() -> None:
    async def story(seed: int) -> None:
        doors = [Door(float("inf"), hangs=(0.0, float("inf"))), Door(300.0 + seed)]
        await return_of(doors, seed)
        assert_good(doors[1])

    for seed in range(6):
        simulate(story(seed))


def test_when_one_of_two_is_lost_the_other_lets_them_in_at_its_rate() -> None:
    async def story(seed: int) -> None:
        door = Door(0.0)
        await return_of([door, Door(float("inf"))], seed)
        assert_let_in_at_the_rate(door)

    for seed in range(6):
        simulate(story(seed))


@pytest.mark.parametrize("away_s", [3.0, 10.0, 30.0, 100.0])
def test_a_collector_that_was_stopped_called_them_up_evenly(away_s: float) -> None:
    async def story(seed: int) -> None:
        door = Door(away_s)
        turns = turns_ms(AGENTS, random.Random(seed))
        await asyncio.gather(*(Agent(seed, n).come_back([door], next(turns) / 1_000) for n in range(AGENTS)))
        assert_good(door)

    for seed in range(6):
        simulate(story(seed))


def test_they_do_not_call_ever_faster_on_one_that_stays_away() -> None:
    async def story() -> None:
        caller = Agent(1, 1)
        await caller.come_back([Door(3600.0)])
        assert caller.attempts <= 3600.0 / CAP_S + 20

    simulate(story())
