"""What a collector that is wrong, or wicked, may do to an agent: nothing that lasts."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from agent.conftest import Loop
from agent.loopback_collector import Collector
from agent.scripted_watch import ScriptedWatch, tcp
from agent.uplinks import agrees, eventually, running
from fleetnet_agent.uplink.looks import REPORT_NOT_TAKEN
from fleetnet_agent.uplink.window import MAX_CREDIT
from fleetnet_proto.v1 import report_pb2

Enrolled = Callable[..., Path]


def _is_poisoned(batch: report_pb2.Batch) -> bool:
    return not batch.HasField("snapshot") and any(s.remote_address[-1] == 66 for s in batch.opened)


def test_a_report_that_is_refused_for_good_is_dropped_and_becomes_a_gap(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    refused = []

    def takes(batch: report_pb2.Batch) -> bool:
        if _is_poisoned(batch):
            refused.append(batch)
            return False
        return True

    async def story() -> list[str]:
        collector.takes = takes
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.open(tcp(66))
            await collector.until(lambda: collector.store.whole_snapshots == 2)
            await collector.until(lambda: agrees(collector, watch))
            return agent.log

    log = loop.run(story())
    assert len(refused) == 1
    assert len({hello.epoch for hello in collector.store.hellos}) == 2
    [gap] = collector.store.gaps
    assert gap.reason == REPORT_NOT_TAKEN
    assert gap.from_us == refused[0].previous_look_at_us
    assert gap.to_us >= refused[0].look_at_us
    assert any("does not take a report of this host: the test does not take it" in line for line in log)


def test_a_snapshot_that_is_refused_is_told_again_with_its_gap(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        collector.takes = lambda batch: len(collector.store.hellos) > 2
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: agrees(collector, watch))
            await collector.until(lambda: collector.store.whole_snapshots == 1)

    loop.run(story())
    assert [gap.reason for gap in collector.store.gaps] == [REPORT_NOT_TAKEN]
    assert len({hello.epoch for hello in collector.store.hellos}) == 3


def test_no_more_is_kept_than_fits_the_memory_whatever_credit_is_given(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> int:
        collector.credit = 2**32 - 1
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            collector.accepts.clear()
            for number in range(2, 200):
                watch.open(tcp(number))
                await asyncio.sleep(0.01)
            kept = len(agent.uplink._looks.window)
            collector.accepts.set()
            await collector.until(lambda: agrees(collector, watch))
            return kept

    assert loop.run(story()) <= MAX_CREDIT


def test_a_certificate_that_is_due_again_at_once_makes_no_storm(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    directory = enrolled(collector.address, days=30 / 86_400)

    async def story() -> None:
        collector.certificate_days = 30 / 86_400
        async with running(directory, ScriptedWatch(tcp(1))) as agent:
            await eventually(lambda: "certificate renewed" in agent.log)
            await asyncio.sleep(0.5)

    loop.run(story())
    assert collector.renewals == 1


def test_a_renewal_with_a_broken_ca_is_not_taken(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    directory = enrolled(collector.address, days=30 / 86_400)
    before = (directory / "ca.pem").read_bytes()

    async def story() -> list[str]:
        collector.renewed_ca_pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        async with running(directory, ScriptedWatch(tcp(1))) as agent:
            await eventually(lambda: any("could not be renewed" in line for line in agent.log))
            return agent.log

    assert any("CA certificate that cannot be used" in line for line in loop.run(story()))
    assert (directory / "ca.pem").read_bytes() == before


def test_a_long_reason_is_one_short_line(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> list[str]:
        collector.sends_away = report_pb2.Reconnect(after_ms=3_600_000, reason="\x1b[2J\n" + "x" * 900_000)
        async with running(enrolled(collector.address), ScriptedWatch(tcp(1))) as agent:
            await eventually(lambda: bool(agent.log))
            return agent.log

    [line] = loop.run(story())
    assert "\x1b" not in line
    assert len(line) < 1_100


def test_a_collector_that_asks_to_renew_all_the_time_makes_no_storm(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        async with running(enrolled(collector.address), ScriptedWatch(tcp(1))) as agent:
            for _ in range(50):
                await collector.ask_to_renew()
            await eventually(lambda: "certificate renewed" in agent.log)
            for _ in range(50):
                await collector.ask_to_renew()
            await collector.until(lambda: collector.to_agent.empty())
            agent.watch.open(tcp(2))
            await collector.until(lambda: agrees(collector, agent.watch))

    loop.run(story())
    assert collector.renewals == 1  # the next may come ten seconds later
