"""What is made of questions is kept where it is small; a large one leaves nothing behind."""

import asyncio
from pathlib import Path

from fleetnet_server.storage.compiled import Questions
from fleetnet_server.storage.database import Database
from sqlalchemy import Connection, literal, select

from server import databases


def _ask(conn: Connection, values: int) -> int:
    """A question with so many values in it."""
    return len(conn.execute(select(*(literal(number).label(f"v{number}") for number in range(values)))).one())


def _ask_under_another_name(conn: Connection, number: int) -> None:
    conn.execute(select(literal(1).label(f"name{number}"))).one()


def test_small_questions_are_kept_and_large_ones_are_not(tmp_path: Path) -> None:
    async def story() -> None:
        db = Database.open(databases.url(tmp_path))
        try:
            cache = db._engines.readers.get_execution_options()["compiled_cache"]
            assert isinstance(cache, Questions)
            assert await db.read(_ask, 3) == 3
            small = len(cache)
            assert small >= 1
            for values in range(160, 180):
                assert await db.read(_ask, values) == values
            assert await db.read(_ask, 3) == 3
            assert len(cache) == small
        finally:
            await db.close()

    asyncio.run(story())


def test_no_more_are_kept_than_so_many_however_many_there_are(tmp_path: Path) -> None:
    async def story() -> None:
        db = Database.open(databases.url(tmp_path))
        try:
            for values in range(1, 320):
                await db.read(_ask_under_another_name, values)
            assert len(db._engines.readers.get_execution_options()["compiled_cache"]) <= 300
        finally:
            await db.close()

    asyncio.run(story())
