"""What is too old goes, all of it and nothing else; answers about the time that is kept stay the same."""

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fleetnet_server.keep import Keep
from fleetnet_server.records import (
    ClosedSocket,
    Gap,
    Holder,
    NotKept,
    Process,
    Selection,
    Session,
    Socket,
    SocketQuestion,
)
from fleetnet_server.services.bands import times
from fleetnet_server.services.retention import Pace, Retention
from fleetnet_server.storage import kept as kept_rows
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.kept import Kind
from fleetnet_server.storage.schema import METADATA, hosts
from server.days import HOUR, UNSEEN, Life
from server.reports import (
    CLOSE,
    CLOSE_WAIT,
    ESTABLISHED,
    EXACT,
    LISTEN,
    T0,
    TIME_WAIT,
    UDP,
    Collector,
    S,
    difference,
    gone,
    hello,
    kept,
    past,
    snapshot,
    sock,
)
from server.stories import LO, PEER, reporting, tell
from sqlalchemy import event, update

DAY = 24 * HOUR
ALL_KINDS = Keep(keep_listeners_days=5, keep_sockets_days=3, keep_brief_days=1)
Tables = dict[str, list[dict[str, Any]]]


async def no_rest(_: float) -> None:
    """A test does not wait."""


async def clear(c: Collector, now_us: int, keep: Keep = ALL_KINDS) -> Counter[str]:
    """A round of retention, holders of all hosts included."""
    await hear(c, now_us)
    retention = Retention(c.db, keep, no_rest)
    deleted = await retention.round(now_us)
    for row in (await tables(c))["hosts"]:
        await retention.clear_holders(row["host_id"], deleted)
    return deleted


async def hear(c: Collector, now_us: int) -> None:
    """All hosts are heard then: what a silent host has told grows no older."""
    await c.db.write(lambda conn: conn.execute(update(hosts).values(last_heard_us=now_us)))


async def tables(c: Collector) -> Tables:
    """Every row of every table, with what each is called."""

    def read(conn: Connection) -> Tables:
        found = {name: conn.execute(table.select()).mappings() for name, table in METADATA.tables.items()}
        return {name: sorted(map(dict, rows), key=repr) for name, rows in found.items()}

    return await c.db.read(read)


def too_old(row: dict[str, Any], now_us: int) -> bool:
    """Of history, in other words than those of the collector."""
    brief = row["state"] == TIME_WAIT or row["opened_at_is"] == UNSEEN
    days = 1 if brief else 5 if row["scope"] else 3
    return bool(row["closed_at_us"] < now_us - days * DAY)


def left(before: Tables, now_us: int) -> Tables:
    """What is to be left of all that there was."""
    after = {name: list(rows) for name, rows in before.items()}
    after["history"] = [row for row in before["history"] if not too_old(row, now_us)]
    for name in ("namespaces", "interfaces", "routes"):
        after[name] = [row for row in before[name] if (row["closed_at_us"] or now_us) >= now_us - 5 * DAY]
    after["gaps"] = [
        row for row in before["gaps"] if row["to_us"] >= min(now_us - 5 * DAY, begun_us(before, row, now_us))
    ]
    kept_days = {Kind.LISTENERS: 5, Kind.SOCKETS: 3, Kind.BRIEF: 1}
    after["former_holders"] = [
        row for row in before["former_holders"] if row["until_us"] >= now_us - kept_days[row["kind"]] * DAY
    ]
    naming = ("history", "current", "former_holders")
    used = {(row["host_id"], row["holder_id"]) for name in naming for row in after[name]}
    for name in ("holders", "holder_processes"):
        after[name] = [row for row in before[name] if (row["host_id"], row["holder_id"]) in used]
    members = {(row["host_id"], row["process_id"]) for row in after["holder_processes"]}
    after["processes"] = [row for row in before["processes"] if (row["host_id"], row["process_id"]) in members]
    return after


def begun_us(before: Tables, gap: dict[str, Any], now_us: int) -> int:
    """When the oldest stream of a gap's host began that stays."""
    streams = [row for row in before["sessions"] if row["host_id"] == gap["host_id"] and row["first_at_us"]]
    begun = [row["first_at_us"] for row in streams if row["first_at_us"] <= now_us - 5 * DAY]
    return max(begun, default=now_us)


def but_for_its_own(told: Tables) -> Tables:
    """Without what retention keeps for itself, and streams, which are judged by answers."""
    own = ("holder_doubts", "doubted", "last_heard_us")
    return {
        table: [{name: value for name, value in row.items() if name not in own} for row in rows]
        for table, rows in told.items()
        if table not in ("kept", "sessions")
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_too_old_goes_and_nothing_else_whenever_it_is_looked_for(tmp_path: Path, seed: int) -> None:
    async def story(c: Collector) -> None:
        draw = random.Random(seed)
        lives = [Life(draw, f"web{number}") for number in range(2)]
        for life in lives:
            await life.begin(c)
        went: Counter[str] = Counter()
        for _ in range(3):
            until_us = lives[0].now_us + draw.randrange(48, 96) * HOUR
            for life in lives:
                while life.now_us < until_us:
                    await life.go_on(c)
            # Not so late that what they tell next is too old already.
            now_us = max(life.now_us for life in lives) + draw.randrange(DAY // 2)
            moments = [draw.randrange(now_us - 5 * DAY, now_us) for _ in range(4)]
            before, asked = await tables(c), [await answers(c, at_us, now_us) for at_us in moments]
            went += await clear(c, now_us)
            after = await tables(c)
            assert but_for_its_own(after) == but_for_its_own(left(before, now_us))
            for at_us, answer in zip(moments, asked, strict=True):
                assert await answers(c, at_us, now_us) == answer
            assert not await clear(c, now_us)
        assert went.keys() == {
            "listeners", "sockets", "brief", "interfaces", "routes", "gaps", "sessions", "holders", "processes",
            "former_holders",
        }  # fmt: skip

    tell(tmp_path, story)


async def answers(c: Collector, at_us: int, now_us: int) -> list[object]:
    """What is answered about a time, as far as it is kept."""
    told: list[object] = []
    for kept_days, question in (
        (1, SocketQuestion(Selection(at_us=at_us))),
        (3, SocketQuestion(Selection(at_us=at_us), states=(ESTABLISHED, CLOSE_WAIT))),
        (5, SocketQuestion(Selection(at_us=at_us), listeners_only=True)),
    ):
        if at_us >= now_us - kept_days * DAY:
            answer = await c.ask(question, now_us)
            assert answer.coverage.not_kept == ()
            told.append(answer)
    told.append(await c.ask_namespaces(at_us=at_us, now_us=now_us))
    return told


def test_of_what_lasts_those_who_held_it_too_long_ago_go_and_that_they_are_gone_is_said(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0), T0)
        lasting = {1: LISTEN, 2: ESTABLISHED}

        def handed_to(pid: int, at_us: int) -> tuple[Socket, ...]:
            holder = Holder(0, "root", "", "", 1, (Process(pid, T0, f"p{pid}", "", ""),))
            return tuple(sock(cookie, at_us, state, holder=holder) for cookie, state in lasting.items())

        await c.report(session, snapshot(1, T0, *handed_to(1, T0)))
        for day in (1, 2):
            at_us = T0 + day * DAY
            await c.report(
                session, difference(day + 1, at_us, previous_us=at_us - S, changed=handed_to(day + 1, at_us))
            )

        async def held_at(days: float, now_us: int) -> list[str]:
            items = (await c.ask(at_us=T0 + int(days * DAY), now_us=now_us)).items
            return [item.holder.owners[0].name for item in items]

        # Three days after it changed hands a connection's past is no longer kept, a listener's is.
        now_us = T0 + 4 * DAY + HOUR
        assert await clear(c, now_us) == {"former_holders": 1}
        assert await held_at(1.5, now_us) == ["p2", "p2"]
        lacking = (await c.ask(at_us=T0 + DAY // 2, now_us=now_us)).coverage.not_kept
        assert lacking == (NotKept(Kind.SOCKETS, T0 + DAY),)
        # With the last that names it goes the holder.
        assert await clear(c, T0 + 6 * DAY + HOUR) == {"former_holders": 2, "holders": 1, "processes": 1}
        assert not await clear(c, T0 + 6 * DAY + HOUR)

    tell(tmp_path, story)


async def ended(c: Collector, *days_ago: float, now_us: int, state: int = TIME_WAIT, name: str = "web1") -> Session:
    """A host of which sockets ended so many days ago, the earliest named first; each had been open for an hour."""
    first_us = now_us - int(max(days_ago) * DAY) - HOUR
    session = await c.connect(await c.enroll(name, at_us=first_us), hello(first_us), first_us)
    await c.report(session, snapshot(1, first_us))
    for number, days in enumerate(days_ago, 1):
        at_us = now_us - int(days * DAY)
        await c.report(
            session,
            difference(2 * number, at_us - HOUR, opened=(sock(number, at_us - HOUR, state),)),
            difference(2 * number + 1, at_us, closed=(gone(number, at_us),)),
        )
    return session


async def cookies(c: Collector) -> list[int]:
    return [interval.cookie for interval in await c.intervals()]


def test_an_answer_about_a_time_of_which_something_is_gone_says_what_and_since_when(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        now_us = T0 + 500 * DAY
        await ended(c, 3, 2, 0.5, now_us=now_us)
        await ended(c, 0.5, now_us=now_us, name="web2")

        async def lacks(at_us: int, host: str = "") -> tuple[NotKept, ...]:
            return (await c.ask(now_us=now_us, at_us=at_us, host=host)).coverage.not_kept

        assert await lacks(now_us - 4 * DAY) == ()
        assert await clear(c, now_us) == {"brief": 2}
        gone_us = now_us - 2 * DAY
        assert await lacks(gone_us) == ()
        assert await lacks(gone_us - 1) == (NotKept(Kind.BRIEF, gone_us),)
        # Nobody was there yet.
        assert await lacks(now_us - 9 * DAY) == ()
        # Of what else there is nothing is gone, nor of another host.
        assert await lacks(gone_us - 1, host="web2") == ()
        at = Selection(at_us=gone_us - 1)
        for question in (SocketQuestion(at, listeners_only=True), SocketQuestion(at, states=(ESTABLISHED,))):
            assert (await c.ask(question, now_us)).coverage.not_kept == ()
        assert (await c.ask_namespaces(at_us=gone_us - 1, now_us=now_us)).coverage.not_kept == ()
        assert (await c.ask_hosts(at_us=gone_us - 1, now_us=now_us)).coverage.not_kept != ()
        # What is deleted does not come back when more is kept.
        assert not await clear(c, now_us, Keep(None, None, None))
        assert await lacks(gone_us - 1) != ()

    tell(tmp_path, story)


@pytest.mark.parametrize("listeners_only", [False, True])
def test_an_answer_about_what_began_misses_what_is_known_by_its_end_alone_and_says_so(
    tmp_path: Path, *, listeners_only: bool
) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0))
        at_us = T0 + HOUR
        resolver = sock(7, at_us, CLOSE, how=UNSEEN, protocol=UDP, port=5353)
        ended_so = ClosedSocket(resolver.key, at_us, EXACT)
        await c.report(session, difference(2, at_us + S, previous_us=T0, opened=(resolver,), closed=(ended_so,)))
        question = SocketQuestion(Selection(), listeners_only=listeners_only, opened_since_us=T0 + S)

        async def told(now_us: int) -> tuple[list[int], tuple[NotKept, ...]]:
            answer = await c.ask(question, now_us)
            return [item.local_port for item in answer.items], answer.coverage.not_kept

        assert await told(T0 + 2 * HOUR) == ([5353], ())
        assert await clear(c, T0 + 2 * DAY) == {"brief": 1}
        assert await told(T0 + 2 * DAY) == ([], (NotKept(Kind.BRIEF, at_us),))

    tell(tmp_path, story)


def test_what_lasted_is_not_brief_however_it_is_said_to_have_begun(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0))
        lasting = sock(7, T0 + S, ESTABLISHED, how=UNSEEN, local=LO, remote=PEER, remote_port=9)
        end_us = T0 + HOUR
        await c.report(session, difference(2, T0 + 2 * S, previous_us=T0, opened=(lasting,)))
        await c.report(session, difference(3, end_us, previous_us=T0 + 2 * S, closed=(gone(7, end_us),)))
        assert not await clear(c, end_us + 2 * DAY)
        # An answer about a moment of its life is whole, and names nothing that is not kept.
        answer = await c.ask(SocketQuestion(Selection(at_us=T0 + 60 * S), states=(ESTABLISHED,)), end_us + 2 * DAY)
        assert ([item.cookie for item in answer.items], answer.coverage.not_kept) == ([7], ())
        assert await clear(c, end_us + 4 * DAY) == {"sockets": 1}

    tell(tmp_path, story)


def test_of_two_rows_that_differ_in_their_kind_alone_the_one_that_is_too_old_goes(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1")
        at_us = T0 + HOUR
        for sequence, how in ((2, UNSEEN), (3, EXACT)):
            told = sock(7, at_us, CLOSE, how=how, local=LO, remote=PEER, remote_port=9)
            ended_so = (gone(7, at_us, EXACT),)
            await c.report(session, difference(sequence, at_us + S, previous_us=T0, opened=(told,), closed=ended_so))
        assert await clear(c, T0 + 2 * DAY) == {"brief": 1}
        assert [row.opened_at_is for row in await c.intervals()] == [EXACT]

    tell(tmp_path, story)


@pytest.mark.parametrize("offset_us", [-10 * DAY, 10 * DAY])
def test_a_host_whose_clock_is_wrong_is_cleared_by_its_own_but_never_sooner(tmp_path: Path, offset_us: int) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "skewed", sock(1, T0, TIME_WAIT), sock(2, T0, TIME_WAIT), offset_us=offset_us)
        for cookie in (1, 2):
            at_us = T0 + offset_us + cookie * DAY
            await c.report(session, difference(cookie + 1, at_us, closed=(gone(cookie, at_us),)), delay_us=-offset_us)
        now_us = T0 + 2 * DAY + HOUR
        if offset_us > 0:
            assert not await clear(c, now_us)
            now_us += offset_us
        assert await clear(c, now_us) == {"brief": 1}
        assert await cookies(c) == [2]
        (lacking,) = (await c.ask(at_us=T0 + HOUR, now_us=now_us)).coverage.not_kept
        assert lacking == NotKept(Kind.BRIEF, T0 + DAY)

    tell(tmp_path, story)


def test_a_clock_that_is_set_ahead_for_a_while_deletes_nothing(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        now_us = T0 + 10 * DAY
        await ended(c, 0.9, 0.1, now_us=now_us)
        await c.ingest.open("web1", hello(now_us, clock_offset_us=30 * DAY), now_us, "0a")
        assert not await clear(c, now_us)
        assert len(await cookies(c)) == 2

    tell(tmp_path, story)


def test_a_collector_whose_own_clock_is_ahead_ages_no_host_that_it_has_not_heard(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await ended(c, 0, now_us=T0)
        retention = Retention(c.db, ALL_KINDS, no_rest)
        assert not await retention.round(T0 + 500 * DAY)
        assert await cookies(c) == [1]
        await c.report(session, difference(4, T0 + HOUR, previous_us=T0))
        assert await retention.round(T0 + 500 * DAY) == {"brief": 1}

    tell(tmp_path, story)


def test_a_walk_by_a_clock_that_was_wrong_hides_nothing_from_later_ones(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0, TIME_WAIT))
        await clear(c, T0 + 500 * DAY)
        await c.report(session, difference(2, T0 + DAY, closed=(gone(1, T0 + DAY),)))
        assert (await clear(c, T0 + 2 * DAY + HOUR))["brief"] == 1

    tell(tmp_path, story)


def test_what_a_clock_that_was_ahead_has_told_makes_no_answer_partial(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        ahead_us = 300 * DAY
        session = await reporting(c, "web1", sock(1, T0, TIME_WAIT), offset_us=ahead_us)
        at_us = T0 + ahead_us + HOUR
        await c.report(session, difference(2, at_us, closed=(gone(1, at_us),)), delay_us=-ahead_us)
        await clear(c, T0 + 2 * DAY)
        now_us = T0 + 10 * DAY
        session = await c.ingest.open("web1", hello(now_us, epoch=2), now_us, "0a")
        await c.report(session, snapshot(1, now_us, epoch=2))
        await clear(c, now_us)
        assert (await c.ask(at_us=now_us, now_us=now_us + HOUR)).coverage.not_kept == ()

    tell(tmp_path, story)


def test_a_gap_stays_as_long_as_the_stream_that_it_is_in(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0))
        await c.report(session, difference(2, T0 + 4 * HOUR, gaps=(Gap(T0 + HOUR, T0 + 3 * HOUR, "events lost"),)))
        now_us = T0 + 5 * DAY + 5 * HOUR
        question = SocketQuestion(Selection(at_us=T0 + 2 * HOUR), listeners_only=True)
        before = await c.ask(question, now_us)
        assert before.coverage.gaps == 1
        assert not await clear(c, now_us)
        assert await c.ask(question, now_us) == before

    tell(tmp_path, story)


def test_what_a_host_tells_late_and_is_too_old_already_goes_with_the_next_round(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        now_us = T0 + 10 * DAY
        session = await ended(c, 9, 0.1, now_us=now_us)
        await clear(c, now_us)
        gap = Gap(now_us - 8 * DAY, now_us - 2 * DAY, "kept", kept=True)
        brief = past(sock(70, now_us - 7 * DAY, TIME_WAIT), now_us - 5 * DAY)
        other = past(sock(71, now_us - 7 * DAY, ESTABLISHED), now_us - 2 * DAY)
        await c.report(session, kept(6, gap, brief, other))
        assert await cookies(c) == [2, 70, 71]
        assert await clear(c, now_us) == {"brief": 1}
        assert await cookies(c) == [2, 71]

    tell(tmp_path, story)


def test_what_comes_while_a_walk_is_under_way_is_found_by_the_next(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        now_us = T0 + 10 * DAY
        session = await ended(c, 9, now_us=now_us)
        late = kept(4, Gap(now_us - 8 * DAY, now_us - 2 * DAY, "kept", kept=True),
                    past(sock(70, now_us - 7 * DAY, TIME_WAIT), now_us - 5 * DAY))  # fmt: skip
        told = False

        async def rest(_: float) -> None:
            nonlocal told
            if not told:
                told = True
                await c.report(session, late)

        await hear(c, now_us)
        assert await Retention(c.db, ALL_KINDS, rest).round(now_us) == {"brief": 1}
        assert await cookies(c) == [70]
        assert (await clear(c, now_us))["brief"] == 1

    tell(tmp_path, story)


@pytest.mark.parametrize("steps", [1, 6])
def test_a_collector_that_ends_amid_a_round_leaves_what_another_takes_up(tmp_path: Path, steps: int) -> None:
    async def story(c: Collector) -> None:
        draw = random.Random(steps)
        life = Life(draw, "web1")
        await life.begin(c)
        for _ in range(30):
            await life.go_on(c)
        before, left_steps = await tables(c), steps
        retention = Retention(c.db, ALL_KINDS, lambda _: rest())

        async def rest() -> None:
            nonlocal left_steps
            left_steps -= 1
            if not left_steps:
                raise asyncio.CancelledError

        with contextlib.suppress(asyncio.CancelledError):
            await hear(c, life.now_us)
            await retention.round(life.now_us)
        # Whatever is gone is told of as gone.
        since = {row["kind"]: row["since_us"] for row in (await tables(c))["kept"]}
        ids = {row["socket_id"] for row in (await tables(c))["history"]}
        for row in before["history"]:
            assert row["socket_id"] in ids or row["closed_at_us"] <= max(since.values())
        await c.restart()
        await clear(c, life.now_us)
        assert but_for_its_own(await tables(c)) == but_for_its_own(left(before, life.now_us))

    tell(tmp_path, story)


def test_what_a_step_deletes_and_what_it_notes_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    async def story(c: Collector) -> None:
        now_us = T0 + 10 * DAY
        await ended(c, 9, now_us=now_us)
        monkeypatch.setattr(kept_rows, "note_deleted", fails)
        with pytest.raises(ZeroDivisionError):
            await clear(c, now_us)
        assert await cookies(c) == [1]

    tell(tmp_path, story)


def test_hosts_report_all_the_while_and_lose_nothing_by_it(tmp_path: Path) -> None:
    async def lives(c: Collector, clearing: bool) -> tuple[Tables, int]:
        life = Life(random.Random(5), "web1")
        await life.begin(c)
        for _ in range(25):
            await life.go_on(c)
        retention = Retention(c.db, ALL_KINDS, no_rest)
        for _ in range(12):
            round_ = asyncio.create_task(retention.round(life.now_us)) if clearing else None
            for _ in range(2):
                await life.go_on(c)
            if round_:
                await round_
        now_us = life.now_us
        if clearing:
            await clear(c, now_us)
        return await tables(c), now_us

    plain, cleared = tmp_path / "plain", tmp_path / "cleared"
    for directory in (plain, cleared):
        directory.mkdir()
    before, now_us = tell(plain, lambda c: lives(c, clearing=False))
    after, _ = tell(cleared, lambda c: lives(c, clearing=True))
    assert but_for_its_own(after) == but_for_its_own(left(before, now_us))


@pytest.mark.engine("postgresql")
def test_two_collectors_that_do_the_same_at_once_delete_each_row_once(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        lives = [Life(random.Random(seed), f"web{seed}") for seed in range(3)]
        for life in lives:
            await life.begin(c)
            for _ in range(25):
                await life.go_on(c)
        now_us = max(life.now_us for life in lives)
        before, other = await tables(c), Collector(c.url)
        try:
            await hear(c, now_us)
            rounds = [Retention(one.db, ALL_KINDS, no_rest).round(now_us) for one in (c, other)]
            one, two = await asyncio.gather(*rounds)
            await asyncio.gather(clear(c, now_us), clear(other, now_us))
        finally:
            await other.db.close()
        gone = len(before["history"]) - len(left(before, now_us)["history"])
        assert sum((one + two)[kind] for kind in ("listeners", "sockets", "brief")) == gone > 0
        assert but_for_its_own(await tables(c)) == but_for_its_own(left(before, now_us))

    tell(tmp_path, story)


def test_a_step_deletes_no_more_than_its_pace_with_as_many_statements_whatever_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 60
    monkeypatch.setattr(Pace, "ROWS", range(1, most + 1))
    steps: list[list[tuple[str, int]]] = [[]]

    async def rest(_: float) -> None:
        steps.append([])

    async def story(c: Collector) -> None:
        now_us = T0 + 10 * DAY
        session = await c.connect(await c.enroll(), hello(T0), T0)
        many = [sock(number, T0, TIME_WAIT) for number in range(1, 501)]
        await c.report(
            session,
            snapshot(1, T0, *many),
            difference(2, T0 + S, closed=tuple(gone(s.key.cookie, T0 + S) for s in many)),
        )

        def note(_conn: object, _cursor: object, sql: str, values: Any, *_: object) -> None:
            steps[-1].append((sql, len(values)))

        retention = Retention(c.db, ALL_KINDS, rest)
        retention._pace.rows = most
        event.listen(c.db._engines.writer, "before_cursor_execute", note)
        await hear(c, now_us)
        steps[:] = [[]]
        assert await retention.round(now_us) == {"brief": 500}
        deleting = [step for step in steps if any("DELETE" in sql for sql, _ in step)]
        assert len(deleting) >= 500 / most
        assert {len(step) for step in deleting[1:]} == {len(deleting[1])}
        if c.db._engines.writer.dialect.name == "sqlite":
            # A row of values for each row; on PostgreSQL one array for each column.
            assert max(count for step in steps for sql, count in step if "DELETE" in sql) == most

    tell(tmp_path, story)


def test_a_pace_keeps_steps_short_and_rests_longer_than_it_works() -> None:
    pace = Pace()
    assert pace.rest_s(pace.rows, 0.010) == pytest.approx(0.010 * 0.85 / 0.15)
    before = pace.rows
    for _ in range(20):
        pace.rest_s(pace.rows, pace.rows * 0.001)
    assert pace.rows == Pace.ROWS[0] < before
    for _ in range(20):
        pace.rest_s(pace.rows, pace.rows * 0.000_01)
    assert pace.rows == 1_000
    # A small step says little, unless it took long.
    pace.rest_s(1, 0.001)
    assert pace.rows == 1_000
    pace.rest_s(10, 0.020)
    assert pace.rows == 502


def test_each_kind_has_its_time_and_what_is_older_than_all_goes_whatever_it_is() -> None:
    def bands(*days: int | None) -> list[tuple[str, set[str], int, int]]:
        return [
            (band.kind.name, {kind.name for kind in band.kinds}, band.from_us, (T0 - band.before_us) // DAY)
            for band in times(Keep(*days), T0).bands
        ]

    oldest = -(1 << 62)
    assert bands(400, 30, 1) == [
        ("LISTENERS", {"LISTENERS", "SOCKETS", "BRIEF"}, oldest, 400),
        ("SOCKETS", {"SOCKETS", "BRIEF"}, T0 - 400 * DAY, 30),
        ("BRIEF", {"BRIEF"}, T0 - 30 * DAY, 1),
    ]
    assert bands(None, 30, 1)[0] == ("SOCKETS", {"SOCKETS", "BRIEF"}, oldest, 30)
    assert bands(1, 2, None) == [
        ("SOCKETS", {"SOCKETS", "LISTENERS"}, oldest, 2),
        ("LISTENERS", {"LISTENERS"}, T0 - 2 * DAY, 1),
    ]
    assert bands(None, None, None) == []
    assert times(Keep(None, 30, 1), T0).others == (("trends", T0 - 30 * DAY),)
    assert times(Keep(None, None, 1), T0).others == ()
    longest = dict.fromkeys(("gaps", "interfaces", "routes", "namespaces", "trends"), T0 - 30 * DAY)
    assert dict(times(Keep(10, 30, 1), T0).others) == longest
