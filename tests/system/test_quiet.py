"""What is left out of a look, for the kernel's counters say that it stands as it stood, beside a reader that reads
everything: real namespaces, and a clock that goes when it is told to."""

import contextlib
import os
import random
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from agent.proc_tree import Clock
from fleetnet_agent.followed import Followed, Seen
from fleetnet_agent.host import this_host
from fleetnet_agent.quiet import AGAIN_US
from fleetnet_agent.records import Protocol
from fleetnet_agent.watch import Watch, open_watch
from system.quarter import TCP_REPAIR, Quarter, disconnect, told
from system.streets import Street

from demo.programs import Programs, until

pytestmark = pytest.mark.root

INET, INET6, STREAM, DGRAM = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM
SEEDS = range(2)
ABORT = struct.pack("ii", 1, 0)


class Looks:
    """A watch on all namespaces, and which tables each look has read."""

    def __init__(self, watch: Watch, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.watch = watch
        self.read: set[tuple[int, Protocol]] = set()
        self._clock = clock
        look = Followed.look

        def noted(one: Followed) -> Seen:
            self.read.add((one.netns, one.protocol))
            return look(one)

        monkeypatch.setattr(Followed, "look", noted)

    def look(self, *, after_s: int = 1) -> None:
        self._clock.go(after_s)
        self.read.clear()
        self.watch.look(everything=True)

    def has_read(self, quarter: Quarter) -> bool:
        """True if the last look has read its TCP."""
        return (quarter.netns, Protocol.TCP) in self.read

    def rows(self, quarter: Quarter, *, queues: bool = False) -> set[tuple[object, ...]]:
        return told((row for row in self.watch.snapshot().sockets if row.key.netns == quarter.netns), queues=queues)

    def agree(self, quarters: list[Quarter], *, queues: bool = False) -> None:
        """One look shows what a reader of everything finds before and after it."""
        for _ in range(20):
            before = [quarter.truth(queues=queues) for quarter in quarters]
            self.look()
            if before == [quarter.truth(queues=queues) for quarter in quarters]:  # else segments were on their way
                assert [self.rows(quarter, queues=queues) for quarter in quarters] == before
                return
        pytest.fail("the kernel does not come to rest")

    def until_quiet(self, quarter: Quarter) -> None:
        """Look until its TCP is read no more."""

        def left_out() -> bool:
            self.look()
            return not self.has_read(quarter)

        until(left_out, within_s=60.0, what="a look that leaves TCP out")
        assert self.rows(quarter) == quarter.truth()


@pytest.fixture
def street(programs: Programs) -> Iterator[Street]:
    with contextlib.ExitStack() as stack:
        yield Street(programs, stack)


@pytest.fixture
def quarters(street: Street) -> Iterator[list[Quarter]]:
    made = [Quarter(street.named()) for _ in range(3)]
    yield made
    for each in made:
        each.close()


@pytest.fixture
def looks(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    path = programs.directory / "helper.sock"
    command = [sys.executable, "-m", "fleetnet_agent.helper.main", "--socket", str(path)]
    programs.start("helper", command).wait_for("ready")
    clock = Clock()
    watch = open_watch(replace(this_host(), boottime_us=clock), helper_socket=path, namespaces="all")
    yield Looks(watch, clock, monkeypatch)
    watch.close()


class Corner:
    """What there is before something happens: a listener, and connections to it."""

    def __init__(self, quarter: Quarter, family: int) -> None:
        self.quarter = quarter
        self.listener = quarter.listener(family)
        self.near, self.far = quarter.connected(self.listener)
        self.half, self.closed = quarter.connected(self.listener)
        self.closed.close()  # so the other end is in CLOSE_WAIT
        self.half.recv(1)
        plain = quarter.listener(INET)
        self.dual = quarter.open(INET6, STREAM)
        self.dual.connect(("::ffff:127.0.0.1", plain.getsockname()[1]))
        quarter.accept(plain)


def _open_a_listener(it: Corner) -> None:
    it.quarter.listener(it.listener.family)


def _close_the_listener(it: Corner) -> None:
    it.listener.close()


def _listen_with_another_backlog(it: Corner) -> None:
    it.listener.listen(9)


def _listen_again_at_the_same_port(it: Corner) -> None:
    port = it.listener.getsockname()[1]
    it.listener.close()
    it.quarter.listener(it.listener.family, port)


def _connect(it: Corner) -> None:
    it.quarter.connected(it.listener)


def _connect_and_do_not_accept(it: Corner) -> None:
    it.quarter.waiting(it.listener)


def _connect_where_nobody_answers(it: Corner) -> None:
    it.listener.listen(0)
    for _ in range(4):  # the first fits into the queue, or the first two
        near = it.quarter.open(it.listener.family, STREAM)
        near.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            near.connect(it.listener.getsockname()[:2])


def _close_one_end(it: Corner) -> None:
    it.near.close()


def _close_both_ends(it: Corner) -> None:
    it.near.close()
    it.far.close()


def _shut_down_for_writing(it: Corner) -> None:
    it.near.shutdown(socket.SHUT_WR)


def _reset(it: Corner) -> None:
    it.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    it.far.close()


def _exchange_a_connection_for_another(it: Corner) -> None:
    it.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    it.far.close()
    it.near.close()
    it.quarter.connected(it.listener)


def _close_what_waits_to_be_closed(it: Corner) -> None:
    it.half.close()


def _close_with_something_unsent(it: Corner) -> None:
    it.far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    it.near.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            it.near.send(bytes(65536))
    it.near.close()


def _disconnect(it: Corner) -> None:
    disconnect(it.near)


def _connect_somewhere_else(it: Corner) -> None:
    other = it.quarter.listener(it.listener.family)
    disconnect(it.near)
    it.near.connect(other.getsockname()[:2])


def _restore_a_connection(it: Corner) -> None:
    made = it.quarter.open(INET, STREAM)
    made.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    made.bind(("127.0.0.1", 0))
    made.connect(("127.0.0.1", 9))


def _take_a_connection_away_and_put_another_there(it: Corner) -> None:
    it.near.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    it.near.close()
    _restore_a_connection(it)


def _turn_ipv6_into_ipv4(it: Corner) -> None:
    it.dual.setsockopt(socket.IPPROTO_IPV6, 1, INET)  # IPV6_ADDRFORM, include/uapi/linux/in6.h


EVENTS: tuple[Callable[[Corner], None], ...] = (
    _open_a_listener,
    _close_the_listener,
    _listen_with_another_backlog,
    _listen_again_at_the_same_port,
    _connect,
    _connect_and_do_not_accept,
    _connect_where_nobody_answers,
    _close_one_end,
    _close_both_ends,
    _shut_down_for_writing,
    _reset,
    _exchange_a_connection_for_another,
    _close_what_waits_to_be_closed,
    _close_with_something_unsent,
    _disconnect,
    _connect_somewhere_else,
    _restore_a_connection,
    _take_a_connection_away_and_put_another_there,
    _turn_ipv6_into_ipv4,
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__.strip("_"))
def test_whatever_happens_in_a_namespace_that_was_left_out_is_in_the_next_look(
    event: Callable[[Corner], None], looks: Looks, quarters: list[Quarter]
) -> None:
    quarter = quarters[0]
    corners = [Corner(quarter, family) for family in (INET, INET6)]
    looks.until_quiet(quarter)
    before = quarter.truth(queues=True)
    for corner in corners:
        event(corner)
    looks.agree([quarter])
    assert looks.has_read(quarter)
    assert quarter.truth(queues=True) != before


def test_what_comes_or_is_fetched_changes_the_queues_as_where_everything_is_read(
    looks: Looks, quarters: list[Quarter]
) -> None:
    quarter = quarters[0]
    corner = Corner(quarter, INET)
    waiting = quarter.listener()
    udp = quarter.open(INET, DGRAM)
    udp.bind(("127.0.0.1", 0))
    looks.until_quiet(quarter)
    corner.near.send(b"hello")
    quarter.waiting(waiting)
    udp.sendto(b"hello", udp.getsockname())
    for _ in range(2):  # a length is told when it lasts
        looks.look()
    looks.agree([quarter], queues=True)
    assert looks.has_read(quarter)
    corner.far.recv(5)
    quarter.accept(waiting)
    udp.recv(5)
    for _ in range(2):
        looks.look()
    looks.agree([quarter], queues=True)
    looks.until_quiet(quarter)


def test_a_namespace_in_which_nothing_happens_is_read_again_within_a_minute_and_what_nothing_counts_is_seen_then(
    looks: Looks, quarters: list[Quarter]
) -> None:
    corner = Corner(quarters[0], INET)
    looks.until_quiet(quarters[0])
    os.fchown(corner.near.fileno(), 1234, -1)

    def uids() -> set[int | None]:
        rows = looks.watch.snapshot().sockets
        return {row.holder.uid for row in rows if row.inode == os.fstat(corner.near.fileno()).st_ino}

    seen = []
    for _ in range(AGAIN_US // 5_000_000):
        looks.look(after_s=5)
        seen.append((looks.has_read(quarters[0]), uids()))
    assert seen[0] == (False, {0})
    assert seen[-1][1] == {1234}
    assert [was_read for was_read, _ in seen].count(True) in (1, 2)


def test_where_there_is_nothing_of_a_kind_it_is_not_read_and_the_first_of_it_is_there_at_the_next_look(
    looks: Looks, quarters: list[Quarter]
) -> None:
    quarter = quarters[0]
    kinds = {
        Protocol.UDP: (INET, DGRAM, 0),
        Protocol.UDPLITE: (INET6, DGRAM, socket.IPPROTO_UDPLITE),
        Protocol.RAW: (INET6, socket.SOCK_RAW, socket.IPPROTO_UDP),
        Protocol.UNIX: (socket.AF_UNIX, STREAM, 0),
        Protocol.PACKET: (socket.AF_PACKET, DGRAM, 0),
    }
    looks.until_quiet(quarter)
    assert not {(quarter.netns, kind) for kind in kinds} & looks.read
    for kind, how in kinds.items():
        made = quarter.open(*how)
        if kind in (Protocol.UDP, Protocol.UDPLITE):
            made.bind(("", 0))
        looks.agree([quarter])
        assert {one[0] for one in looks.rows(quarter)} == {kind}
        made.close()
        looks.agree([quarter])
        looks.look()
        assert (quarter.netns, kind) not in looks.read
    assert looks.rows(quarter) == set()


class Chance:
    """Does one thing after the other, in any of some namespaces."""

    def __init__(self, seed: int, quarters: list[Quarter]) -> None:
        self._random = random.Random(seed)
        self._listeners = {quarter: [quarter.listener(), quarter.listener(INET6)] for quarter in quarters}
        self._ends = [end for each in quarters for end in each.connected(self._listeners[each][0])]
        self._datagrams: dict[Quarter, list[socket.socket]] = {quarter: [] for quarter in quarters}
        self._quarters = quarters

    def strike(self) -> None:
        """One thing."""
        quarter = self._random.choice(self._quarters)
        name = self._random.choice([name for name in dir(self) if name.startswith("_do_")])
        if not self._ends:
            name = "_do_connect"
        with contextlib.suppress(OSError):  # what was shut down, or is not connected
            getattr(self, name)(quarter)

    def calm_down(self) -> None:
        """Everything is accepted, and closed, and each namespace has one connection."""
        for quarter in self._quarters:
            self._do_accept(quarter)
        for end in self._ends:
            with contextlib.suppress(OSError):  # what was disconnected
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            end.close()
        self._ends = [end for each in self._quarters for end in each.connected(each.listener())]

    def _end(self) -> socket.socket:
        return self._random.choice(self._ends)

    def _do_connect(self, quarter: Quarter) -> None:
        self._ends += quarter.connected(self._random.choice(self._listeners[quarter]))

    def _do_listen(self, quarter: Quarter) -> None:
        self._listeners[quarter].append(quarter.listener(self._random.choice((INET, INET6))))

    def _do_exchange_a_listener(self, quarter: Quarter) -> None:
        old = self._listeners[quarter].pop(0)
        family, port = old.family, old.getsockname()[1]
        old.close()
        self._listeners[quarter].append(quarter.listener(family, port))

    def _do_another_backlog(self, quarter: Quarter) -> None:
        self._random.choice(self._listeners[quarter]).listen(self._random.randint(1, 9))

    def _do_leave_waiting(self, quarter: Quarter) -> None:
        self._ends.append(quarter.waiting(self._random.choice(self._listeners[quarter])))

    def _do_accept(self, quarter: Quarter) -> None:
        for listener in self._listeners[quarter]:
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._ends.append(quarter.accept(listener))
            listener.setblocking(True)

    def _do_close(self, quarter: Quarter) -> None:
        end = self._end()
        self._ends.remove(end)
        end.close()

    def _do_reset(self, quarter: Quarter) -> None:
        self._end().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self._do_close(quarter)

    def _do_shut_down(self, quarter: Quarter) -> None:
        self._end().shutdown(self._random.choice((socket.SHUT_RD, socket.SHUT_WR)))

    def _do_send(self, quarter: Quarter) -> None:
        self._end().send(b"hello")

    def _do_receive(self, quarter: Quarter) -> None:
        self._end().recv(100, socket.MSG_DONTWAIT)

    def _do_disconnect(self, quarter: Quarter) -> None:
        disconnect(self._end())

    def _do_restore(self, quarter: Quarter) -> None:
        made = quarter.open(INET, STREAM)
        made.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        made.bind(("127.0.0.1", 0))
        made.connect(("127.0.0.1", 9))
        self._ends.append(made)

    def _do_bind_datagrams(self, quarter: Quarter) -> None:
        made = quarter.open(INET, DGRAM)
        made.bind(("127.0.0.1", 0))
        self._datagrams[quarter].append(made)

    def _do_connect_datagrams(self, quarter: Quarter) -> None:
        one, other = self._random.choices(self._datagrams[quarter] or [quarter.open(INET, DGRAM)], k=2)
        one.connect(other.getsockname())

    def _do_disconnect_datagrams(self, quarter: Quarter) -> None:
        for one in self._datagrams[quarter][:1]:
            disconnect(one)

    def _do_close_datagrams(self, quarter: Quarter) -> None:
        for one in self._datagrams[quarter][1:2]:
            self._datagrams[quarter].remove(one)
            one.close()

    def _do_open_others(self, quarter: Quarter) -> None:
        family, kind, protocol = self._random.choice(
            [
                (socket.AF_UNIX, STREAM, 0),
                (socket.AF_PACKET, DGRAM, 0),
                (INET, socket.SOCK_RAW, socket.IPPROTO_UDP),
                (INET6, DGRAM, socket.IPPROTO_UDPLITE),
            ]
        )
        self._datagrams[quarter].append(quarter.open(family, kind, protocol))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_each_look_shows_what_one_that_reads_everything_does(
    seed: int, looks: Looks, quarters: list[Quarter]
) -> None:
    chance = Chance(seed, quarters)
    pauses = random.Random(seed)
    left_out = 0
    for _ in range(10):
        chance.calm_down()
        for _ in range(4):
            looks.agree(quarters)
        left_out += sum(not looks.has_read(quarter) for quarter in quarters)
        for _ in range(pauses.randint(1, 3)):
            for _ in range(pauses.randint(1, 3)):
                chance.strike()
            looks.agree(quarters)
    for _ in range(3):
        looks.look()
    looks.agree(quarters, queues=True)
    assert left_out > 10, "else this test says nothing"
