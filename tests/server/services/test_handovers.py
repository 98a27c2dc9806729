"""Sockets that stay in their state and change hands: who held one at a time is who held it then, not who came after;
what is only known better counts for the time before as well. On each engine."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from fleetnet_server.lives import LivesQuestion
from fleetnet_server.records import (
    Batch,
    Gap,
    Holder,
    Process,
    Selection,
    Session,
    SocketAnswer,
    SocketQuestion,
)
from fleetnet_server.services import handovers
from fleetnet_server.services.handovers import MOST_COMPARED
from server.costs import asked_of
from server.reports import (
    BEFORE,
    CLOSE_WAIT,
    ESTABLISHED,
    T0,
    Collector,
    S,
    collector,
    difference,
    gone,
    hello,
    kept,
    past,
    snapshot,
    sock,
)

KNOWN, INFERRED, NO_HELPER, PERMISSION, KERNEL, UNACCEPTED, GONE, RACED = range(1, 9)


def by(*pids: int, unit: str = "web.service", status: int = KNOWN, uid: int | None = 0, container: str = "") -> Holder:
    """Held by these processes; the name of one tells its pid."""
    owners = tuple(Process(pid, T0 - 500 * S, f"p{pid}", f"/usr/sbin/p{pid}", f"p{pid}") for pid in pids)
    return Holder(uid, "root" if uid == 0 else "", unit, container, status, owners)


NOBODY_YET = by(status=RACED)


def changes_hands(was: Holder, now: Holder) -> bool:
    return handovers.changes_hands(was, now, lambda: set(was.owners) == set(now.owners))


def test_known_processes_that_are_told_otherwise_are_another_time() -> None:
    assert changes_hands(by(1), by(2))
    assert changes_hands(by(1), by(1, 2))
    assert changes_hands(by(1, 2), by(1))
    assert not changes_hands(by(1, 2), by(2, 1))
    # Nor is it forgotten of the time before that they were known.
    for lost in (NO_HELPER, PERMISSION, KERNEL, GONE, RACED):
        assert changes_hands(by(1), by(status=lost))
    assert changes_hands(by(status=KERNEL), by(1))


@pytest.mark.parametrize("status", [INFERRED, UNACCEPTED, RACED])
def test_whoever_is_found_first_held_it_while_nobody_had_been_found(status: int) -> None:
    assert not changes_hands(by(status=status), by(1))
    assert not changes_hands(by(status=status, unit="init.scope"), by(1))
    assert not changes_hands(by(status=status), by(status=NO_HELPER))


@pytest.mark.parametrize("status", [NO_HELPER, PERMISSION])
def test_who_could_not_be_seen_is_whoever_is_seen_later_if_all_else_agrees(status: int) -> None:
    assert not changes_hands(by(status=status), by(1))
    assert not changes_hands(by(status=status, unit="", uid=None), by(1))
    assert changes_hands(by(status=status, unit="old.service"), by(1))
    assert changes_hands(by(status=status, uid=70), by(1))
    assert changes_hands(by(status=status, container="4f5e"), by(1))


def test_a_unit_that_was_not_known_before_is_no_change() -> None:
    assert not changes_hands(by(1, unit=""), by(1))
    assert changes_hands(by(1), by(1, unit=""))


Story = Callable[[Collector], Awaitable[None]]


def told(directory: Path, story: Story) -> None:
    async def run() -> None:
        async with collector(directory) as c:
            await story(c)

    asyncio.run(run())


async def begun(c: Collector, holder: Holder, *, at_us: int = T0) -> Session:
    """A host with one listener."""
    session = await c.connect(await c.enroll(), hello(at_us), at_us)
    await c.report(session, snapshot(1, at_us, sock(1, at_us, holder=holder)))
    return session


async def held(c: Collector, at_us: int, **asked: object) -> list[str]:
    """By whom, of what is found: names of processes, or else what is known of them."""
    question = SocketQuestion(Selection(at_us=at_us), **asked)  # type: ignore[arg-type]  # the caller names fields
    items = (await c.ask(question, now_us=T0 + 1_000 * S)).items
    return [" ".join(one.name for one in item.holder.owners) or str(item.holder.owner_status) for item in items]


async def over(c: Collector, *seconds: float) -> list[str]:
    return [name for one in seconds for name in await held(c, T0 + int(one * S))]


def changed(sequence: int, at_us: int, holder: Holder) -> Batch:
    return difference(sequence, at_us, changed=(sock(1, at_us, holder=holder),), previous_us=at_us - S)


def test_at_each_time_it_was_held_by_whoever_held_it_then(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await begun(c, by(812))
        hands = [changed(2, T0 + 10 * S, by(4242)), changed(3, T0 + 20 * S, by(5))]
        await c.report(session, *hands)
        assert await over(c, 0, 5, 9.9, 10, 15, 19.9, 20, 30) == [
            "p812", "p812", "p812", "p4242", "p4242", "p4242", "p5", "p5",
        ]  # fmt: skip
        assert await held(c, 0) == ["p5"]
        # And behind its end, when its row is another's.
        await c.report(session, difference(4, T0 + 30 * S, closed=(gone(1, T0 + 30 * S),)))
        assert await over(c, 5, 15, 25, 30) == ["p812", "p4242", "p5"]

    told(tmp_path, story)


def test_of_holders_with_very_many_processes_it_is_never_asked_which_they_were(tmp_path: Path) -> None:
    crowd = by(*range(1, MOST_COMPARED + 2), unit="")

    async def story(c: Collector) -> None:
        session = await begun(c, crowd)
        asked = asked_of(c.db._engines.writer)
        await c.report(session, changed(2, T0 + 10 * S, crowd._replace(unit="web.service")))
        assert not [sql for sql, _ in asked if sql.startswith("SELECT") and "processes" in sql]
        # Nor is it found out that they are the same.
        assert await held(c, T0 + 5 * S, unit="web.service") == []
        assert len(await held(c, T0 + 10 * S, unit="web.service")) == 1

    told(tmp_path, story)


def test_whoever_held_it_then_is_found_and_whoever_came_later_is_not(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await begun(c, by(812, unit="old.service", container="4f5e"))
        await c.report(session, changed(2, T0 + 10 * S, by(4242, unit="new.service", uid=70)))
        for at_us, found in ((T0 + 5 * S, True), (T0 + 10 * S, False), (0, False)):
            for asked in ({"process": "p812"}, {"unit": "old.service"}, {"user": "root"}, {"container": "4f5e"}):
                assert bool(await held(c, at_us, **asked)) == found
            for asked in ({"process": "p4242"}, {"unit": "new.service"}):
                assert bool(await held(c, at_us, **asked)) != found

    told(tmp_path, story)


def test_what_began_in_a_time_is_told_as_it_was_held_at_the_end_of_that_time(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await begun(c, by(812))
        await c.report(session, changed(2, T0 + 10 * S, by(4242)))
        assert await held(c, T0 + 5 * S, opened_since_us=T0) == ["p812"]
        assert await held(c, T0 + 15 * S, opened_since_us=T0) == ["p4242"]
        assert await held(c, 0, opened_since_us=T0) == ["p4242"]

    told(tmp_path, story)


def test_who_is_known_only_later_held_it_all_the_while_since_it_last_changed_hands(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await begun(c, NOBODY_YET)
        hands = (by(812), NOBODY_YET, by(4242))
        await c.report(session, *(changed(2 + n, T0 + (n + 1) * 10 * S, one) for n, one in enumerate(hands)))
        assert await over(c, 0, 15, 20, 25, 30) == ["p812", "p812", "p4242", "p4242", "p4242"]
        # That his helper is gone does not take from an agent what it has told.
        await c.report(session, changed(5, T0 + 40 * S, by(status=NO_HELPER)))
        assert await over(c, 35, 40) == ["p4242", str(NO_HELPER)]
        assert (await c.ask(SocketQuestion(Selection(at_us=T0 + 35 * S), process="p1"))).coverage.unseen_holders == 0
        assert (await c.ask(SocketQuestion(Selection(at_us=T0 + 40 * S), process="p1"))).coverage.unseen_holders == 1

    told(tmp_path, story)


def test_who_held_it_in_another_state_is_no_matter_of_this_one(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        hands = [(10, ESTABLISHED, by(2)), (20, CLOSE_WAIT, by(3)), (30, CLOSE_WAIT, by(4)), (30, CLOSE_WAIT, by(4))]
        await c.report(session, snapshot(1, T0, sock(1, T0, ESTABLISHED, holder=by(1))))
        for n, (second, state, holder) in enumerate(hands):
            at_us = T0 + second * S
            one = sock(1, at_us, state, holder=holder)
            await c.report(session, difference(2 + n, at_us, previous_us=at_us - S, changed=(one,)))
        assert await over(c, 5, 15, 25, 35) == ["p1", "p2", "p3", "p4"]
        assert len((await c.dump())["former_holders"]) == 2

    told(tmp_path, story)


def test_what_changed_hands_while_the_agent_was_away_was_held_by_the_former_until_the_next_look(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        session = await c.connect(host, hello(T0))
        await c.report(session, snapshot(1, T0, sock(1, T0, holder=by(812))), difference(2, T0 + 5 * S))
        later = await c.connect(host, hello(T0 + 20 * S, epoch=2), T0 + 20 * S)
        await c.report(later, snapshot(1, T0 + 20 * S, sock(1, T0 + 20 * S, how=BEFORE, holder=by(4242)), epoch=2))
        # As with every state that changes in a gap, and the gap stands beside the answer.
        assert await over(c, 5, 15, 20) == ["p812", "p812", "p4242"]
        assert (await c.ask(at_us=T0 + 15 * S)).coverage.gaps == 1
        [former] = (await c.dump())["former_holders"]
        assert former[2:5] == (T0 + 20 * S, T0, T0 + 5 * S)

    told(tmp_path, story)


def test_of_a_clock_that_was_set_back_nobody_held_a_socket_before_it_was_his(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await begun(c, by(1), at_us=T0 + 10 * S)
        hands = [(20, by(2)), (5, by(3)), (15, by(4)), (30, by(5))]
        await c.report(session, *(changed(2 + n, T0 + second * S, one) for n, (second, one) in enumerate(hands)))
        assert await over(c, 15, 25, 35) == ["p1", "p4", "p5"]

    told(tmp_path, story)


def test_a_batch_that_comes_again_changes_nothing_and_one_batch_may_hand_over_and_end(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await begun(c, by(812))
        at_us = T0 + 10 * S
        both = difference(
            2, at_us, previous_us=at_us - S, changed=(sock(1, at_us, holder=by(4242)),), closed=(gone(1, at_us),)
        )
        await c.report(session, both)
        was = await c.dump()
        await c.report(session, both)
        assert await c.dump() == was
        assert await over(c, 5, 10) == ["p812"]

    told(tmp_path, story)


OUTAGE = Gap(T0 + 10 * S, T0 + 60 * S, "collector unreachable", kept=True)


async def back(c: Collector) -> Session:
    """A host of which a socket was handed over while nobody took its reports; its next sequence is 4."""
    host = await c.enroll()
    session = await c.connect(host, hello(T0))
    at_us = OUTAGE.from_us
    await c.report(session, snapshot(1, T0, sock(1, T0, ESTABLISHED, holder=by(812))), difference(2, at_us))
    session = await c.connect(host, hello(OUTAGE.to_us), OUTAGE.to_us)
    found = sock(1, OUTAGE.to_us, ESTABLISHED, how=BEFORE, holder=by(4242))
    await c.report(session, snapshot(3, OUTAGE.to_us, found, gaps=(OUTAGE,)))
    assert await over(c, 5, 30, 60) == ["p812", "p812", "p4242"]
    return session


def test_what_a_host_kept_leaves_to_each_the_time_that_was_his(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await back(c)
        # It was in another state meanwhile, and somebody else held it: two intervals of one, and one between them.
        between = past(sock(1, T0 + 20 * S, CLOSE_WAIT, holder=by(7)), T0 + 40 * S)
        again = past(sock(1, T0 + 40 * S, ESTABLISHED, holder=by(4242)))
        told_late = kept(4, OUTAGE, between, again, ended=(gone(1, T0 + 20 * S),))
        await c.report(session, told_late)
        assert await over(c, 5, 19, 20, 39, 60) == ["p812", "p812", "p7", "p7", "p4242"]

    told(tmp_path, story)


def test_a_beginning_that_turns_out_to_be_earlier_is_the_first_holders(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        session = await c.connect(host, hello(T0))
        await c.report(session, snapshot(1, T0), difference(2, OUTAGE.from_us))
        session = await c.connect(host, hello(OUTAGE.to_us), OUTAGE.to_us)
        found = sock(1, OUTAGE.to_us, ESTABLISHED, how=BEFORE, holder=by(812))
        await c.report(session, snapshot(3, OUTAGE.to_us, found, gaps=(OUTAGE,)))
        at_us = OUTAGE.to_us + 10 * S
        handed = sock(1, at_us, ESTABLISHED, holder=by(4242))
        await c.report(session, difference(4, at_us, previous_us=at_us - S, changed=(handed,)))
        await c.report(session, kept(5, OUTAGE, past(sock(1, T0 + 20 * S, ESTABLISHED, holder=by(812)))))
        assert await over(c, 20, 59, 60, 69, 70) == ["p812", "p812", "p812", "p812", "p4242"]

    told(tmp_path, story)


def test_one_life_is_found_by_each_who_held_it_in_the_time_and_told_as_it_was_held_last(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await begun(c, by(1))
        await c.report(session, changed(2, T0 + 10 * S, by(2)), changed(3, T0 + 20 * S, by(3)))

        async def lives(process: str, since: int, until: int = 0) -> list[str]:
            asked = SocketQuestion(Selection(host="web1", at_us=until and T0 + until * S), process=process)
            async with aclosing(c.questions.lives(LivesQuestion(asked, T0 + since * S), T0 + 90 * S)) as parts:
                pages = [part async for part in parts if isinstance(part, tuple)]
            return [life.holder.owners[0].name for page in pages for life in page if isinstance(life, SocketAnswer)]

        for ended in (False, True):
            assert [await lives(name, 0) for name in ("p1", "p2", "p3", "p4")] == [["p3"], ["p3"], ["p3"], []]
            assert [await lives(name, 15) for name in ("p1", "p2", "p3")] == [[], ["p3"], ["p3"]]
            assert [await lives(name, 0, 15) for name in ("p1", "p2", "p3")] == [["p2"], ["p2"], []]
            if not ended:
                await c.report(session, difference(4, T0 + 30 * S, closed=(gone(1, T0 + 30 * S),)))

    told(tmp_path, story)


def test_as_many_statements_as_before_where_nobody_hands_over_and_three_for_all_who_do(
    tmp_path: Path, engine: str
) -> None:
    async def story(c: Collector) -> None:
        session = await c.connect(await c.enroll(), hello(T0))
        await c.report(session, snapshot(1, T0, *(sock(n, T0, holder=by(1)) for n in range(1, 5))))
        statements = asked_of(c.db._engines.writer)

        async def cost(sequence: int, holder: Holder, recv_queue: int) -> int:
            at_us = T0 + sequence * S
            some = tuple(sock(n, at_us, holder=holder, recv_queue=recv_queue) for n in range(1, 5))
            statements.clear()
            await c.report(session, difference(sequence, at_us, previous_us=at_us - S, changed=some))
            return len(statements)

        usual = await cost(2, by(1), 3)
        assert not any("former_holders" in sql for sql, _ in statements)
        # The new holder with its process, which is told for the first time, and the former, who is looked up, put down
        # beside the rows and noted in them.
        assert await cost(3, by(2), 3) == usual + 3 + 3
        assert await cost(4, by(2), 5) == usual
        # And where more is known of the same.
        await cost(5, by(status=RACED), 5)
        assert await cost(6, by(3), 5) == usual + 3 + 1

    told(tmp_path, story)


def test_a_question_about_the_past_costs_as_many_statements_whoever_handed_over(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await begun(c, by(1))
        statements = asked_of(c.db._engines.readers)
        await held(c, T0 + 5 * S)
        usual = len(statements)
        await c.report(session, changed(2, T0 + 10 * S, by(2)))
        statements.clear()
        assert await held(c, T0 + 5 * S) == ["p1"]
        assert len(statements) == usual
        statements.clear()
        await held(c, 0)
        assert not any("former_holders" in sql for sql, _ in statements)

    told(tmp_path, story)
