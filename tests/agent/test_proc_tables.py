"""Sockets of a namespace that shows itself by its files alone: what names them, and that one connection stays one."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from fleetnet_agent.changes import Moves
from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources.proc_tables import KINDS, table_of
from fleetnet_agent.sources.source import SourceError

from agent import captured

TCP_HEADING = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENER, CLIENT, SERVER = 4101, 4102, 4103
ADDRESSES = bytes([127, 0, 0, 1, 0x1E, 0x61, 127, 0, 0, 1, 0xC3, 0x50])  # of the accepted end


def line(local: int, remote: int, state: State, inode: int, uid: int = 33) -> bytes:
    """As net/ipv4/tcp_ipv4.c: tcp4_seq_show() writes it."""
    peer = f"0100007F:{remote:04X}" if remote else "00000000:0000"
    numbers = f"{state:02X} 00000000:00000000 00:00000000 00000000 {uid:5d}        0 {inode}"
    text = f"   0: 0100007F:{local:04X} {peer} {numbers} 1 0000000000000000 100 0 0 10 0"
    return text.ljust(149).encode() + b"\n"


def listener() -> bytes:
    return line(7777, 0, State.LISTEN, LISTENER)


def accepted(state: State, inode: int) -> bytes:
    return line(7777, 50000, state, inode)


class Files:
    """/proc/PID/net of a namespace."""

    def __init__(self) -> None:
        self.there: dict[str, bytes] = {"tcp": TCP_HEADING}
        self.read = 0

    def tell(self, *lines: bytes) -> None:
        self.there["tcp"] = TCP_HEADING + b"".join(lines)

    def __call__(self, name: str) -> bytes:
        self.read += 1
        if name not in self.there:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return self.there[name]


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "self/net").mkdir(parents=True)
    (tmp_path / "self/net/protocols").write_bytes(captured.PROC_PROTOCOLS)
    return tmp_path


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def look(files: Files, proc: Path) -> Callable[[], Moves]:
    (kind,) = [kind for kind in KINDS if kind.protocol is Protocol.TCP]
    return table_of(kind, files, proc).look


def test_what_has_an_inode_is_named_by_it_and_what_has_none_by_its_addresses(
    files: Files, look: Callable[[], Moves]
) -> None:
    files.tell(listener(), accepted(State.ESTABLISHED, 0), line(50001, 7777, State.TIME_WAIT, 0, uid=0))
    waiting, left = (one for one in look().opened if one.state is not State.LISTEN)
    assert (waiting.name, waiting.inode, waiting.uid) == (ADDRESSES, 0, 33)
    assert (left.state, left.inode, left.uid) == (State.TIME_WAIT, 0, None)
    assert isinstance(left.name, bytes)


def test_a_connection_keeps_its_name_from_the_accept_queue_to_its_end(files: Files, look: Callable[[], Moves]) -> None:
    files.tell(listener(), accepted(State.SYN_RECV, 0))
    look()
    for state, inode in (
        (State.ESTABLISHED, 0),
        (State.ESTABLISHED, SERVER),
        (State.FIN_WAIT2, SERVER),
        (State.FIN_WAIT2, 0),
        (State.TIME_WAIT, 0),
    ):
        files.tell(listener(), accepted(state, inode))
        moves = look()
        assert (moves.opened, moves.closed) == ([], [])
        (change,) = moves.changed
        assert (change.after.name, change.after.state, change.after.inode) == (ADDRESSES, state, inode)
    files.tell(listener())
    assert [one.name for one in look().closed] == [ADDRESSES]


def test_one_that_was_seen_with_its_inode_keeps_that_as_its_name(files: Files, look: Callable[[], Moves]) -> None:
    files.tell(accepted(State.ESTABLISHED, SERVER))
    look()
    for state in (State.FIN_WAIT1, State.FIN_WAIT2, State.TIME_WAIT):
        files.tell(accepted(state, 0))
        moves = look()
        assert (moves.opened, moves.closed) == ([], [])
        assert [change.after.name for change in moves.changed] == [SERVER]


def test_another_connection_with_the_same_addresses_is_another_one(files: Files, look: Callable[[], Moves]) -> None:
    files.tell(accepted(State.ESTABLISHED, SERVER))
    look()
    files.tell(accepted(State.ESTABLISHED, SERVER + 1))
    moves = look()
    assert ([one.name for one in moves.closed], [one.name for one in moves.opened]) == ([SERVER], [SERVER + 1])
    files.tell(accepted(State.TIME_WAIT, 0))
    look()
    files.tell(accepted(State.ESTABLISHED, SERVER + 2))
    moves = look()
    assert ([one.name for one in moves.closed], [one.name for one in moves.opened]) == ([SERVER + 1], [SERVER + 2])


def test_what_one_reading_misses_or_doubles_is_neither_closed_nor_doubled_nor_renamed(
    files: Files, look: Callable[[], Moves]
) -> None:
    files.tell(listener(), accepted(State.ESTABLISHED, 0))
    look()
    files.tell(listener(), accepted(State.ESTABLISHED, SERVER))
    look()
    whole = files.there["tcp"] + accepted(State.ESTABLISHED, SERVER)  # the connection twice
    texts = iter([TCP_HEADING + listener(), whole])
    real = files.there
    files.there = type("Once", (dict,), {"__getitem__": lambda self, name: next(texts)})(real)
    moves = look()
    assert (moves.opened, moves.changed, moves.closed) == ([], [], [])
    assert next(texts, None) is None, "it was read again before anything was said to be gone"


def test_a_kind_that_the_kernel_has_is_never_empty_because_its_file_is_missing(
    files: Files, look: Callable[[], Moves], proc: Path
) -> None:
    files.there.clear()
    with pytest.raises(SourceError, match="/proc/PID/net/tcp is missing"):
        look()
    (proc / "self/net/protocols").write_bytes(b"protocol  size\nUNIX 1\n")
    assert look().opened == []


def test_every_kind_reads_what_the_kernel_writes(files: Files, proc: Path) -> None:
    files.there |= {"raw": captured.PROC_RAW, "raw6": captured.PROC_RAW6, "packet": captured.PROC_PACKET}
    files.there |= {"unix": captured.PROC_UNIX, "udp": captured.PROC_RAW, "udplite": captured.PROC_RAW}
    files.tell(listener())
    opened = {kind.name: len(table_of(kind, files, proc).look().opened) for kind in KINDS}
    assert opened == {"tcp": 1, "udp": 1, "udplite": 1, "raw": 2, "unix": 3, "packet": 2}
