"""The bound of what is held: never passed, in order, and nothing of it is lost."""

import asyncio

import pytest
from fleetnet_server.rpc.held import FullError, Held
from fleetnet_server.services.load import Load


def test_beyond_three_quarters_reports_wait_and_beyond_all_they_are_turned_away() -> None:
    async def scenario() -> None:
        load = Load()
        held = Held(400, load)
        assert [await held.take(100) for _ in range(3)] == [100, 100, 100]
        await held.readable()
        waiting = [asyncio.create_task(held.take(50)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(FullError):
            await held.take(1)
        assert (load.held_bytes, load.most_held_bytes, load.sent_away) == (400, 400, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(held.readable(), 0.01)
        held.give_back(100)
        assert await asyncio.gather(*waiting) == [50, 50]
        await held.readable()
        assert load.held_bytes == 300

    asyncio.run(scenario())


def test_places_are_given_in_the_order_of_arrival_whatever_fits() -> None:
    async def scenario() -> None:
        held, order = Held(400, Load()), list[str]()

        async def take(name: str, weight: int) -> None:
            await held.take(weight)
            order.append(name)

        await held.take(100)
        await held.take(100)
        await held.take(60)
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
        weight = await held.take(10_000)
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
            await held.take(100)
        gone, next_one = asyncio.create_task(held.take(90)), asyncio.create_task(held.take(10))
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
