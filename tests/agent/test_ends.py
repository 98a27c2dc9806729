"""The ends that the kernel told of, joined to what looks saw: each explained once, no socket made twice."""

from collections import Counter

import pytest
from agent.diag_messages import listener, sighting, time_wait
from agent.proc_tree import Clock
from agent.scripted_kernel import ScriptedKernel
from fleetnet_agent import ends as joining
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.ends import Ends, Joined
from fleetnet_agent.records import State
from fleetnet_agent.sources.source import End, Sighting
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

NOW_US = 1_700_000_000_000_000


def end(cookie: int, at_us: int = NOW_US, **fields: object) -> End:
    """As the kernel tells it: no uid, no inode, no control group."""
    gone = {"state": State.CLOSE, "uid": None, "inode": 0, "cgroup_id": 0}
    return End.of(at_us, sighting(cookie, **{**gone, **fields}))


class Looking:
    """A table, its ends and a look at both."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.kernel = ScriptedKernel()
        self.table = DiagTable(self.kernel, self.kernel.find)
        self.ends = Ends(self.clock)
        self.first = True

    def look(self, *before: End, after: tuple[End, ...] = ()) -> Joined:
        moves = self.table.look()
        joined = self.ends.join(moves, before, after, self.table.named, first=self.first)
        self.first = False
        return joined


@pytest.fixture
def looking() -> Looking:
    made = Looking()
    made.look()
    return made


def names(joined: Joined) -> list[object]:
    return [each.socket.name for each in joined.brief]


def test_the_end_of_a_known_socket_says_when_it_closed(looking: Looking) -> None:
    looking.kernel.put(sighting(1))
    looking.look()
    del looking.kernel.sockets[1]
    assert looking.look(end(1)) == Joined(times={1: NOW_US})


def test_an_end_that_came_during_the_dump_waits_for_the_look_that_finds_the_socket_gone(looking: Looking) -> None:
    looking.kernel.put(sighting(1))
    assert looking.look(after=(end(1),)) == Joined()
    del looking.kernel.sockets[1]
    assert looking.look() == Joined(times={1: NOW_US})


def test_a_socket_that_went_into_time_wait_did_so_at_the_event_and_is_not_closed(looking: Looking) -> None:
    looking.kernel.put(sighting(1))
    looking.look()
    looking.kernel.put(time_wait(1))
    assert looking.look(end(1)) == Joined(times={1: NOW_US})
    assert looking.look() == Joined()


def test_a_socket_whose_process_kept_it_beyond_time_wait_is_not_told_again(looking: Looking) -> None:
    looking.kernel.put(sighting(1), sighting(2))
    looking.look()
    looking.kernel.put(time_wait(1), time_wait(2))
    looking.look()
    assert looking.look(end(1)) == Joined()
    del looking.kernel.sockets[2]
    looking.look()
    looking.clock.go(600)
    assert looking.look(end(2)) == Joined()


def test_an_end_told_after_the_look_that_found_the_socket_gone_is_nothing_new(looking: Looking) -> None:
    looking.kernel.put(sighting(1))
    looking.look()
    del looking.kernel.sockets[1]
    assert looking.look() == Joined()
    assert looking.look(end(1)) == Joined()
    assert names(looking.look(end(1))) == [1], "once only: nothing else can have this name, but nothing is passed over"


def test_an_unknown_end_is_a_brief_socket(looking: Looking) -> None:
    told = end(7)
    assert looking.look(told) == Joined(brief=[told])
    assert looking.look() == Joined()


def test_an_unknown_end_that_came_during_the_dump_is_told_by_the_next_look(looking: Looking) -> None:
    told = end(7)
    assert looking.look(after=(told,)) == Joined()
    assert looking.look() == Joined(brief=[told])


def test_a_time_wait_of_an_unknown_connection_is_all_there_is_of_it(looking: Looking) -> None:
    looking.kernel.put(time_wait(99, remote_port=5))
    assert looking.look(end(7, remote_port=5)) == Joined(times={99: NOW_US})


def test_so_it_is_when_the_event_came_during_the_dump_or_later(looking: Looking) -> None:
    looking.kernel.put(time_wait(98, remote_port=4), time_wait(99, remote_port=5))
    assert looking.look(after=(end(6, remote_port=4),)) == Joined(times={98: NOW_US})
    assert looking.look(end(7, remote_port=5)) == Joined()
    assert names(looking.look(end(8, remote_port=5))) == [8], "the next connection with these addresses is another"


def test_of_connections_with_the_same_addresses_the_last_one_left_the_time_wait(looking: Looking) -> None:
    looking.kernel.put(time_wait(99, remote_port=5))
    joined = looking.look(end(7, remote_port=5), end(8, NOW_US + 9, remote_port=5))
    assert names(joined) == [7]
    assert joined.times == {99: NOW_US + 9}


def test_a_time_wait_that_the_dump_missed_goes_on_as_the_connection_told_before(looking: Looking) -> None:
    looking.kernel.put(time_wait(99, remote_port=5))
    looking.kernel.missed = {99}
    assert names(looking.look(end(7, remote_port=5))) == [7]
    looking.kernel.missed = set()
    looking.clock.go(59)
    assert looking.look() == Joined(times={99: NOW_US}, same_as={99: 7})


def test_a_time_wait_more_than_a_minute_later_is_another_connections(looking: Looking) -> None:
    assert names(looking.look(end(7, remote_port=5))) == [7]
    looking.clock.go(61)
    looking.kernel.put(time_wait(99, remote_port=5))
    assert looking.look() == Joined()


def test_a_time_wait_from_before_the_first_look_swallows_no_later_connection() -> None:
    looking = Looking()
    looking.kernel.put(time_wait(99, remote_port=5))
    looking.look()
    assert names(looking.look(end(7, remote_port=5))) == [7]


def test_ends_that_no_look_could_explain_wait(looking: Looking) -> None:
    looking.ends.postpone([end(7)])
    assert names(looking.look()) == [7]


def test_a_time_wait_whose_addresses_are_used_again_ends_before_the_later_connection_does(looking: Looking) -> None:
    looking.kernel.put(time_wait(1, remote_port=9))
    assert looking.look(end(2, remote_port=9)) == Joined(times={1: NOW_US})
    del looking.kernel.sockets[1]
    looking.kernel.put(time_wait(3, remote_port=9))  # of the later connection, under a cookie of its own
    later = end(4, NOW_US + 5, remote_port=9)
    assert looking.look(later) == Joined(times={3: NOW_US + 5}, reused={1: NOW_US + 5})


def test_so_does_one_that_a_brief_connection_has_followed(looking: Looking) -> None:
    looking.kernel.put(time_wait(1, remote_port=9))
    assert looking.look(end(2, remote_port=9)) == Joined(times={1: NOW_US})
    del looking.kernel.sockets[1]
    later = end(4, NOW_US + 5, remote_port=9)
    assert looking.look(later) == Joined(brief=[later], reused={1: NOW_US + 5})


def test_so_does_a_request_to_connect_that_was_seen_as_it_became_a_connection(looking: Looking) -> None:
    looking.kernel.put(sighting(1, state=State.SYN_RECV, uid=None, inode=0, remote_port=9))
    assert looking.look() == Joined()
    del looking.kernel.sockets[1]
    connection = end(2, NOW_US + 5, remote_port=9)
    assert looking.look(connection) == Joined(brief=[connection], reused={1: NOW_US + 5})


def test_a_listener_ends_like_any_socket(looking: Looking) -> None:
    looking.kernel.put(listener(3))
    looking.look()
    del looking.kernel.sockets[3]
    assert looking.look(end(3, remote_address=b"", remote_port=0)).times == {3: NOW_US}


def test_what_is_remembered_is_bounded(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "MOST_REMEMBERED", 3)
    looking.look(*(end(n, remote_port=n) for n in range(1, 10)))
    looking.kernel.put(time_wait(90, remote_port=1), time_wait(99, remote_port=9))
    assert looking.look().same_as == {99: 9}


def test_what_nobody_asked_for_within_its_time_is_forgotten(looking: Looking) -> None:
    for number in range(100):
        looking.clock.go(1)
        looking.kernel.put(time_wait(1_000 + number, remote_port=1_000 + number))
        looking.look(end(number + 1, remote_port=number + 1))
        looking.kernel.sockets.clear()
    assert (len(looking.ends._briefs), len(looking.ends._unannounced)) == (61, 61)


class EachOnce(RuleBasedStateMachine):
    """Connections come, are seen or not, go, through TIME_WAIT or not; the events come late or during a dump; dumps
    miss. Every connection is told under one name, and closed or brief once."""

    def __init__(self) -> None:
        super().__init__()
        self.looking = Looking()
        self.looking.look()
        self.number = 100
        self.events: list[End] = []
        self.in_dump: list[End] = []
        self.told: Counter[object] = Counter()  # by the port that each connection alone has
        self.ended: set[int] = set()
        self.names: dict[object, int] = {}

    @rule()
    def opens(self) -> None:
        self.number += 1
        self.looking.kernel.put(sighting(self.number, remote_port=self.number))

    @rule(how=st.sampled_from(["reset", "fin"]), pick=st.randoms(use_true_random=False), during=st.booleans())
    def ends(self, how: str, pick: object, during: bool) -> None:
        sockets = self.looking.kernel.sockets
        full = [cookie for cookie, one in sockets.items() if one.state is not State.TIME_WAIT]
        if not full:
            return
        cookie = pick.choice(full)  # type: ignore[attr-defined]  # a random.Random
        port = sockets.pop(cookie).remote_port
        if how == "fin":
            dumped = bool(self.looking.table.named([cookie]))
            left = time_wait(cookie if dumped else cookie + 1_000_000, remote_port=port)
            self.looking.kernel.put(left)
        (self.in_dump if during else self.events).append(end(cookie, remote_port=port))
        self.ended.add(port)

    @rule(count=st.integers(0, 3))
    def time_waits_pass(self, count: int) -> None:
        sockets = self.looking.kernel.sockets
        for cookie in [cookie for cookie, one in sockets.items() if one.state is State.TIME_WAIT][:count]:
            if not any(each.socket.remote_port == sockets[cookie].remote_port for each in self.events + self.in_dump):
                del sockets[cookie]

    @rule(miss=st.booleans())
    def look(self, miss: bool) -> None:
        kernel = self.looking.kernel
        kernel.missed = {cookie for cookie, one in kernel.sockets.items() if miss and one.state is State.TIME_WAIT}
        moves = self.looking.table.look()
        joined = self.looking.ends.join(moves, self.events, self.in_dump, self.looking.table.named, first=False)
        self.events, self.in_dump = [], []
        for one in moves.opened:
            self.tell(one, again=one.name in joined.same_as)
        for each in joined.brief:
            self.tell(each.socket, again=False)
        known = {one.name for one in (*moves.opened, *moves.closed, *(change.after for change in moves.changed))}
        assert joined.times.keys() <= known

    def tell(self, one: Sighting, *, again: bool) -> None:
        assert (one.remote_port in self.told) is again
        self.told[one.remote_port] += 1

    @invariant()
    def nothing_is_told_that_was_not_there(self) -> None:
        assert max(self.told.values(), default=0) <= 2

    def teardown(self) -> None:
        for _ in range(2):
            self.look(miss=False)
        assert self.ended <= self.told.keys()


TestEachOnce = EachOnce.TestCase
TestEachOnce.settings = settings(max_examples=60, stateful_step_count=40)
