"""Where the kernel refuses its diagnostics: /proc by psutil, and said so."""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from agent.family_messages import unix
from fleetnet_agent.changes import DiagTable, Moves
from fleetnet_agent.ends import Ends
from fleetnet_agent.followed import Followed
from fleetnet_agent.host import this_host
from fleetnet_agent.owners.lookup import OwnerLookup
from fleetnet_agent.records import OwnerStatus, Protocol, State
from fleetnet_agent.records import Socket as Row
from fleetnet_agent.records import Source as ReadBy
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.fallback import kernel_had, kernel_has, psutil_table
from fleetnet_agent.sources.listed import ListedTable
from fleetnet_agent.sources.source import Codec, Part, Sighting, SourceError
from fleetnet_agent.sources.tcp import Tcp
from fleetnet_agent.watch import Watch

from agent import captured

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


def by_port(rows: Sequence[Row], port: int) -> list[Row]:
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


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    directory = tmp_path / "self/net"
    directory.mkdir(parents=True)
    for name, text in (
        ("protocols", captured.PROC_PROTOCOLS),
        ("raw", captured.PROC_RAW),
        ("raw6", captured.PROC_RAW6),
        ("unix", captured.PROC_UNIX),
        ("packet", captured.PROC_PACKET),
    ):
        (directory / name).write_bytes(text)
    return tmp_path


@contextlib.contextmanager
def refused(protocol: Protocol, proc: Path) -> Iterator[Followed]:
    diag = DiagSocket()
    table = DiagTable(RefusedByTheKernel(diag, protocol), partial(diag.find, protocol=protocol))
    yield Followed(protocol.name.lower(), protocol, table, Ends(lambda: 0), proc)
    diag.close()


@pytest.mark.parametrize(
    ("protocol", "count", "whole"), [(Protocol.RAW, 2, True), (Protocol.PACKET, 2, True), (Protocol.UNIX, 3, False)]
)
def test_what_the_kernel_has_no_diagnostics_for_is_read_from_its_file_by_inode_and_said(
    protocol: Protocol, count: int, whole: bool, proc: Path
) -> None:
    with refused(protocol, proc) as followed:
        opened = followed.look().moves.opened
        assert len({one.name for one in opened}) == len(opened) == count
        keys = {followed._key(one) for one in opened}
        assert all((key.cookie, key.four_tuple) == (0, b"") and key.inode for key in keys)
        assert followed.status.ok == whole
        assert "/proc/net" in followed.status.detail
        assert "ENOENT" in followed.status.detail
        assert followed.look().moves == Moves([], [], [])


def test_a_kind_of_socket_that_the_kernel_does_not_have_is_an_empty_table_until_it_has_it(proc: Path) -> None:
    with refused(Protocol.SCTP, proc) as followed:
        assert not followed.look().moves.opened
        assert (followed.status.ok, followed.status.detail) == (True, "")
        (proc / "self/net/protocols").write_bytes(captured.PROC_PROTOCOLS + b"SCTP 1 0\n")
        assert not followed.look().moves.opened
        assert (followed.status.ok, followed.status.blind) == (False, False)
        assert followed.status.detail.startswith("not read: ")


def test_while_it_does_not_have_it_the_kernel_is_not_asked_and_looks_for_no_module(proc: Path) -> None:
    with refused(Protocol.SCTP, proc) as followed:
        followed.look()
        followed._table = broken = ListedTable(_never, confirms=False)
        followed.look()
        assert followed.status.ok
        assert not followed.listeners_moved()
        with pytest.raises(AssertionError):
            broken.look()


def _never() -> list[Sighting]:
    raise AssertionError("asked")


def test_a_table_whose_file_cannot_be_read_either_is_not_read_and_not_empty(proc: Path) -> None:
    (proc / "self/net/raw").unlink()
    with refused(Protocol.RAW, proc) as followed:
        followed.look()
        assert not followed.status.ok
        assert "raw is missing" in followed.status.detail


def test_a_file_that_is_spoiled_later_is_a_failure_and_closes_nothing(proc: Path) -> None:
    with refused(Protocol.RAW, proc) as followed:
        followed.look()
        (proc / "self/net/raw").write_bytes(b"heading\nnothing of the sort\n")
        assert not followed.look().moves.closed
        assert (followed.status.ok, followed.status.blind) == (False, True)
        (proc / "self/net/raw").write_bytes(captured.PROC_RAW)
        assert followed.look().moves == Moves([], [], [])
        assert followed.status.ok


def test_without_ipv6_its_file_is_missing_and_the_table_is_whole(proc: Path) -> None:
    (proc / "self/net/raw6").unlink()
    with refused(Protocol.RAW, proc) as followed:
        assert len(followed.look().moves.opened) == 1
        assert followed.status.ok


class Listing:
    """Sockets of which each listing may miss some."""

    def __init__(self) -> None:
        self.sockets: list[Sighting] = []
        self.missed: list[set[int]] = []

    def __call__(self) -> list[Sighting]:
        missed = self.missed.pop(0) if self.missed else set()
        return [one for one in self.sockets if one.name not in missed]


def test_a_socket_is_gone_when_two_listings_miss_it() -> None:
    listing = Listing()
    table = ListedTable(listing, confirms=True)
    listing.sockets = [unix(1), unix(2)]
    assert table.look().opened == [unix(1), unix(2)]
    listing.missed = [{1}]
    assert table.look() == Moves([], [], [])
    listing.sockets = [unix(1)]
    assert table.look().closed == [unix(2)]
    assert list(table.sightings()) == [unix(1)]


def test_a_listed_queue_is_told_only_when_it_lasts_and_anything_else_at_once() -> None:
    listing = Listing()
    table = ListedTable(listing, confirms=True)
    listing.sockets = [unix(1)]
    table.look()
    listing.sockets = [unix(1, recv_queue=7)]
    assert table.look() == Moves([], [], [])
    assert list(table.sightings()) == [unix(1)]
    assert [change.after for change in table.look().changed] == [unix(1, recv_queue=7)]
    listing.sockets = [unix(1, recv_queue=9)]
    assert table.look() == Moves([], [], [])
    listing.sockets = [unix(1, recv_queue=8, uid=0)]
    (change,) = table.look().changed
    assert (change.before, change.after) == (unix(1, recv_queue=7), unix(1, recv_queue=8, uid=0))
    assert table.look() == Moves([], [], [])


def test_a_listing_that_fails_changes_nothing() -> None:
    listing = Listing()
    table = ListedTable(listing, confirms=True)
    listing.sockets = [unix(1)]
    table.look()
    table._list = _fails
    with pytest.raises(SourceError):
        table.look()
    table._list = listing
    assert table.look() == Moves([], [], [])


def _fails() -> list[Sighting]:
    raise SourceError("broken")


def test_what_the_kernel_has_is_the_same_a_moment_ago(tmp_path: Path) -> None:
    proc = Path("/proc")
    assert {one: kernel_had(one, proc) for one in Protocol} == {one: kernel_has(one, proc) for one in Protocol}
    assert kernel_had(Protocol.SCTP, tmp_path)  # for all that is known
