"""Tests that have the machine to themselves have it; the others share it, a file in one worker."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from test_skips import SHARED_OUT, run
from turns import ALONE, EARLY, Turns

ROOT = Path(__file__).resolve().parents[1]


class Worker:
    """Runs what it was given when told to; as with pytest-xdist not the last, unless it knows that nothing follows."""

    def __init__(self, turns: Turns, tests: Sequence[str]) -> None:
        self.shutting_down = False
        self._turns = turns
        self._tests = tests
        self._given: list[int] = []
        turns.add_node(self)
        turns.add_node_collection(self, tests)

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        self._given += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def given(self) -> list[str]:
        """What it has still to run."""
        return [self._tests[number] for number in self._given]

    @property
    def can_run(self) -> bool:
        """Whether it can begin a test."""
        return len(self._given) > (0 if self.shutting_down else 1)

    def run(self) -> str:
        """The next test, to its end."""
        assert self.can_run
        number = self._given.pop(0)
        self._turns.mark_test_complete(self, number)
        return self._tests[number]


TESTS = ["a::1", "a::2", "alone::1", "alone::2", "b::1", "c::1", "early::1", "too-alone::1"]


def turns(workers: int) -> Turns:
    return Turns(workers, alone=["alone", "too-alone"], early=["nowhere", "early"])


def started(workers: int, tests: Sequence[str] = TESTS) -> tuple[Turns, list[Worker]]:
    made = turns(workers)
    up = [Worker(made, tests) for _ in range(workers)]
    assert made.collection_is_completed
    made.schedule()
    return made, up


def test_while_tests_run_alone_no_other_worker_is_given_anything() -> None:
    _, (one, other) = started(2)
    for test in ("alone::1", "alone::2", "too-alone::1"):
        assert other.given == []
        assert one.run() == test
    assert (one.given, other.given) == (["early::1", "b::1"], ["a::1", "a::2"])


@pytest.mark.parametrize("workers", [1, 2, 3, 20])
def test_each_test_is_run_once_and_all_workers_end(workers: int) -> None:
    made, up = started(workers)
    ran = []
    while busy := [worker for worker in up if worker.can_run]:
        ran.append(busy[-1].run())
    assert sorted(ran) == TESTS
    assert made.tests_finished
    assert not made.has_pending
    assert all(worker.shutting_down for worker in up)


@pytest.mark.parametrize("tests", [[], ["alone::1"], ["a::1"]])
def test_where_there_are_fewer_tests_than_workers_those_that_have_none_end(tests: list[str]) -> None:
    made, up = started(2, tests)
    assert [worker.run() for worker in up if worker.given] == tests
    assert made.tests_finished
    assert all(worker.shutting_down for worker in up)


def test_what_a_worker_did_not_come_to_is_anothers() -> None:
    made, (one, other) = started(2)
    assert one.run() == "alone::1"
    assert made.remove_node(one) == "alone::2"
    assert other.given == ["too-alone::1", "early::1"]
    third = Worker(made, TESTS)
    made.schedule()
    assert third.given == []
    assert other.run() == "too-alone::1"
    assert third.given == ["a::1", "a::2"]


def test_the_last_worker_of_all_that_crashes_leaves_its_tests_to_the_one_that_takes_its_place() -> None:
    made, (one,) = started(1, ["a::1", "a::2", "a::3"])
    assert made.remove_node(one) == "a::1"
    assert not made.tests_finished
    another = Worker(made, ["a::1", "a::2", "a::3"])
    made.schedule()
    assert (another.run(), another.run()) == ("a::2", "a::3")
    assert made.tests_finished


def test_workers_that_have_collected_different_tests_are_not_believed() -> None:
    made = turns(2)
    Worker(made, ["a::1", "a::2"])
    with pytest.raises(AssertionError, match=r"different tests: a::2, a::3"):
        Worker(made, ["a::1", "a::3"])
    with pytest.raises(AssertionError, match=r"the order of 2 tests"):
        Worker(made, ["a::2", "a::1"])


def test_all_that_is_said_to_run_alone_or_early_is_there() -> None:
    assert [name for name in (*ALONE, *EARLY) if not (ROOT / name).exists()] == []


# In pytest itself: two tests that wait for each other, and one that would see either of them.
MEETS = """
import time
from pathlib import Path

def test_it() -> None:
    mine, other = Path("{mine}"), Path("{other}")
    mine.touch()
    deadline = time.monotonic() + 60.0
    while not other.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
"""
SEES_NOBODY = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(3))
def test_it(number: int) -> None:
    assert not Path("one").exists() and not Path("two").exists()
"""
FAILS = "def test_it() -> None: assert False"
PASSES = "def test_it() -> None: pass"


def test_pytest_gives_the_machine_to_one_test_and_then_to_several(tmp_path: Path) -> None:
    meeting = {
        "test_one.py": MEETS.format(mine="one", other="two"),
        "test_two.py": MEETS.format(mine="two", other="one"),
    }
    done = run(tmp_path, {**meeting, ALONE[0]: SEES_NOBODY}, "", *SHARED_OUT)
    assert (done.returncode, "5 passed" in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize("file", ["test_one.py", ALONE[0]])
def test_one_summary_tells_what_failed_wherever_it_ran(tmp_path: Path, file: str) -> None:
    done = run(tmp_path, {"test_two.py": PASSES, file: FAILS}, "", *SHARED_OUT)
    assert (done.returncode, "1 failed, 1 passed" in done.stdout) == (1, True), done.stdout
