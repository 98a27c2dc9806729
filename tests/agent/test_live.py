"""A live look at the kernel that runs here: everything once, as it is now, and nothing of it remembered."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest
from agent.diag_messages import sighting
from agent.scripted_kernel import ScriptedKernel
from agent.scripted_watch import holder
from fleetnet_agent import live
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.ends import Ends
from fleetnet_agent.followed import Followed
from fleetnet_agent.holders import Holders
from fleetnet_agent.host import this_host
from fleetnet_agent.records import (
    Holder,
    InterfaceCounters,
    LiveSocket,
    LiveWanted,
    OwnerStatus,
    Protocol,
    SocketMemory,
    Source,
    State,
    Statistic,
    Trouble,
)
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.fallback import psutil_table
from fleetnet_agent.sources.source import Codec, InconsistentError, Part, Sighting, SourceError
from fleetnet_agent.watch import Watch, open_watch

SOCKETS = LiveWanted(sockets=True)
DETAILS = LiveWanted(sockets=True, details=True)
NET = Path("/proc/self/net")


@pytest.fixture
def watch() -> Iterator[Watch]:
    opened = open_watch(this_host(), helper_socket=None, namespaces="own")
    opened.look()
    yield opened
    opened.close()


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def pair(held: contextlib.ExitStack) -> tuple[socket.socket, socket.socket, socket.socket]:
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    client = held.enter_context(socket.create_connection(listener.getsockname()))
    return listener, client, held.enter_context(listener.accept()[0])


def sockets(watch: Watch, wanted: LiveWanted) -> list[LiveSocket]:
    return [item for item in watch.live(wanted) if isinstance(item, LiveSocket)]


def shown(rows: list[LiveSocket], of: socket.socket) -> LiveSocket:
    (row,) = [row for row in rows if row.socket.inode == os.fstat(of.fileno()).st_ino]
    return row


def test_a_socket_opened_since_the_last_look_is_shown_with_its_present_queues(
    watch: Watch, held: contextlib.ExitStack
) -> None:
    listener, client, accepted = pair(held)
    client.sendall(b"x" * 700)
    rows = sockets(watch, SOCKETS)
    assert shown(rows, accepted).socket.recv_queue == 700
    assert shown(rows, listener).socket.state is State.LISTEN
    row = shown(rows, client)
    assert (row.socket.remote_port, row.socket.source) == (listener.getsockname()[1], Source.DIAG)
    assert row.socket.holder.uid == os.getuid()
    assert row.socket.holder.owner_status is OwnerStatus.RACED, "nobody has looked for its owner yet"
    assert (row.tcp, row.memory) == (None, None)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    timer = shown(sockets(watch, SOCKETS), client).timer
    assert timer
    assert timer.kind == 2, "timers come with every message"


def test_what_the_looks_know_of_owners_is_told(watch: Watch, held: contextlib.ExitStack) -> None:
    listener, _, _ = pair(held)
    while not (owners := shown(sockets(watch, SOCKETS), listener).socket.holder.owners):
        watch.look(everything=True)
    assert os.getpid() in [owner.pid for owner in owners]


def test_details_are_those_that_the_socket_itself_tells(watch: Watch, held: contextlib.ExitStack) -> None:
    _, client, accepted = pair(held)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    client.sendall(b"x" * 700)
    accepted.recv(700)
    udp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    udp.bind(("127.0.0.1", 0))
    rows = sockets(watch, DETAILS)
    row = shown(rows, client)
    assert row.timer
    assert row.timer.kind == 2
    assert 50_000 < row.timer.expires_ms <= 60_000
    assert row.tcp
    assert (row.tcp.congestion_control, row.tcp.sent_bytes, row.tcp.acknowledged_bytes) == ("reno", 700, 701)
    assert row.memory
    assert row.memory.send_buffer_bytes == client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    other = shown(rows, accepted)
    assert other.tcp
    assert (other.timer, other.tcp.received_bytes) == (None, 700)
    bound = shown(rows, udp)
    assert bound.tcp is None
    assert bound.memory == SocketMemory(
        receive_buffer_bytes=udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
        send_buffer_bytes=udp.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
    )


def test_sockets_of_other_kinds_are_read_as_they_are_now_without_details(
    watch: Watch, held: contextlib.ExitStack
) -> None:
    one, other = (held.enter_context(end) for end in socket.socketpair())
    one.send(b"hello")
    row = shown(sockets(watch, DETAILS), other)
    assert (row.socket.key.protocol, row.socket.recv_queue > 0) == (Protocol.UNIX, True)
    assert row.socket.peer_inode == os.fstat(one.fileno()).st_ino
    assert (row.timer, row.tcp, row.memory) == (None, None, None)


def test_what_the_kernel_does_not_have_is_no_trouble(watch: Watch) -> None:
    assert [item for item in watch.live(DETAILS) if isinstance(item, Trouble)] == []


def test_counters_are_those_of_the_kernel(watch: Watch) -> None:
    before = counted_on_loopback()
    found = list(watch.live(LiveWanted(interfaces=True)))
    (loopback,) = [item for item in found if isinstance(item, InterfaceCounters) and item.name == "lo"]
    assert before <= loopback.received_packets <= counted_on_loopback()
    assert (loopback.netns, loopback.mtu, loopback.flags & 8) == (0, 65_536, 8)
    assert sorted(item.name for item in found if isinstance(item, InterfaceCounters)) == sorted(
        name for _, name in socket.if_nameindex()
    )
    assert not [item for item in found if isinstance(item, Trouble | LiveSocket)]


def counted_on_loopback() -> int:
    (line,) = [line for line in (NET / "dev").read_text().splitlines() if line.strip().startswith("lo:")]
    return int(line.split()[2])


def test_statistics_are_those_of_the_kernel(watch: Watch, held: contextlib.ExitStack) -> None:
    def opens() -> int:
        found = watch.live(LiveWanted(statistics=True))
        (value,) = [
            item.value
            for item in found
            if isinstance(item, Statistic) and (item.group, item.name) == ("Tcp", "ActiveOpens")
        ]
        return value

    before = opens()
    pair(held)
    assert opens() > before


def test_a_file_that_cannot_be_read_is_trouble(tmp_path: Path) -> None:
    (tmp_path / "snmp").write_text("Tcp: ActiveOpens\n")
    found = list(live.look_live(LiveWanted(interfaces=True, statistics=True), [], cast(Holders, Told()), tmp_path))
    assert found == [Trouble("not all counters were read: names of statistics without their values")]


def test_a_live_look_disturbs_no_difference(watch: Watch, held: contextlib.ExitStack) -> None:
    before = watch.look(everything=True)
    assert before.look_at_us
    listener, client, _ = pair(held)
    told = list(watch.snapshot().sockets)
    live_rows = {row.socket.key for row in sockets(watch, DETAILS)}
    assert list(watch.snapshot().sockets) == told
    opened = {row.inode: row for row in watch.look(everything=True).opened}
    for one in (listener, client):
        assert opened[os.fstat(one.fileno()).st_ino].key in live_rows


def test_looks_may_come_between_two_steps(watch: Watch, held: contextlib.ExitStack) -> None:
    crowd = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(400)]
    going_on = watch.live(DETAILS)
    found = [next(going_on)]
    for one in crowd[::2]:
        one.close()
    watch.look(everything=True)
    found += going_on
    inodes = [row.socket.inode for row in found if isinstance(row, LiveSocket)]
    assert {os.fstat(one.fileno()).st_ino for one in crowd[1::2]} <= set(inodes)
    keys = [row.socket.key for row in found if isinstance(row, LiveSocket)]
    assert len(set(keys)) == len(keys)


def test_a_look_that_is_left_early_gives_its_socket_back(watch: Watch) -> None:
    def open_descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_descriptors()
    left = watch.live(SOCKETS)
    next(left)
    assert open_descriptors() > before
    left.close()
    assert open_descriptors() == before


class Told:
    """Holders that all are one."""

    def of(self, sighting: Sighting) -> Holder:
        """See `Holders`."""
        return holder()

    def has_unknown_place(self, sighting: Sighting) -> bool:
        """See `Holders`."""
        return False

    def interface_name(self, index: int) -> str:
        """See `Holders`."""
        return ""


class ScriptedDiag(DiagSocket):
    """A diag socket that the scripted kernel answers."""

    def __init__(self, kernel: ScriptedKernel) -> None:
        super().__init__()
        self.kernel = kernel

    def find(
        self,
        messages: Mapping[int, bytes],
        protocol: Protocol,
        codec: Codec = inet_diag.CODEC,
        extensions: int = 0,
    ) -> dict[int, bytes]:
        """See `DiagSocket`."""
        return dict(self.kernel.find(messages))


def look_at(kernel: ScriptedKernel, followed: Followed, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    monkeypatch.setitem(live.DETAILED, Protocol.TCP, lambda diag, extensions: kernel)
    holders = cast(Holders, Told())
    return list(live.look_live(DETAILS, [followed], holders, NET, lambda: ScriptedDiag(kernel)))


def cookies(found: list[object]) -> list[int]:
    return [item.socket.key.cookie for item in found if isinstance(item, LiveSocket)]


@pytest.fixture
def kernel() -> ScriptedKernel:
    made = ScriptedKernel()
    made.put(*(sighting(cookie) for cookie in range(1, 11)))
    return made


def followed_at(kernel: ScriptedKernel) -> Followed:
    followed = Followed("tcp", Protocol.TCP, DiagTable(kernel, kernel.find), Ends(lambda: 0))
    followed.look()
    return followed


def test_what_a_dump_shows_twice_is_told_once(kernel: ScriptedKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = followed_at(kernel)
    kernel.doubled = {3, 4}
    assert cookies(look_at(kernel, followed, monkeypatch)) == list(range(1, 11))


def test_what_a_dump_misses_is_asked_for_and_what_is_gone_is_not_told(
    kernel: ScriptedKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = followed_at(kernel)
    kernel.missed = {3, 4}
    del kernel.sockets[5]
    assert sorted(cookies(look_at(kernel, followed, monkeypatch))) == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert set(kernel.asked) == {3, 4, 5}


def test_a_dump_that_breaks_off_is_trouble_and_what_came_is_told(
    kernel: ScriptedKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = followed_at(kernel)
    kernel.breaks_off = SourceError("no room")
    found = look_at(kernel, followed, monkeypatch)
    assert found[-1] == Trouble("not all of tcp was read: no room")
    assert cookies(found) == [1, 2, 3, 4, 5]


def test_an_inconsistent_dump_is_read_again_and_nothing_told_twice(
    kernel: ScriptedKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = followed_at(kernel)
    dumps = iter([InconsistentError("torn"), InconsistentError("torn"), None])
    whole = kernel.read

    def read(states: int) -> Iterator[Part]:
        kernel.breaks_off = next(dumps)
        return whole(states)

    monkeypatch.setattr(kernel, "read", read)
    assert cookies(look_at(kernel, followed, monkeypatch)) == list(range(1, 11))


def test_what_is_read_through_psutil_is_told_as_the_last_look_saw_it(
    monkeypatch: pytest.MonkeyPatch, held: contextlib.ExitStack
) -> None:
    listener, _, _ = pair(held)
    followed = Followed("tcp", Protocol.TCP, psutil_table(Protocol.TCP), Ends(lambda: 0))
    holders = cast(Holders, Told())
    list(followed.open(followed.look(), holders))
    found = [item for item in live.look_live(DETAILS, [followed], holders, NET) if isinstance(item, LiveSocket)]
    assert listener.getsockname()[1] in [row.socket.local_port for row in found]
    assert all((row.timer, row.tcp, row.memory) == (None, None, None) for row in found)


HOLD = """
import resource, socket, sys

resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
sockets = [socket.create_server((sys.argv[1], 10_000 + number)) for number in range(int(sys.argv[2]))]
print(flush=True)
sys.stdin.read()
"""
GROWTH = """
import ctypes

from fleetnet_agent.wire.live import live_parts
from fleetnet_agent.host import this_host
from fleetnet_agent.records import LiveWanted
from fleetnet_agent.watch import open_watch

def kib_of(line):
    return int(next(each for each in open("/proc/self/status") if each.startswith(line)).split()[1])

def grown_by(work):
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # proc(5): the peak is the present size again
    before = kib_of("VmRSS")
    result = work()
    return result, kib_of("VmHWM") - before

watch = open_watch(this_host(), helper_socket=None, namespaces="own")
watch.look()
wanted = LiveWanted(True, True)
sizes, by_live = grown_by(lambda: [len(part) for part in live_parts(1, watch.live(wanted), lambda: 1)])
print(len(watch.snapshot().sockets), len(sizes), max(sizes), by_live)
"""


def holding(held: contextlib.ExitStack, address: str, count: int) -> None:
    """A process that listens on many ports."""
    process = held.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", HOLD, address, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    )
    assert process.stdin
    assert process.stdout
    held.callback(process.stdin.close)
    assert process.stdout.readline() == b"\n"


def test_a_live_look_at_20000_sockets_is_made_in_parts_and_takes_a_few_mebibytes_of_memory(
    held: contextlib.ExitStack,
) -> None:
    for number in range(4):
        holding(held, f"127.77.{number}.1", 5_000)
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    sockets, parts, largest, grown_by_kib = map(int, done.stdout.split())
    assert sockets >= 20_000
    assert parts > 4
    assert largest < 1 << 20
    assert grown_by_kib < 8 * 1024
