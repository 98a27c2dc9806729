"""A collector that is away for long: what happened meanwhile is kept on disk, and told behind the present."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from agent.conftest import Loop
from agent.history import History
from agent.loopback_collector import Collector, Store, key_of
from agent.scripted_watch import BLIND, WHOLE, ScriptedWatch, tcp
from agent.uplinks import QUICK, Running, agrees, eventually
from fleetnet_agent.records import Difference, State
from fleetnet_agent.spool.errors import SpoolUnavailableError
from fleetnet_agent.spool.file import SpoolFile
from fleetnet_agent.spool.paths import NAME
from fleetnet_agent.uplink.keeping import DAMAGED, UNUSABLE
from fleetnet_agent.uplink.outage import RESTARTED
from fleetnet_agent.wire.sockets import key_message
from fleetnet_proto.v1 import report_pb2

Enrolled = Callable[..., Path]

KEEPING = replace(QUICK, keep_after_s=0.05, try_spool_every_s=0.05, backlog_bytes_per_s=1e9)
SPOOL_BYTES = 4 << 20


class Witness(ScriptedWatch):
    """Writes down what was open at each look; goes on where another left off."""

    def __init__(self, truth: dict[int, dict[bytes, int]], before: "ScriptedWatch | None" = None) -> None:
        super().__init__(*(before.now.values() if before else ()))
        if before:
            self._clock = before._clock
        self._truth = truth

    def look(self) -> Difference:
        difference = super().look()
        if not self.status.blind:
            self._truth[difference.look_at_us] = {
                key_of(key_message(key)): int(socket.state) for key, socket in self._seen.items()
            }
        return difference


class Story:
    """A host, its agents one after the other, and one collector."""

    def __init__(self, collector: Collector, directory: Path, *sockets: int, most_bytes: int = SPOOL_BYTES) -> None:
        self.collector = collector
        self.directory = directory
        self.most_bytes = most_bytes
        self.truth: dict[int, dict[bytes, int]] = {}
        self.watch = Witness(self.truth)
        self.watch.open(*(tcp(number) for number in sockets))
        self.agent = self._agent()

    def _agent(self) -> Running:
        return Running(self.directory, self.watch, KEEPING, spool_bytes=self.most_bytes)

    async def restart(self) -> None:
        await self.agent.stop()
        self.watch = Witness(self.truth, self.watch)
        self.agent = self._agent()

    async def crash(self) -> None:
        """As near to kill -9 as one process comes: nothing is written any more."""
        self.agent.task.cancel()
        await asyncio.gather(self.agent.task, return_exceptions=True)
        keeper, worker = self.agent.uplink._keeper, self.agent.uplink._worker

        def let_go() -> None:  # in its own thread, after what may still run there
            if keeper._spool:
                keeper._spool.let_go()

        await worker.run(let_go)
        worker.close()
        self.watch = Witness(self.truth, self.watch)
        self.agent = self._agent()

    async def begun(self) -> None:
        """Wait until the agent knows that its first snapshot is stored: else a gap says that it may not be. And that
        what it kept before it had found its collector, as it does on a busy machine, is told."""
        await eventually(lambda: any("acknowledged" in line for line in self.agent.log))
        await eventually(lambda: not (self.directory / NAME).exists())

    async def looked(self, times: int = 2) -> None:
        looks = self.watch.looks
        await eventually(lambda: self.watch.looks >= looks + times)

    async def kept(self) -> None:
        """Wait until looks go to the disk."""
        number = 10_000
        while not (self.agent.uplink._keeper.keeping and self.agent.uplink._looks._outage.takes_looks):
            self.watch.open(tcp(number))
            number += 1
            await self.looked(1)

    async def told(self) -> None:
        """Wait until the collector has everything, and the spool is gone."""
        await eventually(lambda: not (self.directory / NAME).exists() and agrees(self.collector, self.watch))

    def history(self) -> History:
        return History.of(self.collector.store.batches)

    def is_true(self) -> None:
        """At each look history has what was open then, or says that it does not know."""
        history = self.history()
        wrong = [at for at in self.told_about() if not history.is_unknown(at) and history.at(at) != self.truth[at]]
        assert [(at, history.at(at).items() ^ self.truth[at].items()) for at in wrong] == []

    def told_about(self) -> list[int]:
        """The looks from the first to the last that the collector was told of."""
        batches = self.collector.store.batches
        begins = [gap.from_us for batch in batches for gap in batch.gaps if gap.kept]
        first, last = min(batches[0].look_at_us, *begins, 1 << 62), max(batch.look_at_us for batch in batches)
        return [at for at in self.truth if first <= at <= last]

    def known_share(self) -> float:
        history = self.history()
        return sum(not history.is_unknown(at) for at in self.told_about()) / len(self.told_about())


def test_a_collector_that_is_away_for_long_misses_nothing(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> tuple[Story, int]:
        collector.credit = 4
        it = Story(collector, enrolled(collector.address), *range(10))
        await it.begun()
        await it.told()  # a busy machine may have made it keep before it was connected for the first time
        before = len(collector.store.batches)
        await collector.stop()
        await it.kept()
        for number in range(100, 140):
            it.watch.open(tcp(number), tcp(number - 1, State.CLOSE_WAIT))
            it.watch.pass_by(tcp(number + 1000))
            await it.looked(1)
        it.watch.close(*(tcp(number) for number in range(120, 130)), tcp(3))
        await it.looked()
        await collector.start()
        await it.told()
        await it.agent.stop()
        return it, before

    it, before = loop.run(story())
    it.is_true()
    assert it.known_share() == 1, "every gap that was kept is withdrawn, and there is no other"
    history = it.history()
    brief = {one.key for one in history.intervals if one.state == State.CLOSE}
    assert {key_of(key_message(tcp(number + 1000).key)) for number in range(100, 140)} <= brief
    kept_from = min(gap.from_us for batch in collector.store.batches[before:] for gap in batch.gaps if gap.kept)
    first_backlog = next(n for n, batch in enumerate(collector.store.batches) if batch.HasField("backlog"))
    assert any(b.snapshot.last and b.gaps for b in collector.store.batches[:first_backlog]), "the present comes first"
    assert kept_from >= collector.store.batches[0].look_at_us
    assert collector.store.hellos[-1].spool_bytes > 0
    assert collector.store.hellos[-1].spool_oldest_us == kept_from
    assert [line for line in it.agent.log if "queue full" in line] == [
        "queue full, keeping on disk until the collector is back"
    ]


def test_an_agent_whose_collector_answers_touches_no_disk(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> tuple[dict[str, int], dict[str, int]]:
        directory = enrolled(collector.address)
        it = Story(collector, directory, 1)
        await it.begun()
        await it.told()  # on a busy machine it may have kept something before it found its collector
        before = {path.name: path.stat().st_mtime_ns for path in [directory, *directory.iterdir()]}
        for number in range(100, 200):
            it.watch.open(tcp(number))
            await it.looked(1)
        await collector.until(lambda: agrees(collector, it.watch))
        after = {path.name: path.stat().st_mtime_ns for path in [directory, *directory.iterdir()]}
        await it.agent.stop()
        return before, after

    before, after = loop.run(story())
    assert before == after


def test_a_restart_while_the_collector_is_away_costs_the_time_of_the_restart_alone(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> Story:
        collector.credit = 4
        it = Story(collector, enrolled(collector.address), *range(10))
        await it.begun()
        await collector.stop()
        await it.kept()
        it.watch.open(tcp(200))
        await it.looked()
        it.watch.close(tcp(5))
        await it.restart()
        await it.looked(3)
        it.watch.open(tcp(201))
        await it.looked()
        it.watch.close(tcp(200))
        await it.looked()
        await collector.start()
        await it.told()
        await it.agent.stop()
        return it

    it = loop.run(story())
    it.is_true()
    assert {reason for _, _, reason in it.history().gaps} == {RESTARTED}
    assert it.known_share() > 0.9


def test_a_stream_that_breaks_while_the_backlog_goes_begins_it_again(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> Story:
        collector.credit = 2
        it = Story(collector, enrolled(collector.address), *range(10))
        await it.begun()
        await collector.stop()
        await it.kept()
        for number in range(100, 130):
            it.watch.open(tcp(number))
            await it.looked(1)
        collector.takes = lambda batch: not batch.HasField("backlog") or collector.streams > 3
        collector.takes_not = grpc.StatusCode.UNAVAILABLE
        await collector.start()
        await it.told()
        await it.agent.stop()
        return it

    it = loop.run(story())
    it.is_true()
    assert it.known_share() == 1


def test_a_damaged_spool_is_set_aside_and_becomes_a_gap(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    async def story() -> Story:
        collector.credit = 2
        it = Story(collector, enrolled(collector.address), *range(10))
        await it.begun()
        await collector.stop()
        await it.kept()
        await it.looked(5)
        await it.agent.stop()
        path = it.directory / NAME
        path.write_bytes(b"not at all a database" * 1000)
        await it.restart()
        await eventually(lambda: any("set aside" in line for line in it.agent.log))
        assert (it.directory / "spool.damaged").read_bytes().startswith(b"not at all")
        await it.kept()
        it.watch.open(tcp(300))
        await it.looked(3)
        await collector.start()
        await it.told()
        await it.agent.stop()
        return it

    it = loop.run(story())
    it.is_true()
    assert any(reason == DAMAGED for _, _, reason in it.history().gaps)


def test_a_source_that_is_blind_while_the_collector_is_away_leaves_a_gap_in_what_is_kept(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> Story:
        collector.credit = 2
        it = Story(collector, enrolled(collector.address), *range(10))
        await it.begun()
        await collector.stop()
        await it.kept()
        await it.looked(3)
        it.watch.status = BLIND
        await it.looked(5)
        it.watch.open(tcp(300))
        it.watch.close(tcp(4))
        it.watch.status = WHOLE
        await it.looked(5)
        it.watch.close(tcp(300))
        await it.looked(3)
        await collector.start()
        await it.told()
        await it.agent.stop()
        return it

    it = loop.run(story())
    it.is_true()
    assert len(it.history().gaps) == 1


def test_whatever_happens_history_is_true_or_says_that_it_does_not_know(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    """Random lives of sockets, outages, restarts and crashes; one seed after the other on one collector each."""

    async def story(seed: int) -> Story:
        draw = random.Random(seed)
        collector.store = Store()
        collector.credit = draw.choice([1, 2, 5])
        it = Story(collector, enrolled(collector.address, name=f"host{seed}"), *range(8))
        is_away, number = False, 100
        for _ in range(60):
            for _ in range(draw.randrange(3)):
                number += 1  # a cookie is never used again
                here = draw.choice([*it.watch.now.values(), None])
                if here and draw.random() < 0.6:
                    it.watch.close(here)
                else:
                    state = draw.choice([State.ESTABLISHED, State.CLOSE_WAIT])
                    it.watch.open(replace(here, state=state) if here else tcp(number, state))
            await it.looked(1)
            what = draw.random()
            if what < 0.08:
                await (collector.start() if is_away else collector.stop())
                is_away = not is_away
            elif what < 0.11:
                await it.restart()
            elif what < 0.14:
                await it.crash()
        if is_away:
            await collector.start()
        await it.told()
        await it.agent.stop()
        return it

    for seed in range(12):
        it = loop.run(story(seed), 200)
        it.is_true()
        assert it.known_share() > 0, seed
        assert it.history().kept == [], "every gap that was kept is withdrawn"


def test_a_disk_that_takes_nothing_more_costs_a_gap_and_no_agent(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> Story:
        collector.credit = 2
        it = Story(collector, enrolled(collector.address), *range(10), most_bytes=1 << 18)
        await it.begun()
        await collector.stop()
        await it.kept()
        crowd = [tcp(number) for number in range(20_000, 25_000)]
        it.watch.open(*crowd)
        await eventually(lambda: any("cannot be used: database or disk is full" in line for line in it.agent.log))
        it.watch.close(*crowd)
        await it.looked(3)
        await eventually(lambda: it.agent.uplink._looks._looking)  # it has tried again
        it.watch.open(tcp(300))
        await it.looked(3)
        it.watch.close(tcp(300))
        await it.looked(3)
        await collector.start()
        await it.told()
        await it.agent.stop()
        return it

    it = loop.run(story())
    it.is_true()
    assert any(reason == UNUSABLE for _, _, reason in it.history().gaps)
    assert len([line for line in it.agent.log if "cannot be used" in line]) == 1
    opened = [one for one in it.history().intervals if one.key == key_of(key_message(tcp(300).key))]
    assert len(opened) == 1, "what came after that is there"


@pytest.mark.parametrize("what", ["transaction", "run"])
def test_what_was_open_when_the_disk_failed_goes_on_if_the_present_has_it(
    loop: Loop, collector: Collector, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Nothing can be written from then on until the present has been told; or nothing can be read either."""

    def fails(*_: object) -> None:
        raise SpoolUnavailableError("no space left on device")

    async def story() -> Story:
        collector.credit = 2
        it = Story(collector, enrolled(collector.address), *range(10))
        await it.begun()
        await collector.stop()
        await it.kept()
        it.watch.open(tcp(300), tcp(301))
        await it.looked()
        look_us = max(it.truth)
        await eventually(lambda: it.agent.uplink._keeper._last_look_us >= look_us)  # both are on the disk
        with monkeypatch.context() as failing:
            failing.setattr(SpoolFile, what, fails)
            it.watch.open(tcp(302))
            await eventually(lambda: any("no space left" in line for line in it.agent.log))
            it.watch.close(tcp(301), tcp(4))
            told = len(collector.store.batches)
            await collector.start()
            await eventually(lambda: any(b.snapshot.last and b.gaps for b in collector.store.batches[told:]))
        await it.told()
        await it.agent.stop()
        return it

    it = loop.run(story())
    it.is_true()
    assert {reason for _, _, reason in it.history().gaps} == {UNUSABLE}
    assert it.history().kept == []
    ends = {
        key_of(past.socket.key): past.closed_at_us
        for batch in collector.store.batches
        for past in batch.backlog.sockets
    }
    assert [ends.get(key_of(key_message(tcp(number).key))) for number in (300, 301, 302)] == [0, 0, None]


def test_what_is_new_goes_before_the_backlog_of_which_two_parts_are_on_their_way_at_most(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    async def story() -> Story:
        collector.credit = 8
        it = Story(collector, enrolled(collector.address), *range(10))
        await it.begun()
        await collector.stop()
        await it.kept()
        it.watch.pass_by(tcp(500))
        it.watch.close(tcp(1))
        await it.looked(3)

        def hold(batch: report_pb2.Batch) -> bool:
            if batch.snapshot.last:
                collector.accepts.clear()  # from the next batch on
            return True

        collector.takes = hold
        await collector.start()
        await eventually(lambda: not collector.accepts.is_set())
        it.watch.open(tcp(600))
        await it.looked(20)
        collector.takes = lambda batch: True
        collector.accepts.set()
        await it.told()
        await it.agent.stop()
        return it

    it = loop.run(story())
    it.is_true()
    batches = list(enumerate(collector.store.batches))
    past = [n for n, batch in batches if batch.HasField("backlog")]
    new = next(n for n, batch in batches if any(s.key == key_message(tcp(600).key) for s in batch.opened))
    assert new < past[2], "the third part waited for what was new"
