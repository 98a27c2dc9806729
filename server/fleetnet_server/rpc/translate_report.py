"""What a host reports, from protobuf messages to records: checked, bounded, resolved.

Everything here is hostile. Numbers, counts and indexes that cannot be true are refused with BadBatch, for an agent of
ours never sends them; text is cut with a mark, for a host's long names are no reason to lose its sockets; times are
brought into their range, for a host's clock may be wrong. What leaves this module can be stored by every engine:
integers fit 64 bits with a sign, text holds no NUL.
"""

from collections.abc import Sequence

from fleetnet_proto.v1 import report_pb2, sockets_pb2

from fleetnet_server import records
from fleetnet_server.errors import BadBatch

# The wire's own bound, which no agent's channel passes: what one host may have others wait for.
MAX_MESSAGE_BYTES = 1024 * 1024
# An agent keeps its batches to some 20,000 rows; these bounds stop only what is not an agent.
MAX_ROWS = 65_536
MAX_PROCESSES = 65_536
MAX_HOLDERS = 65_536
MAX_OWNER_REFERENCES = 262_144
# Of one holder: every socket that it holds is answered with all of them.
MAX_OWNERS = 16_384
MAX_SOURCES = 64
MAX_GAPS = 1_024
MAX_PARTS = 100_000

_MAX_INTEGER = 2**63 - 1
_LAST_US = 4_102_444_800_000_000  # 2100-01-01 UTC
_ADDRESS_BYTES = {4: 4, 6: 16}
_PROTOCOLS = frozenset({sockets_pb2.PROTOCOL_TCP, sockets_pb2.PROTOCOL_UDP})
_CUT_MARK = "…"

# Longest text kept, in characters.
_NAME = 64
_PATH = 1_024
_WORDS = 256
_SENTENCE = 512


def hello(message: report_pb2.Hello) -> records.Hello:
    """The opening of a stream. Raises BadBatch."""
    facts = message.facts
    return records.Hello(
        agent_version=_text(message.agent_version, _NAME),
        boot_id=_boot_id(message.boot_id),
        epoch=_epoch(message.epoch),
        machine_id_hash=_machine_id_hash(message.machine_id_hash),
        wall_clock_us=_time(message.wall_clock_us),
        boottime_us=min(max(message.boottime_us, 0), _LAST_US),
        facts=records.HostFacts(
            os=_text(facts.os, _WORDS),
            kernel=_text(facts.kernel, _WORDS),
            architecture=_text(facts.architecture, _NAME),
            cpu_count=min(facts.cpu_count, 2**31 - 1),
            memory_bytes=min(facts.memory_bytes, _MAX_INTEGER),
            booted_at_us=min(max(facts.booted_at_us, 0), _LAST_US),
        ),
        # A comparison with NaN is false, so NaN becomes 0 as well.
        interval_s=min(message.interval_s, 86_400.0) if message.interval_s > 0 else 0.0,
        netns_inode=_count(message.netns_inode, "inode of the namespace"),
    )


def batch(message: report_pb2.Batch) -> records.Batch:
    """One batch. Raises BadBatch."""
    _check_sizes(message)
    look_at_us = _time(message.look_at_us)
    processes = [_process(process) for process in message.processes]
    holders = [_holder(holder, processes) for holder in message.holders]
    snapshot = _snapshot(message)
    opened = tuple(_socket(socket, holders, look_at_us) for socket in message.opened)
    changed = tuple(_socket(socket, holders, look_at_us) for socket in message.changed)
    if len({socket.key for socket in (*opened, *changed)}) != len(opened) + len(changed):
        raise BadBatch("a socket is named twice in one batch")
    return records.Batch(
        boot_id=_boot_id(message.boot_id),
        epoch=_epoch(message.epoch),
        sequence=_sequence(message.sequence),
        look_at_us=look_at_us,
        # A clock that was set back makes the look before the later one; nothing can have been seen after this look.
        previous_look_at_us=min(max(message.previous_look_at_us, 0), look_at_us),
        snapshot=snapshot,
        opened=opened,
        changed=changed,
        closed=tuple(_closed(socket, look_at_us) for socket in message.closed),
        sources=tuple(
            records.SourceStatus(_text(source.name, _NAME), source.ok, _text(source.detail, _SENTENCE))
            for source in message.sources
        ),
        gaps=tuple(_gap(gap) for gap in message.gaps),
    )


def _check_sizes(message: report_pb2.Batch) -> None:
    rows = len(message.opened) + len(message.changed) + len(message.closed)
    for what, size, most in (
        ("rows", rows, MAX_ROWS),
        ("processes", len(message.processes), MAX_PROCESSES),
        ("holders", len(message.holders), MAX_HOLDERS),
        ("owners", sum(len(holder.owners) for holder in message.holders), MAX_OWNER_REFERENCES),
        ("sources", len(message.sources), MAX_SOURCES),
        ("gaps", len(message.gaps), MAX_GAPS),
    ):
        if size > most:
            raise BadBatch(f"a batch holds {size} {what}; at most {most} are taken")


def _snapshot(message: report_pb2.Batch) -> records.SnapshotPart | None:
    if not message.HasField("snapshot"):
        return None
    if message.changed or message.closed:
        raise BadBatch("a part of a snapshot holds changed or closed sockets")
    if message.snapshot.part >= MAX_PARTS:
        raise BadBatch(f"a snapshot has part {message.snapshot.part}; at most {MAX_PARTS} parts are taken")
    return records.SnapshotPart(message.snapshot.part, message.snapshot.last)


def _process(message: sockets_pb2.Process) -> records.Process:
    return records.Process(
        pid=_small(message.pid, 2**31 - 1, "pid"),
        started_at_us=min(max(message.started_at_us, 0), _LAST_US),
        name=_text(message.name, _NAME),
        exe=_text(message.exe, _PATH),
        program=_text(message.program, _NAME),
    )


def _holder(message: sockets_pb2.Holder, processes: Sequence[records.Process]) -> records.Holder:
    if len(message.owners) > MAX_OWNERS:
        raise BadBatch(f"a holder has {len(message.owners)} owners; at most {MAX_OWNERS} are taken")
    if message.owners and max(message.owners) >= len(processes):
        raise BadBatch("a holder points at a process that is not in the batch")
    return records.Holder(
        uid=message.uid if message.HasField("uid") else None,
        user=_text(message.user, _WORDS),
        unit=_text(message.unit, _WORDS),
        container=_text(message.container, _WORDS),
        owner_status=_enum(message.owner_status, sockets_pb2.OWNER_STATUS_RACED, "owner status"),
        owners=tuple(processes[index] for index in message.owners),
    )


def _key(message: sockets_pb2.SocketKey) -> records.SocketKey:
    if message.protocol not in _PROTOCOLS:
        raise BadBatch(f"a socket has protocol {message.protocol}, which this collector does not know")
    cookie = _count(message.cookie, "cookie")
    inode = 0 if cookie else _count(message.inode, "inode")
    four_tuple = b"" if cookie or inode else message.four_tuple
    # Twice an address of 4 or 16 bytes and a port of 2.
    if not (cookie or inode) and len(four_tuple) not in (12, 36):
        raise BadBatch("a socket has neither cookie nor inode nor addresses in its key")
    return records.SocketKey(_count(message.netns, "namespace"), message.protocol, cookie, inode, four_tuple)


def _socket(message: sockets_pb2.Socket, holders: Sequence[records.Holder], look_at_us: int) -> records.Socket:
    if message.holder >= len(holders):
        raise BadBatch("a socket points at a holder that is not in the batch")
    size = _ADDRESS_BYTES.get(message.family)
    if size is None:
        raise BadBatch(f"a socket has family {message.family}, which this collector does not know")
    local, remote = message.local_address, message.remote_address
    if len(local) != size or len(remote) not in (0, size):
        raise BadBatch(f"a socket of family {message.family} has addresses of {len(local)} and {len(remote)} bytes")
    if message.remote_port and not remote:
        raise BadBatch("a socket has a remote port and no remote address")
    key = _key(message.key)
    opened_at_us, opened_at_is = _opened(message, look_at_us)
    return records.Socket(
        key=key,
        family=message.family,
        state=_enum(message.state, sockets_pb2.STATE_CLOSING, "state"),
        local_address=local,
        local_port=_small(message.local_port, 0xFFFF, "port"),
        remote_address=remote,
        remote_port=_small(message.remote_port, 0xFFFF, "port"),
        interface=_text(message.interface, _NAME),
        v6only=message.v6only if message.HasField("v6only") else None,
        recv_queue=message.recv_queue,
        send_queue=message.send_queue,
        inode=key.inode or _count(message.inode, "inode"),
        source=_enum(message.source, sockets_pb2.SOURCE_PSUTIL, "source"),
        holder=holders[message.holder],
        opened_at_us=opened_at_us,
        opened_at_is=opened_at_is,
    )


def _opened(message: sockets_pb2.Socket, look_at_us: int) -> tuple[int, int]:
    if message.opened_at_us == 0 and message.opened_at_is == sockets_pb2.OPENED_AT_IS_UNSPECIFIED:
        return look_at_us, sockets_pb2.OPENED_AT_IS_SEEN
    how = _enum(message.opened_at_is, sockets_pb2.OPENED_AT_IS_UNSEEN, "opened_at_is")
    return _not_after(message.opened_at_us, look_at_us), how


def _closed(message: sockets_pb2.ClosedSocket, look_at_us: int) -> records.ClosedSocket:
    how: int = message.closed_at_is
    if message.closed_at_us == 0 and how == sockets_pb2.CLOSED_AT_IS_UNSPECIFIED:
        how = sockets_pb2.CLOSED_AT_IS_SEEN
    _enum(how, sockets_pb2.CLOSED_AT_IS_GAP, "closed_at_is")
    return records.ClosedSocket(_key(message.key), _not_after(message.closed_at_us, look_at_us), how)


def _gap(message: report_pb2.Gap) -> records.Gap:
    ends = sorted(_time(us) for us in (message.from_us, message.to_us))
    return records.Gap(ends[0], ends[1], _text(message.reason, _WORDS))


def _not_after(time_us: int, look_at_us: int) -> int:
    """A time inside a batch: 0 stands for the look, and nothing that it tells of lies after it."""
    return look_at_us if time_us == 0 else min(max(time_us, 1), look_at_us)


def _time(time_us: int) -> int:
    if time_us <= 0:
        raise BadBatch("a time that must be there is missing")
    return min(time_us, _LAST_US)


def _text(text: str, most: int) -> str:
    # PostgreSQL cannot keep NUL in text, and no name of the kernel holds one.
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return clean if len(clean) <= most else clean[: most - 1] + _CUT_MARK


def _enum(value: int, last: int, what: str) -> int:
    if not 1 <= value <= last:
        raise BadBatch(f"{what} {value} is not known to this collector")
    return value


def _small(value: int, most: int, what: str) -> int:
    if value > most:
        raise BadBatch(f"{what} {value} is above {most}")
    return value


def _count(value: int, what: str) -> int:
    return _small(value, _MAX_INTEGER, what)


def _boot_id(value: bytes) -> bytes:
    if len(value) != 16:
        raise BadBatch(f"the boot id has {len(value)} bytes instead of 16")
    return value


def _machine_id_hash(value: bytes) -> bytes:
    if len(value) not in (0, 32):
        raise BadBatch(f"the machine id's hash has {len(value)} bytes instead of 32")
    return value


def _epoch(value: int) -> int:
    """An epoch is 64 random bits; the record keeps them as a signed number, which every engine can store."""
    if value == 0:
        raise BadBatch("the epoch is 0")
    return value if value <= _MAX_INTEGER else value - 2**64


def _sequence(value: int) -> int:
    if value == 0:
        raise BadBatch("the sequence number is 0; sequences begin at 1")
    return _count(value, "sequence number")
