"""Whatever happens to host, agent, connection and collector, history agrees with a plain account of what was told."""

import asyncio
import contextlib
import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest
from fleetnet_server import failpoints
from fleetnet_server.failpoints import Failpoint
from fleetnet_server.network import Namespace
from fleetnet_server.records import Batch, Gap, Holder, Host, Session
from fleetnet_server.services import pieces
from fleetnet_server.services.pieces import Piece
from fleetnet_server.storage import counts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server.reports import (
    BEFORE,
    CLOSE,
    CLOSE_WAIT,
    ESTABLISHED,
    EXACT,
    GAP,
    LISTEN,
    NGINX,
    SEEN,
    T0,
    WEB,
    Collector,
    Interval,
    S,
    Span,
    difference,
    gone,
    hello,
    interface,
    route,
    snapshot,
    sock,
    space,
)

from server import databases

COOKIES = (1, 2, 3, 4)
NO_HELPER, RACED = 3, 8  # of OwnerStatus
UNSEEN = 4  # how exactly the beginning of a brief socket is known
WINDOW = 3  # batches that the agent keeps while nobody listens

NAMESPACES = (0, 4026532001, 4026532002)
# What a namespace may look like: a name, MTUs of interfaces by index, routes in their order.
LOOKS: tuple[tuple[str, dict[int, int], tuple[int, ...]], ...] = (
    ("", {}, ()),
    ("blue", {1: 1500}, (1,)),
    ("blue", {1: 9000, 2: 1500}, (2, 1)),
    ("red", {2: 1500}, (3, 1, 2)),
)

# Who may hold a socket: known processes, and what is told where nobody was found, or could be seen.
HOLDERS = (
    WEB,
    WEB._replace(unit="next.service", owners=(NGINX._replace(pid=4242),)),
    WEB._replace(owners=(NGINX, NGINX._replace(pid=813))),
    WEB._replace(owner_status=RACED, owners=()),
    WEB._replace(owner_status=NO_HELPER, owners=()),
    WEB._replace(owner_status=NO_HELPER, unit="", uid=None, user="", owners=()),
)


class CutOffError(Exception):
    """The collector has ended between two pieces of a batch."""


@contextlib.contextmanager
def _cut_off_after(stored: int) -> Iterator[None]:
    def cut_off(_: tuple[int, ...]) -> None:
        raise CutOffError

    failpoints._points["between-pieces"] = [Failpoint(cut_off, stored)]
    try:
        yield
    finally:
        del failpoints._points["between-pieces"]


State = dict[int, tuple[int, Holder]]  # cookie -> state and holder
Spaces = dict[int, int]  # number of a namespace -> which of LOOKS
Held = tuple[State, Spaces]


def is_another_time(was: Holder, now: Holder) -> bool:
    """Whether somebody who was told to hold a socket held it no longer, and not only turned out to be another."""
    if was.owner_status == RACED:
        return False
    if was.owners:
        return was != now
    return bool(was.unit) and (was.unit, was.uid) != (now.unit, now.uid)


def spaces_of(spaces: Spaces) -> tuple[Namespace, ...]:
    """As an agent tells of them."""
    return tuple(
        space(
            netns,
            name,
            interfaces=tuple(interface(index, mtu) for index, mtu in interfaces.items()),
            routes=tuple(route(network) for network in routes),
        )
        for netns, look in sorted(spaces.items())
        for name, interfaces, routes in [LOOKS[look]]
    )


def facts_of(namespace: Namespace) -> set[tuple[object, ...]]:
    """What is kept of a namespace, each as Span.what has it."""
    return {
        (namespace.netns, namespace.name, False),
        *((namespace.netns, i.index, i.mtu) for i in namespace.interfaces),
        *((namespace.netns, r.destination, r.metric) for r in namespace.routes),
    }


@dataclass
class Account:
    """What was told, kept in the plainest way: the oracle."""

    open: dict[tuple[int, int], Interval] = field(default_factory=dict)  # by boot and cookie
    closed: list[Interval] = field(default_factory=list)
    gaps: set[Gap] = field(default_factory=set)
    whole_us: int = 0  # the last whole look
    # Who was told to hold each interval, and by which look; by its cookie and when it began.
    holders: dict[tuple[int, int], list[tuple[int, Holder]]] = field(default_factory=dict)
    facts: dict[tuple[object, ...], Span] = field(default_factory=dict)  # open, of namespaces
    past_facts: list[Span] = field(default_factory=list)

    def told(self, at_us: int, key: tuple[int, int], state: int, opened_is: int, change: int) -> None:
        row = self.open.get(key)
        if row is None or row.state != state:
            if row is not None:
                self.ended(at_us, key, change)
            self.open[key] = Interval(key[1], state, at_us, opened_is)

    def told_holder(self, look_us: int, key: tuple[int, int], holder: Holder) -> None:
        self.holders.setdefault((key[1], self.open[key].opened_at_us), []).append((look_us, holder))

    def holder_of(self, row: Interval, at_us: int) -> Holder:
        """Who held it then, for all that is known by now."""
        times: list[tuple[int, Holder]] = []
        for look_us, holder in self.holders[row.cookie, row.opened_at_us]:
            if not times or is_another_time(times[-1][1], holder):
                times.append((look_us, holder))
            else:
                times[-1] = (times[-1][0], holder)
        return [times[0], *(one for one in times if one[0] <= at_us)][-1][1]

    def ended(self, at_us: int, key: tuple[int, int], how: int) -> None:
        row = self.open.pop(key)
        self.closed.append(replace(row, closed_at_us=at_us, closed_at_is=how))

    def told_spaces(self, at_us: int, told: Iterable[Namespace], opened_is: int, change: int) -> None:
        for namespace in told:
            now = facts_of(namespace)
            self.ended_facts(at_us, [f for f in self.facts if f[0] == namespace.netns and f not in now], change)
            self.facts.update({fact: Span(fact, at_us, opened_is) for fact in now - self.facts.keys()})

    def ended_facts(self, at_us: int, facts: Iterable[tuple[object, ...]], how: int) -> None:
        ended = [replace(self.facts.pop(fact), closed_at_us=at_us, closed_at_is=how) for fact in list(facts)]
        self.past_facts += [span for span in ended if span.closed_at_us > span.opened_at_us]

    def spans(self) -> list[Span]:
        rows = [*self.past_facts, *self.facts.values()]
        return sorted(rows, key=lambda span: (repr(span.what), span.opened_at_us))

    def facts_at(self, at_us: int) -> set[tuple[object, ...]]:
        return {s.what for s in self.spans() if s.opened_at_us <= at_us < (s.closed_at_us or 1 << 62)}

    def intervals(self) -> list[Interval]:
        rows = [*self.closed, *self.open.values()]
        return sorted(rows, key=lambda i: (i.cookie, i.opened_at_us, i.closed_at_us or 1 << 62))

    def at(self, at_us: int) -> list[tuple[int, int, Holder]]:
        there = [i for i in self.intervals() if i.opened_at_us <= at_us < (i.closed_at_us or 1 << 62)]
        return sorted((i.cookie, i.state, self.holder_of(i, at_us)) for i in there)


@dataclass
class World:
    """A host with its agent, told apart from what the collector knows of it."""

    collector: Collector
    host: Host
    account: Account = field(default_factory=Account)
    now_us: int = T0
    boot: int = 1
    epoch: int = 1
    alive: State = field(default_factory=dict)  # what the host holds open
    looked: State = field(default_factory=dict)  # what the agent saw at its last look
    spaces: Spaces = field(default_factory=dict)
    spaces_looked: Spaces = field(default_factory=dict)
    briefs: int = 0  # sockets that no look saw, so far
    sequence: int = 0
    pending: list[tuple[Batch, Held]] = field(default_factory=list)  # with what the host held open then
    kept_us: int = 0  # the look of the last batch that was not thrown away; 0 before the first
    lost: bool = False
    session: Session | None = None
    boot_told: int = 0  # whose namespaces the collector holds
    established: tuple[int, int] = (0, 0)  # boot and epoch of the last whole look
    torn: bool = True
    parts_seen: int = 0  # of the snapshot under way, by the collector, over this connection
    looks: list[int] = field(default_factory=list)
    cut_after: int = 0  # of the next batch that is stored in pieces no more than so many are: then the collector ends
    half: tuple[Batch, int] | None = None  # of which so many pieces are stored

    @property
    def boot_id(self) -> bytes:
        return bytes([self.boot]) * 16

    async def look(self, now: State, spaces: Spaces, brief: int) -> None:
        """The host changes, the agent looks and tells, or keeps, or (its window full) throws away."""
        self.alive, self.spaces = now, spaces
        cookies = range(100 + self.briefs, 100 + self.briefs + brief)
        self.briefs += brief
        self.now_us += S
        if self.session is None and len(self.pending) >= WINDOW:
            self.lost = True
            return
        before, at = self.looked, self.now_us
        self.sequence += 1
        told = difference(
            self.sequence,
            at,
            previous_us=at - S,
            opened=(
                *(sock(c, at, s, holder=holder) for c, (s, holder) in now.items() if c not in before),
                *(sock(c, at - S // 2, CLOSE, how=UNSEEN) for c in cookies),
            ),
            changed=tuple(sock(c, at, s[0], holder=s[1]) for c, s in now.items() if before.get(c, s) != s),
            closed=(
                *(gone(c, at) for c in before if c not in now),
                *(gone(c, at - S // 2, EXACT) for c in cookies),
            ),
            namespaces=spaces_of({n: look for n, look in spaces.items() if self.spaces_looked.get(n) != look}),
            namespaces_gone=tuple(n for n in self.spaces_looked if n and n not in spaces),
            boot_id=self.boot_id,
            epoch=self.epoch,
        )
        self.looked, self.spaces_looked = dict(now), dict(spaces)
        self.kept_us = at
        self.pending.append((told, (dict(now), dict(spaces))))
        if self.session is not None:
            await self._deliver(*self.pending[-1])

    async def connect(self, part_size: int, broken_after: int) -> None:
        """Resend, then a snapshot; the connection breaks after some of its parts."""
        self.now_us += S
        at = self.now_us
        said = hello(at, boot_id=self.boot_id, epoch=self.epoch)
        self.session = await self.collector.connect(self.host, said, at)
        self.parts_seen = 0
        for batch, held in self.pending:
            if batch.sequence > self.session.committed_sequence:
                await self._deliver(batch, held)
        self.pending.clear()
        rows = [sock(c, at, s, how=BEFORE, holder=holder) for c, (s, holder) in sorted(self.alive.items())]
        told = spaces_of(self.spaces)
        size = max(len(rows), len(told), 1)
        parts = [(rows[i : i + part_size], told[i : i + part_size]) for i in range(0, size, part_size)]
        batches = []
        for number, (part, some) in enumerate(parts):
            last = number == len(parts) - 1
            lost = (Gap(self.kept_us, at, "queue full"),) if last and self.lost and self.kept_us else ()
            self.sequence += 1
            batches.append(
                snapshot(
                    self.sequence, at, *part, part=number, last=last, previous_us=at - S, gaps=lost,
                    namespaces=some, boot_id=self.boot_id, epoch=self.epoch,
                )
            )  # fmt: skip
        self.looked, self.spaces_looked, self.kept_us, self.lost = dict(self.alive), dict(self.spaces), at, False
        held = (dict(self.alive), dict(self.spaces))
        self.pending = [(batch, held) for batch in batches]
        for number, batch in enumerate(batches):
            if number == broken_after:
                self.session = None
                return
            await self._deliver(batch, held)
        self.pending.clear()

    async def disconnect(self, *, ack_lost: bool) -> None:
        if self.session is not None:
            await self.collector.ingest.close(self.session, self.now_us)
            self.session = None
            if not ack_lost:
                self.pending.clear()

    async def restart_agent(self, *, reboot: bool) -> None:
        await self.disconnect(ack_lost=True)
        self.epoch += 1
        self.boot += reboot
        self.alive = {} if reboot else self.alive
        self.spaces = {} if reboot else self.spaces
        self.spaces_looked = {}
        self.pending.clear()
        self.sequence, self.looked, self.kept_us, self.lost = 0, {}, 0, False

    async def kill_collector(self) -> None:
        await self.collector.restart()
        self.session = None

    async def _deliver(self, batch: Batch, held: Held) -> None:
        """Commit, twice now and then, and keep account of what that must have meant."""
        assert self.session is not None
        some = pieces.cut(batch)
        if self.cut_after and len(some) > 1:
            stored, self.cut_after = min(self.cut_after, len(some) - 1), 0
            with _cut_off_after(stored), pytest.raises(CutOffError):
                await self.collector.ingest.commit(self.session, batch, batch.look_at_us)
            assert await self.collector.miscounted() == []
            self._account_of_pieces(batch, some[:stored], None)
            self.half, self.torn, self.parts_seen = (batch, stored), True, 0
            await self.kill_collector()
            raise CutOffError
        for _ in range(1 + batch.sequence % 2):
            assert (
                await self.collector.ingest.commit(self.session, batch, batch.look_at_us)
            ).sequence == batch.sequence
            assert await self.collector.miscounted() == []
        whole = False
        if batch.snapshot is not None:
            self.parts_seen = self.parts_seen + 1 if batch.snapshot.part == self.parts_seen else 0
            whole = batch.snapshot.last and self.parts_seen == batch.snapshot.part + 1
            self.parts_seen = 0 if batch.snapshot.last else self.parts_seen
        self._account_of_pieces(batch, some, held if whole else None)

    def _account_of_pieces(self, batch: Batch, some: Sequence[Piece], whole: Held | None) -> None:
        # What is stored of it already is told once more, and changes nothing.
        told = self.half[1] if self.half is not None and self.half[0] == batch else 0
        for piece in some[told:]:
            self._keep_account(piece.batch, whole if piece.last else None, last=piece.last)

    def _keep_account(self, batch: Batch, whole: Held | None, *, last: bool) -> None:
        account, at, now = self.account, batch.look_at_us, (self.boot, self.epoch)
        account.gaps |= set(batch.gaps)
        new_epoch = self.established != now
        gap = batch.snapshot is not None and (
            new_epoch or (whole is not None and any(g.to_us > account.whole_us for g in account.gaps))
        )
        how = GAP if gap else SEEN
        for key in [key for key in account.open if key[0] != self.boot]:
            account.ended(at, key, GAP)
        if self.boot_told not in (0, self.boot):
            account.ended_facts(at, account.facts, GAP)
        self.boot_told = self.boot
        account.ended_facts(at, [fact for fact in account.facts if fact[0] in batch.namespaces_gone], how)
        account.told_spaces(at, batch.namespaces, BEFORE if how == GAP else SEEN, how)
        for told in (*batch.opened, *batch.changed):
            key = (self.boot, told.key.cookie)
            account.told(told.opened_at_us, key, told.state, told.opened_at_is, how)
            account.told_holder(at, key, told.holder)
        for ended in batch.closed:
            account.ended(ended.closed_at_us, (self.boot, ended.key.cookie), ended.closed_at_is)
        if batch.snapshot is not None and whole is not None:
            self._keep_account_of_snapshot(at, whole, how, new_epoch=new_epoch)
        elif batch.snapshot is not None:
            self.torn = True
        elif last and not self.torn and not new_epoch:
            account.whole_us = at
            self.looks.append(at)

    def _keep_account_of_snapshot(self, at: int, whole: Held, how: int, *, new_epoch: bool) -> None:
        account = self.account
        for key in [key for key in account.open if key[1] not in whole[0]]:
            account.ended(at, key, how)
        account.ended_facts(at, [fact for fact in account.facts if fact[0] not in whole[1]], how)
        if how == GAP:
            account.facts = {fact: _restated(span, at) for fact, span in account.facts.items()}
            account.past_facts = [_restated(span, at) for span in account.past_facts]
            account.closed = [
                replace(row, closed_at_is=GAP) if row.closed_at_us == at and row.closed_at_is == SEEN else row
                for row in account.closed
            ]
        if new_epoch and account.whole_us:
            rebooted = self.established[0] != self.boot
            account.gaps.add(Gap(account.whole_us, at, "host rebooted" if rebooted else "agent restarted"))
        self.established, self.torn, account.whole_us = (self.boot, self.epoch), False, at
        self.looks.append(at)


def _restated(span: Span, at_us: int) -> Span:
    """What the parts before the last took for seen lies in the gap that the last declares."""
    if span.closed_at_us == at_us and span.closed_at_is == SEEN:
        return replace(span, closed_at_is=GAP)
    if not span.closed_at_us and span.opened_at_us == at_us and span.opened_at_is == SEEN:
        return replace(span, opened_at_is=BEFORE)
    return span


looks = st.dictionaries(st.sampled_from(NAMESPACES), st.integers(0, len(LOOKS) - 1))
one_state = st.tuples(st.sampled_from([ESTABLISHED, CLOSE_WAIT, LISTEN]), st.sampled_from(HOLDERS))
states = st.dictionaries(st.sampled_from(COOKIES), one_state)
events = st.one_of(
    st.tuples(st.just("look"), states, looks, st.integers(0, 2)),
    st.tuples(st.just("look"), states, looks, st.just(0)),
    st.tuples(st.just("connect"), st.integers(1, 4), st.sampled_from([0, 1, 2, 9, 9, 9])),
    st.tuples(st.just("disconnect"), st.booleans()),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("kill")),
    st.tuples(st.just("cut"), st.integers(1, 6)),
)


# A database that is made anew for each story takes longer on a server.
_STORIES = {"sqlite": 80, "postgresql": 15}


def test_history_agrees_with_a_plain_account_of_what_was_told(
    tmp_path_factory: pytest.TempPathFactory, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @settings(
        max_examples=_STORIES[engine], derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(st.lists(events, max_size=25), st.sampled_from([2, pieces.MOST_ROWS]))
    def agrees(story: list[tuple[object, ...]], most: int) -> None:
        monkeypatch.setattr(pieces, "MOST_ROWS", most)
        with tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as directory:
            asyncio.run(_play(Path(directory), story))

    agrees()


@pytest.mark.parametrize(("seed", "most"), [(0, pieces.MOST_ROWS), (1, 2)])
def test_at_any_moment_of_a_long_life_an_answer_is_what_was_told_of_it(
    tmp_path: Path, seed: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "MOST_ROWS", most)
    draw = random.Random(seed)

    async def run() -> None:
        collector = Collector(databases.ready(tmp_path))
        try:
            world = World(collector, await collector.enroll())
            for _ in range(120):
                await _happen(world, _drawn(draw, world.alive))
            world.cut_after = 0
            for happening in (("disconnect", False), ("connect", 2, 9)):
                await _happen(world, happening)
            for _ in range(200):
                at = draw.randrange(T0, world.now_us + 1)
                answer = await collector.ask(at_us=at, now_us=world.now_us)
                assert sorted((item.cookie, item.state, item.holder) for item in answer.items) == world.account.at(at)
                assert answer.coverage.gaps == sum(g.from_us <= at < g.to_us for g in world.account.gaps)
            await _agree(world)
            assert len(world.account.closed) > 50
            assert len((await collector.dump())["former_holders"]) > 10
        finally:
            await collector.db.close()

    asyncio.run(run())


def _drawn(draw: random.Random, now: State) -> tuple[object, ...]:
    """One of `events`, most of them looks; given is what is there."""
    if draw.random() < 0.75:
        drawn = {c: (draw.choice([ESTABLISHED, CLOSE_WAIT, LISTEN]), draw.choice(HOLDERS)) for c in COOKIES}
        # Half of those that stay keep their state, and change hands at the most.
        held = {
            c: (now[c][0] if c in now and draw.random() < 0.5 else state, holder)
            for c, (state, holder) in drawn.items()
            if draw.random() < 0.6
        }
        spaces = {n: draw.randrange(len(LOOKS)) for n in NAMESPACES if draw.random() < 0.5}
        return ("look", held, spaces, draw.randrange(3))
    return draw.choice(
        [
            *[("connect", draw.randint(1, 4), draw.choice([0, 1, 9, 9, 9]))] * 4,
            ("cut", draw.randint(1, 6)),
            ("disconnect", draw.random() < 0.5),
            ("restart", draw.random() < 0.5),
            ("kill",),
        ]
    )


async def _play(directory: Path, story: list[tuple[object, ...]]) -> None:
    collector = Collector(databases.ready(directory))
    try:
        world = World(collector, await collector.enroll())
        for happening in story:
            await _happen(world, happening)
        world.cut_after = 0
        for happening in (("disconnect", False), ("connect", 2, 9)):
            await _happen(world, happening)
        await _agree(world)
    finally:
        await collector.db.close()


async def _happen(world: World, happening: tuple[object, ...]) -> None:
    with contextlib.suppress(CutOffError):
        await _happen_whole(world, happening)


async def _happen_whole(world: World, happening: tuple[object, ...]) -> None:
    match happening:
        case ("look", dict(now), dict(spaces), int(brief)):
            await world.look(now, spaces, brief)
        case ("connect", int(size), int(broken)):
            if world.session is None:
                await world.connect(size, broken)
        case ("cut", int(stored)):
            world.cut_after = stored
        case ("disconnect", bool(ack_lost)):
            await world.disconnect(ack_lost=ack_lost)
        case ("restart", bool(reboot)):
            await world.restart_agent(reboot=reboot)
        case _:
            await world.kill_collector()


async def _agree(world: World) -> None:
    kept = await world.collector.intervals()
    assert [replace(i, last_seen_us=0) for i in kept] == world.account.intervals()
    assert set(await world.collector.gaps()) == world.account.gaps
    assert [replace(s, last_seen_us=0) for s in await world.collector.spans()] == world.account.spans()
    for i in kept:
        assert i.closed_at_us == 0 or i.opened_at_us <= i.last_seen_us <= i.closed_at_us
    for earlier, later in pairwise(kept):
        if earlier.cookie == later.cookie:
            assert 0 < earlier.closed_at_us <= later.opened_at_us
    for look in world.looks[-8:]:
        for at in (look - 1, look):
            answer = await world.collector.ask(at_us=at, now_us=world.now_us)
            assert sorted((item.cookie, item.state, item.holder) for item in answer.items) == world.account.at(at)
            assert answer.coverage.gaps == sum(g.from_us <= at < g.to_us for g in world.account.gaps)
            found = (await world.collector.ask_namespaces(at_us=at, now_us=world.now_us)).items
            assert {fact for item in found for fact in facts_of(item.namespace)} == world.account.facts_at(at)
    now = await world.collector.ask(now_us=world.now_us)
    assert sorted((i.cookie, (i.state, i.holder)) for i in now.items) == sorted(world.alive.items())
    assert now.coverage.hosts_fresh == 1
    states_now = [state for state, _ in world.alive.values()]
    counted = await world.collector.db.read(counts.by_state, None)
    assert {one.state: one.sockets for one in counted} == Counter(states_now)
    assert sum(one.listeners for one in counted) == states_now.count(LISTEN)
    held = [item.namespace for item in (await world.collector.ask_namespaces(now_us=world.now_us)).items]
    assert sorted(held, key=lambda one: one.netns) == list(spaces_of(world.spaces))
