"""What a host may report, and who may open a stream, by a clock of the test's own."""

import asyncio

import pytest
from fleetnet_server.limits import MIB, Limits
from fleetnet_server.services.admission import MOST_ARRIVING, Admission, Arrival
from fleetnet_server.services.buckets import Bucket
from fleetnet_server.services.load import Load
from fleetnet_server.services.quotas import HeldBack, Hurries, Quotas


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_what_is_spent_beyond_the_bucket_is_a_debt_paid_at_the_rate() -> None:
    bucket = Bucket(10, 100, 0)
    assert bucket.spend(100, 0) == 0
    assert bucket.spend(50, 0) == 5
    assert bucket.spend(0, 3) == pytest.approx(2)
    assert bucket.spend(0, 1_000) == 0
    assert bucket.level(1_000) == 100


def test_the_defaults_let_a_large_snapshot_and_a_draining_backlog_pass() -> None:
    clock = Clock()
    quotas = Quotas(Limits(), Load(), clock)
    assert quotas.report("web1", 100_000, 8 * MIB) == 0
    for _ in range(600):
        clock.now_s += 1
        assert quotas.report("web1", 9_000, MIB) == 0


def test_a_host_over_its_quota_waits_and_no_other_does_and_it_is_said_once() -> None:
    clock, load = Clock(), Load()
    quotas = Quotas(Limits(rows_per_minute=60), load, clock)
    assert quotas.report("web1", 60, 0) == 0
    assert quotas.report("web1", 30, 0) == 30
    assert quotas.report("web2", 60, 0) == 0
    clock.now_s += 30
    assert quotas.report("web1", 0, 0) == 0
    assert (load.slowed, load.slowed_s) == (1, 30)


def test_bytes_count_beside_rows() -> None:
    quotas = Quotas(Limits(mib_per_minute=60), Load(), Clock())
    assert quotas.report("web1", 0, 60 * MIB) == 0
    assert quotas.report("web1", 0, 2 * MIB) == 2


def test_reports_count_whatever_is_in_them_and_what_is_no_report_does_not() -> None:
    clock = Clock()
    quotas = Quotas(Limits(reports_per_minute=600), Load(), clock)
    assert [quotas.report("web1", 1, 60) for _ in range(101)] == [0] * 100 + [pytest.approx(0.1)]
    assert quotas.report("web1", 0, 60, reports=0) == pytest.approx(0.1)
    clock.now_s += 600
    for _ in range(600):
        clock.now_s += 0.25  # as often as an agent ever looks
        assert quotas.report("web1", 1, 60) == 0


def test_who_is_held_back_for_long_is_told_of_until_it_has_not_been_for_a_while() -> None:
    clock, load = Clock(), Load()
    quotas = Quotas(Limits(reports_per_minute=60), load, clock)
    for _ in range(10):
        quotas.report("busy", 1, 60)
    for _ in range(29):
        clock.now_s += quotas.report("busy", 1, 60)
    assert (quotas.held_back(), load.slowed_s) == ([], 29)
    for _ in range(2):
        clock.now_s += quotas.report("busy", 1, 60)
    quotas.report("web1", 1, 60)
    assert quotas.held_back() == [HeldBack("busy", "reports", 31, 31, 1)]
    clock.now_s += 599
    assert [one.host for one in quotas.held_back()] == ["busy"]
    clock.now_s += 1
    assert quotas.held_back() == []


def test_what_several_reports_owe_together_is_counted_once() -> None:
    load = Load()
    quotas = Quotas(Limits(reports_per_minute=60), load, Clock())
    for _ in range(15):
        quotas.report("busy", 1, 60)
    assert load.slowed_s == 5


def test_the_rests_of_a_large_host_that_comes_back_are_no_news_and_those_of_one_that_never_ends_are() -> None:
    clock = Clock()
    quotas = Quotas(Limits(), Load(), clock)
    for _ in range(10):
        quotas.rest("large", 0.1, rested_s=1.9)
        clock.now_s += 2
    assert quotas.held_back() == []
    for _ in range(5):
        quotas.rest("large", 2.0)
        clock.now_s += 2
    assert quotas.held_back() == [HeldBack("large", "large reports", 30, 30, 2)]


def test_what_a_host_owes_and_its_rest_are_there_for_its_next_stream_and_no_other_hosts() -> None:
    clock = Clock()
    quotas = Quotas(Limits(rows_per_minute=60), Load(), clock)
    quotas.report("web1", 70, 0)
    assert (quotas.owes_s("web1"), quotas.owes_s("web2")) == (10, 0)
    quotas.rest("web1", 30)
    quotas.rest("web1", 5)
    clock.now_s += 20
    assert quotas.owes_s("web1") == 10
    clock.now_s += 10
    assert quotas.owes_s("web1") == 0


def test_hosts_that_owe_nothing_are_forgotten_and_a_debtor_is_not() -> None:
    clock = Clock()
    quotas = Quotas(Limits(rows_per_minute=60), Load(), clock)
    quotas.report("debtor", 100_000, 0)
    for n in range(3_000):
        clock.now_s += 1
        quotas.report(f"host{n}", 1, 0)
    assert len(quotas._hosts) < 1_300
    assert quotas.report("debtor", 0, 0) > 0


def _arrivals(count: int, per_second: int) -> tuple[list[float], list[float]]:
    """Of so many hosts that come at one moment: waits of those let in, and when the others are to come back."""
    clock, waited, away = Clock(), list[float](), list[float]()

    async def sleep(wait_s: float) -> None:
        waited.append(wait_s)

    async def scenario() -> None:
        admission = Admission(per_second, Quotas(Limits(), Load(), clock), Load(), clock)
        for n in range(count):
            arrival = await admission.enter(f"host{n}")
            if isinstance(arrival, Arrival):
                arrival.over()
            else:
                away.append(arrival)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fleetnet_server.services.admission.asyncio.sleep", sleep)
        asyncio.run(scenario())
    return waited, away


def test_in_no_second_more_are_let_in_than_the_rate_and_a_tenth() -> None:
    waited, away = _arrivals(1_000, 100)
    assert waited == sorted(waited)
    assert waited[-1] <= 2.0
    for second in range(3):
        assert sum(second <= wait_s < second + 1 for wait_s in waited) <= 110
    assert len(waited) + len(away) == 1_000


def test_those_sent_away_come_back_in_their_order_each_in_the_time_it_needs() -> None:
    waited, away = _arrivals(1_000, 100)
    # At 100 a second, those beyond the line are through in (1,000 - line) / 100 s.
    through_s = 2.0 + len(away) / 100
    assert min(away) >= 2.0
    assert max(away) <= through_s + 1.1
    for second in range(2, int(through_s)):
        assert sum(second <= after_s < second + 1 for after_s in away) <= 200
    assert len(waited) >= 200


def test_one_host_that_comes_again_and_again_is_put_off_and_takes_no_place_of_others() -> None:
    async def scenario() -> None:
        clock, load = Clock(), Load()
        admission = Admission(1_000, Quotas(Limits(), load, clock), load, clock)
        for _ in range(30):
            clock.now_s += 0.001
            assert isinstance(await admission.enter("restless"), Arrival)
        for _ in range(300):
            after_s = await admission.enter("restless")
            assert isinstance(after_s, float)
            assert after_s > 1
        assert isinstance(await admission.enter("web1"), Arrival)
        assert (load.streams_admitted, load.streams_put_off) == (31, 300)

    asyncio.run(scenario())


def test_nobody_is_let_in_when_the_door_is_closed() -> None:
    async def scenario() -> None:
        admission = Admission(1_000, Quotas(Limits(), Load()), Load())
        admission.close()
        assert not isinstance(await admission.enter("web1"), Arrival)

    asyncio.run(scenario())


def test_no_more_are_at_work_at_once_than_there_are_places_and_the_next_comes_when_one_is_through() -> None:
    async def scenario() -> None:
        admission = Admission(100_000, Quotas(Limits(), Load()), Load())
        inside = [await admission.enter(f"host{n}") for n in range(MOST_ARRIVING)]
        next_one = asyncio.create_task(admission.enter("next"))
        await asyncio.sleep(0)
        assert not next_one.done()
        first, second, *_ = inside
        assert isinstance(first, Arrival)
        first.over()
        assert isinstance(await next_one, Arrival)
        first.over()  # which has let somebody in already
        after_next = asyncio.create_task(admission.enter("after next"))
        await asyncio.sleep(0)
        assert not after_next.done()
        assert isinstance(second, Arrival)
        second.over()
        assert isinstance(await after_next, Arrival)

    asyncio.run(scenario())


def _arrival(entered: Arrival | float) -> Arrival:
    assert isinstance(entered, Arrival)
    return entered


async def _waits(admission: Admission, host: str) -> bool:
    """Whether a host that comes now waits in line; it goes away again."""
    waiting = asyncio.create_task(admission.enter(host))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waits = not waiting.done()
    if not waits:
        _arrival(await waiting).over()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return waits


def test_a_host_that_comes_again_before_it_has_told_everything_has_the_place_that_it_had() -> None:
    async def scenario() -> None:
        admission = Admission(100_000, Quotas(Limits(), Load()), Load())
        older = [_arrival(await admission.enter("restless")) for _ in range(20)]
        others = [_arrival(await admission.enter(f"host{n}")) for n in range(MOST_ARRIVING - 1)]
        newest = _arrival(await admission.enter("restless"))  # at once, though all places are taken
        assert await _waits(admission, "next")
        for arrival in older:
            arrival.over()
        assert await _waits(admission, "next")
        newest.over()
        assert not await _waits(admission, "next")
        others[0].over()
        assert len(admission._arriving) == MOST_ARRIVING - 2

    asyncio.run(scenario())


def test_of_a_host_that_waits_in_line_more_than_once_one_gets_a_place() -> None:
    async def scenario() -> None:
        admission = Admission(100_000, Quotas(Limits(), Load()), Load())
        inside = [_arrival(await admission.enter(f"host{n}")) for n in range(MOST_ARRIVING)]
        waiting = [asyncio.create_task(admission.enter("restless")) for _ in range(20)]
        last = asyncio.create_task(admission.enter("last"))
        await asyncio.sleep(0)
        inside[0].over()
        inside[1].over()
        arrivals = [_arrival(await one) for one in (*waiting, last)]
        assert await _waits(admission, "next")
        for arrival in arrivals:
            arrival.over()
        assert [await _waits(admission, host) for host in ("next", "next")] == [False, False]
        assert admission._arriving.keys() == {f"host{n}" for n in range(2, MOST_ARRIVING)}

    asyncio.run(scenario())


def test_coming_again_does_not_keep_a_place_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetnet_server.services.admission.ARRIVES_WITHIN_S", 0.05)

    async def scenario() -> None:
        admission = Admission(100_000, Quotas(Limits(), Load()), Load())
        older = _arrival(await admission.enter("restless"))
        newer = _arrival(await admission.enter("restless"))
        assert newer._late.when() == older._late.when()
        while admission._arriving:
            assert newer._until_s + 60 > asyncio.get_running_loop().time()
            await asyncio.sleep(0.01)
        again = _arrival(await admission.enter("restless"))
        newer.over()  # which has no place any more
        assert admission._arriving == {"restless": again}

    asyncio.run(scenario())


def test_who_waits_for_a_place_when_the_door_is_closed_is_not_let_in() -> None:
    async def scenario() -> None:
        admission = Admission(100_000, Quotas(Limits(), Load()), Load())
        first, *_ = [await admission.enter(f"host{n}") for n in range(MOST_ARRIVING)]
        waiting = asyncio.create_task(admission.enter("late"))
        await asyncio.sleep(0)
        admission.close()
        assert isinstance(first, Arrival)
        first.over()
        assert not isinstance(await waiting, Arrival)

    asyncio.run(scenario())


def test_of_those_who_got_through_none_is_remembered_for_longer_than_the_pace_needs() -> None:
    async def scenario() -> None:
        clock, load = Clock(), Load()
        admission = Admission(1_000, Quotas(Limits(), load, clock), load, clock)
        for n in range(1_000):
            clock.now_s += 1
            arrival = await admission.enter(f"host{n}")
            assert isinstance(arrival, Arrival)
            arrival.over()
        assert len(admission._over_at_s) < 10

    asyncio.run(scenario())


def test_where_they_get_through_slowly_the_others_are_told_to_come_as_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetnet_server.services.admission._LINE_S", 0.05)

    async def scenario() -> list[float]:
        clock, load = Clock(), Load()
        admission = Admission(100_000, Quotas(Limits(), load, clock), load, clock)
        for n in range(10):  # two a second, as far as the last five tell
            arrival = await admission.enter(f"before{n}")
            assert isinstance(arrival, Arrival)
            arrival.over()
        inside = [await admission.enter(f"host{n}") for n in range(MOST_ARRIVING)]
        assert all(isinstance(arrival, Arrival) for arrival in inside)
        later = await asyncio.gather(*(admission.enter(f"later{n}") for n in range(100)))
        assert load.streams_put_off == 100
        return sorted(after_s for after_s in later if isinstance(after_s, float))

    later_s = asyncio.run(scenario())
    assert len(later_s) == 100
    assert 50 < later_s[-1] < 52
    for second in range(1, 49):
        assert sum(second <= after_s < second + 1 for after_s in later_s) <= 5


def test_who_always_hurries_waits_like_others_and_keeps_nobody_else_from_it() -> None:
    hurries = Hurries()
    assert [hurries.may(1, 0) for _ in range(21)] == [*[True] * 20, False]
    assert hurries.may(2, 0)
    assert not hurries.may(1, 0.2)
    assert [hurries.may(1, 1.0) for _ in range(5)] == [*[True] * 4, False]


def test_of_hosts_that_have_not_hurried_for_long_nothing_is_remembered() -> None:
    hurries = Hurries()
    for host_id in range(5_000):
        hurries.may(host_id, host_id * 1.0)
    assert len(hurries._hosts) <= 2_000
