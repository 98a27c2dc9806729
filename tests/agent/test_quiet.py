"""When a table of another namespace need not be read: the rules, on a scripted kernel. What real kernels count is in
tests/system/test_quiet.py."""

import pytest
from agent.diag_messages import encode, listener, sighting, time_wait
from agent.proc_tree import Clock
from agent.scripted_kernel import ScriptedKernel
from agent.test_counts import counts
from fleetnet_agent.cgroups import CGroups
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.ends import Ends
from fleetnet_agent.events import Told
from fleetnet_agent.followed import Followed
from fleetnet_agent.holders import Holders
from fleetnet_agent.host import this_host
from fleetnet_agent.neighbour import Sight
from fleetnet_agent.owners.lookup import OwnerLookup
from fleetnet_agent.quiet import AGAIN_US, SETTLES_US, Quiet
from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources.counts import Counts
from fleetnet_agent.sources.inet_diag import is_calm
from fleetnet_agent.sources.source import End, SourceError

NETNS = 7
HEARD = Told(sure=True)
STILL = counts()
MOVED = Counts((b"1 200 120000 -1 74763 72442 0 1017712 994314", b"1", b"3"), STILL.some_of)
NO_UDP = Counts(STILL.tcp, frozenset({Protocol.TCP}))
SOME_UDP = Counts(STILL.tcp, frozenset({Protocol.TCP, Protocol.UDP}))


class Namespace:
    """One table of it, and how often it was read."""

    def __init__(self, protocol: Protocol, clock: Clock) -> None:
        self.kernel = ScriptedKernel(protocol)
        table = DiagTable(self.kernel, self.kernel.find)
        self.followed = Followed(protocol.name, protocol, table, Ends(clock), netns=NETNS)
        self.quiet = Quiet(NETNS, clock)
        self._clock = clock

    def is_read(self, counts: Counts | None = STILL, told: Told = HEARD, after_s: float = 1.0) -> bool:
        """One look, so long after the last."""
        self._clock.go(after_s)
        self.quiet.begin(counts)
        if self.quiet.leaves_out(self.followed, told):
            return False
        seen = self.followed.look()
        self.quiet.has_read(self.followed, whole=seen.whole)
        if seen.whole:
            self.followed.join(seen, told.of(self.followed.protocol, NETNS), ())
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tcp(clock: Clock) -> Namespace:
    """With a listener and a connection, and read until it need not be read."""
    made = Namespace(Protocol.TCP, clock)
    made.kernel.put(listener(1, send_queue=128), sighting(2), sighting(3, state=State.CLOSE_WAIT))
    assert [made.is_read() for _ in range(4)] == [True, True, False, False]
    return made


@pytest.fixture
def udp(clock: Clock) -> Namespace:
    return Namespace(Protocol.UDP, clock)


def end(protocol: Protocol, cookie: int = 99) -> Told:
    one = End.of(1, sighting(cookie, protocol=protocol))
    return Told({(NETNS, protocol): [one]}, sure=True)


def test_where_the_counters_move_the_table_is_read_until_they_have_stood_still_for_a_while(tcp: Namespace) -> None:
    assert [tcp.is_read(MOVED) for _ in range(3)] == [True, True, False]
    assert [tcp.is_read(STILL) for _ in range(3)] == [True, True, False]


def test_a_reading_right_after_the_counters_moved_does_not_count_for_the_kernel_counts_first(tcp: Namespace) -> None:
    soon_s = SETTLES_US / 1_000_000 / 4
    assert [tcp.is_read(MOVED, after_s=soon_s) for _ in range(6)] == [True, True, True, True, True, False]


def test_without_counters_it_is_read(tcp: Namespace) -> None:
    assert [tcp.is_read(None) for _ in range(3)] == [True, True, True]
    assert [tcp.is_read(STILL) for _ in range(3)] == [True, True, False]


def test_where_an_end_was_told_it_is_read_and_once_more_where_that_end_waits(tcp: Namespace) -> None:
    assert tcp.is_read(told=end(Protocol.TCP))
    assert not tcp.is_read(told=end(Protocol.UDP))
    tcp.followed.join(tcp.followed.stay(), (), end(Protocol.TCP).of(Protocol.TCP, NETNS))
    assert tcp.is_read()
    assert not tcp.is_read()


def test_while_ends_may_be_missing_it_is_read(tcp: Namespace) -> None:
    assert tcp.is_read(told=Told(sure=False))
    assert not tcp.is_read()


def test_another_listener_or_another_limit_of_its_backlog_has_it_read(tcp: Namespace) -> None:
    tcp.kernel.put(listener(1, send_queue=5))
    assert tcp.is_read()
    assert not tcp.is_read()
    del tcp.kernel.sockets[1]
    assert tcp.is_read()
    assert not tcp.is_read()


def test_listeners_that_cannot_be_read_are_not_passed_over(tcp: Namespace) -> None:
    tcp.kernel.breaks_off = SourceError("broken")
    assert tcp.is_read()
    assert tcp.followed.status.blind
    tcp.kernel.breaks_off = None
    assert [tcp.is_read() for _ in range(2)] == [True, False]


def test_it_is_read_once_a_minute_in_any_case(tcp: Namespace) -> None:
    looks = [tcp.is_read() for _ in range(2 * AGAIN_US // 1_000_000)]
    assert 2 <= looks.count(True) <= 4
    read = [at for at, was_read in enumerate(looks) if was_read]
    assert all(later - earlier <= AGAIN_US // 1_000_000 for earlier, later in zip([0, *read], read, strict=False))


def test_namespaces_that_were_found_together_are_not_read_together_for_ever(clock: Clock) -> None:
    spread = {Quiet(netns, clock)._again_after_us // 1_000_000 for netns in range(4026532000, 4026532100)}
    assert len(spread) > 20
    assert min(spread) >= AGAIN_US // 2_000_000
    assert max(spread) <= AGAIN_US // 1_000_000


@pytest.mark.parametrize(
    "one",
    [
        sighting(2, state=State.SYN_SENT),
        sighting(2, state=State.SYN_RECV, uid=None, inode=0),
        sighting(2, state=State.FIN_WAIT1, inode=0),
        sighting(2, state=State.FIN_WAIT2),
        sighting(2, state=State.LAST_ACK, inode=0),
        sighting(2, state=State.CLOSING),
        time_wait(2),
        sighting(2, inode=0),
        sighting(2, recv_queue=1),
        sighting(2, send_queue=1),
        sighting(2, state=State.CLOSE_WAIT, recv_queue=1),
        listener(2, recv_queue=1),
    ],
)
def test_what_can_change_without_being_counted_is_read_at_every_look(clock: Clock, one: object) -> None:
    namespace = Namespace(Protocol.TCP, clock)
    namespace.kernel.put(sighting(1), one)  # type: ignore[arg-type]  # a Sighting, which pytest does not know
    assert all(namespace.is_read() for _ in range(5))
    del namespace.kernel.sockets[2]
    assert [namespace.is_read() for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    "one",
    [
        listener(1, send_queue=4096),
        sighting(1),
        sighting(1, state=State.CLOSE_WAIT),
    ],
)
def test_a_listener_and_a_connection_that_was_accepted_are_calm(one: object) -> None:
    assert is_calm(encode(one))  # type: ignore[arg-type]  # a Sighting, which pytest does not know


def test_a_length_that_waits_to_be_told_has_it_read(tcp: Namespace) -> None:
    tcp.kernel.put(sighting(2, recv_queue=9))
    assert [tcp.is_read(MOVED) for _ in range(3)] == [True, True, True]  # told at the second: it lasts
    tcp.kernel.put(sighting(2))
    assert tcp.is_read(STILL)
    assert tcp.is_read(STILL), "0 is told when it lasts"
    assert [one.recv_queue for one in tcp.followed._table.sightings()] == [0, 0, 0]
    assert not tcp.is_read(STILL)


def test_of_other_kinds_none_is_read_where_there_was_none_and_is_none(udp: Namespace) -> None:
    assert udp.is_read(NO_UDP), "how it can be read is not known yet"
    assert not udp.is_read(NO_UDP, Told(sure=False))
    assert udp.is_read(SOME_UDP)
    assert udp.is_read(NO_UDP, end(Protocol.UDP)), "one that came and went"
    assert udp.is_read(None)
    assert not udp.is_read(NO_UDP)


def test_of_other_kinds_what_was_there_is_read_until_a_reading_shows_none(udp: Namespace) -> None:
    udp.kernel.put(sighting(1, protocol=Protocol.UDP, state=State.CLOSE))
    assert udp.is_read(SOME_UDP)
    assert udp.is_read(NO_UDP), "counters close nothing"
    assert len(udp.followed) == 1
    udp.kernel.sockets.clear()
    assert [udp.is_read(NO_UDP) for _ in range(2)] == [True, False]
    assert len(udp.followed) == 0


def test_one_that_could_not_be_read_is_read(udp: Namespace) -> None:
    udp.is_read(NO_UDP)
    udp.followed.rest("not now")
    assert udp.is_read(NO_UDP)
    assert udp.followed.status.ok


def test_what_was_told_of_a_table_after_it_was_left_out_is_kept_for_the_next_look(tcp: Namespace) -> None:
    holders = Holders(this_host(), OwnerLookup(this_host(), None, is_root=False), CGroups(None, lambda: 0))
    sight = Sight(tcp.followed, tcp.followed.stay(), holders, stays=True)
    assert not sight.has_news((), HEARD)
    assert not sight.has_news((), end(Protocol.UDP))
    assert sight.has_news((), end(Protocol.TCP))
    assert sight.has_news({sighting(2).inode}, HEARD), "an owner may be another"
