"""The collector dies, lies, sends away and comes back: nothing is lost silently, nothing is stored twice."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from agent.authority import Authority
from agent.conftest import Loop
from agent.loopback_collector import Collector, Store
from agent.scripted_watch import ScriptedWatch, tcp
from agent.uplinks import agrees, eventually, running
from fleetnet_agent.records import State
from fleetnet_agent.uplink.run import Pace
from fleetnet_agent.uplink.stream import Stream
from fleetnet_agent.uplink.window import DEFAULT_CREDIT
from fleetnet_proto.v1 import report_pb2

Enrolled = Callable[..., Path]


def test_a_killed_collector_gets_the_rest_and_a_snapshot_when_it_is_back(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> list[str]:
        watch = ScriptedWatch(*(tcp(n) for n in range(20)))
        async with running(enrolled(collector.address), watch) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            await collector.stop()
            watch.open(tcp(100))
            watch.close(tcp(3))
            looks = watch.looks
            await eventually(lambda: watch.looks >= looks + 5)
            watch.open(tcp(4, State.CLOSE_WAIT))
            watch.close(tcp(100))
            await eventually(lambda: watch.looks >= looks + 10)
            await collector.start()
            await collector.until(lambda: collector.store.whole_snapshots == 2)
            assert agrees(collector, watch)
            return agent.log

    log = loop.run(story())
    cookies = [row.key.cookie for b in collector.store.batches for row in b.opened if not b.HasField("snapshot")]
    assert 1_000_100 in cookies, "a socket that lived while the collector was away was kept"
    assert collector.store.gaps == []
    assert len({hello.epoch for hello in collector.store.hellos}) == 1
    away = [line for line in log if line.startswith("no connection to")]
    assert 1 <= len(away) <= 3, "one line per change, not per attempt"


def test_of_streams_that_have_ended_nothing_is_kept(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> list[int]:
        watch, left = ScriptedWatch(tcp(0)), list[int]()
        async with running(enrolled(collector.address), watch):
            for number in range(1, 6):
                await collector.until(lambda number=number: collector.store.whole_snapshots == number)
                left.append(sum(type(one) in (Stream, grpc.aio.Channel) for one in gc.get_objects()))
                await collector.stop()
                await collector.start()
        return left

    gc.disable()  # as good as: it would come much later
    try:
        left = loop.run(story())
    finally:
        gc.enable()
    assert left == left[:1] * 5, "of each stream and channel one is there at a time"


def test_batches_that_were_stored_but_not_acknowledged_are_not_stored_twice(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(0))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            collector.answers_acks = False
            for number in range(1, 6):
                watch.open(tcp(number))
                await collector.until(lambda: agrees(collector, watch))
            await collector.stop()
            collector.answers_acks = True
            await collector.start()
            await collector.until(lambda: collector.store.whole_snapshots == 2)
            assert agrees(collector, watch)

    loop.run(story())
    sequences = [b.sequence for b in collector.store.batches]
    assert sequences == list(range(1, len(sequences) + 1))
    opened = [row.key.cookie for b in collector.store.batches for row in b.opened if not b.HasField("snapshot")]
    assert len(opened) == len(set(opened)) == 5


def test_a_full_window_stops_looking_and_becomes_a_gap(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> None:
        collector.credit = 4
        watch = ScriptedWatch(tcp(0))
        async with running(enrolled(collector.address), watch) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            await eventually(lambda: any("acknowledged" in line for line in agent.log))  # and takes no room any more
            await collector.stop()
            number = 1
            while not any("queue full" in line for line in agent.log):
                watch.open(tcp(number))
                number += 1
                await asyncio.sleep(0.005)
            looks = watch.looks
            await asyncio.sleep(0.05)
            watch.open(tcp(5000))
            assert watch.looks == looks, "it looked on although nothing could be kept"
            await collector.start()
            await collector.until(lambda: collector.store.whole_snapshots == 2)
            assert agrees(collector, watch)
            watch.open(tcp(6000))
            await collector.until(lambda: agrees(collector, watch))
            await collector.stop()
            await collector.start()
            await collector.until(lambda: collector.store.whole_snapshots == 3)

    loop.run(story())
    [gap] = collector.store.gaps
    _, snapshot, _ = (b for b in collector.store.batches if b.snapshot.last)
    kept = [b for b in collector.store.batches if b.sequence < snapshot.sequence and not b.HasField("snapshot")]
    assert gap.reason == "collector unreachable, queue full"
    assert gap.to_us == snapshot.look_at_us
    assert kept[-1].look_at_us <= gap.from_us < gap.to_us
    assert len(kept) == DEFAULT_CREDIT  # and not as many as this collector wants to have on their way


def test_a_gap_whose_snapshot_was_cut_off_is_told_again(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> None:
        collector.credit = 2
        watch = ScriptedWatch(*(tcp(n) for n in range(45_000)))
        async with running(enrolled(collector.address), watch, Pace(look_every_s=0.05)) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            await collector.stop()
            number = 50_000
            while not any("queue full" in line for line in agent.log):
                watch.open(tcp(number))
                number += 1
                await asyncio.sleep(0.05)
            collector.dies_after_parts = 1
            streams = collector.streams
            await collector.start()
            await collector.until(lambda: collector.streams >= streams + 2)
            assert collector.store.gaps == []
            collector.dies_after_parts = None
            await collector.until(lambda: collector.store.whole_snapshots == 2)
            assert agrees(collector, watch)

    loop.run(story(), 200)
    assert [gap.reason for gap in collector.store.gaps] == ["collector unreachable, queue full"]


def test_half_a_snapshot_is_never_continued_on_another_stream(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(*(tcp(n) for n in range(45_000)))
        collector.dies_after_parts = 2
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.streams >= 3)
            collector.dies_after_parts = None
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            assert agrees(collector, watch)

    loop.run(story(), 200)
    sequences = [b.sequence for b in collector.store.batches]
    assert sequences == list(range(1, len(sequences) + 1))
    parts = [b.snapshot.part for b in collector.store.batches if b.HasField("snapshot")]
    assert parts[:4] == [0, 1, 0, 1]
    # What opened and closed between the two attempts is not known, and the agent says so.
    [gap] = collector.store.gaps
    assert gap.reason == "connection lost during the first snapshot"
    assert gap.from_us == collector.store.batches[0].look_at_us


def test_a_collector_that_forgot_what_it_acknowledged_is_told_everything_in_a_new_epoch(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> list[str]:
        watch = ScriptedWatch(tcp(0))
        async with running(enrolled(collector.address), watch) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.open(tcp(1))
            await collector.until(lambda: agrees(collector, watch))
            await eventually(lambda: len(agent.uplink._looks.window) == 0)
            await collector.stop()
            collector.store = Store()  # a backup from before was restored
            await collector.start()
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            assert agrees(collector, watch)
            return agent.log

    log = loop.run(story())
    assert any("has lost reports that it had acknowledged" in line for line in log)
    assert len({hello.epoch for hello in collector.store.hellos}) == 2
    assert collector.store.batches[0].sequence == 1


def test_reconnect_is_obeyed_as_a_floor(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> tuple[float, list[str]]:
        collector.sends_away = report_pb2.Reconnect(after_ms=300, reason="collector stops")
        async with running(enrolled(collector.address), ScriptedWatch(tcp(1))) as agent:
            await collector.until(lambda: collector.streams == 1)
            collector.sends_away = None
            began = asyncio.get_running_loop().time()
            await collector.until(lambda: collector.streams == 2)
            waited_s = asyncio.get_running_loop().time() - began
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            return waited_s, agent.log

    waited_s, log = loop.run(story())
    assert waited_s >= 0.25
    assert log[0] == f"{collector.address} asks to come back after 0.3 s: collector stops"


def test_reconnect_in_the_middle_of_a_stream_is_obeyed_too(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            away = report_pb2.Reconnect(after_ms=50, reason="moving")
            await collector.to_agent.put(report_pb2.CollectorMessage(reconnect=away))
            await collector.until(lambda: collector.store.whole_snapshots == 2)
            assert agrees(collector, watch)

    loop.run(story())


def test_the_next_report_address_is_tried_when_one_is_dead(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> list[str]:
        nobody = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        dead = f"127.0.0.1:{nobody.sockets[0].getsockname()[1]}"
        nobody.close()
        await nobody.wait_closed()
        async with running(enrolled(dead, collector.address), ScriptedWatch(tcp(1))) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            return agent.log

    log = loop.run(story())
    assert log[0].startswith("no connection to 127.0.0.1:")
    assert "Connection refused" in log[0]
    assert log[1] == f"connected to {collector.address}"


def test_a_collector_that_stops_storing_is_left(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> list[str]:
        watch = ScriptedWatch(tcp(1))
        pace = Pace(look_every_s=0.005, ack_timeout_s=0.2)
        async with running(enrolled(collector.address), watch, pace) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            collector.accepts.clear()
            watch.open(tcp(2))
            await collector.until(lambda: collector.streams == 2)
            collector.accepts.set()
            await collector.until(lambda: agrees(collector, watch))
            return agent.log

    assert any("nothing was acknowledged for" in line for line in loop.run(story()))


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.ABORTED, grpc.StatusCode.UNKNOWN])
def test_no_error_of_the_collector_ends_the_agent(
    loop: Loop, collector: Collector, enrolled: Enrolled, code: grpc.StatusCode
) -> None:
    async def story() -> None:
        collector.refuses = (code, "broken")
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.streams >= 4)
            collector.refuses = None
            await collector.until(lambda: agrees(collector, watch))

    loop.run(story())


def test_a_collector_that_welcomes_and_fails_again_and_again_is_told_once(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> list[str]:
        collector.stores = False
        async with running(enrolled(collector.address), ScriptedWatch(tcp(1))) as agent:
            await collector.until(lambda: collector.streams >= 5)
            return agent.log

    connected, failed = loop.run(story())
    assert connected == f"connected to {collector.address}"
    assert failed == f"no connection to {collector.address}: the test wants it so; trying again"


def test_a_collector_of_another_ca_is_not_reported_to(loop: Loop, enrolled: Enrolled) -> None:
    async def story() -> list[str]:
        other = Collector(Authority("another"), Store())
        await other.start()
        async with running(enrolled(other.address), ScriptedWatch(tcp(1))) as agent:
            await eventually(lambda: bool(agent.log))
            log = agent.log
        await other.stop()
        assert other.streams == 0
        return log

    assert loop.run(story())[0].startswith("no connection to 127.0.0.1:")


def test_an_expired_certificate_is_told_with_the_way_out(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> list[str]:
        directory = enrolled(collector.address, days=-1)
        async with running(directory, ScriptedWatch(tcp(1))) as agent:
            await eventually(lambda: any("expired" in line for line in agent.log))
            return agent.log

    log = loop.run(story())
    assert any("the certificate of this host has expired" in line and "--force" in line for line in log)
    assert collector.store.hellos == []
