"""How counts went: put down where they changed, known only where the host was heard, gone when it is too old."""

import asyncio
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fleetnet_server.counted import Trend, TrendCount, TrendQuestion
from fleetnet_server.keep import Keep
from fleetnet_server.records import Gap, NotKept, Selection, Session
from fleetnet_server.services.retention import Retention
from fleetnet_server.services.trend_answers import MOST_POINTS, PUT_DOWN_WITHIN_US, Known, points_of
from fleetnet_server.services.trends import EVERY_US, Trends
from fleetnet_server.storage.kept import Kind
from fleetnet_server.storage.schema import trends
from fleetnet_server.storage.sessions import Heard
from server.reports import (
    BEFORE,
    CLOSE_WAIT,
    LISTEN,
    T0,
    TCP,
    Collector,
    S,
    difference,
    gone,
    hello,
    kept,
    snapshot,
    sock,
)
from server.stories import tell
from sqlalchemy import select

MIN, DAY = 60 * S, 86_400 * S
# The beginning of a time in which a count is put down once.
BEGIN = T0 // EVERY_US * EVERY_US + EVERY_US


async def no_rest(_: float) -> None:
    """A test does not wait."""


async def put_down(c: Collector, now_us: int) -> int:
    return await Trends(c.db, no_rest).round(lambda: now_us)


async def rows(c: Collector) -> list[tuple[int, ...]]:
    """State, when, sockets, listeners, highest; as it was put down."""
    told = (trends.c.state, trends.c.at_us, trends.c.sockets, trends.c.listeners, trends.c.highest)
    query = select(*told).order_by(trends.c.at_us, trends.c.state)
    return [tuple(row) for row in await c.db.read(lambda conn: conn.execute(query).all())]


async def trend(
    c: Collector, from_us: int, to_us: int, step_us: int = EVERY_US, now_us: int = 0, **selection: str
) -> Trend:
    question = TrendQuestion(Selection(**selection), from_us, to_us, step_us)  # type: ignore[arg-type]  # the caller names fields
    return await c.questions.trend(question, now_us or to_us)


def told(answer: Trend, state: int) -> list[int | None]:
    """How many sockets were in a state at each time; None where no host was known."""
    found: list[int | None] = []
    for point in answer.points:
        counts = {count.state: count.sockets for count in point.counts}
        found.append(counts.get(state, 0) if point.hosts_known else None)
    return found


@dataclass(eq=False)
class Web:
    """A host that tells of CLOSE_WAITs, and looks once a minute."""

    c: Collector
    name: str = "web1"
    now_us: int = BEGIN
    sequence: int = 1
    epoch: int = 1
    cookie: int = 1
    open: list[int] = field(default_factory=list)
    session: Session | None = None

    async def comes(self, *, held: int = 0) -> "Web":
        """Connect, for the first time or again, with a snapshot of a listener and so many."""
        said = hello(self.now_us, epoch=self.epoch)
        self.session = await self.c.connect(await self.c.enroll(self.name, BEGIN - DAY), said, self.now_us)
        self._hold(held)
        self.sequence = self.session.committed_sequence + 1
        waits = (sock(cookie, self.now_us, CLOSE_WAIT, how=BEFORE) for cookie in self.open)
        await self.c.report(
            self.session, snapshot(self.sequence, self.now_us, sock(1, self.now_us), *waits, epoch=self.epoch)
        )
        return self

    def _hold(self, count: int) -> tuple[list[int], list[int]]:
        gone_now = self.open[count:]
        del self.open[count:]
        new = list(range(self.cookie + 1, self.cookie + 1 + count - len(self.open)))
        self.cookie += len(new)
        self.open += new
        return new, gone_now

    async def holds(self, count: int, after_us: int = MIN) -> None:
        """A look later: it holds so many."""
        assert self.session is not None
        self.now_us += after_us
        self.sequence += 1
        new, gone_now = self._hold(count)
        looked = difference(
            self.sequence,
            self.now_us,
            previous_us=self.now_us - after_us,
            opened=tuple(sock(cookie, self.now_us, CLOSE_WAIT) for cookie in new),
            closed=tuple(gone(cookie, self.now_us) for cookie in gone_now),
            epoch=self.epoch,
        )
        await self.c.report(self.session, looked)

    async def is_heard(self, until_us: int) -> None:
        """It beats, and nothing changes."""
        while self.now_us < until_us:
            await self.holds(len(self.open), min(MIN, until_us - self.now_us))

    async def falls_silent(self, for_us: int) -> None:
        assert self.session is not None
        await self.c.ingest.close(self.session, self.now_us)
        self.now_us += for_us


def test_what_has_not_changed_is_not_put_down_again(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        web = await Web(c).comes(held=2)
        assert await put_down(c, BEGIN + 1) == 2
        first = [(CLOSE_WAIT, BEGIN + 1, 2, 0, 2), (LISTEN, BEGIN + 1, 1, 1, 1)]
        assert await rows(c) == first
        await web.is_heard(BEGIN + EVERY_US)
        assert await put_down(c, BEGIN + EVERY_US) == 0
        await web.holds(3)
        assert await put_down(c, BEGIN + 2 * EVERY_US) == 1
        await web.holds(0)
        assert await put_down(c, BEGIN + 3 * EVERY_US) == 1
        changed = [(CLOSE_WAIT, BEGIN + 2 * EVERY_US, 3, 0, 3), (CLOSE_WAIT, BEGIN + 3 * EVERY_US, 0, 0, 3)]
        assert await rows(c) == [*first, *changed]

    tell(tmp_path, story)


def test_what_came_and_went_between_two_times_is_the_highest(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        web = await Web(c).comes(held=2)
        await put_down(c, BEGIN)
        await web.holds(9)
        await web.holds(2)
        assert await put_down(c, BEGIN + EVERY_US) == 1
        assert (await rows(c))[-1] == (CLOSE_WAIT, BEGIN + EVERY_US, 2, 0, 9)
        await web.is_heard(BEGIN + 2 * EVERY_US)
        assert await put_down(c, BEGIN + 2 * EVERY_US) == 0
        answer = await trend(c, BEGIN, BEGIN + 2 * EVERY_US)
        found = [count for point in answer.points for count in point.counts if count.state == CLOSE_WAIT]
        assert [(one.sockets, one.highest) for one in found] == [(2, 2), (2, 9), (2, 2)]

    tell(tmp_path, story)


def test_however_many_collectors_do_it_a_count_is_put_down_once_in_a_time(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        web = await Web(c).comes(held=2)
        assert await put_down(c, BEGIN + 1) == 2
        await web.holds(3)
        assert await put_down(c, BEGIN + 2 * MIN) == 0
        assert await put_down(c, BEGIN + EVERY_US - 1) == 0
        assert await put_down(c, BEGIN + EVERY_US) == 1
        # A clock that was ahead, and has been set back.
        await web.holds(4)
        assert await put_down(c, BEGIN + DAY) == 1
        await web.holds(5)
        assert await put_down(c, BEGIN + 3 * EVERY_US) == 1

    tell(tmp_path, story)


def test_what_a_clock_that_was_ahead_put_down_is_not_told_when_that_time_has_come(tmp_path: Path) -> None:
    ahead = BEGIN + 4 * EVERY_US

    async def story(c: Collector) -> None:
        web = await Web(c).comes(held=5)
        other = await Web(c, "web2").comes(held=7)
        await put_down(c, ahead)
        assert await put_down(c, ahead + EVERY_US) == 0
        await web.holds(1)
        assert await put_down(c, BEGIN + EVERY_US) == 1
        for one in (web, other):
            await one.is_heard(ahead + 2 * EVERY_US)
        # Of another host what was put down then is still so.
        assert await put_down(c, ahead + 2 * EVERY_US) == 0
        answer = await trend(c, ahead, ahead + 2 * EVERY_US, host="web1")
        assert told(answer, CLOSE_WAIT) == [1, 1, 1]
        assert told(await trend(c, ahead + EVERY_US, ahead + 2 * EVERY_US, host="web2"), CLOSE_WAIT) == [7, 7]

    tell(tmp_path, story)


@pytest.mark.engine("postgresql")
def test_two_collectors_that_put_down_at_once_put_down_once(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        other = Collector(c.url)
        try:
            for number in range(20):
                await Web(c, f"web{number}").comes(held=number)
            both = await asyncio.gather(*(put_down(one, BEGIN + 1 + n) for n in range(4) for one in (c, other)))
            assert sum(both) == 39
            assert len(await rows(c)) == 39
        finally:
            await other.db.close()

    tell(tmp_path, story)


def test_a_host_that_nobody_hears_is_unknown_and_again_known_when_its_counts_are_put_down(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        web = await Web(c).comes(held=2)
        for place in range(3):
            await put_down(c, BEGIN + place * EVERY_US)
            await web.is_heard(BEGIN + place * EVERY_US + EVERY_US - MIN)
        # Heard last a minute before the third time, and then two hours after that.
        heard_us = web.now_us
        await web.falls_silent(2 * 3600 * S + 30 * S)
        back_us = web.now_us
        await web.comes(held=7)
        found = await trend(c, BEGIN, back_us + 2 * MIN, MIN)
        known = [point.at_us for point in found.points if point.hosts_known]
        assert known == [at_us for at_us in range(BEGIN, back_us, MIN) if at_us <= heard_us + 2 * MIN]
        assert found.points[-1].counts == ()
        await web.is_heard(back_us + 3 * MIN)
        await put_down(c, web.now_us)
        found = await trend(c, back_us - MIN, web.now_us, MIN)
        assert told(found, CLOSE_WAIT) == [None, None, None, None, 7]

    tell(tmp_path, story)


def test_a_host_that_comes_back_as_it_was_is_known_when_it_would_have_been_put_down(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        web = await Web(c).comes(held=2)
        await put_down(c, BEGIN)
        await web.falls_silent(3600 * S)
        back_us = web.now_us
        await web.comes(held=2)
        await web.is_heard(back_us + PUT_DOWN_WITHIN_US + MIN)
        assert await put_down(c, web.now_us) == 0
        settled = await trend(c, back_us, web.now_us, PUT_DOWN_WITHIN_US)
        assert told(settled, CLOSE_WAIT) == [None, 2, 2]

    tell(tmp_path, story)


def test_an_agent_that_is_started_again_within_what_counts_as_fresh_leaves_no_hole(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        web = await Web(c).comes(held=2)
        await put_down(c, BEGIN)
        await web.is_heard(BEGIN + 10 * MIN)
        await web.falls_silent(MIN)
        web.epoch += 1
        await web.comes(held=2)
        await web.is_heard(BEGIN + 20 * MIN)
        assert told(await trend(c, BEGIN, web.now_us, MIN), CLOSE_WAIT) == [2] * 21

    tell(tmp_path, story)


def test_what_a_host_tells_afterwards_makes_no_count_known(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        web = await Web(c).comes(held=2)
        await put_down(c, BEGIN)
        outage = Gap(BEGIN, BEGIN + 3600 * S, "collector unreachable", kept=True)
        await web.falls_silent(3600 * S)
        session = await c.connect(await c.enroll(), hello(web.now_us), web.now_us)
        waits = (sock(cookie, BEGIN, CLOSE_WAIT, how=BEFORE) for cookie in web.open)
        await c.report(session, snapshot(2, web.now_us, sock(1, BEGIN), *waits, gaps=(outage,)), kept(3, outage))
        at_us = BEGIN + 1800 * S
        assert (await c.ask(at_us=at_us, now_us=web.now_us)).coverage.hosts_fresh == 1
        [before, *_, last] = told(await trend(c, BEGIN, web.now_us, 10 * MIN), CLOSE_WAIT)
        assert (before, last) == (2, None)
        assert told(await trend(c, at_us, at_us), CLOSE_WAIT) == [None]

    tell(tmp_path, story)


def test_a_gap_amid_a_stream_is_unknown_as_far_as_it_is_longer_than_what_counts_as_fresh(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        web = await Web(c).comes(held=2)
        assert web.session is not None
        await put_down(c, BEGIN)
        await web.is_heard(BEGIN + 10 * MIN)
        lost = Gap(BEGIN + 10 * MIN, BEGIN + 20 * MIN, "lost")
        await c.report(web.session, difference(web.sequence + 1, BEGIN + 20 * MIN, gaps=(lost,)))
        web.sequence, web.now_us = web.sequence + 1, BEGIN + 20 * MIN
        await web.is_heard(BEGIN + 30 * MIN)
        found = told(await trend(c, BEGIN, web.now_us, MIN), CLOSE_WAIT)
        assert found == [2] * 13 + [None] * 13 + [2] * 5

    tell(tmp_path, story)


def test_a_gap_is_of_the_clock_of_its_host_and_what_was_heard_of_ours() -> None:
    ahead_us = 3600 * S
    lost = Gap(ahead_us + 10 * MIN, ahead_us + 20 * MIN, "lost")
    known = Known([Heard(MIN, 100 * MIN, ahead_us)], [lost], 0, 2 * MIN)
    settled = 20 * MIN + PUT_DOWN_WITHIN_US
    assert known.spans([MIN]) == [(MIN, 12 * MIN + 1), (settled, 102 * MIN + 1)]
    # What was put down sooner settles it sooner.
    assert known.spans([MIN, 21 * MIN])[1] == (21 * MIN, 102 * MIN + 1)
    assert replace(known, since_us=50 * MIN).spans([MIN]) == [(50 * MIN, 102 * MIN + 1)]


def test_before_the_first_was_put_down_nothing_is_known(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        web = await Web(c).comes(held=2)
        await web.is_heard(BEGIN + 10 * MIN)
        assert told(await trend(c, BEGIN, web.now_us), CLOSE_WAIT) == [None] * 3
        await put_down(c, web.now_us)
        assert told(await trend(c, BEGIN, web.now_us), CLOSE_WAIT) == [None, None, 2]

    tell(tmp_path, story)


def test_hosts_are_added_up_and_those_that_are_not_known_are_not(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        some = [await Web(c, f"web{n}").comes(held=n) for n in (1, 2, 3)]
        await put_down(c, BEGIN)
        for web in some[1:]:
            await web.is_heard(BEGIN + EVERY_US)
        found = await trend(c, BEGIN, BEGIN + EVERY_US)
        assert [(p.hosts_known, p.counts[0]) for p in found.points] == [
            (3, TrendCount(TCP, CLOSE_WAIT, 6, 0, 6)),
            (2, TrendCount(TCP, CLOSE_WAIT, 5, 0, 5)),
        ]
        assert found.coverage.hosts_asked == 3
        assert [stale.host for stale in found.coverage.hosts_stale] == ["web1"]
        one = await trend(c, BEGIN, BEGIN + EVERY_US, host="web3")
        assert told(one, CLOSE_WAIT) == [3, 3]
        chosen = TrendQuestion(Selection(host="web3"), BEGIN, BEGIN, 1, states=(LISTEN,), protocols=(TCP,))
        [point] = (await c.questions.trend(chosen, BEGIN + EVERY_US)).points
        assert point.counts == (TrendCount(TCP, LISTEN, 1, 1, 1),)

    tell(tmp_path, story)


def test_a_long_time_is_told_in_longer_steps() -> None:
    assert points_of(10, 35, 10) == [10, 20, 30, 35]
    assert points_of(10, 10, 10) == [10]
    many = points_of(0, 400 * DAY, 1)
    assert len(many) <= MOST_POINTS
    assert (many[0], many[-1]) == (0, 400 * DAY)


def test_what_is_too_old_goes_and_what_a_count_came_to_last_stays(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        web = await Web(c).comes(held=2)
        await put_down(c, BEGIN)
        for held in (3, 4, 5):
            await web.holds(held, DAY)
            await put_down(c, web.now_us)
        await web.is_heard(web.now_us + MIN)
        keep = Keep(keep_listeners_days=9, keep_sockets_days=2, keep_brief_days=1)
        now_us = web.now_us
        before = await trend(c, BEGIN + DAY + MIN, now_us, DAY // 4)
        deleted = await Retention(c.db, keep, no_rest).round(now_us)
        assert deleted["trends"] == 1
        assert [row[:2] for row in await rows(c) if row[0] == LISTEN] == [(LISTEN, BEGIN)]
        assert await trend(c, BEGIN + DAY + MIN, now_us, DAY // 4) == before
        answer = await trend(c, BEGIN, now_us, DAY // 2)
        assert answer.coverage.not_kept == (NotKept(Kind.TRENDS, BEGIN + DAY),)
        assert [point.hosts_known for point in answer.points] == [0, 0, 1, 1, 1, 1, 1, 1]
        assert not await Retention(c.db, keep, no_rest).round(now_us)
        # Of a host that is not heard any more the last of its counts stays.
        await Retention(c.db, Keep(1, 1, 1), no_rest).round(now_us + 400 * DAY)
        assert len(await rows(c)) >= 2

    tell(tmp_path, story)


@dataclass
class Plainly:
    """What is known of a host, kept in the plainest way: by the minute."""

    put_down: dict[int, int] = field(default_factory=dict)  # minute and count
    heard: list[int] = field(default_factory=list)  # minutes in which there was a look, as it was taken
    highest: int = 0

    def look(self, minute: int, count: int) -> None:
        self.heard.append(minute)
        self.highest = max(self.highest, count)

    def count(self, minute: int, count: int) -> None:
        """It is time to put down what has changed; of one that has come, that it has a listener."""
        noted = self.put_down[max(self.put_down)] if self.put_down else -1
        if self.heard and (count != noted or self.highest > noted):
            self.put_down[minute] = self.highest = count

    def at(self, minute: int) -> int | None:
        """Its count then; None where nobody can say. Whoever is heard goes on being so for two minutes."""
        heard = [m for m in self.heard if m <= minute]
        if not heard or minute - heard[-1] > 2:
            return None
        begun = heard.pop()
        while heard and begun - heard[-1] <= 2:
            begun = heard.pop()
        rows = [m for m in self.put_down if m <= minute]
        if not rows or (rows[-1] < begun and minute - begun < PUT_DOWN_WITHIN_US // MIN):
            return None
        return self.put_down[rows[-1]]


@pytest.mark.parametrize("seed", range(3))
def test_a_trend_is_what_a_plain_account_of_each_minute_says(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)

    async def story(c: Collector) -> None:
        webs = {Web(c, f"web{number}"): Plainly() for number in range(2)}
        for minute in range(90):
            at_us = BEGIN + minute * MIN
            for web, account in webs.items():
                await _live(web, account, minute, draw)
            if minute % 5 == 0:
                await put_down(c, at_us)
                await put_down(c, at_us)
                for web, account in webs.items():
                    account.count(minute, len(web.open))
        for web, account in webs.items():
            found = await trend(c, BEGIN, BEGIN + 89 * MIN, MIN, host=web.name)
            assert told(found, CLOSE_WAIT) == [account.at(minute) for minute in range(90)], web.name
        both = await trend(c, BEGIN, BEGIN + 89 * MIN, MIN)
        sums = [[known for a in webs.values() if (known := a.at(m)) is not None] for m in range(90)]
        assert [point.hosts_known for point in both.points] == list(map(len, sums))
        assert [one or 0 for one in told(both, CLOSE_WAIT)] == list(map(sum, sums))

    tell(tmp_path, story)


async def _live(web: Web, account: Plainly, minute: int, draw: random.Random) -> None:
    """A minute of a host: it looks, or is silent, or comes back, as a new agent or as the same."""
    web.now_us = BEGIN + (minute - 1) * MIN
    if web.session is None:
        if draw.random() < 0.3:
            web.now_us += MIN
            web.epoch += draw.random() < 0.5
            await web.comes(held=draw.randrange(6))
            account.look(minute, len(web.open))
    elif draw.random() < 0.06:
        await web.falls_silent(0)
        web.session = None
    else:
        await web.holds(draw.choice((len(web.open), draw.randrange(6))))
        account.look(minute, len(web.open))
