"""Where the kernel refuses its diagnostics: /proc by psutil, and said so."""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.ends import Ends
from fleetnet_agent.followed import Followed
from fleetnet_agent.host import this_host
from fleetnet_agent.owners.lookup import OwnerLookup
from fleetnet_agent.records import OwnerStatus, Protocol, State
from fleetnet_agent.records import Socket as Row
from fleetnet_agent.records import Source as ReadBy
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.fallback import psutil_table
from fleetnet_agent.sources.source import Codec, Part
from fleetnet_agent.sources.tcp import Tcp
from fleetnet_agent.watch import Watch

NO_SUCH_PROTOCOL = 143  # IANA: Ethernet, for which no kernel has socket diagnostics


@dataclass
class RefusedByTheKernel:
    """A source of what this kernel has no diagnostics for, named after another."""

    diag: DiagSocket
    protocol: Protocol
    codec: Codec = inet_diag.CODEC
    listening: int = 1 << State.LISTEN
    sharing: int = 1 << State.LISTEN

    def read(self, states: int) -> Iterator[Part]:
        """See `Source`."""
        request = partial(inet_diag.dump_request, int(socket.AF_INET), NO_SUCH_PROTOCOL)  # type: ignore[arg-type]  # on purpose
        yield from self.diag.dump(partial(request, states))


@pytest.fixture
def watch() -> Iterator[Watch]:
    host, diag = this_host(), DiagSocket()
    followed = [
        Followed(
            name,
            protocol,
            DiagTable(RefusedByTheKernel(diag, protocol), partial(diag.find, protocol=protocol)),
            Ends(host.boottime_us),
        )
        for name, protocol in (("tcp", Protocol.TCP), ("udp", Protocol.UDP))
    ]
    opened = Watch(host, OwnerLookup(host, None, is_root=os.geteuid() == 0), followed, diag)
    yield opened
    opened.close()


def by_port(rows: tuple[Row, ...], port: int) -> list[Row]:
    return [row for row in rows if port in (row.local_port, row.remote_port)]


def test_the_sockets_come_through_psutil_with_their_owner_and_the_source_says_so(watch: Watch) -> None:
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        client = held.enter_context(socket.create_connection(listener.getsockname()[:2]))
        server = held.enter_context(listener.accept()[0])
        first = watch.look()
        rows = by_port(first.opened, listener.getsockname()[1])
        assert sorted(row.state.name for row in rows) == ["ESTABLISHED", "ESTABLISHED", "LISTEN"]
        assert all(row.source is ReadBy.PSUTIL and row.key.cookie == row.key.inode == 0 for row in rows)
        assert {len(row.key.four_tuple) for row in rows} == {36}
        assert all(row.holder.owner_status is OwnerStatus.KNOWN for row in rows)
        assert {process.pid for row in rows for process in row.holder.owners} == {os.getpid()}
        told = {status.name: status for status in first.sources}
        assert not told["tcp"].ok
        assert "psutil" in told["tcp"].detail
        assert client.fileno() != server.fileno()
    second = watch.look(everything=True)
    assert {row.key for row in rows if row.state is State.LISTEN} <= {closed.key for closed in second.closed}
    assert all(status.name not in ("tcp", "udp") for status in second.sources)


def test_udp_comes_through_psutil_too(watch: Watch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound, socket.socket(type=socket.SOCK_DGRAM) as connected:
        bound.bind(("127.0.0.1", 0))
        connected.connect(bound.getsockname())
        rows = by_port(watch.look().opened, bound.getsockname()[1])
        assert sorted(row.state.name for row in rows) == ["CLOSE", "ESTABLISHED"]
        assert {row.remote_address for row in rows} == {b"", bytes([127, 0, 0, 1])}


def test_the_snapshot_is_what_the_differences_told(watch: Watch) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        first = watch.look()
        assert {row.key: row for row in watch.snapshot().sockets} == {row.key: row for row in first.opened}


def test_a_socket_of_nobody_one_may_see_depends_on_who_looks(watch: Watch) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    client.close()  # in the accept queue, with its peer gone: no process holds it
    try:
        rows = by_port(watch.look().opened, listener.getsockname()[1])
        (waiting,) = [row for row in rows if row.state is State.CLOSE_WAIT]
        assert waiting.holder.owner_status in (OwnerStatus.PERMISSION, OwnerStatus.NO_HELPER)
        (left,) = [row for row in rows if row.state in (State.FIN_WAIT1, State.FIN_WAIT2)]
        assert left.holder.owner_status is OwnerStatus.GONE
    finally:
        listener.close()


def test_once_it_worked_a_refusal_is_a_failure_and_closes_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)):
        diag = DiagSocket()
        source = RefusedByTheKernel(diag, Protocol.TCP)
        table = DiagTable(source, partial(diag.find, protocol=Protocol.TCP))
        table._source = Tcp(diag)
        followed = Followed("tcp", Protocol.TCP, table, Ends(this_host().boottime_us))
        opened = len(followed.look().moves.opened)
        table._source = source
        assert not followed.look().moves.closed
        assert not followed.status.ok
        assert len(followed) == opened > 0
        diag.close()


def test_a_table_of_psutil_finds_no_inodes_but_names(watch: Watch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        table = psutil_table(Protocol.TCP)
        table.look()
        (one,) = [s for s in table.sightings() if s.local_port == listener.getsockname()[1]]
        assert table.holding({0}) == []
        assert table.named({one.name}) == [one]
        assert table.still_there([one.name, b"nothing"]) == {one.name}
        assert not table.listeners_moved()
