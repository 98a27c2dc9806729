"""What one host stores without end must not make the work of the writer, or an answer, grow without end."""

from pathlib import Path

import pytest
from fleetnet_server.records import Gap
from fleetnet_server.storage import gaps, sockets
from server.costs import asked_of, plan
from server.reports import ESTABLISHED, EXACT, T0, Collector, S, difference, gone, snapshot, sock
from server.stories import connected, tell
from sqlalchemy import Connection


def test_of_too_many_gaps_the_older_half_becomes_one_that_covers_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "MOST_KEPT", 10)

    async def story(c: Collector) -> None:
        session = await connected(c)
        told = tuple(Gap(T0 + n, T0 + n + 1, "lost") for n in range(0, 40, 2))
        await c.report(session, snapshot(1, T0 + S), difference(2, T0 + 2 * S, gaps=told[:9]))
        assert await c.gaps() == list(told[:9])
        await c.report(session, difference(3, T0 + 3 * S, gaps=told[9:11]))
        kept = await c.gaps()
        assert kept[0] == Gap(T0, told[5].to_us, gaps.MERGED)
        assert kept[1:] == list(told[6:11])
        for sequence, gap in enumerate(told[11:], 4):
            await c.report(session, difference(sequence, T0 + sequence * S, gaps=(gap,)))
            assert len(await c.gaps()) <= 10

    tell(tmp_path, story)


def test_after_a_clock_was_set_back_no_intervals_overlap_however_many_ends_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, snapshot(1, T0, *(sock(n, T0, ESTABLISHED) for n in range(1, 7))))
        ends = tuple(gone(n, T0 + n * S, EXACT) for n in range(1, 7))
        await c.report(session, difference(2, T0 + 10 * S, closed=ends))
        # The clock goes back a long way, and sockets come again that had ended.
        again = (sock(6, T0 - 500 * S, ESTABLISHED), sock(1, T0 - 500 * S, ESTABLISHED))
        await c.report(session, difference(3, T0 - 400 * S, opened=again))
        opened = {i.cookie: i.opened_at_us for i in await c.intervals() if not i.closed_at_us}
        assert opened == {6: T0 + 6 * S, 1: T0 + S}
        # Of these there is more to look through than the writer does, so they begin behind all that is stored.
        monkeypatch.setattr(sockets, "MOST_ENDS", 1)
        both = (sock(2, T0 - 500 * S, ESTABLISHED), sock(3, T0 - 500 * S, ESTABLISHED))
        await c.report(session, difference(4, T0 - 300 * S, opened=both))
        opened = {i.cookie: i.opened_at_us for i in await c.intervals() if not i.closed_at_us}
        assert opened == {6: T0 + 6 * S, 1: T0 + S, 2: T0 + 10 * S, 3: T0 + 10 * S}

    tell(tmp_path, story)


# PostgreSQL goes by what it has counted, which test_by_socket.py has it do.
@pytest.mark.engine("sqlite")
def test_a_clock_that_was_set_back_costs_what_is_told_and_not_what_has_ended(tmp_path: Path) -> None:
    """Along the index of sockets: of a host any number may have ended, all of it in the same ten minutes."""

    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, snapshot(1, T0))
        asked = asked_of(c.db._engines.writer)
        await c.report(session, difference(2, T0 - 400 * S, opened=(sock(6, T0 - 500 * S),)))
        of_history = [(sql, values) for sql, values in asked if "FROM history" in sql]
        assert len(of_history) == 1

        def planned(conn: Connection) -> list[str]:
            told = [(sql, values if isinstance(values, dict) else tuple(values)) for sql, values in of_history]
            return [step for sql, values in told for step in plan(conn, sql, values) if "history" in step]

        steps = await c.db.write(planned)
        assert steps
        assert all("ix_history_sockets" in step for step in steps), steps

    tell(tmp_path, story)
