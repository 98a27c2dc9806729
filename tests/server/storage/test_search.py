"""What finding sockets costs beside what the database does for it."""

from contextlib import aclosing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fleetnet_server.records import Net, Process, Selection, SocketQuestion
from fleetnet_server.storage.holders import MOST_OWNERS
from server.reports import CLOSE_WAIT, T0, WEB, Collector, S, sock
from server.stories import reporting, tell
from sqlalchemy import event
from sqlalchemy.engine.interfaces import CacheStats


def test_no_statement_is_compiled_again_for_other_values(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await reporting(c, "web1", sock(1, T0), sock(2, T0, state=CLOSE_WAIT))
        compiled: list[str] = []

        def note(_conn: object, _cursor: object, sql: str, _values: object, context: Any, _many: object) -> None:
            if context is not None and context.compiled is not None and context.cache_hit is not CacheStats.CACHE_HIT:
                compiled.append(sql)

        event.listen(c.db._engines.readers, "before_cursor_execute", note)
        for number in range(3):
            for asked in (
                SocketQuestion(Selection()),
                SocketQuestion(Selection(host="web1"), process=f"nginx{number}"),
                SocketQuestion(Selection(at_us=T0 + number * S)),
                SocketQuestion(Selection(), local_ports=((443 + number, 443 + number),), listeners_only=True),
                SocketQuestion(Selection(), local_ports=((1, 443 + number),), exposed_only=True),
                SocketQuestion(Selection(), states=(CLOSE_WAIT + number,), unit=f"nginx{number}.service"),
                SocketQuestion(
                    Selection(), remotes=(Net(bytes([10, 0, 0, number]), 32),), remote_ports=((number + 1, number + 1),)
                ),
                SocketQuestion(Selection(), listeners_only=True, opened_since_us=T0 - number * S),
            ):
                await c.ask(asked, now_us=T0 + 9 * S)
            assert bool(compiled) == (number == 0), compiled
            compiled.clear()

    tell(tmp_path, story)


def test_of_a_host_that_claims_thousands_of_owners_for_each_socket_few_sockets_are_loaded_at_once(
    tmp_path: Path,
) -> None:
    async def story(c: Collector) -> None:
        crowd = tuple(Process(pid, T0, "worker", "", "") for pid in range(1, 8_001))
        claimed = [WEB._replace(owners=crowd[number:]) for number in range(5)]
        await reporting(c, "evil", *(sock(n, T0, port=n, holder=holder) for n, holder in enumerate(claimed, 1)))
        await reporting(c, "web1", *(sock(n, T0, port=n) for n in range(1, 4)))
        together: list[int] = []
        async with aclosing(c.questions.sockets(SocketQuestion(Selection(limit=100)), T0)) as parts:
            pages = [part async for part in parts if isinstance(part, tuple)]
        for page in pages:
            together.append(sum(len(holder.owners) for holder in {answer.holder for answer in page}))
        found = [answer for page in pages for answer in page]
        assert [(one.host, one.local_port) for one in found] == [
            *(("evil", n) for n in range(1, 6)),
            *(("web1", n) for n in range(1, 4)),
        ]
        assert [one.holder.owners for one in found[:5]] == [holder.owners for holder in claimed]
        assert max(together) <= MOST_OWNERS < sum(together)

    tell(tmp_path, story)


@pytest.mark.engine("postgresql")
def test_only_what_may_be_more_than_a_page_is_read_by_a_cursor_of_the_server(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await reporting(c, "web1", *(sock(number, T0, port=number) for number in range(1, 9)))
        cursors: list[bool] = []

        def note(_conn: object, cursor: object, *_: object) -> None:
            cursors.append(isinstance(cursor, psycopg.ServerCursor))

        event.listen(c.db._engines.readers, "before_cursor_execute", note)
        for asked, by_cursor in (
            (SocketQuestion(Selection(), local_ports=((1, 5),), listeners_only=True), 0),
            (SocketQuestion(Selection(limit=5)), 0),
            (SocketQuestion(Selection()), 1),
        ):
            assert len((await c.ask(asked, now_us=T0)).items) == (8 if by_cursor else 5)
            assert sum(cursors) == by_cursor
            cursors.clear()

    tell(tmp_path, story)
