"""The engine: differences, snapshots and owners of real sockets, and its pace on scripted ones."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from agent.diag_messages import listener as listening
from agent.diag_messages import sighting
from agent.proc_tree import Clock, ProcTree, fixture_host
from agent.scripted_kernel import ScriptedKernel
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.ends import Ends
from fleetnet_agent.followed import Followed
from fleetnet_agent.helper.client import HelperClient
from fleetnet_agent.host import this_host
from fleetnet_agent.owners.lookup import OwnerLookup
from fleetnet_agent.pacing import LOOK_EVERY_S
from fleetnet_agent.records import Difference, Namespace, OwnerStatus, Protocol, Snapshot, SocketKey, Source, State
from fleetnet_agent.records import Socket as Row
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import SourceError
from fleetnet_agent.watch import Watch, open_watch


class Told:
    """A watch, and what its differences have told, put together."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.rows: dict[SocketKey, Row] = {}
        self.namespaces: dict[int, Namespace] = {}

    def look(self, *, everything: bool = True) -> Difference:
        difference = self.watch.look(everything=everything)
        for row in difference.opened:
            assert row.key not in self.rows
            self.rows[row.key] = row
        for row in difference.changed:
            assert self.rows[row.key] != row
            self.rows[row.key] = row
        for closed in difference.closed:
            del self.rows[closed.key]
        assert not {brief.socket.key for brief in difference.brief} & self.rows.keys()
        assert difference.entered_at_us.keys() <= {row.key for row in (*difference.opened, *difference.changed)}
        for namespace in difference.namespaces:
            assert self.namespaces.get(namespace.netns) != namespace
            self.namespaces[namespace.netns] = namespace
        snapshot = self.watch.snapshot()
        assert {one.netns: one for one in snapshot.namespaces} == self.namespaces
        assert {row.key: row for row in snapshot.sockets} == self.rows
        assert len(snapshot.sockets) == len(self.rows)
        assert snapshot.look_at_us == difference.look_at_us
        return difference

    def row(self, of: socket.socket) -> Row:
        (row,) = [row for row in self.rows.values() if row.inode == os.fstat(of.fileno()).st_ino]
        return row

    def pids(self, of: socket.socket) -> list[int]:
        return [process.pid for process in self.row(of).holder.owners]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told(clock: Clock) -> Iterator[Told]:
    watch = open_watch(replace(this_host(), boottime_us=clock), helper_socket=None, namespaces="own")
    yield Told(watch)
    watch.close()


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def listener(held: contextlib.ExitStack) -> socket.socket:
    return held.enter_context(socket.create_server(("127.0.0.1", 0)))


def connect(held: contextlib.ExitStack, listener: socket.socket) -> socket.socket:
    return held.enter_context(socket.create_connection(listener.getsockname()[:2]))


@contextlib.contextmanager
def child_with(*sockets: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has these descriptors too and waits for its input to end."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        pass_fds=[one.fileno() for one in sockets],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        yield process
        process.stdin.close()


def test_before_the_first_look_there_is_nothing(told: Told) -> None:
    assert told.watch.snapshot() == Snapshot(0, (), ())


def test_the_first_look_opens_everything_and_tells_of_every_source(told: Told, listener: socket.socket) -> None:
    first = told.look()
    assert first.previous_look_at_us == 0
    assert first.changed == ()
    assert first.closed == ()
    assert [status.name for status in first.sources] == [
        *("tcp", "udp", "udplite", "sctp", "raw", "unix", "packet"),
        *("owners", "events", "interfaces", "routes"),
    ]
    row = told.row(listener)
    assert (row.state, row.local_port, row.source) == (State.LISTEN, listener.getsockname()[1], Source.DIAG)
    assert row.key == SocketKey(0, Protocol.TCP, row.key.cookie)
    assert (row.holder.uid, row.holder.user) == (os.getuid(), this_host().user_name(os.getuid()))
    assert told.pids(listener) == [os.getpid()]
    assert row.holder.owners[0].exe == os.path.realpath("/proc/self/exe")


def test_the_first_look_tells_the_own_namespace_with_its_interfaces_and_routes(told: Told) -> None:
    (own,) = told.look().namespaces
    assert (own.netns, own.unread, own.interfaces[0].name) == (0, False, "lo")
    assert len({interface.index for interface in own.interfaces}) == len(own.interfaces)
    names = {interface.name for interface in own.interfaces}
    assert all(hop.interface in names for route in own.routes for hop in route.next_hops)


def test_looks_follow_one_another(told: Told) -> None:
    first, second = told.look(), told.look()
    assert second.previous_look_at_us == first.look_at_us <= second.look_at_us


def test_sources_are_told_again_only_when_their_standing_changes(told: Told) -> None:
    told.look()
    assert told.look().sources == ()
    assert len(told.watch.snapshot().sources) == 11


def test_a_connection_that_is_accepted_changes_hands(
    told: Told, held: contextlib.ExitStack, listener: socket.socket
) -> None:
    client = connect(held, listener)
    told.look()
    ports = (listener.getsockname()[1], client.getsockname()[1])
    (waiting,) = [row for row in told.rows.values() if (row.local_port, row.remote_port) == ports]
    assert (waiting.inode, waiting.holder.owner_status) == (0, OwnerStatus.UNACCEPTED)
    server = held.enter_context(listener.accept()[0])
    difference = told.look()
    assert waiting.key in {row.key for row in difference.changed}
    assert told.row(server).key == waiting.key
    assert told.row(server).holder.owner_status is OwnerStatus.KNOWN
    assert told.pids(server) == [os.getpid()]


def test_a_connection_goes_through_its_states_under_one_name(
    told: Told, held: contextlib.ExitStack, listener: socket.socket
) -> None:
    client = connect(held, listener)
    server = held.enter_context(listener.accept()[0])
    told.look()
    near, far = told.row(client).key, told.row(server).key
    client.shutdown(socket.SHUT_WR)
    server.recv(1)
    deadline_s = time.monotonic() + 10
    while told.look() and told.rows[near].state is not State.FIN_WAIT2:  # the acknowledgement may be delayed
        assert time.monotonic() < deadline_s
    assert (told.rows[near].state, told.rows[far].state) == (State.FIN_WAIT2, State.CLOSE_WAIT)
    assert told.pids(client) == [os.getpid()]  # shut down, but still held
    server.close()
    client.recv(1)
    client.close()
    difference = told.look()
    assert far in {closed.key for closed in difference.closed}
    assert told.rows[near].state is State.TIME_WAIT
    assert (told.rows[near].holder.owner_status, told.rows[near].holder.uid) == (OwnerStatus.GONE, None)


def test_every_process_that_shares_a_listener_is_its_owner_until_it_ends(
    told: Told, clock: Clock, listener: socket.socket
) -> None:
    told.look()
    with child_with(listener) as first, child_with(listener) as second:
        clock.go(1)
        difference = told.look(everything=False)
        assert told.pids(listener) == sorted([os.getpid(), first.pid, second.pid])
        assert told.row(listener) in difference.changed
    clock.go(1)
    told.look()
    assert told.pids(listener) == [os.getpid()]


def test_a_descriptor_that_is_passed_to_another_process_changes_hands(
    told: Told, clock: Clock, held: contextlib.ExitStack, listener: socket.socket
) -> None:
    near, far = socket.socketpair()
    held.enter_context(near)
    code = "import socket, sys; s = socket.socket(fileno=0); f = socket.recv_fds(s, 1, 1); s.send(b'x'); s.recv(1)"
    with far:
        child = held.enter_context(subprocess.Popen([sys.executable, "-c", code], stdin=far.fileno()))
    client = connect(held, listener)
    told.look()
    key = told.row(client).key
    socket.send_fds(near, [b"x"], [client.fileno()])
    assert near.recv(1) == b"x"
    client.close()
    for _ in range(5):
        clock.go(1)
        told.look(everything=False)
    assert [process.pid for process in told.rows[key].holder.owners] == [child.pid]
    near.send(b"x")
    assert child.wait(10) == 0


def test_a_queue_that_stays_is_told(told: Told, held: contextlib.ExitStack, listener: socket.socket) -> None:
    client = connect(held, listener)
    server = held.enter_context(listener.accept()[0])
    told.look()
    client.send(b"hello")
    told.look()
    assert told.row(server).recv_queue == 0
    told.look()
    assert told.row(server).recv_queue == 5


def test_udp_is_followed_alike(told: Told, held: contextlib.ExitStack) -> None:
    told.look()
    one = held.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    one.bind(("::1", 0))
    told.look()
    key = told.row(one).key
    assert told.pids(one) == [os.getpid()]
    one.close()
    assert key in {closed.key for closed in told.look().closed}


def test_asked_for_all_namespaces_without_a_helper_it_says_what_is_missing() -> None:
    watch = open_watch(this_host(), helper_socket=None, namespaces="all")
    try:
        first = watch.look()
        assert {row.key.netns for row in first.opened if row.source is not Source.PROC} <= {0}
        (status,) = [status for status in first.sources if status.name == "namespaces"]
        assert not status.ok
        assert not status.blind
        assert status.detail.startswith("no helper: ")
    finally:
        watch.close()


def test_left_to_itself_and_without_a_helper_it_reads_its_own_namespace_and_misses_nothing() -> None:
    watch = open_watch(this_host(), helper_socket=None, namespaces="")
    assert "namespaces" not in {status.name for status in watch.look().sources}
    watch.close()


def test_with_a_helper_owners_come_from_it_and_without_it_again_the_source_says_so(
    tmp_path: Path, clock: Clock, listener: socket.socket
) -> None:
    path = tmp_path / "helper.sock"
    empty = ProcTree(tmp_path / "proc")  # what the agent itself sees of other processes: nothing
    host = replace(fixture_host(empty.root, clock), boottime_us=clock)
    told = Told(open_watch(host, helper_socket=path, namespaces="own"))
    told.look()
    assert told.row(listener).holder.owner_status is not OwnerStatus.KNOWN
    assert "helper" in {status.name: status for status in told.watch.snapshot().sources}["owners"].detail
    with subprocess.Popen(
        [sys.executable, "-m", "fleetnet_agent.helper.main", "--socket", str(path)], stderr=subprocess.PIPE
    ) as helper:
        assert helper.stderr
        helper.stderr.readline()
        clock.go(10)
        difference = told.look()
        assert told.pids(listener) == [os.getpid()]
        assert [status.name for status in difference.sources] == ["owners"]
        helper.send_signal(signal.SIGTERM)
        helper.wait(10)
    clock.go(10)
    (status,) = told.look().sources
    assert not status.ok
    told.watch.close()


@pytest.fixture
def kernel() -> ScriptedKernel:
    return ScriptedKernel()


@pytest.fixture
def scripted(kernel: ScriptedKernel, clock: Clock, tmp_path: Path) -> Iterator[Told]:
    proc = ProcTree(tmp_path / "proc")
    proc.add(10, sockets=[5])
    host = fixture_host(proc.root, clock)
    followed = [Followed("tcp", Protocol.TCP, DiagTable(kernel, kernel.find), Ends(clock))]
    owners = OwnerLookup(host, None, is_root=True)
    with contextlib.closing(Watch(host, owners, followed, DiagSocket())) as watch:
        yield Told(watch)


def fill(kernel: ScriptedKernel, count: int) -> None:
    kernel.put(*(sighting(cookie, inode=0) for cookie in range(1000, 1000 + count)))


@pytest.mark.parametrize(
    ("sockets", "interval_s"), [(0, 1.0), (2_000, 1.0), (4_000, 2.0), (6_000, 3.0), (10_000, 5.0), (12_000, 5.0)]
)
def test_the_larger_the_table_the_longer_the_interval(
    sockets: int, interval_s: float, kernel: ScriptedKernel, scripted: Told
) -> None:
    fill(kernel, sockets)
    scripted.watch.look()
    assert scripted.watch.interval_s() == interval_s


def test_a_small_table_is_read_at_every_call(kernel: ScriptedKernel, scripted: Told, clock: Clock) -> None:
    scripted.look(everything=False)
    kernel.put(sighting(1))
    clock.go(LOOK_EVERY_S)
    assert len(scripted.look(everything=False).opened) == 1


def test_of_a_large_table_only_the_listeners_are_read_between_full_looks(
    kernel: ScriptedKernel, scripted: Told, clock: Clock
) -> None:
    fill(kernel, 10_000)
    first = scripted.watch.look()
    kernel.put(sighting(1))
    looks = []
    for _ in range(5):
        clock.go(LOOK_EVERY_S)
        looks.append(scripted.watch.look())
    assert [len(one.opened) for one in looks] == [0, 0, 0, 0, 1]
    # A look at the listeners alone says nothing about the rest, so it claims no time for itself.
    assert [one.look_at_us for one in looks[:4]] == [first.look_at_us] * 4
    assert all(one.empty for one in looks[:4])
    assert looks[4].previous_look_at_us == first.look_at_us


def test_a_listener_is_noticed_at_every_call_and_brings_the_rest_along(
    kernel: ScriptedKernel, scripted: Told, clock: Clock
) -> None:
    fill(kernel, 10_000)
    scripted.watch.look()
    clock.go(LOOK_EVERY_S)
    kernel.put(listening(1, inode=5), sighting(2))
    difference = scripted.watch.look()
    assert {row.key.cookie for row in difference.opened} == {1, 2}
    assert [row.holder.owners[0].pid for row in difference.opened if row.key.cookie == 1] == [10]


def test_on_demand_everything_is_read_at_once(kernel: ScriptedKernel, scripted: Told) -> None:
    scripted.look()
    kernel.put(sighting(1))
    assert not scripted.look(everything=False).opened
    assert scripted.look(everything=True).opened


def test_a_source_that_fails_closes_nothing_and_says_why(kernel: ScriptedKernel, scripted: Told, clock: Clock) -> None:
    kernel.put(listening(1, inode=5), sighting(2))
    scripted.look()
    kernel.sockets.clear()
    kernel.breaks_off = SourceError("the kernel is unwell")
    difference = scripted.look()
    assert difference.closed == ()
    assert [(status.name, status.ok, status.detail) for status in difference.sources] == [
        ("tcp", False, "not read: the kernel is unwell")
    ]
    kernel.breaks_off = None
    clock.go(1)
    difference = scripted.look()
    assert {closed.key.cookie for closed in difference.closed} == {1, 2}
    assert [status.ok for status in difference.sources] == [True]


def test_a_failing_source_does_not_stop_the_others(clock: Clock, tmp_path: Path) -> None:
    broken, well = ScriptedKernel(), ScriptedKernel()
    broken.breaks_off = SourceError("broken")
    well.put(sighting(1))
    host = fixture_host(ProcTree(tmp_path / "proc").root, clock)
    followed = [
        Followed("tcp", Protocol.TCP, DiagTable(broken, broken.find), Ends(clock)),
        Followed("udp", Protocol.UDP, DiagTable(well, well.find), Ends(clock)),
    ]
    owners = OwnerLookup(host, HelperClient(tmp_path / "none"), is_root=False)
    with contextlib.closing(Watch(host, owners, followed, DiagSocket())) as watch:
        assert len(watch.look().opened) == 1


@pytest.mark.parametrize(
    ("state", "inode", "status"),
    [
        (State.SYN_RECV, 0, OwnerStatus.UNACCEPTED),
        (State.ESTABLISHED, 0, OwnerStatus.UNACCEPTED),
        (State.CLOSE_WAIT, 0, OwnerStatus.UNACCEPTED),
        (State.TIME_WAIT, 0, OwnerStatus.GONE),
        (State.FIN_WAIT1, 0, OwnerStatus.GONE),
        (State.FIN_WAIT2, 0, OwnerStatus.GONE),
        (State.LAST_ACK, 0, OwnerStatus.GONE),
        (State.CLOSING, 0, OwnerStatus.GONE),
        (State.FIN_WAIT2, 5, OwnerStatus.KNOWN),
        (State.ESTABLISHED, 77, OwnerStatus.KERNEL),
    ],
)
def test_why_a_socket_has_no_owner_is_told(
    state: State, inode: int, status: OwnerStatus, kernel: ScriptedKernel, scripted: Told
) -> None:
    kernel.put(sighting(1, state=state, inode=inode))
    (row,) = scripted.look().opened
    assert row.holder.owner_status is status


def test_a_unit_that_is_younger_than_the_walk_over_control_groups_is_told_later(
    kernel: ScriptedKernel, clock: Clock, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    groups = tmp_path / "cgroup"
    groups.mkdir()
    host = replace(fixture_host(ProcTree(tmp_path / "proc").root, clock), cgroup_root=groups)
    owners = OwnerLookup(host, None, is_root=True)
    told = Told(
        Watch(host, owners, [Followed("tcp", Protocol.TCP, DiagTable(kernel, kernel.find), Ends(clock))], DiagSocket())
    )
    request.addfinalizer(told.watch.close)
    kernel.put(sighting(1, cgroup_id=groups.stat().st_ino))
    told.look()
    (groups / "new.service").mkdir()
    kernel.put(sighting(2, cgroup_id=(groups / "new.service").stat().st_ino))
    (row,) = told.look().opened
    assert row.holder.unit == ""
    clock.go(1)
    (row,) = told.look().changed
    assert (row.key.cookie, row.holder.unit) == (2, "new.service")
