"""The difference between two dumps: what opened, changed and closed, and what a dump only makes look so."""

import dataclasses

import pytest
from agent.diag_messages import listener, sighting, time_wait
from agent.family_messages import encode_packet, encode_unix, packet, unix
from agent.scripted_kernel import ScriptedKernel
from fleetnet_agent.changes import MANY, DiagTable, Moves
from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import packet_diag, unix_diag
from fleetnet_agent.sources.source import InconsistentError, Sighting, SourceError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

NOTHING = Moves([], [], [])


@pytest.fixture
def kernel() -> ScriptedKernel:
    return ScriptedKernel()


@pytest.fixture
def table(kernel: ScriptedKernel) -> DiagTable:
    return DiagTable(kernel, kernel.find)


def test_the_first_look_opens_everything(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(listener(1), sighting(2), time_wait(3))
    moves = table.look()
    assert moves == Moves([listener(1), sighting(2), time_wait(3)], [], [])
    assert len(table) == 3


def test_nothing_moves_while_only_timers_run(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1), time_wait(2))
    table.look()
    kernel.expires = 777
    assert table.look() == NOTHING


def test_a_state_change_is_told_with_what_it_was(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1))
    table.look()
    kernel.put(sighting(1, state=State.CLOSE_WAIT, recv_queue=1))
    (change,) = table.look().changed
    assert (change.before, change.after) == (sighting(1), sighting(1, state=State.CLOSE_WAIT, recv_queue=1))


def test_a_connection_keeps_its_name_into_time_wait(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1))
    table.look()
    kernel.put(time_wait(1))
    moves = table.look()
    assert [change.after.state for change in moves.changed] == [State.TIME_WAIT]
    assert not moves.opened
    assert not moves.closed


def test_an_accepted_connection_changes_for_it_gets_an_inode(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1, inode=0))
    table.look()
    kernel.put(sighting(1, inode=55))
    (change,) = table.look().changed
    assert (change.before.inode, change.after.inode) == (0, 55)


def test_a_socket_that_a_dump_shows_twice_is_one(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1), sighting(2))
    kernel.doubled = {1}
    assert table.look().opened == [sighting(1), sighting(2)]
    kernel.stale = {1: sighting(1)}
    kernel.put(sighting(1, state=State.FIN_WAIT2))
    assert [change.after.state for change in table.look().changed] == [State.FIN_WAIT2]


def test_a_socket_that_a_dump_misses_is_not_closed(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1), sighting(2))
    table.look()
    kernel.missed = {1}
    assert table.look() == NOTHING
    assert kernel.asked == [1]
    assert len(table) == 2


def test_the_first_look_at_many_sockets_finds_those_that_one_dump_misses(
    kernel: ScriptedKernel, table: DiagTable
) -> None:
    everything = [sighting(cookie) for cookie in range(1, MANY + 10)]
    kernel.put(*everything)
    kernel.missed = {1, 77}
    kernel.misses_until_dump = 1
    assert sorted(one.name for one in table.look().opened if isinstance(one.name, int)) == list(range(1, MANY + 10))
    assert kernel.dumps == 2
    assert table.look() == NOTHING
    assert kernel.dumps == 3


def test_a_missed_socket_that_is_found_in_another_state_is_told_so(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1))
    table.look()
    kernel.missed = {1}
    kernel.put(sighting(1, state=State.CLOSE_WAIT))
    (change,) = table.look().changed
    assert change.after.state is State.CLOSE_WAIT


def test_a_socket_is_closed_when_an_exact_question_does_not_find_it(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1), sighting(2))
    table.look()
    del kernel.sockets[1]
    assert table.look().closed == [sighting(1)]
    assert table.look() == NOTHING


def test_of_listeners_that_an_exact_question_denies_another_look_decides(
    kernel: ScriptedKernel, table: DiagTable
) -> None:
    kernel.put(listener(1), listener(2), sighting(3))
    table.look()
    kernel.denied = {1, 2, 3}
    kernel.missed = {1, 2, 3}
    del kernel.sockets[2], kernel.sockets[3]

    kernel.misses_until_dump = kernel.dumps + 1
    assert {one.name for one in table.look().closed} == {2, 3}


@pytest.mark.parametrize("error", [SourceError("broken"), InconsistentError("again and again")])
def test_a_look_that_breaks_off_changes_nothing(kernel: ScriptedKernel, table: DiagTable, error: SourceError) -> None:
    kernel.put(sighting(1), sighting(2), sighting(3))
    table.look()
    del kernel.sockets[1]
    kernel.put(sighting(2, state=State.CLOSE_WAIT), sighting(4))
    kernel.breaks_off = error
    with pytest.raises(type(error)):
        table.look()
    kernel.breaks_off = None
    moves = table.look()
    assert ([one.name for one in moves.opened], [one.name for one in moves.closed]) == ([4], [1])
    assert [change.after.name for change in moves.changed] == [2]


def test_an_inconsistent_dump_is_read_again_at_once(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.breaks_off = InconsistentError("once more")
    with pytest.raises(InconsistentError):
        table.look()
    assert kernel.dumps == 3


def test_a_queue_is_told_only_when_it_lasts(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1))
    table.look()
    kernel.put(sighting(1, recv_queue=7))
    assert table.look() == NOTHING
    assert list(table.sightings()) == [sighting(1)]  # as it was told
    (change,) = table.look().changed  # the bytes are the same as in the look before
    assert change.after == sighting(1, recv_queue=7)
    assert list(table.sightings()) == [sighting(1, recv_queue=7)]
    assert table.look() == NOTHING


def test_a_change_of_something_else_tells_the_queues_too(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1))
    table.look()
    kernel.put(sighting(1, recv_queue=7))
    table.look()
    kernel.put(sighting(1, recv_queue=8, uid=0))
    assert [change.after.recv_queue for change in table.look().changed] == [8]
    assert table.look() == NOTHING


def test_a_backlog_limit_is_told_at_once_and_a_listeners_queue_like_any_other(
    kernel: ScriptedKernel, table: DiagTable
) -> None:
    kernel.put(listener(1, send_queue=128))
    table.look()
    kernel.put(listener(1, send_queue=128, recv_queue=3))
    assert table.look() == NOTHING
    kernel.put(listener(1, send_queue=5, recv_queue=3))
    assert [change.after.send_queue for change in table.look().changed] == [5]


def test_a_look_at_the_listeners_sees_only_them(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(listener(1), sighting(2))
    table.look()
    kernel.put(sighting(3))
    del kernel.sockets[2]
    assert not table.listeners_moved()
    kernel.put(listener(1, recv_queue=1))
    assert not table.listeners_moved()


@pytest.mark.parametrize(
    "sockets",
    [[], [listener(1), listener(9)], [listener(1, uid=5)], [sighting(1)]],
    ids=["closed", "opened", "changed", "listens no longer"],
)
def test_a_look_at_the_listeners_notices(kernel: ScriptedKernel, table: DiagTable, sockets: list[Sighting]) -> None:
    kernel.put(listener(1))
    table.look()
    kernel.sockets.clear()
    kernel.put(*sockets)
    assert table.listeners_moved()
    table.look()
    assert not table.listeners_moved()


def test_sockets_are_found_by_inode_and_by_name(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1), sighting(2))
    table.look()
    assert table.holding({sighting(2).inode, 12345}) == [sighting(2)]
    assert table.named({1, 99, b"nothing"}) == [sighting(1)]


def test_a_socket_is_still_there_while_it_has_the_same_inode(kernel: ScriptedKernel, table: DiagTable) -> None:
    kernel.put(sighting(1), sighting(2), sighting(3))
    table.look()
    del kernel.sockets[1]
    kernel.put(sighting(2, inode=0))
    assert table.still_there([1, 2, 3, 4]) == {3}


class Applied(RuleBasedStateMachine):
    """Whatever happens to the sockets and in the dumps, the moves applied to what was told give what is told."""

    states: tuple[State, ...] = (State.ESTABLISHED, State.CLOSE_WAIT, State.LISTEN)
    made = staticmethod(sighting)

    def __init__(self) -> None:
        super().__init__()
        self.kernel = self.new_kernel()
        self.table = DiagTable(self.kernel, self.kernel.find)
        self.told: dict[int | bytes, Sighting] = {}

    def new_kernel(self) -> ScriptedKernel:
        return ScriptedKernel()

    @rule(
        cookie=st.integers(1, 8),
        state=st.integers(0, 2),
        queue=st.integers(0, 2),
        backlog=st.integers(0, 2),
        inode=st.sampled_from([0, 5]),
    )
    def is_there(self, cookie: int, state: int, queue: int, backlog: int, inode: int) -> None:
        state = self.states[state % len(self.states)]
        backlog = 0 if self.kernel.protocol is Protocol.PACKET else backlog
        self.kernel.put(self.made(cookie, state=state, recv_queue=queue, send_queue=backlog, inode=inode))

    @rule(cookie=st.integers(1, 8))
    def ends(self, cookie: int) -> None:
        self.kernel.sockets.pop(cookie, None)

    @rule(missed=st.sets(st.integers(1, 8)), doubled=st.sets(st.integers(1, 8)), expires=st.integers(0, 9))
    def churns(self, missed: set[int], doubled: set[int], expires: int) -> None:
        self.kernel.missed, self.kernel.doubled, self.kernel.expires = missed, doubled, expires

    @rule()
    def look_fails(self) -> None:
        self.kernel.breaks_off = SourceError("broken")
        with pytest.raises(SourceError):
            self.table.look()
        self.kernel.breaks_off = None

    @rule()
    def look(self) -> None:
        moves = self.table.look()
        for one in moves.opened:
            assert one.name not in self.told
            self.told[one.name] = one
        for change in moves.changed:
            assert self.told[change.after.name] == change.before != change.after
            self.told[change.after.name] = change.after
        for one in moves.closed:
            assert self.told.pop(one.name) == one
            assert one.name not in self.kernel.sockets or self.is_missed_twice(one)
        self.agrees_with_the_kernel()

    def is_missed_twice(self, one: Sighting) -> bool:
        """Where there are no exact questions, nothing else can be known."""
        return self.kernel.codec.get_request is None and one.name in self.kernel.missed

    def agrees_with_the_kernel(self) -> None:
        """But for what the dump missed and nobody knew of, and for queues that have not lasted."""
        assert self.told.keys() <= self.kernel.sockets.keys()
        assert self.kernel.sockets.keys() - self.told.keys() <= self.kernel.missed
        for name, one in self.told.items():
            assert isinstance(name, int)
            now = self.kernel.sockets[name]
            backlog = now.send_queue if now.state is State.LISTEN else one.send_queue
            assert dataclasses.replace(now, recv_queue=one.recv_queue, send_queue=backlog) == one

    @invariant()
    def what_is_told_is_what_is_kept(self) -> None:
        assert {one.name: one for one in self.table.sightings()} == self.told


class AppliedToUnix(Applied):
    """Likewise, with messages of other lengths and another layout."""

    states = (State.ESTABLISHED, State.CLOSE, State.LISTEN)
    made = staticmethod(unix)

    def new_kernel(self) -> ScriptedKernel:
        return ScriptedKernel(Protocol.UNIX, unix_diag.CODEC, encode_unix)


class AppliedToPacket(Applied):
    """Likewise, where the kernel answers no exact questions."""

    states = (State.CLOSE,)
    made = staticmethod(packet)

    def new_kernel(self) -> ScriptedKernel:
        return ScriptedKernel(Protocol.PACKET, packet_diag.CODEC, encode_packet)


TestApplied = Applied.TestCase
TestApplied.settings = settings(max_examples=60, stateful_step_count=40)
TestAppliedToUnix = AppliedToUnix.TestCase
TestAppliedToUnix.settings = settings(max_examples=40, stateful_step_count=40)
TestAppliedToPacket = AppliedToPacket.TestCase
TestAppliedToPacket.settings = settings(max_examples=30, stateful_step_count=40)


def test_of_packet_sockets_that_a_dump_misses_another_look_decides() -> None:
    kernel = ScriptedKernel(Protocol.PACKET, packet_diag.CODEC, encode_packet)
    table = DiagTable(kernel, kernel.find)
    kernel.put(packet(1), packet(2))
    table.look()
    kernel.missed = {1, 2}
    kernel.misses_until_dump = kernel.dumps + 1
    del kernel.sockets[2]
    assert [one.name for one in table.look().closed] == [2]


def test_a_unix_listeners_backlog_limit_is_told_at_once() -> None:
    kernel = ScriptedKernel(Protocol.UNIX, unix_diag.CODEC, encode_unix)
    table = DiagTable(kernel, kernel.find)
    kernel.put(unix(1, state=State.LISTEN, path=b"/run/a", send_queue=128))
    table.look()
    kernel.put(unix(1, state=State.LISTEN, path=b"/run/a", send_queue=128, recv_queue=1))
    assert table.look() == NOTHING
    kernel.put(unix(1, state=State.LISTEN, path=b"/run/a", send_queue=5, recv_queue=1))
    assert [change.after.send_queue for change in table.look().changed] == [5]
