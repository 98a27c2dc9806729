"""Hosts whose collector is away for days, and comes back: a real collector, real agents, and time that flies.

1. Days ago: the collector runs, the hosts enroll and report. Then it ends.
2. Each host's agents, one after the other, live through the days; they are stopped and killed, and a host boots.
3. The present: the clocks show the machine's own time again, and the collector starts. The present is asked for by
   the command line while the backlog is held back by its rate: what is open then, and what is said of the past.
4. The agent is started anew with the rate that agents have, and tells what it kept.
"""

import json
import random
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from faults import history
from faults.stores import SqliteStore
from faults.workload import Name
from fleetnet_agent.uplink.drain import RATE
from fleetnet_agent.uplink.keeping import DEFAULT_BYTES
from week.agent import Stretch
from week.ledger import Batch, Line
from week.truth import moments_of, open_at, shown
from week.world import DAY_US, FOR_EVER_US, MINUTE_US, OFF_US, SECOND_US, Size

from demo.fleet import Answer, Fleet, Wrap
from demo.programs import FailedError, Program, Programs, until

_ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0  # matters only where something fails
HELD_BACK = 1.0  # bytes a second: one part of a backlog, and for ages no other
_KILLED_AT = {"after-look": 1.0, "spool-before-fsync": 0.8, "spool-after-fsync": 0.8}  # and how often of all looks
SOONER_S, RARELY_S = 3.0, 3600.0  # at most between two attempts: where the collector comes back, and in the days before

# All of the week is judged when it is over, and most sockets in it are brief.
_KEEP = ("--keep-brief-days", "forever")


@dataclass(frozen=True, slots=True)
class Case:
    """A host, and what its agents live through."""

    name: str
    days: float = 7.0
    spool_bytes: int = DEFAULT_BYTES
    look_every_s: float = 120.0
    restarts: int = 11
    boots: int = 1
    size: Size = field(default_factory=Size)
    seed: int = 1
    holds_back: bool = True  # the past, until the present was asked for


@dataclass(slots=True)
class Outcome:
    """What is known of a host in the end, beside what the collector has."""

    case: Case
    stretches: list[Stretch] = field(default_factory=list)
    killed: int = 0
    present: dict[Name, str] = field(default_factory=dict)  # what is open when all is over
    away_us: int = 0  # since when no collector was there
    back_us: int = 0  # when one had heard of the host again
    midst: Answer | None = None  # what was said of the midst of the days when the present was right
    stored_then: list[str] = field(default_factory=list)  # kinds of the batches that were stored by then
    acknowledged_s: float = 0.0  # from the welcome to the acknowledgement of the snapshot
    present_s: float = 0.0  # from the welcome to the right answers
    kept_bytes: int = 0
    told_s: float = 0.0  # from the welcome to the last of the backlog

    @property
    def ledger(self) -> Path:
        """Of all of its agents."""
        return Path(self.stretches[0].ledger)

    @property
    def restarts(self) -> int:
        """Of its agent, while no collector was there."""
        return len(self.stretches) - 1 - self.case.holds_back

    def agents(self) -> list[list[Line]]:
        """The looks of each agent; what is counted begins anew with each."""
        told = self.ledger.read_text().split("began\n")[1:]
        return [[Line.of(line) for line in one.splitlines() if not line.startswith("put")] for one in told]

    def lines(self) -> list[Line]:
        """All looks."""
        return [line for agent in self.agents() for line in agent]

    def batches(self) -> list[Batch]:
        """All that the last agent has put, in the order in which they are stored."""
        told = self.ledger.read_text().rpartition("began\n")[2].splitlines()
        return sorted(Batch.of(line) for line in told if line.startswith("put"))


class Story:
    """All hosts, with one collector."""

    def __init__(self, programs: Programs, cases: Sequence[Case]) -> None:
        self._programs = programs
        self.fleet = Fleet(programs.directory, programs)
        self.store = SqliteStore(self.fleet.data)
        programs.environment["PYTHONPATH"] = f"{_ROOT / 'tests'}:{_ROOT}"
        self.outcomes = [Outcome(case) for case in cases]
        self._agents: dict[str, Program] = {}

    def play(self) -> list[Outcome]:
        """From the beginning to the end."""
        for days in sorted({outcome.case.days for outcome in self.outcomes}, reverse=True):
            self._begin([outcome for outcome in self.outcomes if outcome.case.days == days], days)
        self.store.witness()
        at_once = [outcome for outcome in self.outcomes if not outcome.case.holds_back]
        with ThreadPoolExecutor(2 * len(self.outcomes)) as threads:
            list(threads.map(self._live, self.outcomes))
            self.fleet.start_collector(*_KEEP)
            told = [threads.submit(self._note_told, outcome) for outcome in at_once]
            list(threads.map(self._ask, self.outcomes))
            list(threads.map(self._tell_what_was_held_back, [one for one in self.outcomes if one not in at_once]))
            for one in told:
                one.result()
        return self.outcomes

    def log(self, name: str) -> str:
        """What the agents of a host have logged."""
        return (self.fleet.directory / f"{name}.log").read_text()

    # Days ago.

    def _begin(self, outcomes: list[Outcome], days: float) -> None:
        self.fleet.start_collector(*_KEEP, wrap=_days_ago(days))
        for outcome in outcomes:
            self.fleet.enroll(outcome.case.name)
            now_us = time.time_ns() // 1000
            first = self._first(outcome.case, now_us - int(days * DAY_US), now_us)
            self._start(outcome, first)
        for outcome in outcomes:
            self._agents[outcome.case.name].wait_for("^.*snapshot of .* acknowledged", within_s=PATIENCE_S)
        self.fleet.collector.stop()
        for outcome in outcomes:
            outcome.away_us = outcome.lines()[-1].look_us
            self._agents[outcome.case.name].tell("skip")
        for outcome in outcomes:
            self._end(outcome)

    def _first(self, case: Case, begin_us: int, now_us: int) -> Stretch:
        span_us = (now_us - begin_us) // (case.boots + 1)
        boots_us = tuple(begin_us + span_us * number for number in range(1, case.boots + 1))
        end_us = now_us - 2 * MINUTE_US
        return Stretch(
            state=str(self.fleet.state(case.name)),
            ledger=str(self.fleet.directory / f"{case.name}.ledger"),
            seed=case.seed,
            world_us=(begin_us - 30 * MINUTE_US, end_us),
            boots_us=boots_us,
            size=tuple(getattr(case.size, one.name) for one in fields(case.size)),
            begin_us=begin_us,
            ago_us=now_us - begin_us,
            until_us=_ends(case, begin_us, end_us, boots_us)[0],
            flies=False,
            look_every_s=case.look_every_s,
            backoff_cap_s=RARELY_S,
            spool_bytes=case.spool_bytes,
            backlog_bytes_per_s=HELD_BACK if case.holds_back else RATE,
        )

    # The days.

    def _live(self, outcome: Outcome) -> None:
        """Each agent lives until the next boot or step, is stopped or killed, and another begins some looks later."""
        case, first = outcome.case, outcome.stretches[0]
        draw = random.Random(case.seed)
        later = replace(first, ago_us=None, flies=True)
        ends_us = _ends(case, first.begin_us, first.world_us[1], first.boots_us)
        for until_us in ends_us[1:]:
            begin_us = self._begins_us(outcome, draw)
            looks = (until_us - begin_us) / (case.look_every_s * SECOND_US)
            point = draw.choice(("", *_KILLED_AT))
            failpoints = f"{point}=kill@{max(1, int(looks * _KILLED_AT[point]))}" if point else ""
            self._start(outcome, replace(later, begin_us=begin_us, until_us=until_us), failpoints)
            self._end(outcome)
        begin_us = self._begins_us(outcome, draw)
        self._start(outcome, replace(later, begin_us=begin_us, until_us=0, backoff_cap_s=SOONER_S))
        outcome.present = open_at(moments_of(first.world.lives()), FOR_EVER_US)
        self._agents[case.name].wait_for("^the present", within_s=PATIENCE_S)

    def _begins_us(self, outcome: Outcome, draw: random.Random) -> int:
        """When the next agent begins: some looks after the last, or when the host is up again."""
        ended_us = outcome.lines()[-1].look_us
        later_us = ended_us + int(draw.uniform(1, 4) * outcome.case.look_every_s * SECOND_US)
        for boot_us in outcome.stretches[0].boots_us:
            if ended_us <= boot_us <= later_us:
                return boot_us + OFF_US + SECOND_US
        return later_us

    def _start(self, outcome: Outcome, stretch: Stretch, failpoints: str = "") -> None:
        outcome.stretches.append(stretch)
        told = json.dumps({one.name: getattr(stretch, one.name) for one in fields(stretch)})
        environment = {"FLEETNET_FAILPOINTS": failpoints} if failpoints else None
        command = [sys.executable, "-m", "week.agent", told]
        self._agents[outcome.case.name] = self._programs.start(outcome.case.name, command, environment)

    def _end(self, outcome: Outcome) -> None:
        """Wait until it has ended, as it was to."""
        program = self._agents[outcome.case.name]
        status = program.wait(within_s=PATIENCE_S)
        if status not in (0, -signal.SIGKILL):
            raise FailedError(f"the agent of {outcome.case.name} ended with status {status}", program.tail(40))
        outcome.killed += status != 0

    # The present.

    def _ask(self, outcome: Outcome) -> None:
        """The present is right before the past is told, which is a gap until then."""
        name = outcome.case.name
        self._agents[name].wait_for("^.*connected to", within_s=PATIENCE_S)
        began_s = time.monotonic()
        outcome.back_us = time.time_ns() // 1000
        self._agents[name].wait_for("^.*snapshot of .* acknowledged", within_s=PATIENCE_S)
        outcome.acknowledged_s = time.monotonic() - began_s
        until(lambda: self._is_right(name, outcome.present), within_s=PATIENCE_S, what=f"the present of {name}")
        outcome.present_s = time.monotonic() - began_s
        outcome.kept_bytes = outcome.lines()[-1].spool_bytes
        outcome.midst = self.at(outcome, (outcome.away_us + outcome.back_us) // 2)
        outcome.stored_then = [batch.kind for batch in outcome.batches()[: self._stored(name)]]

    def _is_right(self, name: str, truth: dict[Name, str]) -> bool:
        listening = self.fleet.ask("who-listens", "443", "--host", name, "-o", "json")
        if listening.status != 0 or len(listening.items) != 1:
            return False
        answer = self.fleet.ask("netstat", name, "-a", "-n", "-o", "json")
        return answer.status == 0 and shown(answer.items) == truth

    def _stored(self, name: str) -> int:
        """How many batches of its newest agent are stored."""
        epochs = [(epoch, sequence) for epoch, _, sequence in history.read(self.store, name).stored]
        return max((sequence for epoch, sequence in epochs if epoch == epochs[-1][0]), default=0)

    def at(self, outcome: Outcome, at_us: int) -> Answer:
        """What the host's sockets were then."""
        moment = (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us)).isoformat()
        return self.fleet.ask("netstat", outcome.case.name, "-a", "-n", "-o", "json", "--at", moment)

    def _tell_what_was_held_back(self, outcome: Outcome) -> None:
        """The next agent does, as fast as agents do."""
        name, stretch = outcome.case.name, outcome.stretches[-1]
        self._agents[name].stop()
        begin_us = time.time_ns() // 1000
        self._start(outcome, replace(stretch, begin_us=begin_us, ago_us=0, flies=False, backlog_bytes_per_s=RATE))
        self._note_told(outcome)

    def _note_told(self, outcome: Outcome) -> None:
        agent = self._agents[outcome.case.name]
        agent.wait_for("^.*connected to", within_s=PATIENCE_S)
        began_s = time.monotonic()
        agent.wait_for("^.*all that was kept while no collector answered has been told", within_s=PATIENCE_S)
        outcome.told_s = time.monotonic() - began_s


def _ends(case: Case, begin_us: int, end_us: int, boots_us: Sequence[int]) -> list[int]:
    """Until when each agent lives but the last: boots, and between them as many more as there are to be restarts."""
    last_us = end_us - 6 * int(case.look_every_s * SECOND_US)
    parts = case.restarts - case.boots
    steps = [begin_us + (last_us - begin_us) * number // parts for number in range(1, parts + 1)]
    return sorted([*steps, *(boot_us - SECOND_US for boot_us in boots_us)])


def _days_ago(days: float) -> Wrap:
    return lambda command: [sys.executable, "-m", "week.days_ago", str(days), *command[1:]]
