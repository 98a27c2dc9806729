"""An answer put together host by host is the one that a plain account of all rows gives.

What hosts hold and held is drawn, and so is what is asked. The account goes through every row in Python, judges each by
what the question says, and sorts them as the order is documented. How many hosts a step takes, how many rows are looked
for first and how large a page is are drawn as well, for a fleet that needs many steps would take a test too long.
"""

import asyncio
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from fleetnet_server.records import SocketQuestion
from fleetnet_server.storage import search, walk
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from server.accounts import NOW, Row, asked, drawn, enroll_all, in_time, may_be_meant, meant, told
from server.reports import (
    Collector,
    collector,
)

_QUESTIONS = 20  # of each fleet


def plainly(rows: Iterable[Row], question: SocketQuestion) -> list[tuple[object, ...]]:
    """The answer, from the sentences in query.proto."""
    at_us = question.selection.at_us
    there = [row.then(at_us) for row in rows if in_time(row, at_us, question.opened_since_us)]
    found = [row for row in there if meant(row, question)]
    return sorted(told(row.host, row.socket, row.closed_at_us) for row in found)


async def _asks(c: Collector, question: SocketQuestion, meant: list[tuple[object, ...]], unseen: int) -> None:
    answer = await c.ask(question, now_us=NOW)
    limit = question.selection.limit
    expected = meant[:limit] if limit else meant
    assert [told(item.host, item, item.closed_at_us) for item in answer.items] == expected, question
    assert answer.end.truncated == (len(expected) < len(meant)), question
    assert answer.coverage.unseen_holders == unseen, question


async def _all_answers_are_as_the_account_has_them(directory: Path, draw: random.Random) -> None:
    rows = drawn(draw, most=draw.choice((3, 6, 12)))
    async with collector(directory) as c:
        await enroll_all(c, rows)
        for _ in range(_QUESTIONS):
            question = asked(draw)
            unseen = sum(
                in_time(row, question.selection.at_us, question.opened_since_us)
                and may_be_meant(row.then(question.selection.at_us), question)
                for row in rows
            )
            await _asks(c, question, plainly(rows, question), unseen)


@given(st.integers(0, 1 << 32))
@example(0)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_answer_put_together_host_by_host_is_that_of_a_plain_account(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir=tmp_path) as directory:
        patch.setattr(walk, "FIRST_STEP", draw.choice((1, 2, 16)))
        patch.setattr(walk, "WANTED", draw.choice((1, 4, 500)))
        patch.setattr(search, "LOOK", draw.choice((0, 2, 300)))
        patch.setattr(search, "PAGE", draw.choice((1, 2, 5, 500)))
        asyncio.run(_all_answers_are_as_the_account_has_them(Path(directory), draw))
