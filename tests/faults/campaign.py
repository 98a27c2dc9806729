"""Legs and rounds: faults upon a fleet under load, and after each round the question whether history is true.

A leg is a fresh fleet and its seed. Each round of it: faults, as drawn; then they all end, and every agent has to have
a batch acknowledged within LIVENESS_S; then the workloads stand still until an answer equals that of ss on every host;
then everything that history says since the beginning of the leg is held against the ledgers.

What must stay true: it ends in bounded time, whatever the programs under test do.
"""

import heapq
import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from faults import history, ledger, verdict
from faults.ground import Ground, Site
from faults.kinds import KINDS, Fault, draw, holds, weights
from faults.ledger import SLACK_US, Truth
from faults.spans import minus, union
from faults.verdict import Horizon, Verdict
from faults.workload import now_us
from system import oracles

from demo.fabric import Fabric
from demo.fleet import environment
from demo.programs import FailedError, Programs, until

MOODS = ("gentle", "rough", "long")
LIVENESS_S = 60.0  # "within 60 s after the faults stop every agent has an acknowledged batch"
_SETTLE_S = 90.0
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a leg is to be."""

    seed: int
    hosts: int
    rounds: int
    faults: int  # of a round
    window_s: float  # in which they begin
    engine: str = "sqlite"
    wild: bool = False  # clocks are set back amid other faults as well
    patience: float = 1.0  # factor on the bounds of time, for a busy machine

    @property
    def replay(self) -> str:
        """The command that does the same again."""
        return (
            f"make test-faults ARGS='--seed {self.seed} --legs 1 --hosts {self.hosts} --rounds {self.rounds} "
            f"--faults {self.faults} --window {self.window_s:g} --engine {self.engine}{' --wild' if self.wild else ''}'"
        )


@dataclass(slots=True)
class Outcome:
    """What became of a leg."""

    injected: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    slowest_s: float = 0.0  # until all agents had a batch acknowledged
    batches: int = 0
    acknowledged: int = 0

    @property
    def faults(self) -> int:
        return sum(self.injected.values())


class Leg:
    """One fleet and its faults."""

    def __init__(self, plan: Plan, directory: Path, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._directory = directory
        self._say = say
        self._draw = random.Random(plan.seed)  # of questions; faults are drawn by round
        self._began_us = 0
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """All rounds; ends early where something is wrong."""
        told = {name: value for name, value in environment(self._directory).items() if name not in _SERVICE_MARKS}
        told["PYTHONPATH"] = f"{_ROOT}:{_ROOT / 'tests'}"
        with Fabric() as fabric, Programs(self._directory, told) as programs:
            plan = self._plan
            ground = Ground(self._directory, fabric, programs, plan.seed, plan.hosts, plan.engine)
            try:
                self._begin(ground)
                for number in range(self._plan.rounds):
                    self._round(ground, number)
                    if self.outcome.verdict.wrong:
                        break
            except FailedError as failure:
                self._wrong(f"{failure}\n{failure.log}")
            finally:
                ground.store.remove()
            self.outcome.verdict.wrong += [*ground.problems, *ground.tracebacks()]
        return self.outcome

    def _wrong(self, sentence: str) -> None:
        self.outcome.verdict.wrong.append(sentence)

    def _begin(self, ground: Ground) -> None:
        """Start everything; once all agents have told all, history is judged."""
        ground.store.witness()
        ground.start_collector()
        for site in ground.sites:
            ground.start_agent(site)
        self._await_acknowledged(ground, 0)
        self._began_us = now_us()

    def _round(self, ground: Ground, number: int) -> None:
        began_s = time.monotonic()
        draw_ = random.Random(f"{self._plan.seed}/{number}")
        mood = MOODS[number % len(MOODS)]
        drawn = self._drawn(draw_, mood, last=number == self._plan.rounds - 1)
        Faults(ground, drawn, self._say).run()
        for fault in drawn:
            counted = self.outcome.injected if fault.done else self.outcome.skipped
            counted[f"{fault.kind} {fault.word}".strip()] += 1
        ended_us = now_us()
        took_s = self._await_acknowledged(ground, ended_us)
        self.outcome.slowest_s = max(self.outcome.slowest_s, took_s)
        if number == self._plan.rounds - 1:
            self._set_a_clock_back(ground, draw_)
        with self._standing_still(ground):
            for site in ground.sites:
                waited_s = self._await_equal(ground, site) + self._await_drained(ground, site)
                self._say(f"  {site.name} told all {waited_s:.1f} s after it stood still")
            self._judge(ground)
        wrong = len(self.outcome.verdict.wrong)
        self._say(
            f"round {number} ({mood}) took {time.monotonic() - began_s:.0f} s: {self.outcome.faults} faults so far, "
            f"alive {took_s:.1f} s after them, {wrong} wrong"
        )

    def _drawn(self, draw_: random.Random, mood: str, *, last: bool) -> list[Fault]:
        hosts, window_s = self._plan.hosts, self._plan.window_s
        if mood == "long":
            drawn = draw(draw_, {"collector-away": 1.0}, hosts, 1, 1.0)
            window_s = drawn[0].lasts_s - 5.0
            drawn += draw(draw_, {"agent-spool-point": 1.0}, hosts, 1, 3.0)
            drawn += draw(draw_, weights(mood, self._plan.engine), hosts, self._plan.faults // 3, window_s)
        else:
            drawn = draw(draw_, weights(mood, self._plan.engine), hosts, self._plan.faults, window_s)
        if last:  # what comes after these lies in the gap that they leave, so they come last
            ends = {"network-forgets": 1.0, **({"clock-back": 1.0} if self._plan.wild else {})}
            drawn += draw(draw_, ends, hosts, 2, window_s)
        return sorted(drawn, key=lambda fault: fault.at_s)

    def _set_a_clock_back(self, ground: Ground, draw_: random.Random) -> None:
        """While all is well: what a host did when nobody heard of it, and its clock then had again, is in no gap yet
        (docs/faults.md)."""
        (fault,) = draw(draw_, {"clock-back": 1.0}, self._plan.hosts, 1, 0.0)
        KINDS[fault.kind].begin(ground, fault)
        self.outcome.injected["clock-back"] += 1
        site = ground.sites[fault.host]
        [*_, (begin, end)] = site.clock.set_between(back=True)

        def told() -> bool:
            ground.mind()
            gaps = history.read(ground.store, site.name).gaps
            return any(gap.from_us - SLACK_US <= begin and end - verdict.A_LOOK_US <= gap.to_us for gap in gaps)

        until(told, within_s=LIVENESS_S * self._plan.patience, what=f"the gap of a clock set back on {site.name}")

    def _await_acknowledged(self, ground: Ground, since_us: int) -> float:
        """Wait until every agent had a batch acknowledged since then; how long that took."""
        began_s = time.monotonic()
        waiting = list(ground.sites)
        while waiting:
            waiting = [site for site in waiting if not any(at > since_us for at, *_ in site.acknowledged()[-3:])]
            if time.monotonic() - began_s > LIVENESS_S * self._plan.patience:
                names = ", ".join(site.name for site in waiting)
                logs = "\n".join(f"{site.name}: {_tail(self._directory / f'{site.name}.log')}" for site in waiting)
                raise FailedError(
                    f"no batch of {names} was acknowledged within {LIVENESS_S:g} s after the faults",
                    f"{logs}\ncollector: {_tail(self._directory / 'collector.log')}",
                )
            ground.mind()
            time.sleep(0.1)
        return time.monotonic() - began_s

    @contextmanager
    def _standing_still(self, ground: Ground) -> Iterator[None]:
        order = f"{time.monotonic_ns()}"
        for word in ("pause", "go"):
            for site in ground.sites:
                site.workload.tell(f"{word} {order}")
            for site in ground.sites:
                site.workload.wait_for(f"^{word} {order}$", within_s=30.0)
            if word == "pause":
                yield

    def _await_equal(self, ground: Ground, site: Site) -> float:
        """Until an answer equals that of ss (the digest of a host, taken where people see it); seconds."""
        began_s = time.monotonic()
        deadline_s = began_s + _SETTLE_S * self._plan.patience
        slow = ""
        while True:
            items = ground.fleet.ask("netstat", site.name, "-tuan", "-o", "json")
            ours = _names(oracles.of_items(items.items)) if items.output else set()
            theirs = _names(oracles.of_ss(site.place))
            if ours == theirs:
                return time.monotonic() - began_s
            if time.monotonic() - began_s > 5.0 and not slow:
                slow = f"{len(ours - theirs)} more than ss has and {len(theirs - ours)} fewer: "
                self._say(f"  {site.name}: {slow}{sorted(ours ^ theirs, key=str)[:3]}")
            if time.monotonic() > deadline_s:
                raise FailedError(
                    f"the answer about {site.name} does not become that of ss: only in the answer "
                    f"{sorted(ours - theirs)[:5]}, only in ss {sorted(theirs - ours)[:5]}; {items.errors}",
                    _tail(self._directory / f"{site.name}.log"),
                )
            ground.mind()
            time.sleep(0.2)

    def _await_drained(self, ground: Ground, site: Site) -> float:
        """Until all that the agent kept has been told (what it is about is a gap till then); seconds."""
        began_s = time.monotonic()
        deadline_s = began_s + _SETTLE_S * self._plan.patience
        while (site.state / "spool.db").exists():
            if time.monotonic() > deadline_s:
                raise FailedError(f"what {site.name} kept is not told", _tail(self._directory / f"{site.name}.log"))
            ground.mind()
            time.sleep(0.2)
        return time.monotonic() - began_s

    def _judge(self, ground: Ground) -> None:
        """Everything since the beginning of the leg; the figures are those of the last time."""
        total, gaps, batches, acknowledged = Verdict(), Counter[str](), 0, 0
        for site in ground.sites:
            # Before history is read: what is acknowledged later need not be in it.
            told = [(epoch, sequence) for _, epoch, sequence in [*site.acknowledged(), *site.welcomed()]]
            kept = history.read(ground.store, site.name)
            truth = ledger.read(site.ledger, site.looks, site.clock)
            horizon = Horizon(self._begins_us(site), kept.heard_us)
            found = verdict.judge(truth, kept, horizon, ground.advertised, site.clock)
            if site.clock.changes:  # hours that were leapt over would be most of all time
                found.judged_us = found.excused_us = 0
            found.wrong += verdict.judge_sequence(kept, told)
            found.wrong += [f"a count is not what is open: {row}" for row in kept.miscounted]
            found.wrong += verdict.judge_gaps(kept, site.agent.starts - 1, len(site.clock.changes))
            self._ask_about_the_past(ground, site, truth, kept, horizon, found)
            found.wrong = [f"{site.name}: {sentence}" for sentence in found.wrong]
            total.add(found)
            gaps.update(re.sub(r"\d+", "N", gap.reason) for gap in kept.gaps)
            batches += len(kept.stored)
            acknowledged += len({one for one in told if one[1]})
        self.outcome.verdict, self.outcome.gaps = total, gaps
        self.outcome.batches, self.outcome.acknowledged = batches, acknowledged

    def _begins_us(self, site: Site) -> int:
        return site.clock.wall(self._began_us, self._began_us)[1]

    def _ask_about_the_past(
        self, ground: Ground, site: Site, truth: Truth, kept: history.History, horizon: Horizon, found: Verdict
    ) -> None:
        """One question about a moment that no gap covers, of a host whose clock was never set."""
        gaps = union((gap.from_us - SLACK_US, gap.to_us + SLACK_US) for gap in kept.gaps)
        moments = [span for span in minus([(horizon.from_us, horizon.to_us)], gaps) if span[1] - span[0] > 2 * SLACK_US]
        if site.clock.changes or not moments:
            return
        begin, end = self._draw.choice(moments)
        at_us = self._draw.randrange(begin + SLACK_US, end - SLACK_US)
        told = datetime.fromtimestamp(at_us / 1e6, UTC).isoformat().replace("+00:00", "Z")
        answer = ground.fleet.ask("netstat", site.name, "-tuan", "-o", "json", "--at", told)
        own = verdict.own_names(kept, ground.advertised)
        found.wrong += verdict.judge_answer(truth, horizon, at_us, answer.items, own)
        found.asked += 1


class Faults:
    """The faults of a round, each at its time or when what it takes hold of is free."""

    def __init__(self, ground: Ground, drawn: list[Fault], say: Callable[[str], None]) -> None:
        self._ground = ground
        self._say = say
        self._give_up_s = drawn[-1].at_s * 1.5  # what has not begun by then is left out
        self._held: set[str] = set()
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._began_s = time.monotonic()
        for fault in drawn:
            self._at(fault.at_s, lambda fault=fault: self._begin(fault))  # type: ignore[misc]

    def run(self) -> None:
        """Until all have ended."""
        while self._due:
            at_s, _, step = heapq.heappop(self._due)
            while self._now_s < at_s:
                self._ground.mind()
                time.sleep(max(0.0, min(0.1, at_s - self._now_s)))
            step()

    @property
    def _now_s(self) -> float:
        return time.monotonic() - self._began_s

    def _at(self, at_s: float, step: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at_s, next(self._numbers), step))

    def _begin(self, fault: Fault) -> None:
        wanted = holds(fault, len(self._ground.sites))
        if wanted & self._held:
            if self._now_s < self._give_up_s:
                self._at(self._now_s + 0.1, lambda: self._begin(fault))
            return
        self._held |= wanted
        self._say(f"  {self._now_s:6.2f} {fault}")
        KINDS[fault.kind].begin(self._ground, fault)
        self._watch(fault, self._now_s + fault.lasts_s, wanted)

    def _watch(self, fault: Fault, until_s: float, held: set[str]) -> None:
        if self._now_s < until_s and not KINDS[fault.kind].over(self._ground, fault):
            self._at(min(until_s, self._now_s + 0.1), lambda: self._watch(fault, until_s, held))
            return
        KINDS[fault.kind].end(self._ground, fault)
        self._held -= held


def _names(rows: list[oracles.Row]) -> set[tuple[object, ...]]:
    """Without queues, which move by themselves."""
    return {(row.protocol, row.family, row.state, row.local, row.remote) for row in rows}


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


_SERVICE_MARKS = ("INVOCATION_ID", "NOTIFY_SOCKET")
