"""Owners of sockets on a host of files, with a clock that the test moves: who is found when, and what it may cost."""

from collections.abc import Collection
from pathlib import Path

import pytest
from agent.proc_tree import BOOTED_AT_S, Clock, ProcTree, fixture_host
from fleetnet_agent.helper.client import HelperUnavailableError
from fleetnet_agent.helper.scan import Answer, Question, scan
from fleetnet_agent.owners.lookup import OwnerLookup, Wanted
from fleetnet_agent.records import OwnerStatus, Process


class CountingHelper:
    """A helper that reads the same files, notes what it was asked, and takes its time."""

    def __init__(self, proc: Path, clock: Clock) -> None:
        self._proc = proc
        self._clock = clock
        self.asked: list[Question] = []
        self.unreadable: frozenset[int] = frozenset()
        self.takes_s = 0.0
        self.is_away = False

    def scan(self, question: Question) -> Answer:
        if self.is_away:
            raise HelperUnavailableError("it is away")
        self.asked.append(question)
        if not question.skip and question.pids is None:
            self._clock.go(self.takes_s)
        answer = scan(self._proc, Question(question.inodes, question.pids, question.skip | self.unreadable))
        return Answer(answer.processes, answer.pids, tuple(self.unreadable & set(answer.pids)))

    @property
    def full_scans(self) -> int:
        return sum(not question.skip and question.pids is None for question in self.asked)


@pytest.fixture
def proc(tmp_path: Path) -> ProcTree:
    return ProcTree(tmp_path / "proc")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def helper(proc: ProcTree, clock: Clock) -> CountingHelper:
    return CountingHelper(proc.root, clock)


@pytest.fixture
def lookup(proc: ProcTree, clock: Clock, helper: CountingHelper) -> OwnerLookup:
    return OwnerLookup(fixture_host(proc.root, clock), helper, is_root=False)


def everything(inodes: Collection[int]) -> Collection[int]:
    return inodes


def nothing(inodes: Collection[int]) -> Collection[int]:
    return ()


def connection(inode: int, *hints: str) -> Wanted:
    return Wanted(inode, is_listener=False, hints=hints)


def listener(inode: int, *hints: str) -> Wanted:
    return Wanted(inode, is_listener=True, hints=hints)


def owners(lookup: OwnerLookup, inode: int) -> list[int]:
    ownership = lookup.ownership_of(inode)
    assert bool(ownership.owners) == (ownership.status is OwnerStatus.KNOWN)
    return [process.pid for process in ownership.owners]


def test_all_owners_of_a_listener_are_found_at_once(proc: ProcTree, lookup: OwnerLookup) -> None:
    for pid in (10, 11, 12):
        proc.add(pid, sockets=[5])
    lookup.follow([listener(5)])
    assert lookup.update(everything) == {5}
    assert owners(lookup, 5) == [10, 11, 12]


def test_a_process_is_told_with_the_time_of_its_start(proc: ProcTree, lookup: OwnerLookup) -> None:
    proc.add(10, "nginx", [5], ticks=150)
    lookup.follow([listener(5)])
    lookup.update(everything)
    start_us = BOOTED_AT_S * 1_000_000 + 1_500_000
    assert lookup.ownership_of(5).owners == (Process(10, start_us, "nginx", "/usr/sbin/server", "server"),)


def test_what_is_known_is_not_looked_up_again(proc: ProcTree, lookup: OwnerLookup, helper: CountingHelper) -> None:
    proc.add(10, sockets=[5])
    lookup.follow([listener(5)])
    lookup.update(everything)
    lookup.update(everything)
    lookup.update(everything)
    assert helper.full_scans == len(helper.asked) == 1
    proc.add(11)
    lookup.update(everything)
    assert helper.asked[-1].skip == {1, 10}
    lookup.update(everything)  # once more, for what is new
    assert helper.asked[-1].skip == {1, 10}
    lookup.update(everything)
    assert len(helper.asked) == 3


def test_where_processes_are_hidden_the_helper_is_asked_who_is_new_each_time(
    proc: ProcTree, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    proc.add(10, sockets=[5])
    lookup.follow([listener(5)])
    lookup.update(everything)
    proc.end(1)
    for _ in range(3):
        lookup.update(everything)
    assert len(helper.asked) == 4


def test_a_child_that_is_forked_after_the_look_is_found_at_the_next(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    proc.add(10, sockets=[5])
    lookup.follow([listener(5)])
    lookup.update(everything)
    proc.add(11, sockets=[5])
    clock.go(1)
    assert lookup.update(everything) == {5}
    assert owners(lookup, 5) == [10, 11]
    assert helper.full_scans == 1


def test_a_child_that_drops_its_parents_listener_for_another_program_is_no_owner(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup
) -> None:
    proc.add(10, sockets=[5])
    lookup.follow([listener(5)])
    lookup.update(everything)
    proc.add(11, sockets=[5])  # between fork and exec
    clock.go(1)
    lookup.update(everything)
    proc.hold(11, [])
    clock.go(1)
    assert lookup.update(everything) == {5}
    assert owners(lookup, 5) == [10]


def test_an_owner_that_ended_is_noticed_at_once(proc: ProcTree, clock: Clock, lookup: OwnerLookup) -> None:
    proc.add(10, sockets=[5])
    proc.add(11, sockets=[5])
    lookup.follow([listener(5)])
    lookup.update(everything)
    proc.end(10)
    clock.go(1)
    assert lookup.update(everything) == {5}
    assert owners(lookup, 5) == [11]


def test_a_socket_that_ends_with_its_owner_never_was_without_one(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup
) -> None:
    proc.add(10, sockets=[5])
    lookup.follow([listener(5)])
    lookup.update(everything)
    proc.end(10)  # the kernel does away with its sockets a moment later
    clock.go(1)
    lookup.update(everything)
    assert owners(lookup, 5) == [10]
    lookup.forget([5])
    assert lookup.update(everything) == set()


def test_a_socket_that_outlives_its_owner_is_told_to_have_none_at_the_next_update(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup
) -> None:
    proc.add(10, sockets=[5])
    lookup.follow([listener(5)])
    lookup.update(everything)
    proc.end(10)
    clock.go(1)
    lookup.update(everything)
    assert 5 in lookup.update(everything)
    assert owners(lookup, 5) == []


def test_a_descriptor_that_was_passed_on_is_noticed_within_seconds(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup
) -> None:
    proc.add(10, sockets=[5])
    proc.add(11)
    lookup.follow([connection(5)])
    lookup.update(everything)
    proc.hold(10, [])
    proc.hold(11, [5])
    clock.go(1)
    assert lookup.update(everything) == set()
    clock.go(2.5)
    assert lookup.update(everything) == {5}
    assert owners(lookup, 5) == [11]


def test_another_program_in_the_same_process_is_noticed_within_seconds(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup
) -> None:
    proc.add(10, "sh", [5])
    lookup.follow([listener(5)])
    lookup.update(everything)
    proc.add(10, "server", [5])
    clock.go(4)
    assert lookup.update(everything) == {5}
    assert lookup.ownership_of(5).owners[0].name == "server"


def test_a_pid_that_was_used_again_is_another_process(proc: ProcTree, clock: Clock, lookup: OwnerLookup) -> None:
    proc.add(10, sockets=[5], ticks=100)
    lookup.follow([listener(5)])
    lookup.update(everything)
    before = lookup.ownership_of(5)
    proc.add(10, sockets=[5], ticks=200)
    clock.go(4)
    assert lookup.update(everything) == {5}
    assert lookup.ownership_of(5) != before


def test_a_new_connection_is_looked_for_where_its_like_were(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    proc.add(10, sockets=[5])
    proc.add(11, sockets=[6])
    lookup.follow([listener(5, "web"), listener(6, "mail")])
    lookup.update(everything)
    clock.go(1)
    proc.hold(10, [5, 7])
    lookup.follow([connection(7, "web")])
    assert lookup.update(everything) == {7}
    assert owners(lookup, 7) == [10]
    assert helper.asked[-1].pids == frozenset({10})
    assert helper.full_scans == 1


def test_where_the_hint_is_wrong_everybody_is_asked(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    proc.add(10, sockets=[5])
    proc.add(11)
    lookup.follow([listener(5, "web")])
    lookup.update(everything)
    clock.go(1)
    proc.hold(11, [7])
    lookup.follow([connection(7, "web")])
    lookup.update(everything)
    assert owners(lookup, 7) == [11]
    assert helper.full_scans == 2


def test_scans_of_everything_are_spaced_by_what_they_cost(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    helper.takes_s = 0.2
    began_us = clock()
    for inode in range(100, 160):  # each second a socket that nobody is found to hold
        lookup.follow([connection(inode)])
        lookup.update(nothing)
        clock.go(1)
    spent = helper.full_scans * 0.2 / ((clock() - began_us) / 1_000_000)
    assert 0.02 < spent < 0.06
    assert lookup.ownership_of(159).status is OwnerStatus.RACED


def test_what_nobody_holds_though_all_were_read_is_the_kernels(lookup: OwnerLookup, helper: CountingHelper) -> None:
    lookup.follow([listener(5)])
    assert lookup.update(everything) == {5}
    assert lookup.ownership_of(5).status is OwnerStatus.KERNEL
    scans = helper.full_scans
    lookup.update(everything)
    assert helper.full_scans == scans  # not searched for again


def test_what_was_gone_when_nobody_was_found_was_a_race(lookup: OwnerLookup) -> None:
    lookup.follow([listener(5)])
    lookup.update(nothing)
    assert lookup.ownership_of(5).status is OwnerStatus.RACED


def test_where_somebody_may_not_be_read_even_by_the_helper_it_is_a_matter_of_permission(
    proc: ProcTree, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    proc.add(10, sockets=[5])
    helper.unreadable = frozenset({10})
    lookup.follow([listener(5)])
    lookup.update(everything)
    assert lookup.ownership_of(5).status is OwnerStatus.PERMISSION
    assert not lookup.status().ok


def test_who_cannot_be_read_any_more_is_taken_to_hold_what_it_held(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    proc.add(10, sockets=[5])
    lookup.follow([listener(5)])
    lookup.update(everything)
    helper.unreadable = frozenset({10})
    clock.go(10)
    assert lookup.update(everything) == set()
    assert owners(lookup, 5) == [10]


def test_a_helper_that_goes_away_and_returns_is_told_and_used_again(
    proc: ProcTree, clock: Clock, helper: CountingHelper
) -> None:
    hidden = ProcTree(proc.root.parent / "as the agent sees it")
    hidden_host = fixture_host(hidden.root, clock)
    (hidden.root / "1").rename(hidden.root / "one")  # hidepid=2: others are not even listed
    lookup = OwnerLookup(hidden_host, helper, is_root=False)
    proc.add(10, sockets=[5])
    helper.is_away = True
    lookup.follow([listener(5)])
    lookup.update(everything)
    assert lookup.ownership_of(5).status is OwnerStatus.NO_HELPER
    assert not lookup.status().ok
    assert "it is away" in lookup.status().detail
    helper.is_away = False
    clock.go(6)
    assert lookup.update(everything) == {5}
    assert owners(lookup, 5) == [10]
    assert lookup.status().ok
    assert lookup.status().detail == ""


def test_owners_that_a_helper_found_are_kept_while_it_is_away(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    proc.add(10, sockets=[5])
    lookup.follow([listener(5)])
    lookup.update(everything)
    helper.is_away = True
    clock.go(10)
    lookup.update(everything)
    assert owners(lookup, 5) == [10]
    assert not lookup.status().ok


def test_a_helper_that_does_not_answer_is_left_alone_for_a_while(
    clock: Clock, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    helper.is_away = True
    lookup.update(everything)
    helper.is_away = False
    clock.go(1)
    lookup.update(everything)
    assert helper.asked == []
    clock.go(6)
    lookup.update(everything)
    assert len(helper.asked) > 0


@pytest.mark.parametrize(("is_root", "status"), [(True, OwnerStatus.PERMISSION), (False, OwnerStatus.NO_HELPER)])
def test_without_a_helper_it_depends_on_who_the_agent_is(
    is_root: bool, status: OwnerStatus, proc: ProcTree, clock: Clock
) -> None:
    proc.end(1)  # as under hidepid=2
    proc.add(10, sockets=[6])
    lookup = OwnerLookup(fixture_host(proc.root, clock), None, is_root=is_root)
    lookup.follow([listener(5), listener(6)])
    lookup.update(everything)
    assert lookup.ownership_of(5).status is status
    assert owners(lookup, 6) == [10]
    assert not lookup.status().ok
    assert ("hidepid" if is_root else "--with-helper") in lookup.status().detail


def test_a_socket_that_is_gone_is_forgotten(proc: ProcTree, clock: Clock, lookup: OwnerLookup) -> None:
    proc.add(10, sockets=[5])
    lookup.follow([listener(5)])
    lookup.update(everything)
    lookup.forget([5])
    clock.go(10)
    proc.hold(10, [])
    assert lookup.update(everything) == set()


def test_with_very_many_sockets_the_question_does_not_name_them(
    proc: ProcTree, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    proc.add(10, sockets=range(1000, 2100))
    lookup.follow([connection(inode) for inode in range(1000, 2100)])
    lookup.update(everything)
    assert helper.asked[-1].inodes is None
    assert all(owners(lookup, inode) == [10] for inode in range(1000, 2100))


def test_a_host_without_proc_has_no_owners_and_no_crash(tmp_path: Path, clock: Clock) -> None:
    lookup = OwnerLookup(fixture_host(tmp_path / "nothing", clock), None, is_root=True)
    lookup.follow([listener(5)])
    lookup.update(everything)
    assert lookup.ownership_of(5).status is OwnerStatus.PERMISSION


def patient(inode: int, *hints: str) -> Wanted:
    return Wanted(inode, is_listener=False, hints=hints, patient=True)


def test_patient_sockets_that_come_and_go_bring_no_scan_ahead_of_the_next_that_is_due(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    helper.takes_s = 0.02
    for pid in range(10, 60):
        proc.add(pid, sockets=[pid])
    lookup.follow([patient(pid) for pid in range(10, 60)])
    lookup.update(everything)
    first = helper.full_scans
    for second in range(60):  # a hundred new ones in every look, of processes that were there before
        inodes = range(1000 + 100 * second, 1100 + 100 * second)
        proc.hold(10 + second % 50, [10 + second % 50, *inodes])
        lookup.follow([patient(inode) for inode in inodes])
        clock.go(1)
        lookup.update(everything)
        lookup.forget(inodes[:50])
    assert helper.full_scans - first <= 60 // 3
    # Beside newcomers and the scans that are due, only the one process that has just lost sockets is asked.
    assert all(question.pids is None or len(question.pids) == 1 for question in helper.asked)


def test_a_patient_socket_is_found_where_its_like_was_found_without_a_scan(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    proc.add(10, sockets=[5])
    proc.add(11, sockets=[6])
    lookup.follow([patient(5, "/run/bus"), patient(6)])
    lookup.update(everything)
    proc.hold(10, [5, 7])
    lookup.follow([patient(7, "/run/bus")])
    clock.go(1)
    assert lookup.update(everything) == {7}
    assert owners(lookup, 7) == [10]
    assert helper.full_scans == 1
    assert helper.asked[-1].pids == frozenset({10})


def test_a_patient_socket_that_loses_its_owner_stays_patient(
    proc: ProcTree, clock: Clock, lookup: OwnerLookup, helper: CountingHelper
) -> None:
    proc.add(10, sockets=[5])
    proc.add(11)
    lookup.follow([patient(5)])
    lookup.update(everything)
    proc.end(10)
    proc.hold(11, [5])
    clock.go(1)
    assert lookup.update(everything) == {5}
    assert helper.full_scans == 1
    clock.go(3)
    lookup.update(everything)
    assert owners(lookup, 5) == [11]
