"""What the agent does less of when it uses too much, in which order, and how it comes back: on a clock of the test's,
then in a watch, then as a real process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from agent.diag_messages import sighting
from agent.proc_tree import Clock, ProcTree, fixture_host
from agent.scripted_kernel import ScriptedKernel
from fleetnet_agent.budget import (
    LONGEST_INTERVAL_S,
    MIB,
    NO_CEILINGS,
    STEPS_FOR_CPU,
    Allowance,
    Budget,
    Ceilings,
    Usage,
)
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.ends import Ends
from fleetnet_agent.followed import Followed
from fleetnet_agent.owners.lookup import OwnerLookup
from fleetnet_agent.pacing import NOT_WITHIN_BUDGET
from fleetnet_agent.records import Difference, Protocol
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.usage import give_back, usage_now
from fleetnet_agent.watch import Watch
from hypothesis import given
from hypothesis import strategies as st


class Process:
    """What a process uses, as a test has it, judged once a second."""

    def __init__(self, cpu_percent: float = 5, memory_mib: int = 96) -> None:
        self.budget = Budget(Ceilings(cpu_percent, memory_mib * MIB))
        self.statuses = [self.budget.status]
        self.trims = 0
        self._at_us = 1_000_000_000
        self._cpu_us = 700_000
        self._resident_bytes = 40 * MIB

    def runs(self, seconds: int, cpu_percent: float = 0.5, memory_mib: int = 40) -> None:
        self._resident_bytes = memory_mib * MIB
        for _ in range(seconds):
            self._at_us += 1_000_000
            self._cpu_us += int(cpu_percent * 10_000)
            self.trims += self.budget.judge(self.usage(), 5.0)
            if self.budget.status != self.statuses[-1]:
                self.statuses.append(self.budget.status)

    def usage(self) -> Usage:
        return Usage(self._at_us, self._cpu_us, self._resident_bytes)

    @property
    def step(self) -> int:
        return STEPS_FOR_CPU.index(self.budget.allowance)

    @property
    def words(self) -> str:
        status = self.budget.status
        assert status
        assert (status.name, status.ok, status.blind) == ("budget", not status.detail, False)
        return status.detail


def test_within_the_budget_all_is_done_and_nothing_is_said() -> None:
    process = Process()
    process.runs(600, cpu_percent=4)
    assert process.budget.allowance == Allowance()
    assert len(process.statuses) == 1
    assert process.words == ""


def test_a_first_second_that_costs_much_is_no_reason_to_look_less() -> None:
    process = Process()
    process.runs(1, cpu_percent=150)
    process.runs(300, cpu_percent=1)
    assert len(process.statuses) == 1


def test_over_the_cpu_ceiling_each_minute_takes_a_step_in_the_documented_order() -> None:
    process = Process()
    steps = []
    for _ in range(8):
        process.runs(60, cpu_percent=7.1)
        steps.append(process.step)
    assert steps == sorted(steps)
    assert steps[-1] == len(STEPS_FOR_CPU) - 1
    assert len(process.statuses) == len(STEPS_FOR_CPU)
    documented = Path(__file__).parents[2] / "docs/budget.md"
    for status in process.statuses[1:]:
        assert status
        for less in status.detail.partition(": ")[2].split(", "):
            assert less.split(" every ")[0].split(" 4 times")[0].split(" (")[0] in documented.read_text()


def test_the_status_says_what_is_over_by_how_much_and_what_is_done_less() -> None:
    process = Process()
    process.runs(50, cpu_percent=7.1)
    assert process.words == (
        "used 7.1 % of a core for 39 s where 5 % over a minute are allowed: "
        "looks at everything every 10 s instead of 5 s"
    )
    process = Process(cpu_percent=0)
    process.runs(1, memory_mib=90)
    assert process.words == "used 90 MiB of memory where 96 are allowed: keeps no caches"


def test_the_faster_the_cpu_is_used_up_the_sooner_a_step_is_taken() -> None:
    process = Process()
    process.runs(5, cpu_percent=100)
    assert process.step == 1
    process.runs(20, cpu_percent=100)
    assert process.step == len(STEPS_FOR_CPU) - 1
    assert process.words.endswith("does not read UNIX and packet sockets (they are shown as they were)")


def test_when_it_is_calm_again_it_comes_back_step_by_step() -> None:
    process = Process()
    process.runs(30, cpu_percent=100)
    process.runs(60 * len(STEPS_FOR_CPU) + 60, cpu_percent=0.3)
    assert process.budget.allowance == Allowance()
    assert process.words == ""


def test_a_use_that_twice_as_much_would_bring_over_keeps_the_step() -> None:
    process = Process()
    process.runs(40, cpu_percent=10)
    step = process.step
    process.runs(1000, cpu_percent=2.5)
    assert process.step == step


def test_a_load_that_comes_back_with_each_return_is_tried_more_and_more_rarely() -> None:
    process = Process()
    for _ in range(6 * 3600):
        process.runs(1, cpu_percent=0.1 if process.step >= 5 else 20)  # the last step alone saves anything
    in_six_hours = len(process.statuses)
    for _ in range(6 * 3600):
        process.runs(1, cpu_percent=0.1 if process.step >= 5 else 20)
    assert in_six_hours < 40
    assert len(process.statuses) - in_six_hours <= 2 * 7


def test_over_the_memory_ceiling_caches_go_first_and_events_second() -> None:
    process = Process()
    process.runs(1, memory_mib=87)
    assert process.budget.allowance == Allowance(keeps_caches=False)
    assert process.trims == 1
    process.runs(8, memory_mib=87)
    assert process.budget.allowance == Allowance(keeps_caches=False), "what was dropped takes a moment to be given back"
    process.runs(5, memory_mib=87)
    assert process.budget.allowance == Allowance(keeps_caches=False, events_divisor=4)
    process.runs(600, memory_mib=87)
    assert len(process.statuses) == 3
    assert process.trims == 2 + 10, "once a minute"
    process.runs(200, memory_mib=60)
    assert process.budget.allowance == Allowance()


def test_both_ceilings_make_one_sentence() -> None:
    process = Process()
    process.runs(6, cpu_percent=100, memory_mib=100)
    assert process.words.count(" and used ") == 1
    assert process.words.endswith("every 10 s instead of 5 s, keeps no caches")


def test_without_ceilings_nothing_is_judged() -> None:
    assert Budget(NO_CEILINGS).status is None
    process = Process(cpu_percent=0, memory_mib=0)
    process.runs(300, cpu_percent=300, memory_mib=9000)
    assert process.budget.allowance == Allowance()


@pytest.mark.parametrize("interval_s", [1.0, 2.5, 5.0])
def test_however_little_is_allowed_the_host_stays_fresh(interval_s: float) -> None:
    process = Process()
    process.runs(60, cpu_percent=100)
    assert interval_s < process.budget.stretched_s(interval_s) <= LONGEST_INTERVAL_S


@given(st.lists(st.tuples(st.integers(1, 90), st.floats(0, 200), st.integers(0, 200)), max_size=40))
def test_whatever_happens_the_steps_are_on_the_ladder_and_a_status_is_news(uses: list[tuple[int, float, int]]) -> None:
    process = Process()
    for seconds, cpu_percent, memory_mib in uses:
        process.runs(seconds, cpu_percent, memory_mib)
        assert (process.budget.allowance == Allowance()) == (process.words == "")


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Strained:
    """A watch of TCP and UNIX sockets whose process uses what a test says."""

    def __init__(self, clock: Clock, tmp_path: Path) -> None:
        self.clock, self.cpu_us, self.resident_bytes = clock, 0, 40 * MIB
        self.tcp, self.unix = ScriptedKernel(), ScriptedKernel()
        host = fixture_host(ProcTree(tmp_path / "proc").root, clock)
        self.owners = OwnerLookup(host, None, is_root=True)
        followed = [
            Followed("tcp", Protocol.TCP, DiagTable(self.tcp, self.tcp.find), Ends(clock)),
            Followed("unix", Protocol.UNIX, DiagTable(self.unix, self.unix.find), Ends(clock)),
        ]
        budget = Budget(Ceilings(5, 96 * MIB))
        self.watch = Watch(host, self.owners, followed, DiagSocket(), budget=budget, usage=self._usage)

    def _usage(self) -> Usage:
        return Usage(self.clock(), self.cpu_us, self.resident_bytes)

    def goes(self, seconds: int, cpu_percent: float) -> list[Difference]:
        differences = []
        for _ in range(seconds):
            self.clock.go(1)
            self.cpu_us += int(cpu_percent * 10_000)
            differences.append(self.watch.look())
        return differences


@pytest.fixture
def strained(clock: Clock, tmp_path: Path) -> Iterator[Strained]:
    made = Strained(clock, tmp_path)
    yield made
    made.watch.close()


def test_a_strained_watch_looks_at_everything_more_rarely_and_says_so_once(strained: Strained) -> None:
    strained.tcp.put(sighting(1))
    strained.goes(10, cpu_percent=0)
    dumps = strained.tcp.dumps
    differences = strained.goes(60, cpu_percent=5)
    assert strained.watch.interval_s() == 2.0
    assert strained.tcp.dumps - dumps < 2 * 60 + 20, "a look at the listeners a second, and fewer at everything"
    told = [status for difference in differences for status in difference.sources if status.name == "budget"]
    assert len(told) == 1
    assert not told[0].ok
    assert told[0] in strained.watch.snapshot().sources


def test_sockets_that_are_not_read_stay_open_and_the_time_becomes_a_gap(strained: Strained) -> None:
    strained.tcp.put(sighting(1))
    strained.unix.put(sighting(2))
    strained.goes(2, cpu_percent=0)
    strained.goes(60, cpu_percent=100)
    left_out = {status.name: status for status in strained.watch.snapshot().sources}["unix"]
    assert (left_out.ok, left_out.blind, left_out.detail) == (False, False, f"not read: {NOT_WITHIN_BUDGET}")
    assert strained.owners.rarer == 4
    strained.unix.sockets.clear()
    strained.tcp.sockets.clear()
    dumps = strained.unix.dumps
    differences = strained.goes(40, cpu_percent=100)
    assert [closed.key.protocol for one in differences for closed in one.closed] == [Protocol.TCP]
    assert strained.unix.dumps == dumps
    assert not any(one.gaps for one in differences)
    differences = strained.goes(900, cpu_percent=0.1)  # all is as before after 300
    (gap,) = [gap for one in differences for gap in one.gaps]
    assert gap.reason == NOT_WITHIN_BUDGET
    (closed_at_us,) = [one.look_at_us for one in differences if one.closed]
    assert gap.to_us == closed_at_us
    assert gap.from_us < gap.to_us
    assert strained.owners.rarer == 1
    assert all(status.ok for status in strained.watch.snapshot().sources)


def test_what_this_process_uses_is_what_the_kernel_counts() -> None:
    before = usage_now(lambda: 1)
    ballast = bytearray(
        64 * MIB
    )  # more than malloc(3) ever takes from memory that it has: M_MMAP_THRESHOLD is 32 at most
    ballast[::4096] = b"x" * len(ballast[::4096])
    while usage_now(lambda: 1).cpu_us == before.cpu_us:
        sum(range(1000))
    after = usage_now(lambda: 2)
    assert after.resident_bytes - before.resident_bytes > 48 * MIB
    assert after.at_us == 2
    del ballast
    give_back()
    assert usage_now(lambda: 3).resident_bytes < after.resident_bytes - 48 * MIB
