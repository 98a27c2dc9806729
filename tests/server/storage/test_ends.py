"""Rows of history, and who held a socket before, are found by when they ended, to the microsecond, though the indexes
know of ten minutes only."""

import itertools
import re
from pathlib import Path

from fleetnet_server.storage import ends, former_holders, retention, sockets
from fleetnet_server.storage.dialect import execute_many
from fleetnet_server.storage.former_holders import Former
from fleetnet_server.storage.schema import history
from server.costs import asked_of, plan
from server.reports import T0, Collector
from server.stories import tell
from sqlalchemy import BigInteger, Connection, bindparam, insert, literal, select

SPAN = 600_000_000
# Around the borders of the ten minutes, and before 1970, as a host without a clock has it.
TIMES = sorted(
    at + by for at, by in itertools.product((-2 * SPAN, -SPAN, 0, SPAN, T0 // SPAN * SPAN), (-SPAN // 2, -1, 0, 1, 7))
)


def fill(conn: Connection) -> None:
    """A row that ended at each of the times, in another order than they come."""
    row = {column.name: 0 for column in history.columns if not column.nullable}
    empty = {"local_address": b"", "remote_address": b""}
    rows = [{**row, **empty, "host_id": 1, "socket_id": at % 1_000_003, "closed_at_us": at} for at in TIMES[::-1]]
    execute_many(conn, _INSERT, rows)


_INSERT = insert(history)


def test_the_borders_are_exact_and_the_order_is_that_of_the_times(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await c.db.write(fill)

        def found(conn: Connection) -> None:
            query = select(history.c.closed_at_us).order_by(*ends.OLDEST_FIRST)
            for from_us, before_us in itertools.product(TIMES, TIMES):
                within = conn.execute(query.where(*retention.within(1, from_us, before_us))).scalars()
                assert list(within) == [at for at in TIMES if from_us <= at < before_us]
            assert list(conn.execute(query.order_by(None).order_by(*ends.LATEST_FIRST)).scalars()) == TIMES[::-1]
            ended = bindparam("ended_us", type_=BigInteger)
            at = query.where(history.c.host_id == literal(1), ends.at(ended), history.c.closed_at_us == ended)
            assert [list(conn.execute(at, {"ended_us": us}).scalars()) for us in TIMES] == [[us] for us in TIMES]

        await c.db.read(found)

    tell(tmp_path, story)


def test_whoever_looks_for_ends_goes_by_the_index(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        def looked_for(conn: Connection) -> list[str]:
            asked = asked_of(conn.engine)
            list(retention.slices(conn, 1, -(1 << 62), 1 << 62))
            retention.sockets(conn, 1, (1, 2, 3), 0, 1 << 62, 10)
            sockets.restate_ends(conn, [(1, T0)], was=2, becomes=3)
            return [step for sql, values in tuple(asked) for step in plan(conn, sql, values) if "history" in step]

        await c.db.write(fill)
        # Else PostgreSQL takes a part of a spread table for one row, which is as good to go through as to look up.
        await c.db.write(lambda conn: conn.exec_driver_sql("ANALYZE"))
        steps = await c.db.write(looked_for)
        assert len(steps) >= 3
        for step in steps:
            assert "ix_history_ends" in step, steps
            assert "600000000" in step or "<expr>" in step, "\n".join(steps)

    tell(tmp_path, story)


def test_the_question_that_is_said_to_be_quick_goes_by_the_index_through_the_view(tmp_path: Path) -> None:
    # As docs/schema.md has it.
    told = (Path(__file__).parents[3] / "docs" / "schema.md").read_text()
    [question] = re.findall(r"^SELECT \* FROM socket_history[^;]*ended_in[^;]*;", told, re.MULTILINE)

    async def story(c: Collector) -> None:
        await c.db.write(fill)
        steps = await c.db.write(plan, question, ())
        [step] = [one for one in steps if "ix_history" in one]
        assert "ix_history_ends" in step
        assert "600000000" in step or "<expr>" in step

    tell(tmp_path, story)


def handed_over(conn: Connection) -> None:
    """A time that ended at each of the times, of each of two kinds and hosts, in another order than they come."""
    former_holders.keep(
        conn,
        [
            Former(host_id, at % 1_000_003, at, at - 1, None, 9, kind)
            for at in TIMES[::-1]
            for host_id, kind in ((1, 1), (2, 1))
        ]
        + [Former(1, at % 1_000_003 + 2_000_000, at, at - 1, None, 9, 2) for at in TIMES],
    )


def test_who_held_a_socket_before_a_time_is_found_to_the_microsecond(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await c.db.write(handed_over)

        def found(conn: Connection) -> None:
            for kind, before_us in itertools.product((1, 2, 3), TIMES):
                rows = retention.handed_over(conn, 1, kind, before_us, 1_000)
                assert {(row.kind, row.name[0], row.name[2]) for row in rows} <= {(kind, 1, at) for at in TIMES}
                expected = [at for at in TIMES if at < before_us and kind != 3]
                assert sorted(row.ended_us for row in rows) == expected
                some = retention.handed_over(conn, 1, kind, before_us, 3)
                assert len(some) == min(len(rows), 3)
                assert set(some) <= set(rows)

        await c.db.read(found)

    tell(tmp_path, story)


def test_they_are_found_by_the_index_and_none_is_sorted_or_looked_at_that_is_not_told(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await c.db.write(handed_over)

        def looked_for(conn: Connection, before_us: int) -> tuple[int, list[str]]:
            asked = asked_of(conn.engine)
            retention.handed_over(conn, 1, 1, before_us, 10)
            statements = tuple(asked)
            asked.clear()
            return len(statements), [step for sql, values in statements for step in plan(conn, sql, values)]

        # Where there is none one look tells; what is found is of a day, and that there is another takes a look.
        for before_us, count in ((TIMES[0], 1), (TIMES[1], 3), (T0 + SPAN, 2)):
            told, steps = await c.db.read(looked_for, before_us)
            assert told == count
            assert len(steps) == count, steps
            for step in steps:
                assert "ix_former_holders_ends" in step, steps
                # From one time on, and before another: what is not too old yet may be more than all that is.
                assert re.search(r"<expr>>\? AND <expr><\?|600000000\) >= .*600000000\) <= ", step), steps

    tell(tmp_path, story)
