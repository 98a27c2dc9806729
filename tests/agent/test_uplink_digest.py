"""Digests say what the collector holds then; a collector that doubts them is told all anew, and not too often."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agent.conftest import Loop
from agent.loopback_collector import Collector
from agent.scripted_watch import BLIND, WHOLE, ScriptedWatch, boottime_us, tcp
from agent.uplinks import QUICK, agrees, eventually, running
from fleetnet_agent.records import State
from fleetnet_proto.v1 import report_pb2

Enrolled = Callable[..., Path]

DIGESTS = replace(QUICK, digest_every_s=0.01, snapshot_at_most_every_s=0.05)


def test_each_digest_is_what_the_collector_holds_then(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> None:
        watch = ScriptedWatch(*(tcp(n) for n in range(20)))
        async with running(enrolled(collector.address), watch, DIGESTS):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            for number in range(100, 160):
                watch.open(tcp(number), tcp(number - 90, State.CLOSE_WAIT))
                if number % 3 == 0:
                    watch.close(tcp(number - 3 if number > 103 else 0))
                await asyncio.sleep(0.004)
            await collector.until(lambda: agrees(collector, watch) and collector.store.digests >= 8)

    loop.run(story())
    assert collector.store.wrong_digests == []
    assert collector.store.batches[0].HasField("digest"), "the snapshot carries one"


def test_no_digest_is_told_while_a_source_is_blind(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch, DIGESTS):
            await collector.until(lambda: collector.store.digests >= 3)
            watch.status = BLIND
            await collector.until(lambda: any(not s.ok for b in collector.store.batches for s in b.sources))
            told, looks = len(collector.store.batches), watch.looks
            await eventually(lambda: watch.looks > looks + 20)
            assert len(collector.store.batches) == told
            watch.status = WHOLE
            await collector.until(lambda: collector.store.whole_snapshots == 2)

    loop.run(story())


def test_every_batch_says_when_its_look_was_by_the_clock_that_nothing_sets(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch, replace(DIGESTS, beat_s=0.01)):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.open(tcp(2))
            await collector.until(lambda: len(collector.store.batches) > 10)
            watch.status = BLIND
            await collector.until(lambda: any(not s.ok for b in collector.store.batches for s in b.sources))

    loop.run(story())
    batches = collector.store.batches
    assert [b.look_boottime_us for b in batches] == [boottime_us(b.look_at_us) for b in batches]


def test_a_collector_that_asks_gets_a_snapshot_on_the_same_stream_and_not_one_after_the_other(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> list[str]:
        watch = ScriptedWatch(tcp(1), tcp(2))
        async with running(enrolled(collector.address), watch, replace(QUICK, snapshot_at_most_every_s=0.4)) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            for _ in range(50):
                await collector.to_agent.put(
                    report_pb2.CollectorMessage(resync=report_pb2.Resync(reason="digests differ"))
                )
            looks = watch.looks
            await eventually(lambda: watch.looks > looks + 5)
            assert collector.store.whole_snapshots == 1, "too soon"
            await collector.until(lambda: collector.store.whole_snapshots == 2)
            watch.open(tcp(3))
            await collector.until(lambda: agrees(collector, watch))
            looks = watch.looks
            await eventually(lambda: watch.looks > looks + 5)
            assert collector.store.whole_snapshots == 2, "fifty questions are one"
            return agent.log

    log = loop.run(story())
    assert len(collector.store.hellos) == 1
    assert collector.store.gaps == []
    assert len([line for line in log if "asks to be told everything anew: digests differ" in line]) == 1
