"""Sockets that opened and closed between two looks: in history once, never open, and the exact ends of others."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fleetnet_server.records import Batch, Session
from fleetnet_server.storage import counts, sockets
from fleetnet_server.storage.database import Connection
from server.reports import (
    CLOSE,
    ESTABLISHED,
    EXACT,
    LISTEN,
    SEEN,
    T0,
    TIME_WAIT,
    Collector,
    Interval,
    S,
    collector,
    difference,
    gone,
    hello,
    snapshot,
    sock,
)

UNSEEN = 4
AT_US = T0 + S // 2

Story = Callable[[Collector, Session], Awaitable[None]]


def tell(directory: Path, story: Story) -> None:
    async def run() -> None:
        async with collector(directory) as c:
            await story(c, await c.connect(await c.enroll(), hello(T0)))

    asyncio.run(run())


def brief(sequence: int, look_us: int, *cookies: int, at_us: int = AT_US) -> Batch:
    return difference(
        sequence,
        look_us,
        previous_us=look_us - S,
        opened=tuple(sock(n, at_us, CLOSE, how=UNSEEN, remote=bytes(4), remote_port=n) for n in cookies),
        closed=tuple(gone(n, at_us, EXACT) for n in cookies),
    )


def test_a_brief_socket_is_one_interval_without_length_and_never_open(tmp_path: Path) -> None:
    async def story(c: Collector, session: Session) -> None:
        await c.report(session, snapshot(1, T0), brief(2, T0 + S, 7, 8))
        assert await c.intervals() == [Interval(n, CLOSE, AT_US, UNSEEN, AT_US, EXACT, AT_US) for n in (7, 8)]
        assert (await c.ask(now_us=T0 + S)).items == []
        for at_us in (AT_US - 1, AT_US, AT_US + 1):
            assert (await c.ask(now_us=T0 + 2 * S, at_us=at_us)).items == []

    tell(tmp_path, story)


def test_telling_it_again_changes_nothing(tmp_path: Path) -> None:
    async def story(c: Collector, session: Session) -> None:
        batch = brief(2, T0 + S, 7)
        await c.report(session, snapshot(1, T0), batch)
        before = await c.dump()
        await c.report(session, batch)
        await c.restart()
        host_id = session.host_id
        again = await c.connect(replace(await c.enroll("other"), host_id=host_id, name="web1"), hello(T0))
        assert (await c.ingest.commit(again, batch, T0 + S)).sequence == 2
        assert (await c.dump())["history"] == before["history"]
        assert (await c.dump())["current"] == before["current"] == []

    tell(tmp_path, story)


def test_one_that_is_told_late_lies_before_the_look_that_told_of_it_and_disturbs_nothing(tmp_path: Path) -> None:
    async def story(c: Collector, session: Session) -> None:
        listener = sock(1, T0, LISTEN)
        await c.report(session, snapshot(1, T0, listener), difference(2, T0 + S), brief(3, T0 + 2 * S, 7))
        assert await c.intervals() == [
            Interval(1, LISTEN, T0, SEEN),
            Interval(7, CLOSE, AT_US, UNSEEN, AT_US, EXACT, AT_US),
        ]
        assert [item.state for item in (await c.ask(now_us=T0 + 2 * S)).items] == [LISTEN]

    tell(tmp_path, story)


def test_an_exact_end_and_an_exact_time_wait_adjoin_what_was_before(tmp_path: Path) -> None:
    async def story(c: Collector, session: Session) -> None:
        await c.report(
            session,
            snapshot(1, T0, sock(1, T0, ESTABLISHED), sock(2, T0, ESTABLISHED)),
            difference(
                2,
                T0 + S,
                previous_us=T0,
                changed=(sock(1, AT_US, TIME_WAIT, how=EXACT),),
                closed=(gone(2, AT_US, EXACT),),
            ),
        )
        assert await c.intervals() == [
            Interval(1, ESTABLISHED, T0, SEEN, AT_US, EXACT, T0),
            Interval(1, TIME_WAIT, AT_US, EXACT),
            Interval(2, ESTABLISHED, T0, SEEN, AT_US, EXACT, T0),
        ]

    tell(tmp_path, story)


def test_a_time_wait_that_appears_after_its_connection_was_told_goes_on_where_that_ended(tmp_path: Path) -> None:
    async def story(c: Collector, session: Session) -> None:
        late = difference(3, T0 + 2 * S, previous_us=T0 + S, opened=(sock(7, AT_US, TIME_WAIT, how=EXACT),))
        await c.report(session, snapshot(1, T0), brief(2, T0 + S, 7), late)
        assert await c.intervals() == [
            Interval(7, CLOSE, AT_US, UNSEEN, AT_US, EXACT, AT_US),
            Interval(7, TIME_WAIT, AT_US, EXACT),
        ]
        assert [item.state for item in (await c.ask(now_us=T0 + 2 * S, at_us=AT_US)).items] == [TIME_WAIT]

    tell(tmp_path, story)


def test_a_snapshot_that_follows_does_not_close_it_again(tmp_path: Path) -> None:
    async def story(c: Collector, session: Session) -> None:
        await c.report(session, snapshot(1, T0), brief(2, T0 + S, 7), snapshot(3, T0 + 2 * S))
        assert await c.intervals() == [Interval(7, CLOSE, AT_US, UNSEEN, AT_US, EXACT, AT_US)]

    tell(tmp_path, story)


def test_a_look_with_more_ends_than_are_looked_through_keeps_all_their_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MOST_ENDS", 3)

    async def story(c: Collector, session: Session) -> None:
        parts = [
            replace(brief(2 + n, T0 + S, 10 * n + 1, 10 * n + 2, at_us=AT_US + 9 - n), previous_look_at_us=T0)
            for n in range(4)
        ]
        await c.report(session, snapshot(1, T0), *parts)
        assert {i.cookie: (i.opened_at_us, i.closed_at_us) for i in await c.intervals()} == {
            10 * n + m: (AT_US + 9 - n, AT_US + 9 - n) for n in range(4) for m in (1, 2)
        }

    tell(tmp_path, story)


@pytest.mark.parametrize("ended_us", [T0 - 5, T0, T0 + 5])
@pytest.mark.parametrize("seen_us", [0, T0 - 9, T0 + 3, T0 + 9])
def test_what_passes_through_leaves_the_row_that_opening_and_ending_it_would_leave(
    tmp_path: Path, ended_us: int, seen_us: int
) -> None:
    async def story(c: Collector, session: Session) -> None:
        row = sockets.OpenSocket(session.host_id, 11, sock(7, T0, CLOSE, how=UNSEEN), 3, 0, T0, T0 + 4)
        ending = sockets.Ending(session.host_id, 11, ended_us, EXACT, seen_us)

        def stepwise_too(conn: Connection) -> None:
            with counts.kept(conn) as tally:
                sockets.open_new(conn, [row], tally)
                sockets.end(conn, [ending], tally)

        await c.db.write(stepwise_too)
        await c.db.write(sockets.pass_through, [(row, ending)])
        stepwise, at_once = (await c.dump())["history"]
        assert at_once == stepwise
        assert (await c.dump())["current"] == []

    tell(tmp_path, story)
