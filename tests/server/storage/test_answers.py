"""What the writer thread has answered comes to the event loop together, in order, and whole."""

import asyncio
from concurrent.futures import Future

from fleetnet_server.storage.answers import Answers


def test_what_is_answered_while_the_loop_is_busy_comes_in_order_with_what_was_raised() -> None:
    async def scenario() -> None:
        answers, heard = Answers(asyncio.get_running_loop()), list[str]()

        async def hear(name: str, work: Future[str]) -> None:
            try:
                heard.append(name + await answers.of(work))
            except ValueError as error:
                heard.append(name + str(error))

        works = [Future[str]() for _ in range(3)]
        waiting = [asyncio.create_task(hear(f"{number}: ", work)) for number, work in enumerate(works)]
        await asyncio.sleep(0)

        def answer() -> None:
            works[2].set_result("first")
            works[0].set_exception(ValueError("second"))
            works[1].set_result("third")

        await asyncio.to_thread(answer)
        await asyncio.gather(*waiting)
        assert heard == ["2: first", "0: second", "1: third"]

    asyncio.run(scenario())


def test_what_is_answered_later_wakes_the_loop_again() -> None:
    async def scenario() -> None:
        answers = Answers(asyncio.get_running_loop())
        for number in range(200):
            work = Future[int]()
            waiting = asyncio.create_task(answers.of(work))
            await asyncio.sleep(0)
            await asyncio.to_thread(work.set_result, number)
            assert await waiting == number

    asyncio.run(scenario())


def test_what_nobody_waits_for_is_called_off_and_its_neighbour_is_not() -> None:
    async def scenario() -> None:
        answers = Answers(asyncio.get_running_loop())
        gone, stays = Future[int](), Future[int]()
        waiting = [asyncio.create_task(answers.of(work)) for work in (gone, stays)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        assert gone.cancelled()
        stays.set_result(7)
        assert await waiting[1] == 7

    asyncio.run(scenario())


def test_an_answer_that_comes_after_its_waiter_has_gone_harms_nobody() -> None:
    async def scenario() -> None:
        answers = Answers(asyncio.get_running_loop())
        begun, stays = Future[int](), Future[int]()
        begun.set_running_or_notify_cancel()
        waiting = [asyncio.create_task(answers.of(work)) for work in (begun, stays)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        begun.set_result(1)
        stays.set_result(2)
        assert await waiting[1] == 2

    asyncio.run(scenario())
