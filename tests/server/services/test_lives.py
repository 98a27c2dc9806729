"""What happened on a host: what ended in the time asked about and what was open at its end, with gaps and starts of its
agent between, the latest first; the same as a plain account of every row, on each engine."""

import asyncio
import datetime
import random
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fleetnet_server.errors import HostUnknown
from fleetnet_server.lives import AgentStart, Life, LivesQuestion
from fleetnet_server.records import Coverage, End, Gap, Selection, SocketAnswer, SocketQuestion
from fleetnet_server.services.hosts import Hosts
from fleetnet_server.storage import search
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from server.costs import asked_of, plan
from server.reports import (
    BEFORE,
    CLOSE_WAIT,
    ESTABLISHED,
    LISTEN,
    NEXT_BOOT,
    T0,
    Collector,
    S,
    collector,
    difference,
    gone,
    hello,
    snapshot,
    sock,
)
from server.stories import PEER, tell

from server import accounts

NOW = accounts.NOW
_QUESTIONS = 15  # of each host


@dataclass
class Answer:
    """An answer, gathered."""

    coverage: Coverage
    items: list[Life]
    end: End


async def ask(c: Collector, since_us: int, now_us: int, host: str = "web1", at_us: int = 0, **asked: object) -> Answer:
    selection = Selection(host=host, at_us=at_us, limit=asked.pop("limit", 0))  # type: ignore[arg-type]  # a number
    sockets = replace(SocketQuestion(selection), **asked)  # type: ignore[arg-type]  # the caller names fields
    return await _answer(c, LivesQuestion(sockets, since_us), now_us)


def in_words(items: Iterable[Life]) -> list[str]:
    """`443 LISTEN 0-5`, `gap 5-9 agent restarted`, `start 9`; seconds since T0, nothing where it has not ended."""
    return [_in_words(item) for item in items]


def _in_words(item: Life) -> str:
    if isinstance(item, Gap):
        return f"gap {_s(item.from_us)}-{_s(item.to_us)} {item.reason}"
    if isinstance(item, AgentStart):
        return f"start {_s(item.at_us)}" + (" booted" if item.booted else "")
    state = {LISTEN: "LISTEN", ESTABLISHED: "ESTABLISHED", CLOSE_WAIT: "CLOSE_WAIT"}[item.state]
    return f"{item.local_port} {state} {_s(item.opened_at_us)}-{_s(item.closed_at_us)}"


def _s(at_us: int) -> str:
    return f"{(at_us - T0) // S}" if at_us else ""


async def a_day(c: Collector) -> None:
    """A listener all the time, another that ended, a connection through its states, an agent that was away, a boot."""
    host = await c.enroll()
    session = await c.connect(host, hello(T0), T0)
    await c.report(session, snapshot(1, T0, sock(1, T0, how=BEFORE), sock(2, T0, how=BEFORE, port=8080)))
    talks = sock(3, T0 + 10 * S, ESTABLISHED, port=443, remote=PEER, remote_port=9)
    waits = talks._replace(state=CLOSE_WAIT, opened_at_us=T0 + 20 * S)
    await c.report(
        session,
        difference(2, T0 + 10 * S, previous_us=T0, opened=(talks,)),
        difference(3, T0 + 20 * S, previous_us=T0 + 10 * S, changed=(waits,)),
        difference(4, T0 + 30 * S, previous_us=T0 + 20 * S, closed=(gone(2, T0 + 30 * S),)),
    )  # fmt: skip
    again = await c.connect(host, hello(T0 + 60 * S, epoch=2), T0 + 60 * S)
    await c.report(again, snapshot(1, T0 + 60 * S, sock(1, T0 + 60 * S, how=BEFORE), epoch=2))
    booted = await c.connect(host, hello(T0 + 90 * S, boot_id=NEXT_BOOT, epoch=3), T0 + 90 * S)
    new = sock(1, T0 + 90 * S, how=BEFORE, port=22)
    await c.report(booted, snapshot(1, T0 + 90 * S, new, boot_id=NEXT_BOOT, epoch=3))


def test_what_happened_is_told_the_latest_first(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await a_day(c)
        whole = await ask(c, T0 - 100 * S, T0 + 100 * S)
        assert in_words(whole.items) == [
            "start 90 booted",
            "22 LISTEN 90-",
            "443 LISTEN 0-90",
            "gap 60-90 host rebooted",
            "start 60",
            "443 CLOSE_WAIT 20-60",
            "gap 30-60 agent restarted",
            "8080 LISTEN 0-30",
            "443 ESTABLISHED 10-20",
            "start 0",
        ]
        assert whole.coverage.gaps == 2
        assert whole.end == End(10, truncated=False)

    tell(tmp_path, story)


def test_a_life_that_overlaps_the_time_is_there_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await a_day(c)
        asked = await ask(c, T0 + 15 * S, T0 + 100 * S, at_us=T0 + 25 * S)
        assert in_words(asked.items) == [
            "443 CLOSE_WAIT 20-60",
            "443 ESTABLISHED 10-20",
            "443 LISTEN 0-90",
            "8080 LISTEN 0-30",
        ]
        assert asked.coverage.as_of_us == T0 + 25 * S

    tell(tmp_path, story)


def test_filters_are_those_of_other_questions_and_leave_gaps_and_starts(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await a_day(c)
        asked = await ask(c, T0 + 5 * S, T0 + 100 * S, states=(CLOSE_WAIT,))
        assert [word for word in in_words(asked.items) if "gap" not in word and "start" not in word] == [
            "443 CLOSE_WAIT 20-60"
        ]
        assert len(asked.items) == 5
        nobody = await ask(c, T0 + 5 * S, T0 + 100 * S, process="haproxy")
        assert not any(isinstance(item, SocketAnswer) for item in nobody.items)

    tell(tmp_path, story)


def test_sockets_may_be_left_out(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await a_day(c)
        sockets = SocketQuestion(Selection(host="web1"))
        told = await _answer(c, LivesQuestion(sockets, T0 + 40 * S, without_sockets=True), T0 + 100 * S)
        assert in_words(told.items) == [
            "start 90 booted",
            "gap 60-90 host rebooted",
            "start 60",
            "gap 30-60 agent restarted",
        ]

    tell(tmp_path, story)


def test_a_limit_keeps_the_latest(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await a_day(c)
        whole, cut = await ask(c, T0, T0 + 100 * S), await ask(c, T0, T0 + 100 * S, limit=3)
        assert cut.items == whole.items[:3]
        assert cut.end == End(3, truncated=True)
        assert (await ask(c, T0, T0 + 100 * S, limit=10)).end == End(10, truncated=False)

    tell(tmp_path, story)


def test_a_host_that_nobody_knows_is_an_error(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        with pytest.raises(HostUnknown):
            await ask(c, T0, T0 + S, host="nobody")

    tell(tmp_path, story)


def test_what_a_host_did_is_answered_when_it_has_left_and_that_it_tells_nothing_more_is_said(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await a_day(c)
        before = in_words((await ask(c, T0, T0 + 100 * S)).items)
        left = datetime.datetime.fromtimestamp(T0 / 1e6 + 100, datetime.UTC)
        await Hosts(c.db, lambda: left, lambda _: None, lambda _: None).forget(["web1"])
        # Within what is fresh of a host of the fleet.
        now = await ask(c, T0, T0 + 101 * S)
        assert [(stale.host, stale.last_seen_us) for stale in now.coverage.hosts_stale] == [("web1", T0 + 90 * S)]
        # Except that what was open then has ended.
        as_left = [word.replace("22 LISTEN 90-", "22 LISTEN 90-100") for word in before]
        assert sorted(in_words(now.items)) == sorted(as_left)
        for at_us in (T0 + 95 * S, T0 + 3_600 * S):
            then = await ask(c, T0, T0 + 7_200 * S, at_us=at_us)
            assert (then.coverage.hosts_asked, len(then.items)) == (1, len(before))
        with pytest.raises(HostUnknown):
            await ask(c, T0, T0 + 101 * S, host="nobody")

    tell(tmp_path, story)


def _order(life: Life, until_us: int | None) -> int:
    """Where it stands, from the sentence in query.proto."""
    if isinstance(life, AgentStart):
        return life.at_us
    began_us, ended_us = (life.from_us, life.to_us) if isinstance(life, Gap) else (life.opened_at_us, life.closed_at_us)
    return ended_us if ended_us and (until_us is None or ended_us <= until_us) else began_us


def _overlaps(row: accounts.Row, since_us: int, until_us: int | None) -> bool:
    began_us, ended_us = row.socket.opened_at_us, row.closed_at_us
    return (not ended_us or ended_us >= since_us) and (until_us is None or began_us <= until_us)


def _is_meant(row: accounts.Row, since_us: int, until_us: int, question: SocketQuestion) -> bool:
    """By any who held it in the time."""
    held_before = row.before is not None and row.before[1] > since_us + row.ahead_us
    return accounts.meant(row.then(until_us), question) or (held_before and accounts.meant(row.at_first, question))


async def _asks(c: Collector, draw: random.Random, rows: Sequence[accounts.Row], host: str) -> None:
    mine = [row for row in rows if row.host == host]
    ahead_us = mine[0].ahead_us
    since_us = T0 + draw.randint(-600, 600) * S
    until_us = since_us + draw.randint(1, 400) * S if draw.random() < 0.6 else 0
    question = replace(accounts.asked(draw), remotes=(), remote_ports=(), opened_since_us=0)
    limit = question.selection.limit
    question = replace(question, selection=Selection(host=host, at_us=until_us, limit=limit))
    answer = await _answer(c, LivesQuestion(question, since_us))
    end_us = until_us + ahead_us if until_us else None
    there = [row for row in mine if _overlaps(row, since_us + ahead_us, end_us)]
    meant = [row.then(until_us) for row in there if _is_meant(row, since_us, until_us, question)]
    assert answer.coverage.unseen_holders == sum(accounts.may_be_meant(row.then(until_us), question) for row in there)
    told = [item for item in answer.items if isinstance(item, SocketAnswer)]
    if answer.end.truncated:
        assert len(answer.items) == limit
    else:
        assert sorted(accounts.told(i.host, i, i.closed_at_us) for i in told) == sorted(
            accounts.told(r.host, r.socket, r.closed_at_us) for r in meant
        )
    places = [_order(item, end_us) for item in answer.items]
    assert places == sorted(places, reverse=True)
    if answer.end.truncated:  # nothing later was left out
        later = [_order(_as_answer(row), end_us) for row in meant]
        assert sum(at > places[-1] for at in later) == sum(_order(i, end_us) > places[-1] for i in told)


def _as_answer(row: accounts.Row) -> Life:
    return Gap(row.socket.opened_at_us, row.closed_at_us, "")


async def _answer(c: Collector, question: LivesQuestion, now_us: int = NOW) -> Answer:
    async with aclosing(c.questions.lives(question, now_us)) as parts:
        coverage = await anext(parts)
        *pages, end = [part async for part in parts]
    assert isinstance(coverage, Coverage)
    assert isinstance(end, End)
    return Answer(coverage, [item for page in pages if isinstance(page, tuple) for item in page], end)


async def _all_is_as_the_account_has_it(directory: Path, draw: random.Random) -> None:
    rows = accounts.drawn(draw, most=draw.choice((3, 12, 40)))
    names = sorted({row.host for row in rows})
    async with collector(directory) as c:
        await accounts.enroll_all(c, rows)
        for _ in range(_QUESTIONS if names else 0):
            await _asks(c, draw, rows, draw.choice(names))


@given(st.integers(0, 1 << 32))
@example(0)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_told_is_that_of_a_plain_account(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir=tmp_path) as directory:
        patch.setattr(search, "PAGE", draw.choice((1, 2, 5, 500)))
        asyncio.run(_all_is_as_the_account_has_it(Path(directory), draw))


def test_what_ended_is_read_along_the_index_of_ends_and_no_further_than_asked(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await a_day(c)
        for at_us in (0, T0 + 80 * S):
            asked = asked_of(c.db._engines.readers)
            await ask(c, T0 + 15 * S, T0 + 100 * S, at_us=at_us)
            looks = [(sql, values) for sql, values in asked if "FROM hosts JOIN history" in sql]
            assert len(looks) == (2 if at_us else 1)
            for look in looks:
                every = await c.db.read(plan, *look)
                steps = [step for step in every if "history" in step and "former_holders" not in step]
                assert steps
                assert all("ix_history_ends" in step for step in steps), steps
                assert all("600000000" in step or "<expr>" in step for step in steps), steps

    tell(tmp_path, story)
