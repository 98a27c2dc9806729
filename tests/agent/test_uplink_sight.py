"""What nobody could see is not told as seen: a source that fails, and a clock that is set."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from agent.conftest import Loop
from agent.loopback_collector import Collector
from agent.scripted_watch import BLIND, WHOLE, ScriptedWatch, tcp
from agent.uplinks import QUICK, agrees, eventually, running
from fleetnet_agent.host import Host, this_host
from fleetnet_agent.records import Difference
from fleetnet_agent.uplink.clock import WallClock
from fleetnet_agent.uplink.looks import CLOCK_SET, NOT_READ

Enrolled = Callable[..., Path]

QUICK_BEATS = replace(QUICK, beat_s=0.01)


def told_blind(collector: Collector) -> bool:
    return any(source.name == "tcp" and not source.ok for batch in collector.store.batches for source in batch.sources)


def times_told_blind(collector: Collector) -> int:
    return sum(not source.ok for batch in collector.store.batches for source in batch.sources)


def test_a_blind_source_ends_the_beats_and_leaves_a_gap_and_a_snapshot(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> int:
        watch = ScriptedWatch(tcp(1), tcp(2))
        async with running(enrolled(collector.address), watch, QUICK_BEATS) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.status = BLIND
            await collector.until(lambda: told_blind(collector))
            told, looks = len(collector.store.batches), watch.looks
            watch.close(tcp(2))
            watch.open(tcp(3))
            await eventually(lambda: watch.looks > looks + 20)
            assert len(collector.store.batches) == told, "nothing was told while it could not be known"
            watch.status = WHOLE
            await collector.until(lambda: collector.store.whole_snapshots == 2)
            assert agrees(collector, watch)
            assert any("not read: no room" in line for line in agent.log)
            return told

    told = loop.run(story())
    closed_by_difference = [key for batch in collector.store.batches[told:] for key in batch.closed]
    assert closed_by_difference == [], "when it ended is not known, so the snapshot leaves it out"
    (gap,) = collector.store.gaps
    assert gap.reason == NOT_READ
    blindness = next(b for b in collector.store.batches if any(not s.ok for s in b.sources))
    assert gap.from_us == blindness.look_at_us, "the gap begins with the last look at which all could see"


def test_a_source_that_goes_blind_a_second_time_is_told_a_second_time(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch, QUICK_BEATS):
            for times in (1, 2):
                await collector.until(lambda so_many=times: collector.store.whole_snapshots == so_many)
                watch.status = BLIND
                await collector.until(lambda so_many=times: times_told_blind(collector) == so_many)
                watch.status = WHOLE

    loop.run(story())
    assert len(collector.store.hellos) == 1, "all on one stream"


def test_an_agent_that_is_blind_from_the_start_says_so_and_closes_nothing(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        watch.status = BLIND
        async with running(enrolled(collector.address), watch, QUICK_BEATS):
            await collector.until(lambda: told_blind(collector))
            looks = watch.looks
            await eventually(lambda: watch.looks > looks + 5)
            assert collector.store.whole_snapshots == 0, "a snapshot without them would end them"
            watch.status = WHOLE
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            assert agrees(collector, watch)

    loop.run(story())
    assert len([b for b in collector.store.batches if any(not s.ok for s in b.sources)]) == 1


def test_what_goes_blind_without_a_stream_is_told_by_the_next_snapshot(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1), tcp(2))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            await collector.stop()
            watch.status = BLIND
            looks = watch.looks
            await eventually(lambda: watch.looks > looks + 5)
            watch.close(tcp(1))
            watch.status = WHOLE
            await collector.start()
            await collector.until(lambda: collector.store.whole_snapshots == 2)
            assert agrees(collector, watch)

    loop.run(story())
    assert [gap.reason for gap in collector.store.gaps] == [NOT_READ]


def test_a_clock_that_is_set_begins_a_new_stream_and_leaves_a_gap(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    ahead_us = [0]
    real = this_host()
    host: Host = replace(real, wall_clock_us=lambda: real.wall_clock_us() + ahead_us[0])

    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch, host=host):
            for snapshots, step_us in enumerate((3600_000_000, -7200_000_000), start=1):
                await collector.until(lambda so_many=snapshots: collector.store.whole_snapshots == so_many)
                ahead_us[0] += step_us
            await collector.until(lambda: collector.store.whole_snapshots == 3)

    loop.run(story())
    offsets_us = [hello.wall_clock_us - hello.boottime_us for hello in collector.store.hellos]
    steps_us = [round((b - a) / 1e6) for a, b in itertools.pairwise(offsets_us)]
    assert steps_us == [3600, -7200], "each new Hello tells the clock as it is"
    assert {gap.reason for gap in collector.store.gaps} == {CLOCK_SET}
    lengths_s = [round((gap.to_us - gap.from_us) / 1e6) for gap in collector.store.gaps]
    assert lengths_s == [3600, 7200]


class OnceAhead(ScriptedWatch):
    """The host's clock is an hour ahead at one look, when told to, and is set back before anybody else asks for it."""

    def __init__(self, ahead_us: list[int]) -> None:
        super().__init__(tcp(1))
        self.leap = False
        self._ahead_us = ahead_us

    def look(self) -> Difference:
        self._ahead_us[0], self.leap = 3600_000_000 if self.leap else 0, False
        return super().look()


def test_a_clock_that_is_set_and_set_back_between_two_checks_leaves_a_gap_for_the_look_between(
    loop: Loop, collector: Collector, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_clock: WallClock, _every_s: float) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(WallClock, "watch", never)
    ahead_us = [0]
    real = this_host()
    host: Host = replace(real, wall_clock_us=lambda: real.wall_clock_us() + ahead_us[0])

    async def story() -> None:
        watch = OnceAhead(ahead_us)
        async with running(enrolled(collector.address), watch, host=host):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.leap = True
            await collector.until(lambda: bool(collector.store.gaps))

    loop.run(story())
    assert {gap.reason for gap in collector.store.gaps} == {CLOCK_SET}
    # A busy machine looks later than it should, and the gap is as much longer.
    assert all(3600 <= round((gap.to_us - gap.from_us) / 1e6) < 3660 for gap in collector.store.gaps)
