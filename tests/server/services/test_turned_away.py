"""Who was turned away from administration is in its log, and nobody fills it, however often he comes."""

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fleetnet_server.errors import StorageUnavailable
from fleetnet_server.services import turned_away
from fleetnet_server.services.log import Logged, Wish
from fleetnet_server.services.turned_away import MINUTE_S, TurnedAway
from fleetnet_server.storage import log
from server.reports import T0, Collector
from server.stories import tell as tell_of

WHY = "bob is a viewer"


class Door:
    """Who notes refusals, on a clock of the test's."""

    def __init__(self, c: Collector) -> None:
        self.now_s = 1_000.0
        self.db = c.db
        self.log = Logged(c.db, lambda: datetime.datetime.fromtimestamp(T0 / 1e6, datetime.UTC))
        self.kept = TurnedAway(self.log, lambda: self.now_s)

    async def refuse(self, who: str, times: int = 1) -> None:
        for n in range(times):
            await self.kept.note(Wish(who, "", f"ipv4:{n}", "revoke-hosts", ""), WHY)

    async def told(self) -> list[tuple[str, str]]:
        """Who, and what beside that he is a viewer; the first one first."""
        assert (await self.db.read(log.broken))[1] == 0
        entries = [one.entry for one in reversed(await self.log.latest(1_000))]
        assert {one.result.partition(" (")[0] for one in entries} <= {f"refused: {WHY}"}
        return [(one.who, one.result.partition(" (")[2].removesuffix(")")) for one in entries]


def tell(tmp_path: Path, story: Callable[[Door], Awaitable[None]]) -> None:
    async def of_door(c: Collector) -> None:
        await story(Door(c))

    tell_of(tmp_path, of_door)


def test_a_flood_is_two_entries_a_minute_that_say_how_many_there_were(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        await door.refuse("bob", 500)
        await door.refuse("eve")
        await door.kept.put_down()
        assert await door.told() == [("bob", ""), ("eve", "")]
        door.now_s += MINUTE_S
        await asyncio.wait_for(door.kept.due(), 60)
        await door.kept.put_down()
        await door.refuse("bob", 2)
        assert await door.told() == [("bob", ""), ("eve", ""), ("bob", "499 times more within a minute"), ("bob", "")]
        await door.kept.put_down(at_once=True)
        await door.kept.put_down(at_once=True)
        assert (await door.told())[4:] == [("bob", "1 times more within a minute")]

    tell(tmp_path, story)


def test_whoever_hangs_up_at_once_is_in_the_log_all_the_same(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        refusing = asyncio.ensure_future(door.refuse("bob"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        refusing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await refusing
        async with asyncio.timeout(60):
            while not await door.told():  # noqa: ASYNC110  # nobody is told when it is written
                await asyncio.sleep(0.01)
        assert await door.told() == [("bob", "")]

    tell(tmp_path, story)


def test_of_many_who_come_at_once_the_rest_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turned_away, "MOST", 3)

    async def story(door: Door) -> None:
        for n in range(10):
            await door.refuse(f"p{n}")
        await door.kept.put_down(at_once=True)
        assert await door.told() == [
            ("p0", ""), ("p1", ""), ("p2", ""), ("p3", ""), ("others", "6 times more within a minute"),
        ]  # fmt: skip

    tell(tmp_path, story)


def test_what_could_not_be_written_is_counted_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(door: Door) -> None:
        async def full(*_: object) -> None:
            raise StorageUnavailable("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(door.log, "refused", full)
            with pytest.raises(StorageUnavailable):
                await door.refuse("bob")
            await door.refuse("bob", 2)
            with pytest.raises(StorageUnavailable):
                await door.kept.put_down(at_once=True)
        door.now_s += MINUTE_S
        await door.kept.put_down()
        assert await door.told() == [("bob", "3 times more within a minute")]

    tell(tmp_path, story)
