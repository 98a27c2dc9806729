"""The command line compares two answers as they come in, so it relies on their order, to the last byte of a name: what
it finds between two answers of a collector, applied to what a plain account has before, gives what it has after."""

import asyncio
import random
import tempfile
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path

from fleetnet_cli import wire
from fleetnet_cli.differences import between, place_of, program_of
from fleetnet_cli.records import Socket
from fleetnet_server.records import Selection, SocketAnswer, SocketQuestion
from fleetnet_server.rpc import translate_query
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from server.accounts import NOW, Row, drawn, enroll_all, in_time, meant
from server.reports import T0, Collector, S, collector

Services = set[tuple[object, ...]]
_COMPARISONS = 8  # of each fleet


async def answered(c: Collector, question: SocketQuestion) -> list[Socket]:
    """As the command line has it."""
    async with aclosing(c.questions.sockets(question, NOW)) as parts:
        pages = [page async for part in parts if isinstance(part, tuple) for page in translate_query.socket_pages(part)]
    return [wire.socket(item) for page in pages for item in page.items]


def services(sockets: Iterable[Socket | None]) -> Services:
    return {(one.host, place_of(one), program_of(one)) for one in sockets if one}


def of_account(rows: Iterable[Row], question: SocketQuestion) -> Services:
    """What was there, from every row."""
    at_us = question.selection.at_us
    there = [row.then(at_us) for row in rows if in_time(row, at_us, 0) and meant(row.then(at_us), question)]
    items = [
        translate_query.socket_item(_as_answer(row), translate_query.owner_items(row.socket.holder)) for row in there
    ]
    return services(map(wire.socket, items))


def _as_answer(row: Row) -> SocketAnswer:
    one = row.socket
    return SocketAnswer(
        row.host, one.key.netns, one.key.protocol, one.family, one.state, one.interface, one.v6only, one.local_address,
        one.local_port, one.remote_address, one.remote_port, one.recv_queue, one.send_queue, one.inode, one.key.cookie,
        one.source, one.holder, one.opened_at_us, one.opened_at_is, row.closed_at_us, 0, 0,
    )  # fmt: skip


async def _all_differences_are_those_of_the_account(directory: Path, draw: random.Random) -> None:
    rows = drawn(draw, most=draw.choice((4, 12)))
    async with collector(directory) as c:
        await enroll_all(c, rows)
        for _ in range(_COMPARISONS):
            first_us, last_us = sorted(draw.sample(range(T0 - 100 * S, T0 + 900 * S, S), 2))
            then, now = (
                SocketQuestion(Selection(at_us=at_us), listeners_only=True)
                for at_us in (first_us, draw.choice((0, last_us)))
            )
            before, after = await answered(c, then), await answered(c, now)
            found = list(between(before, after, lambda host, was, is_now: ()))
            was = of_account(rows, then)
            gone, come = services(d.before for d in found), services(d.after for d in found)
            assert gone <= was
            assert not come & was
            assert (was - gone) | come == of_account(rows, now)


@given(st.integers(0, 1 << 32))
@example(0)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_differs_between_two_answers_is_what_differs(tmp_path: Path, seed: int) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as directory:
        asyncio.run(_all_differences_are_those_of_the_account(Path(directory), random.Random(seed)))
