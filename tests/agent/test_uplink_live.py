"""Live looks over a real stream: answered beside the batches, one at a time, and bounded whatever a collector asks."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from agent.conftest import Loop
from agent.loopback_collector import Collector
from agent.scripted_watch import ScriptedWatch, tcp
from agent.uplinks import agrees, eventually, running
from fleetnet_agent.uplink import live
from fleetnet_agent.uplink.live import MOST_REFUSALS, UNDER_WAY
from fleetnet_agent.uplink.run import Pace
from fleetnet_proto.v1 import live_pb2

Enrolled = Callable[..., Path]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between live looks."""
    monkeypatch.setattr(live, "LIVE_AT_LEAST_EVERY_S", 0.0)
    monkeypatch.setattr(live, "LIVE_SHARE", 1.0)


def cookies(parts: list[live_pb2.LivePart]) -> list[int]:
    return [row.socket.key.cookie - 1_000_000 for part in parts for row in part.sockets]


def test_a_live_look_shows_what_is_there_now_and_tells_no_difference(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch, Pace(look_every_s=3600)):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.open(tcp(2))
            looks = watch.looks
            await collector.look_live(7, sockets=True, details=True)
            await collector.until(lambda: collector.answered(7))
            assert watch.looks == looks
            assert len(watch.threads) == 1, "that of the looks"

    loop.run(story())
    [part] = collector.parts_of(7)
    assert cookies([part]) == [1, 2]
    assert part.sockets[0].timer.expires_ms == 200
    assert part.sockets[0].tcp.rtt_us == 50
    assert part.trouble == ""
    assert len(collector.store.batches) == 1, "a live look is no report"


def test_a_question_without_a_number_is_an_early_look_and_gets_no_answer(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch, Pace(look_every_s=3600)):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.open(tcp(2))
            await collector.look_live(0, sockets=True)
            await collector.until(lambda: agrees(collector, watch))
            assert watch.live_looks == 0

    loop.run(story())
    assert collector.live == []


def test_a_second_question_within_the_pause_is_refused_at_once(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> ScriptedWatch:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            for request in (1, 2):
                await collector.look_live(request, sockets=True)
                await collector.until(lambda: collector.answered(request))  # noqa: B023 - waited for in the loop
                await eventually(lambda: agent.uplink._live._asked is None)
        return watch

    watch = loop.run(story())
    assert watch.live_looks == 1
    [refusal] = collector.parts_of(2)
    assert refusal.last
    assert refusal.refused
    assert not refusal.sockets
    assert refusal.trouble == "this host was looked at live a moment ago; ask again in 1 s"
    assert 0 < refusal.retry_after_ms <= live.LIVE_AT_LEAST_EVERY_S * 1000


def test_looks_that_take_long_make_the_pause_longer(
    loop: Loop, collector: Collector, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LIVE_AT_LEAST_EVERY_S", 0.0)
    monkeypatch.setattr(live, "LIVE_SHARE", 1e-6)

    async def story() -> None:
        watch = ScriptedWatch(*(tcp(n) for n in range(1_000)))
        async with running(enrolled(collector.address), watch) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            for request in (1, 2):
                await collector.look_live(request, sockets=True)
                await collector.until(lambda: collector.answered(request))  # noqa: B023 - waited for in the loop
                await eventually(lambda: agent.uplink._live._asked is None)

    loop.run(story())
    assert "a moment ago" in collector.parts_of(2)[0].trouble


def test_one_live_look_at_a_time_and_what_comes_meanwhile_is_refused(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> ScriptedWatch:
        watch = ScriptedWatch(*(tcp(n) for n in range(20_000)))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            await collector.look_live(1, sockets=True, details=True)
            await collector.look_live(2, sockets=True)
            await collector.until(lambda: collector.answered(1) and collector.answered(2))
        return watch

    watch = loop.run(story(), 200)
    assert watch.live_looks == 1
    assert [part.trouble for part in collector.parts_of(2)] == [UNDER_WAY]
    parts = collector.parts_of(1)
    assert len(parts) > 3
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert cookies(parts) == list(range(20_000))
    assert max(part.ByteSize() for part in collector.live) < 1 << 20


def test_batches_and_acknowledgements_go_on_between_the_parts(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(*(tcp(n) for n in range(30_000)))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            batches = len(collector.store.batches)
            await collector.look_live(1, sockets=True, details=True)
            await collector.until(lambda: collector.parts_of(1))
            watch.open(tcp(40_000))
            await collector.until(lambda: len(collector.store.batches) > batches)
            assert not collector.answered(1), "the batch did not wait for the end of the look"
            await collector.until(lambda: collector.answered(1))

    loop.run(story(), 200)


def test_no_part_is_made_ahead_of_a_collector_that_does_not_read(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(*(tcp(n) for n in range(1_000)))
        watch.live_has_no_end = True
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            collector.live_read.clear()
            await collector.look_live(1, sockets=True, details=True)
            await collector.until(lambda: collector.parts_of(1))
            shown = -1
            while watch.live_shown != shown:  # until it stands still
                shown = watch.live_shown
                await asyncio.sleep(0.5)
            collector.live_read.set()
            await eventually(lambda: watch.live_shown > shown)

    loop.run(story(), 200)


def test_a_flood_of_questions_is_answered_by_few_looks_and_few_refusals(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> ScriptedWatch:
        watch = ScriptedWatch(*(tcp(n) for n in range(20_000)))
        async with running(enrolled(collector.address), watch) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            collector.live_read.clear()
            for request in range(1, 1_000):
                await collector.look_live(request, sockets=True)
            await eventually(lambda: len(agent.uplink._live._refused) == MOST_REFUSALS)
            collector.live_read.set()
            await collector.until(lambda: collector.answered(1))
            watch.open(tcp(30_000))
            await collector.until(lambda: agrees(collector, watch))
        return watch

    watch = loop.run(story(), 200)
    assert watch.live_looks <= 3
    assert len(collector.live) < 1_000


def test_a_stream_that_ends_drops_the_look_and_the_next_one_is_free(
    loop: Loop, collector: Collector, enrolled: Enrolled, hurried: None
) -> None:
    async def story() -> ScriptedWatch:
        watch = ScriptedWatch(*(tcp(n) for n in range(20_000)))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            collector.live_read.clear()
            await collector.look_live(1, sockets=True, details=True)
            await collector.until(lambda: collector.parts_of(1))
            await collector.stop()
            collector.live_read.set()
            await eventually(lambda: watch.live_looks_closed == 1)
            await collector.start()
            await collector.until(lambda: collector.store.whole_snapshots == 2)
            collector.live.clear()
            await collector.look_live(2, sockets=True)
            await collector.until(lambda: collector.answered(2))
        return watch

    watch = loop.run(story(), 200)
    assert collector.parts_of(1) == []
    assert cookies(collector.parts_of(2)) == list(range(20_000))
    assert watch.live_looks == 2


def test_a_look_that_takes_too_long_is_cut_off_and_says_so(
    loop: Loop, collector: Collector, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LIVE_WITHIN_S", -1.0)

    async def story() -> ScriptedWatch:
        watch = ScriptedWatch(*(tcp(n) for n in range(20_000)))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            await collector.look_live(1, sockets=True, details=True)
            await collector.until(lambda: collector.answered(1))
            await eventually(lambda: watch.live_looks_closed == 1)
        return watch

    watch = loop.run(story())
    assert "cut off" in collector.parts_of(1)[-1].trouble
    assert watch.live_shown < 20_000
