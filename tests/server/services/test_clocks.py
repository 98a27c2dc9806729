"""A time past is one time for all hosts, whatever their clocks say, and a wrong one costs the others nothing.

What a question costs is counted in the steps of SQLite's machine, which are the same on every computer.
"""

from pathlib import Path
from typing import Any

import pytest
from fleetnet_server.records import Gap, Selection, SocketQuestion
from fleetnet_server.services.coverage import outline
from fleetnet_server.storage import gaps, search
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.dialect import execute_rows
from fleetnet_server.storage.schema import history
from server.reports import CLOSE_WAIT, LISTEN, T0, Collector, S, difference, gone, sock
from server.stories import reporting, tell
from sqlalchemy import insert

DAY = 86_400 * S
NOW = T0 + 300 * S
# As a host without a battery has it, and others.
OFFSETS = {"right": 0, "late": -1_800 * S, "of1970": 10 * S - T0, "later": -2 * DAY, "ahead": 40 * DAY}
QUESTION = SocketQuestion(Selection(at_us=T0 + 100 * S), states=(CLOSE_WAIT,))
_HISTORY = insert(history)


async def lives(c: Collector, name: str) -> None:
    """A host that held two sockets, of which one ended, and opened a third; with a gap in between, by its own clock."""
    by_us = OFFSETS[name]
    session = await reporting(c, name, sock(1, T0 + by_us), sock(2, T0 + by_us, CLOSE_WAIT, port=2), offset_us=by_us)
    at_us = T0 + 120 * S + by_us
    looked = difference(
        2, at_us, previous_us=T0 + by_us, opened=(sock(3, at_us, port=3),), closed=(gone(2, at_us),),
        gaps=(Gap(T0 + 50 * S + by_us, T0 + 60 * S + by_us, "queue full"),),
    )  # fmt: skip
    await c.report(session, looked, delay_us=-by_us)


def test_each_host_is_asked_about_that_time_by_its_own_clock(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        for name in OFFSETS:
            await lives(c, name)

        async def told(**asked: Any) -> tuple[dict[str, list[int]], int, int]:
            since_us = int(asked.pop("since_us", 0))
            question = SocketQuestion(Selection(**asked), opened_since_us=since_us)
            answer = await c.ask(question, NOW)
            found: dict[str, list[int]] = {}
            for item in answer.items:
                found.setdefault(item.host, []).append(item.local_port)
            return found, answer.coverage.hosts_fresh, answer.coverage.gaps

        for globs in ((), ("*",)):
            for at_us, ports, over in (
                (T0 + 55 * S, [2, 443], 1),
                (T0 + 119 * S, [2, 443], 0),
                (T0 + 120 * S, [3, 443], 0),
            ):
                assert await told(at_us=at_us, host_globs=globs) == (dict.fromkeys(OFFSETS, ports), 5, 5 * over)
            began = await told(at_us=T0 + 130 * S, since_us=T0 + 1 * S, host_globs=globs)
            assert began == ({name: [3] for name in OFFSETS}, 5, 5)
        for name in OFFSETS:
            assert await told(at_us=T0 + 55 * S, host=name) == ({name: [2, 443]}, 1, 1)
        counted = await c.questions.counts(Selection(at_us=T0 + 55 * S, host_globs=("*",)), NOW)
        assert [(one.state, one.sockets) for one in counted.counts] == [(CLOSE_WAIT, 5), (LISTEN, 5)]
        nobody = await c.questions.counts(Selection(at_us=T0 + 55 * S, host_globs=("nobody*",)), NOW)
        assert (nobody.coverage.hosts_asked, nobody.counts) == (0, ())

    tell(tmp_path, story)


@pytest.mark.engine("sqlite")
def test_a_host_of_1970_has_nobody_go_through_what_others_have_kept_since_then(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        hosts = [(await reporting(c, f"web{number}", sock(1, T0))).host_id for number in range(4)]
        await c.db.write(fill, hosts)
        before = await c.db.read(cost)
        await lives(c, "of1970")
        assert await c.db.read(cost) < 2 * before

    tell(tmp_path, story)


def fill(conn: Connection, host_ids: list[int]) -> None:
    """Of each host a thousand sockets that had ended long before, and as many gaps."""
    names = [column.name for column in history.columns if not column.nullable]
    row: dict[str, object] = dict.fromkeys(names, 0) | {"local_address": b"", "remote_address": b""}
    for host_id in host_ids:
        times = [T0 - number * 3_600 * S for number in range(1, 1_001)]
        rows = [
            {**row, "host_id": host_id, "opened_at_us": us, "closed_at_us": us + 9, "state": CLOSE_WAIT} for us in times
        ]
        execute_rows(conn, _HISTORY, tuple(names), [tuple(one.values()) for one in rows])
        gaps.record(conn, host_id, [Gap(us, us + 9, "queue full") for us in times])


def cost(conn: Connection) -> int:
    """Of a question about a time past."""
    driver = conn.connection.driver_connection
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    assert driver is not None
    driver.set_progress_handler(count, 10)
    try:
        scene = outline(conn, QUESTION.selection, NOW)
        list(search.pages(conn, QUESTION, search.Times(scene.moment), scene.only))
    finally:
        driver.set_progress_handler(None, 0)
    return steps
