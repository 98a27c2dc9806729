"""The bookkeeping of who holds what, both ways round."""

from fleetnet_agent.owners.holdings import Holdings
from fleetnet_agent.records import Process
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule


def process(pid: int, name: str = "x") -> Process:
    return Process(pid, 0, name, "", "")


def test_all_that_hold_a_socket_are_named_in_order() -> None:
    holdings = Holdings()
    holdings.follow(5)
    assert holdings.read(process(20), [5, 6]) == {5}
    assert holdings.read(process(3), [5]) == {5}
    assert [one.pid for one in holdings.processes_of(5)] == [3, 20]
    assert holdings.read(process(3), [5]) == set()


def test_another_program_in_the_same_process_is_news() -> None:
    holdings = Holdings()
    holdings.follow(5)
    holdings.read(process(3, "sh"), [5])
    assert holdings.read(process(3, "server"), [5]) == {5}
    assert holdings.processes_of(5)[0].name == "server"


def test_who_let_go_of_a_socket_counts_until_it_is_given_up() -> None:
    holdings = Holdings()
    holdings.follow(5)
    for pid in (3, 20):
        holdings.read(process(pid), [5])
    assert holdings.left([3, 20]) == {5}
    assert [one.pid for one in holdings.processes_of(5)] == [3, 20]
    assert holdings.unowned() == {5}
    assert holdings.give_up(set) == {5}
    assert holdings.processes_of(5) == ()
    assert holdings.give_up(set) == set()


def test_what_has_ended_and_is_not_looked_at_yet_stays_its_owners() -> None:
    holdings = Holdings()
    holdings.follow(5)
    holdings.read(process(3), [5])
    holdings.left([3])
    for _ in range(2):
        assert holdings.give_up(lambda _: ()) == set()
        assert [one.pid for one in holdings.processes_of(5)] == [3]
    holdings.read(process(4), [5])  # another socket has got its inode
    holdings.left([4])
    assert [one.pid for one in holdings.processes_of(5)] == [4]
    assert holdings.give_up(set) == {5}
    assert holdings.processes_of(5) == ()


def test_of_a_pid_that_is_used_again_the_process_that_held_the_socket_is_meant() -> None:
    holdings = Holdings()
    holdings.follow(5)
    holdings.read(process(3, "before"), [5])
    holdings.read(process(3, "after"), [])
    assert [one.name for one in holdings.processes_of(5)] == ["before"]


def test_processes_that_have_ended_leave_nothing() -> None:
    holdings = Holdings()
    holdings.left(range(1_000, 2_000))  # of which none held anything
    for pid in range(10, 200):
        holdings.follow(5)
        holdings.read(process(pid), [5])
        holdings.left([pid])
    assert len(holdings._tuples) == len(holdings._owners) == len(holdings.holders()) == 0


class Books(RuleBasedStateMachine):
    """Against a plain set of pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.holdings = Holdings()
        self.followed: set[int] = set()
        self.pairs: set[tuple[int, int]] = set()
        self.let_go: dict[int, list[int]] = {}
        self.ended: set[int] = set()

    pids = st.integers(1, 4)
    inodes = st.integers(1, 5)

    @rule(inode=inodes)
    def follow(self, inode: int) -> None:
        self.holdings.follow(inode)
        self.followed.add(inode)

    @rule(inode=inodes)
    def forget(self, inode: int) -> None:
        self.holdings.forget(inode)
        self.followed.discard(inode)
        self.pairs = {pair for pair in self.pairs if pair[1] != inode}
        self.let_go.pop(inode, None)
        self.ended.discard(inode)

    @rule(pid=pids, inodes=st.sets(inodes))
    def read(self, pid: int, inodes: set[int]) -> None:
        before = {inode for other, inode in self.pairs if other == pid}
        touched = self.holdings.read(process(pid), inodes)
        assert touched == before ^ (inodes & self.followed)
        self._leave({(pid, inode) for inode in before - inodes})
        self.pairs = {pair for pair in self.pairs if pair[0] != pid} | {(pid, i) for i in inodes & self.followed}

    @rule(pids=st.sets(pids))
    def left(self, pids: set[int]) -> None:
        assert self.holdings.left(pids) == {inode for pid, inode in self.pairs if pid in pids}
        for pid in pids:
            self._leave({pair for pair in self.pairs if pair[0] == pid})

    @rule(there=st.sets(inodes))
    def give_up(self, there: set[int]) -> None:
        held = {inode for _, inode in self.pairs}
        asked = self.let_go.keys() - held - self.ended
        assert self.holdings.give_up(there.intersection) == asked & there
        self.ended = (self.ended | (asked - there)) - held
        self.let_go = {inode: pids for inode, pids in self.let_go.items() if inode in self.ended}

    def _leave(self, leaving: set[tuple[int, int]]) -> None:
        for _, inode in leaving:
            if inode in self.ended:
                self.ended.discard(inode)
                del self.let_go[inode]
            self.let_go.setdefault(inode, self._held_by(inode))
        self.pairs -= leaving

    def _held_by(self, inode: int) -> list[int]:
        return sorted(pid for pid, held in self.pairs if held == inode)

    @invariant()
    def agree(self) -> None:
        for inode in range(1, 6):
            expected = self._held_by(inode)
            assert list(self.holdings.pids_of(inode)) == expected
            shown = [one.pid for one in self.holdings.processes_of(inode)]
            assert shown == (expected or self.let_go.get(inode, []))
        assert self.holdings.unowned() == self.followed - {inode for _, inode in self.pairs}
        assert set(self.holdings.holders()) == {pid for pid, _ in self.pairs}


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=200, stateful_step_count=30)
