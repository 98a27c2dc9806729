"""What one host stores without end must not make the work of the writer, or an answer, grow without end."""

from pathlib import Path

import pytest
from fleetnet_server.records import Gap
from fleetnet_server.storage import gaps, sockets
from server.reports import ESTABLISHED, EXACT, T0, Collector, S, difference, gone, snapshot, sock
from server.stories import connected, tell


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


def test_after_a_clock_was_set_back_few_ends_are_looked_through_and_no_intervals_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "_ENDS_LOOKED_THROUGH", 3)

    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, snapshot(1, T0, *(sock(n, T0, ESTABLISHED) for n in range(1, 7))))
        ends = tuple(gone(n, T0 + n * S, EXACT) for n in range(1, 7))
        await c.report(session, difference(2, T0 + 10 * S, closed=ends))
        # The clock goes back a long way, and sockets come again that had ended: one of the latest, one of long ago.
        again = (sock(6, T0 - 500 * S, ESTABLISHED), sock(1, T0 - 500 * S, ESTABLISHED))
        await c.report(session, difference(3, T0 - 400 * S, opened=again))
        opened = {i.cookie: i.opened_at_us for i in await c.intervals() if not i.closed_at_us}
        assert opened == {6: T0 + 6 * S, 1: T0 + 4 * S}

    tell(tmp_path, story)
