"""Whatever a host lives through while nobody takes its reports, history is in the end what its agent saw."""

import asyncio
import random
import tempfile
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest
from fleetnet_server.records import Batch, ClosedSocket, Gap, Host, PastSocket, Session, Socket
from fleetnet_server.storage.gaps import KEPT
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from server.reports import (
    BEFORE,
    CLOSE_WAIT,
    ESTABLISHED,
    GAP,
    LISTEN,
    SEEN,
    T0,
    Collector,
    Interval,
    S,
    difference,
    gone,
    hello,
    kept,
    past,
    snapshot,
    sock,
)

from server import databases

COOKIES = (1, 2, 3)
Row = PastSocket | ClosedSocket
State = dict[int, int]  # cookie -> state


@dataclass
class Part:
    """Some of what was kept of a gap, of one boot."""

    gap: Gap
    boot_id: bytes
    rows: list[Row]
    last: bool = False


@dataclass
class Run:
    """A socket's time in one state, as its agent saw it."""

    boot: int
    cookie: int
    state: int
    opened_us: int
    opened_is: int
    closed_us: int = 0
    closed_is: int = 0

    @property
    def interval(self) -> Interval:
        return Interval(self.cookie, self.state, self.opened_us, self.opened_is, self.closed_us, self.closed_is)


@dataclass
class View:
    """What looks have found, as somebody knows it who heard of some of them."""

    runs: list[Run] = field(default_factory=list)
    open: dict[int, Run] = field(default_factory=dict)  # by cookie, of the present boot
    looked_us: int = 0

    def look(self, now_us: int, now: State, boot: int, *, missed: bool) -> tuple[list[Run], list[Run]]:
        """What is found that began and that ended; the look before was missed, or not."""
        ends = [run for run in self.open.values() if run.boot != boot or now.get(run.cookie) != run.state]
        for run in ends:
            run.closed_us, run.closed_is = now_us, GAP if missed else SEEN
            del self.open[run.cookie]
        how = BEFORE if missed or not self.looked_us else SEEN
        begun = [Run(boot, c, s, now_us, how) for c, s in sorted(now.items()) if c not in self.open]
        self.open.update({run.cookie: run for run in begun})
        self.runs += begun
        self.looked_us = now_us
        return begun, ends


@dataclass
class World:
    """A host with its agent, which keeps what it cannot tell, or does not hear was taken."""

    collector: Collector
    host: Host
    chance: random.Random
    now_us: int = T0
    boot: int = 1
    epoch: int = 1
    sequence: int = 0
    session: Session | None = None
    alive: State = field(default_factory=dict)
    known: View = field(default_factory=View)  # by agent and collector together
    kept: View = field(default_factory=View)  # by the agent
    deaf: bool = False  # it does not hear what is stored of this stream
    in_memory: tuple[View, View] | None = None  # both as they are without what the agent has not written down
    forgotten: set[int] = field(default_factory=set)  # open, and not known to the agent: once gone, gone for good
    told_us: int = 0  # the last look that was told, as the agent knows
    stored_us: int = 0  # the last whole look that is stored
    first_us: int = 0  # the first look ever
    losses: list[Gap] = field(default_factory=list)  # to be declared with the next snapshot
    missed: bool = False  # the agent was away between its last look and the next
    backlog: list[Part] = field(default_factory=list)
    gaps: set[Gap] = field(default_factory=set)

    @property
    def boot_id(self) -> bytes:
        return bytes([self.boot]) * 16

    def _look(self, now: State) -> tuple[list[Run], list[Run]]:
        """The host changes and the agent looks: what it finds that began and that ended."""
        self.now_us += S
        self.alive = now
        if self.missed:
            self.losses.append(Gap(self.kept.looked_us, self.now_us, "agent restarted"))
        self.first_us = self.first_us or self.now_us
        self.known.look(self.now_us, now, self.boot, missed=self.missed)
        found = self.kept.look(self.now_us, now, self.boot, missed=self.missed)
        self.missed = False
        return found

    def _without_gone(self, now: State) -> State:
        gone = self.forgotten - self.known.open.keys()
        return {cookie: state for cookie, state in now.items() if cookie not in gone}

    async def look(self, now: State) -> None:
        """A look at a host that changes; told as a difference where somebody takes it."""
        now = self._without_gone(now)
        begun, ends = self._look(now)
        if self.session is None:
            return
        ended = {run.cookie for run in ends}
        told = difference(
            self._next(),
            self.now_us,
            previous_us=self.now_us - S,
            opened=tuple(_sock(run) for run in begun if run.cookie not in ended),
            changed=tuple(_sock(run) for run in begun if run.cookie in ended),
            closed=tuple(gone(run.cookie, self.now_us) for run in ends if run.cookie not in now),
            boot_id=self.boot_id,
            epoch=self.epoch,
        )
        await self._send(told)
        self._taken()
        await self.deliver(self.chance.randint(0, 3))

    def _taken(self) -> None:
        """A whole look is stored, as the agent may hear."""
        self.stored_us = self.now_us
        if self.deaf:
            kept = self.in_memory[1] if self.in_memory else deepcopy(self.kept)
            self.in_memory = deepcopy(self.known), kept
        else:
            self.told_us, self.in_memory = self.now_us, None

    async def connect(self, now: State, broken_after: int, *, deaf: bool) -> None:
        """A look and a snapshot of it, which may break off; then what was kept waits to be told."""
        if self.session is not None:
            return
        now = self._without_gone(now)
        self._look(now)
        said = hello(self.now_us, boot_id=self.boot_id, epoch=self.epoch)
        self.session = await self.collector.connect(self.host, said, self.now_us)
        self.in_memory = None  # what there was is written down
        gap = Gap(self.told_us or self.first_us, self.now_us, "collector unreachable", kept=True)
        declared = (*self.losses, gap) if gap.from_us < gap.to_us else ()
        parts = [[sock(c, self.now_us, s, how=BEFORE)] for c, s in sorted(now.items())] or [[]]
        for number, part in enumerate(parts):
            if number == broken_after:
                self.session = None
                return
            last = number == len(parts) - 1
            told = snapshot(
                self._next(), self.now_us, *part, part=number, last=last, gaps=declared if last else (),
                boot_id=self.boot_id, epoch=self.epoch,
            )  # fmt: skip
            await self._send(told)
        self.deaf = deaf
        if declared:
            self.gaps |= {*self.losses, Gap(max(gap.from_us, self.stored_us), gap.to_us, KEPT)}
        if not deaf:
            self.backlog += self._parts_of(gap) if declared else ()
            self.losses.clear()
        self._taken()

    def _parts_of(self, gap: Gap) -> Iterator[Part]:
        """What happened in a gap, shuffled and cut into parts, some of it told twice; only the last has its place."""
        rows: list[tuple[int, Row]] = []
        for run in self.kept.runs:
            closed_us = run.closed_us if run.closed_us <= gap.to_us else 0
            never_told = not self.told_us and run.opened_us == gap.from_us
            if never_told or gap.from_us < run.opened_us <= gap.to_us:
                rows.append((run.boot, past(_sock(run), closed_us, run.closed_is)))
            elif run.opened_us <= gap.from_us < closed_us:
                rows.append((run.boot, gone(run.cookie, closed_us, run.closed_is)))
        self.chance.shuffle(rows)
        rows += self.chance.sample(rows, len(rows) // 3)
        while rows:
            size = self.chance.randint(1, 4)
            for boot in sorted({boot for boot, _ in rows[:size]}):
                yield Part(gap, bytes([boot]) * 16, [row for b, row in rows[:size] if b == boot])
            del rows[:size]
        yield Part(gap, self.boot_id, [], last=True)

    async def deliver(self, most: int) -> None:
        """Some more of the backlog, now and then twice."""
        for part in self.backlog[:most]:
            sockets = tuple(row for row in part.rows if isinstance(row, PastSocket))
            ended = {row.key: row for row in part.rows if isinstance(row, ClosedSocket)}
            for _ in range(self.chance.choice([1, 1, 2])):
                told = kept(
                    self._next(), part.gap, *sockets, ended=tuple(ended.values()), last=part.last,
                    of_boot=part.boot_id, boot_id=self.boot_id, epoch=self.epoch,
                )  # fmt: skip
                await self._send(told)
            if part.last:
                self.gaps -= {gap for gap in self.gaps if gap.reason == KEPT and _within(gap, part.gap)}
        if not self.deaf:
            del self.backlog[:most]

    async def disconnect(self) -> None:
        if self.session is not None:
            await self.collector.ingest.close(self.session, self.now_us)
            self.session = None

    async def restart(self, *, reboot: bool) -> None:
        """The agent misses a look of an outage; what it wrote down is there afterwards."""
        if self.session is None and self.kept.looked_us:
            if self.in_memory:
                self.known, self.kept = self.in_memory
                self.in_memory = None
                self.forgotten |= self.known.open.keys() - self.kept.open.keys()
            self.now_us += S
            self.epoch += 1
            self.sequence = 0
            self.boot += reboot
            if reboot:
                self.forgotten.clear()
            self.missed = True

    async def kill_collector(self) -> None:
        await self.collector.restart()
        self.session = None

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    async def _send(self, batch: Batch) -> None:
        assert self.session is not None
        for _ in range(1 + batch.sequence % 2):
            received_us = max(batch.look_at_us, self.now_us)
            assert (await self.collector.ingest.commit(self.session, batch, received_us)).sequence == batch.sequence
            assert await self.collector.miscounted() == []


def _within(gap: Gap, other: Gap) -> bool:
    return other.from_us <= gap.from_us and gap.to_us <= other.to_us


def _sock(run: Run) -> Socket:
    return sock(run.cookie, run.opened_us, run.state, how=run.opened_is)


states = st.dictionaries(st.sampled_from(COOKIES), st.sampled_from([ESTABLISHED, CLOSE_WAIT, LISTEN]))
events = st.one_of(
    st.tuples(st.just("look"), states),
    st.tuples(st.just("look"), states),
    st.tuples(st.just("look"), states),
    st.tuples(st.just("connect"), states, st.sampled_from([0, 1, 2, 9, 9, 9]), st.booleans()),
    st.tuples(st.just("disconnect")),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("kill")),
)
stories = st.lists(events, max_size=30)


# What ends the restart is the look that ends the gap.
_RESTARTED_AND_TOLD_AT_ONCE: list[tuple[object, ...]] = [
    ("connect", {2: LISTEN}, 9, False),
    ("disconnect",),
    ("restart", False),
]

# The agent was killed between a snapshot that was stored and its acknowledgement.
_KILLED_BEFORE_IT_HEARD: list[tuple[object, ...]] = [
    ("connect", {1: LISTEN, 2: LISTEN}, 9, False),
    ("disconnect",),
    ("look", {1: LISTEN, 2: LISTEN, 3: ESTABLISHED}),
    ("connect", {1: LISTEN, 2: LISTEN, 3: ESTABLISHED}, 9, True),
    ("look", {2: CLOSE_WAIT}),
    ("look", {2: CLOSE_WAIT}),
    ("disconnect",),
    ("restart", False),
]

# A database that is made anew for each story takes longer on a server.
_STORIES = {"sqlite": 60, "postgresql": 15}


def test_history_is_what_the_agent_saw_once_all_is_told(tmp_path_factory: pytest.TempPathFactory, engine: str) -> None:
    @settings(
        max_examples=_STORIES[engine], derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(stories, st.randoms(use_true_random=False), st.booleans())
    @example(_RESTARTED_AND_TOLD_AT_ONCE, random.Random(1), True)
    @example(_KILLED_BEFORE_IT_HEARD, random.Random(1), True)
    def agrees(story: list[tuple[object, ...]], chance: random.Random, drained: bool) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as directory:
            asyncio.run(_play(Path(directory), story, chance, drained=drained))

    agrees()


async def _play(directory: Path, story: list[tuple[object, ...]], chance: random.Random, *, drained: bool) -> None:
    collector = Collector(databases.ready(directory))
    try:
        world = World(collector, await collector.enroll(), chance)
        for happening in [*story, ("disconnect",), ("connect", {1: LISTEN}, 9, False)]:
            await _happen(world, happening)
        if drained:
            await world.deliver(len(world.backlog))
        await _agree(world)
    finally:
        await collector.db.close()


async def _happen(world: World, happening: tuple[object, ...]) -> None:
    match happening:
        case ("look", dict(now)):
            await world.look(now)
        case ("connect", dict(now), int(broken), bool(deaf)):
            await world.connect(now, broken, deaf=deaf)
        case ("disconnect",):
            await world.disconnect()
        case ("restart", bool(reboot)):
            await world.restart(reboot=reboot)
        case _:
            await world.kill_collector()


async def _agree(world: World) -> None:
    found = await world.collector.intervals()
    assert {gap for gap in await world.collector.gaps() if gap.from_us >= T0} == world.gaps
    by_socket = await world.collector.intervals_by_socket()
    for rows in by_socket.values():
        for earlier, later in pairwise(rows):
            assert 0 < earlier.closed_at_us <= later.opened_at_us
    assert sorted((i.cookie, i.state) for i in found if not i.closed_at_us) == sorted(world.alive.items())
    for i in found:
        assert i.closed_at_us == 0 or i.opened_at_us <= i.last_seen_us <= i.closed_at_us
    if not world.backlog:
        assert _in_order(replace(i, last_seen_us=0) for i in found) == _in_order(
            run.interval for run in world.known.runs
        )


def _in_order(rows: Iterable[Interval]) -> list[Interval]:
    return sorted(rows, key=lambda i: (i.cookie, i.opened_at_us, i.closed_at_us, i.state))
