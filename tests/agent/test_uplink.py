"""The report stream against a real server: snapshot first, differences after, beats between, credit kept."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from agent.authority import Authority
from agent.conftest import Loop
from agent.loopback_collector import Collector
from agent.scripted_watch import ScriptedWatch, holder, process, tcp
from agent.uplinks import QUICK, agrees, eventually, running
from fleetnet_agent import facts
from fleetnet_agent.host import this_host
from fleetnet_agent.records import State
from fleetnet_agent.uplink.backoff import Backoff
from fleetnet_agent.uplink.run import Pace
from fleetnet_proto.v1 import report_pb2, sockets_pb2

Enrolled = Callable[..., Path]


def test_the_first_thing_told_is_everything(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> None:
        watch = ScriptedWatch(*(tcp(n) for n in range(5)))
        async with running(enrolled(collector.address), watch) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            first = collector.store.batches[0]
            assert (first.sequence, first.snapshot.part, first.snapshot.last) == (1, 0, True)
            assert agrees(collector, watch)
            await eventually(lambda: len(agent.log) == 2)
            assert agent.log == [f"connected to {collector.address}", "snapshot of 5 sockets acknowledged"]

    loop.run(story())


def test_the_hello_says_who_the_agent_is_in_time_and_nothing_of_its_name(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        async with running(enrolled(collector.address, name="db3"), ScriptedWatch(tcp(1))):
            await collector.until(lambda: collector.store.whole_snapshots == 1)

    loop.run(story())
    [hello] = collector.store.hellos
    host = this_host()
    assert hello.boot_id == facts.boot_id(host)
    assert hello.epoch != 0
    assert abs(hello.wall_clock_us - time.time_ns() // 1000) < 60e6
    assert hello.agent_version == "0.1.0"
    assert hello.facts.kernel == facts.host_facts(host).kernel
    assert hello.netns_inode == facts.netns_inode(host)
    assert collector.peers == ["spiffe://fleetnet/host/db3"]
    assert b"db3" not in hello.SerializeToString()


def test_after_that_only_what_changes_is_told(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> None:
        watch = ScriptedWatch(*(tcp(n) for n in range(100)))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.open(tcp(200))
            await collector.until(lambda: agrees(collector, watch))
            watch.open(tcp(5, State.CLOSE_WAIT))
            await collector.until(lambda: agrees(collector, watch))
            watch.close(tcp(6))
            await collector.until(lambda: agrees(collector, watch))

    loop.run(story())
    rows = [(len(b.opened), len(b.changed), len(b.closed)) for b in collector.store.batches[1:]]
    assert rows == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert [b.sequence for b in collector.store.batches] == [1, 2, 3, 4]
    assert all(b.previous_look_at_us for b in collector.store.batches[1:])


def test_what_passed_between_two_looks_is_told_and_not_left_open(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.pass_by(tcp(7, State.CLOSE), tcp(8, State.CLOSE))
            await collector.until(lambda: len(collector.store.batches) == 2)
            assert agrees(collector, watch)

    loop.run(story())
    batch = collector.store.batches[1]
    assert [row.key.cookie for row in batch.opened] == [1_000_007, 1_000_008]
    assert [row.key for row in batch.closed] == [row.key for row in batch.opened]
    assert all(batch.previous_look_at_us < row.closed_at_us < batch.look_at_us for row in batch.closed)


def test_an_idle_host_beats_and_sends_nothing_else(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> ScriptedWatch:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch, Pace(look_every_s=0.002, beat_s=0.05)):
            await collector.until(lambda: len(collector.store.batches) >= 4)
        return watch

    watch = loop.run(story())
    beats = collector.store.batches[1:]
    assert not any(b.opened or b.changed or b.closed or b.HasField("snapshot") for b in beats)
    assert watch.looks > 2 * len(collector.store.batches)
    looks = [b.look_at_us for b in collector.store.batches]
    assert looks == sorted(set(looks))


def test_50000_sockets_arrive_in_parts_under_one_mebibyte(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    holders = [holder(process(100 + n, f"worker{n}")) for n in range(300)]

    async def story() -> None:
        watch = ScriptedWatch(*(tcp(n, held_by=holders[n % 300]) for n in range(50_000)))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots >= 1)
            assert agrees(collector, watch)

    loop.run(story(), 200)
    assert len(collector.store.batches) > 2
    assert 250_000 < collector.store.largest_bytes < 1 << 20


def test_never_more_is_in_flight_than_the_credit_allows(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> None:
        collector.credit = 3
        watch = ScriptedWatch(tcp(0))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            collector.accepts.clear()
            before = len(collector.received)
            looks = watch.looks
            for number in range(1, 40):
                watch.open(tcp(number))
                await asyncio.sleep(0.01)
            assert len(collector.received) - before <= 3
            # A collector that is slow makes looks rarer, and nothing is lost.
            stalled = watch.looks
            assert stalled - looks <= 30
            collector.accepts.set()
            await collector.until(lambda: agrees(collector, watch))

    loop.run(story())
    assert collector.store.gaps == []
    assert len(collector.store.hellos) == 1


def test_a_snapshot_larger_than_the_credit_still_arrives(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> None:
        collector.credit = 1
        watch = ScriptedWatch(*(tcp(n) for n in range(40_000)))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            assert agrees(collector, watch)

    loop.run(story(), 200)
    assert len(collector.store.batches) > 1


def test_look_now_is_obeyed_and_rate_limited(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch, Pace(look_every_s=3600)):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.open(tcp(2))
            for _ in range(50):
                await collector.to_agent.put(report_pb2.CollectorMessage(look_now=report_pb2.LookNow()))
            await collector.until(lambda: agrees(collector, watch))
            assert watch.looks <= 3

    loop.run(story())


def test_looking_happens_in_one_thread_and_not_in_that_of_the_stream(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> ScriptedWatch:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.open(tcp(2))
            await collector.until(lambda: agrees(collector, watch))
        return watch

    watch = loop.run(story())
    assert len(watch.threads) == 1
    assert loop.run(_thread()) not in watch.threads


async def _thread() -> int:
    import threading

    return threading.get_ident()


def test_stopping_waits_a_moment_for_acknowledgements_and_ends_within_two_seconds(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> float:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            collector.accepts.clear()
            watch.open(tcp(2))
            await collector.until(lambda: len(collector.received) == 2)
            began = time.monotonic()
            await agent.stop()
        return time.monotonic() - began

    took_s = loop.run(story())
    collector.accepts.set()
    assert 0.9 < took_s < 4.5  # as in test_main.py


def test_stopping_while_nobody_welcomes_ends_within_two_seconds(loop: Loop, enrolled: Enrolled) -> None:
    async def story() -> float:
        called = asyncio.Event()

        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            called.set()
            await reader.read()
            writer.close()

        silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
        address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with silent, running(enrolled(address), ScriptedWatch()) as agent:
            await asyncio.wait_for(called.wait(), 10)
            began = time.monotonic()
            await agent.stop()
            return time.monotonic() - began

    assert loop.run(story()) < 2


def test_a_refusal_is_told_once_and_tried_again(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> list[str]:
        collector.refuses = (grpc.StatusCode.PERMISSION_DENIED, "host web1 was revoked")
        async with running(enrolled(collector.address), ScriptedWatch(tcp(1))) as agent:
            await collector.until(lambda: collector.streams >= 20)
            collector.refuses = None
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            return agent.log[:2]

    log = loop.run(story())
    assert log[0].startswith(f"{collector.address} refuses this host: host web1 was revoked; trying again slowly; ")
    assert log[1] == f"connected to {collector.address}"


def test_another_agent_with_the_same_identity_is_not_fought(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> tuple[list[str], int]:
        backoff = Backoff(random.Random(7), base_s=0.001, cap_s=3600.0)
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch, backoff=backoff) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            collector.refuses = (grpc.StatusCode.ABORTED, "a newer stream of the same host has taken over")
            await collector.to_agent.put(report_pb2.CollectorMessage(reconnect=report_pb2.Reconnect(after_ms=1)))
            await eventually(lambda: any("hears another agent as this host" in line for line in agent.log))
            streams, looks = collector.streams, watch.looks
            await eventually(lambda: watch.looks > looks + 20)
            return agent.log, collector.streams - streams

    log, more = loop.run(story())
    assert more == 0, "it waits, as after any refusal"
    assert "; trying again slowly; if this machine is a copy of another, enroll it" in log[-1]


def test_rows_say_how_their_beginning_is_known(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(enrolled(collector.address), watch, QUICK):
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.open(tcp(2))
            await collector.until(lambda: agrees(collector, watch))

    loop.run(story())
    snapshot, difference = collector.store.batches
    assert snapshot.opened[0].opened_at_is == sockets_pb2.OPENED_AT_IS_BEFORE
    assert difference.opened[0].opened_at_is == sockets_pb2.OPENED_AT_IS_UNSPECIFIED


def test_a_certificate_is_renewed_in_time_and_used_at_once(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    # Five minutes of a certificate's life lie before its making, so one for half a minute more is due at once.
    directory = enrolled(collector.address, days=30 / 86_400)
    before = (directory / "agent.pem").read_bytes()

    async def story() -> None:
        async with running(directory, ScriptedWatch(tcp(1))) as agent:
            await eventually(lambda: "certificate renewed" in agent.log)
            after = (directory / "agent.pem").read_bytes()
            assert after != before
            await collector.until(lambda: collector.certificates[-1:] == [after])
            await collector.until(lambda: agrees(collector, agent.watch))

    loop.run(story())
    assert not (directory / "agent.key.new").exists()
    assert len({hello.epoch for hello in collector.store.hellos}) == 1


def test_a_renewal_that_fails_is_told_and_costs_nothing(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    directory = enrolled(collector.address, days=30 / 86_400)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}

    async def story() -> list[str]:
        collector.renews = False
        watch = ScriptedWatch(tcp(1))
        async with running(directory, watch) as agent:
            await eventually(lambda: any("could not be renewed" in line for line in agent.log))
            await collector.until(lambda: agrees(collector, watch))
            return agent.log

    assert "the certificate could not be renewed: the test wants it so; trying again" in loop.run(story())
    after = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert {name: after[name] for name in before} == before


def test_an_agent_that_is_asked_to_renew_trusts_what_comes_along_and_follows_its_collector_to_another_ca(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    directory = enrolled(collector.address)
    first, other = collector.authority, Authority("another")

    async def story() -> None:
        async with running(directory, ScriptedWatch(tcp(1))) as agent:
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            collector.renewed_ca_pem = collector.trusted_pem = first.pem + other.pem
            await collector.ask_to_renew()
            await collector.until(lambda: collector.renewals == 1 and collector.streams == 2)
            assert (directory / "ca.pem").read_bytes() == first.pem + other.pem
            await collector.stop()
            collector.authority = other
            await collector.start()
            agent.watch.open(tcp(2))
            await collector.until(lambda: agrees(collector, agent.watch))
            assert not any("another CA" in line for line in agent.log)

    loop.run(story())
    assert len({hello.epoch for hello in collector.store.hellos}) == 1
