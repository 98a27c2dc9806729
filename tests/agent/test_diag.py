"""The diagnostics of the kernel that runs here, on sockets of its own making."""

import contextlib
import errno
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources import tcp as tcp_source
from fleetnet_agent.sources.all import SOURCES
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import Codec, Part, RefusedError, Sighting, SourceError
from fleetnet_agent.sources.tcp import Tcp
from fleetnet_agent.sources.udp import Udp
from pyroute2 import DiagSocket as Oracle

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def diag() -> Iterator[DiagSocket]:
    opened = DiagSocket()
    yield opened
    opened.close()


@pytest.fixture
def tcp(diag: DiagSocket) -> DiagTable:
    return DiagTable(Tcp(diag), partial(diag.find, protocol=Protocol.TCP))


@pytest.fixture
def udp(diag: DiagSocket) -> DiagTable:
    return DiagTable(Udp(diag), partial(diag.find, protocol=Protocol.UDP))


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def listening(held: contextlib.ExitStack, address: str = "127.0.0.1", **options: bool) -> socket.socket:
    family = V6 if ":" in address else V4
    return held.enter_context(socket.create_server((address, 0), family=family, **options))


def connected(held: contextlib.ExitStack, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = held.enter_context(socket.create_connection(listener.getsockname()[:2]))
    return client, held.enter_context(listener.accept()[0])


def bound(held: contextlib.ExitStack, address: str) -> socket.socket:
    one = held.enter_context(socket.socket(V6 if ":" in address else V4, socket.SOCK_DGRAM))
    one.bind((address, 0))
    return one


def inode(one: socket.socket) -> int:
    return os.fstat(one.fileno()).st_ino


def seen(table: DiagTable, *sockets: socket.socket) -> list[Sighting]:
    by_inode = {one.inode: one for one in table.sightings() if one.inode}
    return [by_inode[inode(one)] for one in sockets]


def port(one: socket.socket) -> int:
    return int(one.getsockname()[1])


def test_tcp_sockets_of_both_families_come_in_one_table(held: contextlib.ExitStack, tcp: DiagTable) -> None:
    four, six = listening(held), listening(held, "::1")
    client, server = connected(held, six)
    client.send(b"hello")
    tcp.look()
    one, other, near, far = seen(tcp, four, six, client, server)
    assert [s.state for s in (one, other, near, far)] == [State.LISTEN] * 2 + [State.ESTABLISHED] * 2
    assert (one.local_port, one.remote_address, one.uid) == (port(four), b"", os.getuid())
    assert (near.remote_port, far.local_port) == (port(six), port(six))
    assert near.remote_address == socket.inet_pton(V6, "::1")
    assert far.recv_queue == 5


def test_dual_stack_and_v6_only_listeners_differ(held: contextlib.ExitStack, tcp: DiagTable) -> None:
    dual, only = listening(held, "::", dualstack_ipv6=True), listening(held, "::")
    tcp.look()
    assert [one.v6only for one in seen(tcp, dual, only)] == [False, True]


def test_a_connection_through_a_dual_stack_listener_is_ipv6_with_mapped_addresses(
    held: contextlib.ExitStack, tcp: DiagTable
) -> None:
    listener = listening(held, "::", dualstack_ipv6=True)
    held.enter_context(socket.create_connection(("127.0.0.1", port(listener))))
    server = held.enter_context(listener.accept()[0])
    tcp.look()
    (one,) = seen(tcp, server)
    assert one.remote_address == bytes(10) + b"\xff\xff" + bytes([127, 0, 0, 1])


def test_a_socket_bound_to_an_interface_says_which(held: contextlib.ExitStack, udp: DiagTable) -> None:
    one = bound(held, "127.0.0.1")
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    except PermissionError:  # kernels before 5.7 want CAP_NET_RAW
        pytest.skip("this kernel lets only root bind to an interface")
    udp.look()
    assert [sighting.interface for sighting in seen(udp, one)] == [socket.if_nametoindex("lo")]


def test_udp_sockets_are_close_until_they_have_a_peer(held: contextlib.ExitStack, udp: DiagTable) -> None:
    four, six = bound(held, "127.0.0.1"), bound(held, "::1")
    client = bound(held, "::1")
    client.connect(six.getsockname())
    udp.look()
    one, other, third = seen(udp, four, six, client)
    assert [s.state for s in (one, other, third)] == [State.CLOSE, State.CLOSE, State.ESTABLISHED]
    assert (one.remote_address, third.remote_port) == (b"", port(six))


@pytest.mark.parametrize("how", ["tcp", "udp"])
def test_sockets_that_are_there_are_found_exactly_and_gone_ones_are_gone(
    how: str, held: contextlib.ExitStack, diag: DiagSocket, tcp: DiagTable, udp: DiagTable
) -> None:
    table, protocol = (tcp, Protocol.TCP) if how == "tcp" else (udp, Protocol.UDP)
    with contextlib.ExitStack() as passing:
        sockets = _zoo(passing, how)
        table.look()
        names = [one.name for one in seen(table, *sockets)]
        assert table.still_there(names) == set(names)
        messages = {name: table._known[name] for name in names if isinstance(name, int)}
        assert diag.find(messages, protocol).keys() == set(names)
    assert table.still_there(names) == set()
    moves = table.look()
    left_behind = {change.after.name for change in moves.changed if change.after.inode == 0}  # TIME_WAIT
    assert set(names) <= {one.name for one in moves.closed} | left_behind


def _zoo(held: contextlib.ExitStack, how: str) -> list[socket.socket]:
    if how == "tcp":
        four, six = listening(held), listening(held, "::", dualstack_ipv6=True)
        return [four, six, *connected(held, four), *connected(held, six)]
    four, six, peer = bound(held, "127.0.0.1"), bound(held, "::"), bound(held, "::1")
    peer.connect(("::1", port(six)))
    return [four, six, peer]


def test_listeners_that_share_a_port_are_not_taken_for_gone(held: contextlib.ExitStack, tcp: DiagTable) -> None:
    first = held.enter_context(socket.create_server(("127.0.0.1", 0), reuse_port=True))
    others = [held.enter_context(socket.create_server(("127.0.0.1", port(first)), reuse_port=True)) for _ in range(5)]
    tcp.look()
    names = [one.name for one in seen(tcp, first, *others)]
    assert len(set(names)) == 6
    assert tcp.still_there(names) == set(names)
    first.close()
    assert [one.name for one in tcp.look().closed if one.name in names] == names[:1]


def test_more_sockets_than_one_request_holds_are_found(held: contextlib.ExitStack, diag: DiagSocket) -> None:
    sockets = [bound(held, "127.0.0.1") for _ in range(120)]
    udp = DiagTable(Udp(diag), partial(diag.find, protocol=Protocol.UDP))
    udp.look()
    names = [one.name for one in seen(udp, *sockets)]
    assert udp.still_there(names) == set(names)


def test_a_question_about_another_cookie_is_not_answered_with_this_socket(
    held: contextlib.ExitStack, diag: DiagSocket, tcp: DiagTable
) -> None:
    listener = listening(held)
    tcp.look()
    (one,) = seen(tcp, listener)
    assert isinstance(one.name, int)
    message = tcp._known[one.name]
    other = message[:44] + (one.name + 1).to_bytes(8, "little") + message[52:]
    assert diag.find({one.name + 1: other}, Protocol.TCP) == {}


def test_a_protocol_without_a_handler_is_refused_and_not_empty(diag: DiagSocket) -> None:
    no_such_protocol = 143  # IANA: Ethernet, which the kernel's sockets do not have
    with pytest.raises(RefusedError):
        list(diag.dump(partial(inet_diag.dump_request, int(V4), no_such_protocol, inet_diag.ALL_STATES)))  # type: ignore[arg-type]


def test_after_a_refusal_the_next_dump_is_whole(held: contextlib.ExitStack, diag: DiagSocket, tcp: DiagTable) -> None:
    test_a_protocol_without_a_handler_is_refused_and_not_empty(diag)
    listener = listening(held)
    tcp.look()
    assert len(seen(tcp, listener)) == 1


def test_a_dump_that_is_left_half_read_does_not_spoil_the_next(
    held: contextlib.ExitStack, diag: DiagSocket, tcp: DiagTable
) -> None:
    sockets = [listening(held) for _ in range(3)]
    for _ in Tcp(diag).read(inet_diag.ALL_STATES):
        break
    tcp.look()
    assert len(seen(tcp, *sockets)) == 3


@pytest.mark.parametrize("number", [errno.EPERM, errno.EPROTONOSUPPORT, errno.EACCES])
def test_where_no_socket_is_to_be_had_it_is_a_refusal(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fleetnet_agent.sources.diag.socket.socket", refuse)  # what a seccomp filter does
    with pytest.raises(RefusedError, match=os.strerror(number)):
        list(Tcp(DiagSocket()).read(inet_diag.ALL_STATES))


def test_a_socket_that_is_not_to_be_had_for_now_is_no_refusal() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(SourceError, match="Too many open files") as failure:
            list(Tcp(DiagSocket()).read(inet_diag.ALL_STATES))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not isinstance(failure.value, RefusedError)


def test_pyroute2_sees_the_same_sockets_in_the_same_states(held: contextlib.ExitStack, tcp: DiagTable) -> None:
    listener = listening(held)
    sockets = [listener, *connected(held, listener), *connected(held, listener)]
    held.enter_context(socket.create_connection(listener.getsockname()))  # not accepted
    tcp.look()
    with Oracle() as oracle:
        expected = {
            (one["idiag_src"], one["idiag_sport"], one["idiag_dst"], one["idiag_dport"], one["idiag_state"])
            for one in oracle.get_sock_stats(family=V4)
            if port(listener) in (one["idiag_sport"], one["idiag_dport"])
        }
    ours = {
        (
            socket.inet_ntoa(one.local_address),
            one.local_port,
            socket.inet_ntoa(one.remote_address or bytes(4)),
            one.remote_port,
            int(one.state),
        )
        for one in tcp.sightings()
        # Somebody else's may have the same port over IPv6.
        if len(one.local_address) == 4 and port(listener) in (one.local_port, one.remote_port)
    }
    assert ours == expected
    assert len(ours) == len(sockets) + 2


def test_every_source_has_a_name_of_its_own_and_reads(diag: DiagSocket) -> None:
    assert [kind.name for kind in SOURCES] == ["tcp", "udp", "udplite", "sctp", "raw", "unix", "packet"]
    for kind in SOURCES:
        source = kind.open(diag)
        try:
            parts = list(source.read(source.listening))
        except RefusedError:  # never for these two, on any kernel that has socket diagnostics at all
            assert kind.name not in ("tcp", "udp")
        else:
            assert parts[-1].last


class CountingDiag(DiagSocket):
    """Counts its dumps."""

    dumps = 0

    def dump(self, request: Callable[[int], bytes], codec: Codec = inet_diag.CODEC) -> Iterator[Part]:
        self.dumps += 1
        return super().dump(request, codec)


@pytest.mark.parametrize(("few", "few_left", "walks"), [(0, -1, 2), (10**9, -1, 1), (0, 10**9, 1)])
def test_few_sockets_or_few_in_time_wait_take_one_walk_over_the_kernels_table_and_others_two(
    monkeypatch: pytest.MonkeyPatch, few: int, few_left: int, walks: int
) -> None:
    monkeypatch.setattr(tcp_source, "FEW", few)
    monkeypatch.setattr(tcp_source, "FEW_LEFT", few_left)
    diag = CountingDiag()
    source = Tcp(diag)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        inode = os.fstat(listener.fileno()).st_ino
        list(source.read(inet_diag.ALL_STATES))
        diag.dumps = 0
        list(source.read(source.listening))
        assert diag.dumps == 1
        messages = [one for part in source.read(inet_diag.ALL_STATES) for one in part.messages]
    assert diag.dumps == 1 + walks
    assert [inet_diag.inode_of(one) for one in messages].count(inode) == 1
    diag.close()


def test_requests_are_numbered_without_end_and_leave_nothing_behind() -> None:
    diag = DiagSocket()
    before = sys.getallocatedblocks()
    for _ in range(10_000):
        diag._next()
    assert sys.getallocatedblocks() - before < 1_000
    diag._sequence = 2**32 - 2
    assert [diag._next(), diag._next()] == [2**32 - 1, 1]
