"""Who is refused again and again hears so late."""

import asyncio

import pytest
from fleetnet_server.rpc.slowly import AT_ONCE, MOST_WAITING, WAIT_S, Slowly


def test_who_is_refused_too_often_waits_and_no_other_does_nor_more_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> tuple[list[float], int, int]:
        now_s, waited, go_on = 1_000.0, list[float](), asyncio.Event()

        async def sleep(wait_s: float) -> None:
            waited.append(wait_s)
            await go_on.wait()

        monkeypatch.setattr("fleetnet_server.rpc.slowly.asyncio.sleep", sleep)
        slowly = Slowly(lambda: now_s)
        for _ in range(AT_ONCE):
            await slowly.refused("odd")
        waiting = [asyncio.create_task(slowly.refused("odd")) for _ in range(MOST_WAITING + 10)]
        await slowly.refused("web1")
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        go_on.set()
        await asyncio.gather(*waiting)
        now_s += 3_600
        await slowly.refused("odd")
        return waited, len(done), slowly._waiting

    assert asyncio.run(story()) == ([WAIT_S] * MOST_WAITING, 10, 0)
