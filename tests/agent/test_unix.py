"""UNIX sockets of the kernel that runs here, through the whole engine. Needs no root."""

import contextlib
import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.host import this_host
from fleetnet_agent.records import Difference, Family, OwnerStatus, Protocol, Snapshot, SocketType, Source, State
from fleetnet_agent.records import Socket as Row
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import Sighting
from fleetnet_agent.sources.unix import Unix
from fleetnet_agent.watch import Watch, open_watch


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def table() -> Iterator[DiagTable]:
    diag = DiagSocket()
    source = Unix(diag)
    yield DiagTable(source, partial(diag.find, protocol=source.protocol, codec=source.codec))
    diag.close()


@pytest.fixture
def watch() -> Iterator[Watch]:
    opened = open_watch(this_host(), helper_socket=None, namespaces="own")
    yield opened
    opened.close()


def bound(held: contextlib.ExitStack, name: str | bytes, kind: int = socket.SOCK_STREAM) -> socket.socket:
    one = held.enter_context(socket.socket(socket.AF_UNIX, kind))
    one.bind(name)
    return one


def connected(held: contextlib.ExitStack, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = held.enter_context(socket.socket(socket.AF_UNIX, listener.type))
    client.connect(listener.getsockname())
    return client, held.enter_context(listener.accept()[0])


def pair(held: contextlib.ExitStack, kind: int) -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    return held.enter_context(one), held.enter_context(other)


def inode(one: socket.socket) -> int:
    return os.fstat(one.fileno()).st_ino


def seen(table: DiagTable, *sockets: socket.socket) -> list[Sighting]:
    by_inode = {one.inode: one for one in table.sightings()}
    return [by_inode[inode(one)] for one in sockets]


def test_names_types_states_and_peers_are_those_of_the_kernel(
    held: contextlib.ExitStack, table: DiagTable, tmp_path: Path
) -> None:
    listener = bound(held, str(tmp_path / "listener"))
    listener.listen(3)
    client, server = connected(held, listener)
    datagram = bound(held, b"\0" + os.urandom(8), socket.SOCK_DGRAM)
    near, far = pair(held, socket.SOCK_SEQPACKET)
    table.look()
    one, here, there, abstract, left, right = seen(table, listener, client, server, datagram, near, far)
    assert (one.state, one.path, one.send_queue) == (State.LISTEN, os.fsencode(tmp_path / "listener"), 3)
    assert (here.path, there.path) == (b"", one.path)
    assert (here.peer_inode, there.peer_inode) == (there.inode, here.inode)
    assert (abstract.path, abstract.state) == (datagram.getsockname(), State.CLOSE)
    assert [each.type for each in (one, abstract, left)] == [SocketType.STREAM, SocketType.DGRAM, SocketType.SEQPACKET]
    assert (left.peer_inode, left.state) == (right.inode, State.ESTABLISHED)
    assert {each.uid for each in (one, here, abstract, left)} == {os.getuid()}


def test_a_connection_is_one_once_it_is_accepted_and_until_then_waits_in_its_listener(
    held: contextlib.ExitStack, table: DiagTable
) -> None:
    listener = bound(held, b"\0" + os.urandom(8))
    listener.listen(3)
    client = held.enter_context(socket.socket(socket.AF_UNIX))
    client.connect(listener.getsockname())
    table.look()
    one, waiting = seen(table, listener, client)
    assert (one.recv_queue, waiting.peer_inode) == (1, 0)
    server = held.enter_context(listener.accept()[0])
    changed = {change.after.inode: change.after for change in table.look().changed}
    assert changed[inode(client)].peer_inode == inode(server)
    assert [each.path for each in seen(table, server)] == [listener.getsockname()]


def test_sockets_are_found_exactly_while_they_are_there(held: contextlib.ExitStack, table: DiagTable) -> None:
    with contextlib.ExitStack() as passing:
        ends = [end for _ in range(60) for end in pair(passing, socket.SOCK_STREAM)]
        stays = pair(held, socket.SOCK_DGRAM)
        table.look()
        names = {one.name for one in seen(table, *ends, *stays)}
        assert table.still_there(names) == names
        passed = {one.name for one in seen(table, *ends)}
    assert table.still_there(names) == names - passed
    moves = table.look()
    assert passed <= {one.name for one in moves.closed}
    assert not names - passed & {one.name for one in moves.closed}


def test_a_listener_is_noticed_by_a_look_at_the_listeners_alone(held: contextlib.ExitStack, table: DiagTable) -> None:
    table.look()
    pair(held, socket.SOCK_STREAM)
    listener = bound(held, b"\0" + os.urandom(8))
    assert inode(listener) not in {one.inode for one in table.listeners()}
    listener.listen()
    assert table.listeners_moved()


def test_rows_have_owners_and_no_addresses(held: contextlib.ExitStack, watch: Watch) -> None:
    near, far = pair(held, socket.SOCK_STREAM)
    one = by_inode(watch.look(), near)
    assert (one.key.protocol, one.family, one.source) == (Protocol.UNIX, Family.UNIX, Source.DIAG)
    assert (one.local_address, one.remote_address, one.local_port) == (b"", b"", 0)
    assert one.peer_inode == inode(far)
    assert one.holder.owner_status is OwnerStatus.KNOWN
    assert [process.pid for process in one.holder.owners] == [os.getpid()]


def test_a_socket_that_is_gone_is_closed_and_the_rest_is_what_was_told(
    held: contextlib.ExitStack, watch: Watch
) -> None:
    near, far = pair(held, socket.SOCK_STREAM)
    first = watch.look()
    keys = {by_inode(first, one).key for one in (near, far)}
    near.close()
    far.close()
    assert keys <= {closed.key for closed in watch.look(everything=True).closed}
    assert not keys & {row.key for row in watch.snapshot().sockets}


def by_inode(told: Difference | Snapshot, one: socket.socket) -> Row:
    rows = told.opened if isinstance(told, Difference) else told.sockets
    (row,) = [row for row in rows if row.inode == inode(one)]
    return row
