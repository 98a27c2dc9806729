"""Whatever a host lives through while nobody takes its reports, history is in the end what its agent saw."""

import asyncio
import random
import tempfile
from collections.abc import Iterable, Iterator
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
class World:
    """A host with its agent, which keeps what it cannot tell."""

    collector: Collector
    host: Host
    chance: random.Random
    now_us: int = T0
    boot: int = 1
    epoch: int = 1
    sequence: int = 0
    session: Session | None = None
    alive: State = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    open: dict[int, Run] = field(default_factory=dict)  # by cookie, of the present boot
    told_us: int = 0  # the last look that was told
    first_us: int = 0  # the first look ever
    looked_us: int = 0
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
            self.losses.append(Gap(self.looked_us, self.now_us, "agent restarted"))
        ends = [run for run in self.open.values() if run.boot != self.boot or now.get(run.cookie) != run.state]
        for run in ends:
            run.closed_us, run.closed_is = self.now_us, GAP if self.missed else SEEN
            del self.open[run.cookie]
        how = BEFORE if self.missed or not self.looked_us else SEEN
        begun = [Run(self.boot, c, s, self.now_us, how) for c, s in sorted(now.items()) if c not in self.open]
        self.open.update({run.cookie: run for run in begun})
        self.runs += begun
        self.first_us = self.first_us or self.now_us
        self.looked_us, self.missed = self.now_us, False
        return begun, ends

    async def look(self, now: State) -> None:
        """A look at a host that changes; told as a difference where somebody takes it."""
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
        self.told_us = self.now_us
        await self.deliver(self.chance.randint(0, 3))

    async def connect(self, now: State, broken_after: int) -> None:
        """A look and a snapshot of it, which may break off; then what was kept waits to be told."""
        if self.session is not None:
            return
        self._look(now)
        said = hello(self.now_us, boot_id=self.boot_id, epoch=self.epoch)
        self.session = await self.collector.connect(self.host, said, self.now_us)
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
        if declared:
            self.gaps |= {*self.losses, Gap(gap.from_us, gap.to_us, KEPT)}
            self.backlog += self._parts_of(gap)
        self.losses.clear()
        self.told_us = self.now_us

    def _parts_of(self, gap: Gap) -> Iterator[Part]:
        """What happened in a gap, shuffled and cut into parts, some of it told twice; only the last has its place."""
        rows: list[tuple[int, Row]] = []
        for run in self.runs:
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
                self.gaps.discard(Gap(part.gap.from_us, part.gap.to_us, KEPT))
        del self.backlog[:most]

    async def disconnect(self) -> None:
        if self.session is not None:
            await self.collector.ingest.close(self.session, self.now_us)
            self.session = None

    async def restart(self, *, reboot: bool) -> None:
        """The agent misses a look of an outage; what it kept is there afterwards."""
        if self.session is None and self.looked_us:
            self.now_us += S
            self.epoch += 1
            self.sequence = 0
            self.boot += reboot
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


def _sock(run: Run) -> Socket:
    return sock(run.cookie, run.opened_us, run.state, how=run.opened_is)


states = st.dictionaries(st.sampled_from(COOKIES), st.sampled_from([ESTABLISHED, CLOSE_WAIT, LISTEN]))
events = st.one_of(
    st.tuples(st.just("look"), states),
    st.tuples(st.just("look"), states),
    st.tuples(st.just("look"), states),
    st.tuples(st.just("connect"), states, st.sampled_from([0, 1, 2, 9, 9, 9])),
    st.tuples(st.just("disconnect")),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("kill")),
)
stories = st.lists(events, max_size=30)


# What ends the restart is the look that ends the gap.
_RESTARTED_AND_TOLD_AT_ONCE: list[tuple[object, ...]] = [
    ("connect", {2: LISTEN}, 9),
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
    def agrees(story: list[tuple[object, ...]], chance: random.Random, drained: bool) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as directory:
            asyncio.run(_play(Path(directory), story, chance, drained=drained))

    agrees()


async def _play(directory: Path, story: list[tuple[object, ...]], chance: random.Random, *, drained: bool) -> None:
    collector = Collector(databases.ready(directory))
    try:
        world = World(collector, await collector.enroll(), chance)
        for happening in [*story, ("disconnect",), ("connect", {1: LISTEN}, 9)]:
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
        case ("connect", dict(now), int(broken)):
            await world.connect(now, broken)
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
        assert _in_order(replace(i, last_seen_us=0) for i in found) == _in_order(run.interval for run in world.runs)


def _in_order(rows: Iterable[Interval]) -> list[Interval]:
    return sorted(rows, key=lambda i: (i.cookie, i.opened_at_us, i.closed_at_us, i.state))
