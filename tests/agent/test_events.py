"""The kernel's events of closed sockets: read as they come, decoded, counted when lost."""

import contextlib
import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fleetnet_agent import events as told
from fleetnet_agent.event_queue import LONG_PAUSE_S, MANY_BYTES, PAUSE_S, EventQueue, pause_s
from fleetnet_agent.events import Events
from fleetnet_agent.helper import entering
from fleetnet_agent.helper.home import Home
from fleetnet_agent.host import this_host
from fleetnet_agent.numbering import AmbiguousError
from fleetnet_agent.records import Brief, Family, OwnerStatus, Protocol, State
from fleetnet_agent.sources import events as source
from fleetnet_agent.sources.events import BUFFER_BYTES, EventSocket
from fleetnet_agent.sources.inet_event import decode_end
from fleetnet_agent.sources.source import End, MalformedError, RefusedError, SourceError
from fleetnet_agent.watch import Watch, open_watch
from hypothesis import given
from hypothesis import strategies as st

PROC = Path("/proc")
RESET = struct.pack("ii", 1, 0)


def wall_clock_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def make(listener: socket.socket, count: int) -> list[int]:
    """Short connections, reset by the client so that no TIME_WAIT is left; the clients' ports."""
    ports = []
    for _ in range(count):
        client = socket.create_connection(listener.getsockname())
        ports.append(client.getsockname()[1])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        accepted = listener.accept()[0]
        client.close()
        accepted.close()
    return ports


def until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


@pytest.fixture
def events() -> Iterator[Events]:
    opened = Events(this_host())
    yield opened
    opened.close()


def gather(events: Events, wanted: Callable[[End], bool], count: int) -> list[End]:
    found: list[End] = []

    def enough() -> bool:
        found.extend(filter(wanted, events.take().of(Protocol.TCP)))
        return len(found) >= count

    until(enough)
    return found


def test_every_short_connection_is_told_with_the_addresses_that_the_accepted_end_had(
    events: Events, listener: socket.socket
) -> None:
    began_us = wall_clock_us()
    ports = make(listener, 300)
    served = listener.getsockname()[1]
    found = gather(events, lambda end: end.socket.local_port == served, 300)
    assert sorted(end.socket.remote_port for end in found) == sorted(ports)
    assert {end.socket.remote_address for end in found} == {bytes([127, 0, 0, 1])}
    assert {(end.socket.state, end.socket.inode, end.socket.uid) for end in found} == {(State.CLOSE, 0, None)}
    assert all(began_us <= end.at_us <= wall_clock_us() for end in found)
    assert len({end.socket.name for end in found}) == 300


def test_an_end_that_was_reset_here_has_lost_its_remote_port_and_is_kept_as_it_is(
    events: Events, listener: socket.socket
) -> None:
    (port,) = make(listener, 1)
    (end,) = gather(events, lambda end: end.socket.local_port == port, 1)
    assert (end.socket.remote_address, end.socket.remote_port) == (bytes([127, 0, 0, 1]), 0)
    assert end.socket.local_address == bytes(4)


def test_udp_of_ipv6_is_told_and_a_socket_without_a_port_is_not(events: Events) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
        bound.bind(("::1", 0))
        port = bound.getsockname()[1]
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    found: list[End] = []

    def is_told() -> bool:
        found.extend(events.take().of(Protocol.UDP))
        return any(end.socket.local_port == port for end in found)

    until(is_told)
    (end,) = [end for end in found if end.socket.local_port == port]
    assert (end.socket.family, end.socket.local_address) == (Family.IPV6, bytes(15) + b"\1")
    assert all(end.socket.local_port for end in found)


def test_the_kernels_own_count_says_how_many_were_lost(listener: socket.socket) -> None:
    small = EventSocket(PROC, 1)
    make(listener, 200)
    # 400 ends, or more if other programs close sockets; the kernel drops what does not fit.
    until(lambda: told_by_the_kernel(small) >= 400)
    with pytest.raises(OSError, match="buffer space"):
        small.receive()
    received = 0
    while datagrams := small.receive():
        received += len(datagrams)
    dropped = small.newly_lost()
    assert dropped > received > 0
    assert received + dropped >= 400
    assert small.newly_lost() == 0
    small.close()


def told_by_the_kernel(small: EventSocket) -> int:
    """Events dropped and waiting, from the kernel's list."""
    inode = str(os.fstat(small.fileno()).st_ino)
    lines = map(str.split, Path("/proc/net/netlink").read_text().splitlines())
    (fields,) = [fields for fields in lines if fields[-1] == inode]
    return int(fields[8]) + int(fields[4]) // 1280  # Drops; Rmem, of which an event of TCP takes 1280 bytes


class ScriptedReceiver:
    """Gives what a test has put; readable through a pipe."""

    def __init__(self) -> None:
        self.readable, self._writable = os.pipe()
        self.batches: list[list[bytes] | OSError] = []
        self.lost: list[int | SourceError] = []
        self.of: list[int] | None = None  # the namespaces of the next batch

    def put(self, *batches: list[bytes] | OSError) -> None:
        self.batches += batches
        os.write(self._writable, b"x")

    def fileno(self) -> int:
        return self.readable

    def receive(self) -> list[bytes]:
        if not self.batches:
            os.set_blocking(self.readable, False)
            with contextlib.suppress(BlockingIOError):
                os.read(self.readable, 100)
            return []
        batch = self.batches.pop(0)
        if isinstance(batch, OSError):
            raise batch
        return batch

    def numbers(self) -> list[int] | None:
        return self.of

    def newly_lost(self) -> int:
        lost = self.lost.pop(0) if self.lost else 0
        if isinstance(lost, SourceError):
            raise lost
        return lost

    def close(self) -> None:
        os.close(self.readable)
        os.close(self._writable)


@pytest.fixture
def receiver() -> ScriptedReceiver:
    return ScriptedReceiver()


@pytest.fixture
def queue(receiver: ScriptedReceiver) -> Iterator[EventQueue]:
    made = EventQueue(receiver, wall_clock_us, most=4)
    yield made
    made.close()


def no_buffer() -> OSError:
    return OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


def test_lost_events_are_urgent_and_become_one_gap_with_their_number(
    queue: EventQueue, receiver: ScriptedReceiver
) -> None:
    urged = threading.Event()
    queue.when_urgent(urged.set)
    receiver.lost = [5]
    receiver.put([b"a"], no_buffer(), [b"b"])
    assert urged.wait(10)
    assert queue.urgent
    receiver.lost = [2]
    receiver.put(no_buffer())
    taken = queue.take()
    assert [each for received in taken.events for each in received.datagrams] == [b"a", b"b"]
    assert taken.gap
    assert taken.gap.reason.startswith("7 events of closed sockets lost")
    assert taken.gap.from_us < taken.gap.to_us <= wall_clock_us()
    assert not queue.urgent
    assert queue.take().gap is None


def test_a_loss_that_the_kernel_counts_after_it_was_noticed_is_told_by_the_next_look(
    queue: EventQueue, receiver: ScriptedReceiver
) -> None:
    receiver.lost = [5]
    receiver.put(no_buffer())
    first = queue.take().gap
    receiver.lost = [1]
    second = queue.take().gap
    assert first
    assert second
    assert [gap.reason.split()[0] for gap in (first, second)] == ["5", "1"]


def test_a_bound_that_is_made_smaller_counts_what_fits_no_longer(queue: EventQueue, receiver: ScriptedReceiver) -> None:
    urged = threading.Event()
    queue.when_urgent(urged.set)
    receiver.put([b"1", b"2", b"3"])
    assert urged.wait(10), "half of what may wait calls for a look"
    queue.keep_at_most(1)
    receiver.put([b"4", b"5"])
    taken = queue.take()
    assert [each for received in taken.events for each in received.datagrams] == [b"1", b"2", b"3"]
    assert taken.gap
    assert taken.gap.reason.startswith("2 events of closed sockets lost")


def test_what_does_not_fit_here_is_counted_as_lost(queue: EventQueue, receiver: ScriptedReceiver) -> None:
    receiver.put([b"1", b"2", b"3"], [b"4", b"5"], [b"6"])
    taken = queue.take()
    assert [each for received in taken.events for each in received.datagrams] == [b"1", b"2", b"3", b"4"]
    assert taken.gap
    assert taken.gap.reason.startswith("2 events")


def test_a_count_that_cannot_be_had_is_said_to_be_unknown(queue: EventQueue, receiver: ScriptedReceiver) -> None:
    receiver.lost = [SourceError("not mounted")]
    receiver.put(no_buffer())
    gap = queue.take().gap
    assert gap
    assert "and more (not mounted)" in gap.reason


def test_an_end_of_the_events_is_trouble(queue: EventQueue, receiver: ScriptedReceiver) -> None:
    receiver.put([b"1"], OSError(errno.EBADF, "gone"))
    taken = queue.take()
    assert [each for received in taken.events for each in received.datagrams] == [b"1"]
    assert taken.trouble == "the kernel's events of closed sockets have ended: gone"


@given(st.binary(max_size=200))
def test_noise_raises_nothing_but_malformed(noise: bytes) -> None:
    with contextlib.suppress(MalformedError):
        decode_end(noise, 0)


EVENT = (
    struct.pack("=IHHII", 380, 20, 0, 0, 0)
    + struct.pack("=BBBB2s2s4s12x16x", 2, 7, 0, 0, b"\x1f\x90", b"\0\5", b"\x7f\0\0\1")
    + struct.pack("=IQIIIII", 3, 9, 0, 1, 2, 3, 4)
    + struct.pack("=HHB3x", 5, 10, 6)
)


def test_an_event_is_decoded_without_what_the_kernel_does_not_fill() -> None:
    end = decode_end(EVENT, 1)
    assert end
    one = end.socket
    assert end.at_us == 1
    assert (one.name, one.protocol, one.local_port, one.remote_port, one.interface) == (9, Protocol.TCP, 8080, 5, 3)
    assert (one.recv_queue, one.send_queue, one.inode, one.uid) == (0, 0, 0, None)


@given(st.integers(0, len(EVENT) - 1), st.integers(0, 255), st.integers(0, len(EVENT)))
def test_a_damaged_event_raises_nothing_but_malformed(at: int, value: int, cut: int) -> None:
    damaged = bytearray(EVENT)
    damaged[at] = value
    with contextlib.suppress(MalformedError):
        decode_end(bytes(damaged[:cut]), 0)


@pytest.mark.parametrize("cut", [0, 15, 16, 87, 92])
def test_an_event_that_is_too_short_is_malformed(cut: int) -> None:
    with pytest.raises(MalformedError):
        decode_end(EVENT[:cut], 0)


def test_an_event_of_another_protocol_is_passed_over() -> None:
    assert decode_end(EVENT[:92] + bytes([132]), 0) is None


def test_where_the_groups_are_refused_the_status_says_so_and_all_else_works(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    monkeypatch.setattr(entering, "DESTROY_GROUPS", (200,))  # no kernel has such a group
    with pytest.raises(RefusedError, match="refused"):
        EventSocket(PROC)
    watch = open_watch(this_host(), helper_socket=None, namespaces="own")
    try:
        difference = watch.look()
        (status,) = [status for status in difference.sources if status.name == told.NAME]
        assert not status.ok
        assert "connections between two looks" in status.detail
        assert any(row.local_port == listener.getsockname()[1] for row in difference.opened)
        assert difference.brief == ()
    finally:
        watch.close()


@pytest.fixture
def watch() -> Iterator[Watch]:
    opened = open_watch(replace(this_host(), wall_clock_us=wall_clock_us), helper_socket=None, namespaces="own")
    opened.look()
    yield opened
    opened.close()


def test_a_connection_between_two_looks_is_brief_and_its_owner_is_that_of_its_listener(
    watch: Watch, listener: socket.socket
) -> None:
    served = listener.getsockname()[1]

    def owner_known() -> bool:
        watch.look(everything=True)
        rows = [row for row in watch.snapshot().sockets if (row.local_port, row.state) == (served, State.LISTEN)]
        return [row.holder.owner_status for row in rows] == [OwnerStatus.KNOWN]

    until(owner_known)
    ports = make(listener, 20)
    accepted: list[Brief] = []
    clients: list[Brief] = []

    def all_told() -> bool:
        difference = watch.look(everything=True)
        accepted.extend(brief for brief in difference.brief if brief.socket.local_port == served)
        clients.extend(brief for brief in difference.brief if brief.socket.local_port in ports)
        assert all(brief.at_us <= difference.look_at_us for brief in difference.brief)
        return len(accepted) >= 20 and len(clients) >= 20

    until(all_told)
    assert sorted(brief.socket.remote_port for brief in accepted) == sorted(ports)
    assert {brief.socket.state for brief in accepted} == {State.CLOSE}
    assert {brief.socket.holder.owner_status for brief in accepted} == {OwnerStatus.INFERRED}
    assert {process.pid for brief in accepted for process in brief.socket.holder.owners} == {os.getpid()}
    assert {brief.socket.holder.owner_status for brief in clients} == {OwnerStatus.GONE}


def _name_in(event: bytes) -> int | bytes:
    decoded = decode_end(event, 0)
    return decoded.name if decoded else b""


def test_a_socket_that_was_seen_ends_exactly_when_the_kernel_says_so(watch: Watch, listener: socket.socket) -> None:
    client = socket.create_connection(listener.getsockname())
    accepted = listener.accept()[0]
    inode = os.fstat(accepted.fileno()).st_ino
    (row,) = [row for row in watch.look(everything=True).opened if row.inode == inode]
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    before_us = wall_clock_us()
    witness = EventSocket(PROC)
    client.close()
    accepted.close()
    # The event comes a moment later; a look before it would find the end by itself.
    until(lambda: any(_name_in(event) == row.key.cookie for event in witness.receive()))
    witness.close()
    (closed,) = [closed for closed in watch.look(everything=True).closed if closed.key == row.key]
    assert closed.at_us
    assert before_us <= closed.at_us < wall_clock_us()


class ScriptedNames:
    """What numbers mean, as a test says."""

    all = True

    def __init__(self) -> None:
        self.lists = 1
        self.known: dict[int | None, int] = {None: 0}
        self.ambiguous: set[int | None] = set()
        self.nameless: set[int] = set()
        self.waiting: Collection[int] = ()

    def meaning(self, nsid: int | None) -> int | None:
        if nsid in self.ambiguous:
            raise AmbiguousError
        return self.known.get(nsid)

    def is_nameless(self, nsid: int) -> bool:
        return nsid in self.nameless

    def settle(self, waiting: Collection[int]) -> None:
        self.waiting = waiting


@pytest.fixture
def names() -> ScriptedNames:
    return ScriptedNames()


@pytest.fixture
def of_all(events: Events, receiver: ScriptedReceiver, names: ScriptedNames) -> Events:
    assert events._queue
    events._queue.close()
    events._queue = EventQueue(receiver, wall_clock_us)
    events._names = names
    return events


def event(cookie: int) -> bytes:
    return EVENT[:60] + struct.pack("=Q", cookie) + EVENT[68:]


def cookies(told: told.Told, netns: int) -> list[int | bytes]:
    return [end.name for end in told.of(Protocol.TCP, netns)]


def test_events_go_to_the_namespace_that_their_number_means(
    of_all: Events, receiver: ScriptedReceiver, names: ScriptedNames
) -> None:
    names.known.update({3: 40, 5: 60})
    receiver.of = [3, source.OWN, 5, 3]
    receiver.put([event(1), event(2), event(3), event(4)])
    taken = of_all.take()
    assert [cookies(taken, netns) for netns in (0, 40, 60)] == [[2], [1, 4], [3]]
    assert taken.gaps == ()


def test_an_event_of_a_namespace_that_is_not_known_yet_waits_for_the_next_lists(
    of_all: Events, receiver: ScriptedReceiver, names: ScriptedNames
) -> None:
    receiver.of = [3, source.OWN]
    receiver.put([event(1), event(2)])
    taken = of_all.take()
    assert (cookies(taken, 0), taken.gaps, names.waiting) == ([2], (), {3})
    names.lists += 1
    names.known[3] = 40
    assert cookies(of_all.take(), 40) == [1]
    assert names.waiting == set()


def test_an_event_whose_namespace_stays_unknown_is_counted_as_lost_and_so_is_an_ambiguous_one(
    of_all: Events, receiver: ScriptedReceiver, names: ScriptedNames
) -> None:
    names.ambiguous, names.nameless = {4}, {6}
    receiver.of = [3, 4, 4, 6]
    receiver.put([event(cookie) for cookie in range(1, 5)])
    (gap,) = of_all.take().gaps
    assert gap.reason.startswith("3 events of closed sockets lost: their network namespaces were gone")
    assert gap.from_us < gap.to_us
    names.lists += 2
    (gap,) = of_all.take().gaps
    assert gap.reason.startswith("1 events")
    assert of_all.take() == told.Told(sure=True), "of namespaces that are known none is missing"


def test_ends_are_sure_to_be_all_where_two_times_running_none_was_lost_of_all_namespaces(
    of_all: Events, receiver: ScriptedReceiver, names: ScriptedNames
) -> None:
    assert [of_all.take().sure for _ in range(3)] == [False, True, True]
    receiver.lost = [5]
    receiver.put(no_buffer())
    assert [of_all.take().sure for _ in range(3)] == [False, False, True]
    receiver.of = [source.OWN]
    receiver.put([b"nonsense"])
    assert [of_all.take().sure for _ in range(3)] == [False, False, False], "what is not understood may be anything"


def test_ends_of_the_own_namespace_alone_are_never_sure_to_be_all(events: Events) -> None:
    assert [events.take().sure for _ in range(3)] == [False, False, False]


@pytest.mark.root
def test_a_passed_socket_counts_what_it_lost_as_exactly_as_an_own_one(listener: socket.socket) -> None:
    small = EventSocket(PROC, passed=socket.socket(fileno=entering.open_events(1, Home())[1]))
    make(listener, 200)
    until(lambda: told_by_the_kernel(small) >= 400)
    with pytest.raises(OSError, match="buffer space"):
        small.receive()
    received = 0
    while datagrams := small.receive():
        assert len(small.numbers() or datagrams) == len(datagrams)
        received += len(datagrams)
    assert small.newly_lost() + received >= 400
    small.close()


def test_only_where_the_kernel_has_room_for_them_events_are_waited_for_longer() -> None:
    assert pause_s(212_992) == PAUSE_S  # rmem_default, which nobody needs a privilege for
    assert pause_s(BUFFER_BYTES) == LONG_PAUSE_S
    busiest = 30_000  # events a second; the kernel takes 1.3 kB for each, docs/footprint.md
    assert pause_s(MANY_BYTES) * busiest * 1_300 < MANY_BYTES
