"""The bound of what is held: never passed, in order, and nothing of it is lost."""

import asyncio

import pytest
from fleetnet_server.rpc.held import FullError, Held, Weight
from fleetnet_server.services.load import Load


def alike(size: int) -> Weight:
    return Weight(size, size)


def test_beyond_three_quarters_reports_wait_and_beyond_all_they_are_turned_away() -> None:
    async def scenario() -> None:
        load = Load()
        held = Held(400, load)
        assert [await held.take(alike(100)) for _ in range(3)] == [100, 100, 100]
        await held.readable()
        waiting = [asyncio.create_task(held.take(alike(50))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(FullError):
            await held.take(alike(1))
        assert (load.held_bytes, load.most_held_bytes, load.sent_away) == (400, 400, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(held.readable(), 0.01)
        held.give_back(100)
        assert await asyncio.gather(*waiting) == [50, 50]
        await held.readable()
        assert load.held_bytes == 300

    asyncio.run(scenario())


def test_one_that_waits_takes_what_it_takes_as_it_came() -> None:
    async def scenario() -> None:
        load = Load()
        held = Held(400, load)
        first = await held.take(Weight(60, 280))
        waiting = [asyncio.create_task(held.take(Weight(50, 150))) for _ in range(2)]
        await asyncio.sleep(0)
        assert load.held_bytes == 280 + 2 * 50
        held.give_back(first)
        assert load.held_bytes == 2 * 150
        assert await asyncio.gather(*waiting) == [150, 150]

    asyncio.run(scenario())


def test_places_are_given_in_the_order_of_arrival_whatever_fits() -> None:
    async def scenario() -> None:
        held, order = Held(400, Load()), list[str]()

        async def take(name: str, weight: int) -> None:
            await held.take(alike(weight))
            order.append(name)

        await held.take(alike(100))
        await held.take(alike(100))
        await held.take(alike(60))
        tasks = [asyncio.create_task(take("large", 80)), asyncio.create_task(take("small", 1))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert order == []
        held.give_back(60)
        await asyncio.gather(*tasks)
        assert order == ["large", "small"]

    asyncio.run(scenario())


def test_what_is_heavier_than_there_is_room_passes_alone() -> None:
    async def scenario() -> None:
        load = Load()
        held = Held(400, load)
        weight = await held.take(alike(10_000))
        assert load.held_bytes <= 400
        held.give_back(weight)
        assert load.held_bytes == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("after_its_turn", [False, True])
def test_one_that_no_longer_waits_leaves_its_place_to_the_next(after_its_turn: bool) -> None:
    async def scenario() -> None:
        load = Load()
        held = Held(400, load)
        for _ in range(3):
            await held.take(alike(100))
        gone, next_one = asyncio.create_task(held.take(alike(90))), asyncio.create_task(held.take(alike(10)))
        await asyncio.sleep(0)
        if after_its_turn:
            held.give_back(100)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        if not after_its_turn:
            assert load.held_bytes == 310
            held.give_back(100)
        assert await next_one == 10
        await held.readable()
        assert load.held_bytes == 210

    asyncio.run(scenario())
