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
from fleetnet_server.rpc import bounds, translate_network

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

_ADDRESS_BYTES = {
    sockets_pb2.FAMILY_IPV4: 4,
    sockets_pb2.FAMILY_IPV6: 16,
    sockets_pb2.FAMILY_UNIX: 0,
    sockets_pb2.FAMILY_PACKET: 0,
}
# Those that have a family of their own; all others have addresses.
_FAMILY_OF = {
    sockets_pb2.PROTOCOL_UNIX: sockets_pb2.FAMILY_UNIX,
    sockets_pb2.PROTOCOL_PACKET: sockets_pb2.FAMILY_PACKET,
}
_PROTOCOLS = frozenset(sockets_pb2.Protocol.values()) - {sockets_pb2.PROTOCOL_UNSPECIFIED}
_TYPES = frozenset(sockets_pb2.SocketType.values())
_UNIX_PATH_BYTES = 108  # UNIX_PATH_MAX of include/uapi/linux/un.h


def hello(message: report_pb2.Hello) -> records.Hello:
    """The opening of a stream. Raises BadBatch."""
    facts = message.facts
    return records.Hello(
        agent_version=bounds.text(message.agent_version, bounds.NAME),
        boot_id=_boot_id(message.boot_id),
        epoch=_epoch(message.epoch),
        machine_id_hash=_machine_id_hash(message.machine_id_hash),
        wall_clock_us=_time(message.wall_clock_us),
        boottime_us=min(max(message.boottime_us, 0), bounds.LAST_US),
        facts=records.HostFacts(
            os=bounds.text(facts.os, bounds.WORDS),
            kernel=bounds.text(facts.kernel, bounds.WORDS),
            architecture=bounds.text(facts.architecture, bounds.NAME),
            cpu_count=min(facts.cpu_count, 2**31 - 1),
            memory_bytes=min(facts.memory_bytes, bounds.MAX_INTEGER),
            booted_at_us=min(max(facts.booted_at_us, 0), bounds.LAST_US),
        ),
        # A comparison with NaN is false, so NaN becomes 0 as well.
        interval_s=min(message.interval_s, 86_400.0) if message.interval_s > 0 else 0.0,
        netns_inode=bounds.count(message.netns_inode, "inode of the namespace"),
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
            records.SourceStatus(
                bounds.text(source.name, bounds.NAME), source.ok, bounds.text(source.detail, bounds.SENTENCE)
            )
            for source in message.sources
        ),
        gaps=tuple(_gap(gap) for gap in message.gaps),
        namespaces=translate_network.namespaces(message.namespaces),
        namespaces_gone=translate_network.gone(message.namespaces_gone),
    )


def refused(message: report_pb2.Batch, reason: str) -> records.RefusedBatch:
    """A batch that could not be read, by what names it. Raises BadBatch if not even that can be read."""
    return records.RefusedBatch(
        boot_id=_boot_id(message.boot_id),
        epoch=_epoch(message.epoch),
        sequence=_sequence(message.sequence),
        look_at_us=min(max(message.look_at_us, 0), bounds.LAST_US),
        previous_look_at_us=min(max(message.previous_look_at_us, 0), bounds.LAST_US),
        reason=bounds.text(reason, bounds.SENTENCE),
        message=message.SerializeToString(),
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
        bounds.at_most(size, most, what)


def _snapshot(message: report_pb2.Batch) -> records.SnapshotPart | None:
    if not message.HasField("snapshot"):
        return None
    if message.changed or message.closed:
        raise BadBatch("a part of a snapshot holds changed or closed sockets")
    if message.namespaces_gone:
        raise BadBatch("a part of a snapshot holds namespaces that are gone")
    if message.snapshot.part >= MAX_PARTS:
        raise BadBatch(f"a snapshot has part {message.snapshot.part}; at most {MAX_PARTS} parts are taken")
    return records.SnapshotPart(message.snapshot.part, message.snapshot.last)


def _process(message: sockets_pb2.Process) -> records.Process:
    return records.Process(
        pid=bounds.small(message.pid, 2**31 - 1, "pid"),
        started_at_us=min(max(message.started_at_us, 0), bounds.LAST_US),
        name=bounds.text(message.name, bounds.NAME),
        exe=bounds.text(message.exe, bounds.PATH),
        program=bounds.text(message.program, bounds.NAME),
    )


def _holder(message: sockets_pb2.Holder, processes: Sequence[records.Process]) -> records.Holder:
    if len(message.owners) > MAX_OWNERS:
        raise BadBatch(f"a holder has {len(message.owners)} owners; at most {MAX_OWNERS} are taken")
    if message.owners and max(message.owners) >= len(processes):
        raise BadBatch("a holder points at a process that is not in the batch")
    return records.Holder(
        uid=message.uid if message.HasField("uid") else None,
        user=bounds.text(message.user, bounds.WORDS),
        unit=bounds.text(message.unit, bounds.WORDS),
        container=bounds.text(message.container, bounds.WORDS),
        owner_status=bounds.enum(message.owner_status, sockets_pb2.OWNER_STATUS_RACED, "owner status"),
        owners=tuple(processes[index] for index in message.owners),
        runtime=bounds.text(message.runtime, bounds.NAME),
    )


def _key(message: sockets_pb2.SocketKey) -> records.SocketKey:
    if message.protocol not in _PROTOCOLS:
        raise BadBatch(f"a socket has protocol {message.protocol}, which this collector does not know")
    cookie = bounds.count(message.cookie, "cookie")
    inode = 0 if cookie else bounds.count(message.inode, "inode")
    four_tuple = b"" if cookie or inode else message.four_tuple
    # Twice an address of 4 or 16 bytes and a port of 2.
    if not (cookie or inode) and (len(four_tuple) not in (12, 36) or message.protocol in _FAMILY_OF):
        raise BadBatch("a socket has neither cookie nor inode nor addresses in its key")
    return records.SocketKey(bounds.count(message.netns, "namespace"), message.protocol, cookie, inode, four_tuple)


def _socket(message: sockets_pb2.Socket, holders: Sequence[records.Holder], look_at_us: int) -> records.Socket:
    if message.holder >= len(holders):
        raise BadBatch("a socket points at a holder that is not in the batch")
    _check_endpoints(message)
    key = _key(message.key)
    opened_at_us, opened_at_is = _opened(message, look_at_us)
    return records.Socket(
        key=key,
        family=message.family,
        state=bounds.enum(message.state, sockets_pb2.STATE_CLOSING, "state"),
        local_address=message.local_address,
        local_port=bounds.small(message.local_port, 0xFFFF, "port"),
        remote_address=message.remote_address,
        remote_port=bounds.small(message.remote_port, 0xFFFF, "port"),
        interface=bounds.text(message.interface, bounds.NAME),
        v6only=message.v6only if message.HasField("v6only") else None,
        recv_queue=message.recv_queue,
        send_queue=message.send_queue,
        inode=key.inode or bounds.count(message.inode, "inode"),
        source=bounds.enum(message.source, sockets_pb2.SOURCE_PROC, "source"),
        holder=holders[message.holder],
        opened_at_us=opened_at_us,
        opened_at_is=opened_at_is,
        type=message.type,
        path=message.path,
        peer_inode=bounds.count(message.peer_inode, "inode of the other end"),
    )


def _check_endpoints(message: sockets_pb2.Socket) -> None:
    protocol, family = message.key.protocol, message.family
    size = _ADDRESS_BYTES.get(family)
    if size is None:
        raise BadBatch(f"a socket has family {family}, which this collector does not know")
    if protocol in _PROTOCOLS and _FAMILY_OF.get(protocol, family if size else None) != family:
        raise BadBatch(f"a socket of protocol {protocol} has family {family}, which has no such sockets")
    local, remote = message.local_address, message.remote_address
    if len(local) != size or len(remote) not in (0, size):
        raise BadBatch(f"a socket of family {family} has addresses of {len(local)} and {len(remote)} bytes")
    if message.remote_port and not remote:
        raise BadBatch("a socket has a remote port and no remote address")
    if message.type not in _TYPES:
        raise BadBatch(f"a socket has type {message.type}, which this collector does not know")
    if protocol == sockets_pb2.PROTOCOL_UNIX:
        if message.local_port:
            raise BadBatch("a UNIX socket has a port")
        if len(message.path) > _UNIX_PATH_BYTES:
            raise BadBatch(
                f"a UNIX socket has a path of {len(message.path)} bytes; at most {_UNIX_PATH_BYTES} are taken"
            )
    elif message.path or message.peer_inode:
        raise BadBatch("a socket that is no UNIX socket has a path or the inode of another end")


def _opened(message: sockets_pb2.Socket, look_at_us: int) -> tuple[int, int]:
    if message.opened_at_us == 0 and message.opened_at_is == sockets_pb2.OPENED_AT_IS_UNSPECIFIED:
        return look_at_us, sockets_pb2.OPENED_AT_IS_SEEN
    how = bounds.enum(message.opened_at_is, sockets_pb2.OPENED_AT_IS_UNSEEN, "opened_at_is")
    return _not_after(message.opened_at_us, look_at_us), how


def _closed(message: sockets_pb2.ClosedSocket, look_at_us: int) -> records.ClosedSocket:
    how: int = message.closed_at_is
    if message.closed_at_us == 0 and how == sockets_pb2.CLOSED_AT_IS_UNSPECIFIED:
        how = sockets_pb2.CLOSED_AT_IS_SEEN
    bounds.enum(how, sockets_pb2.CLOSED_AT_IS_GAP, "closed_at_is")
    return records.ClosedSocket(_key(message.key), _not_after(message.closed_at_us, look_at_us), how)


def _gap(message: report_pb2.Gap) -> records.Gap:
    ends = sorted(_time(us) for us in (message.from_us, message.to_us))
    return records.Gap(ends[0], ends[1], bounds.text(message.reason, bounds.WORDS))


def _not_after(time_us: int, look_at_us: int) -> int:
    """A time inside a batch: 0 stands for the look, and nothing that it tells of lies after it."""
    return look_at_us if time_us == 0 else min(max(time_us, 1), look_at_us)


def _time(time_us: int) -> int:
    if time_us <= 0:
        raise BadBatch("a time that must be there is missing")
    return min(time_us, bounds.LAST_US)


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
    return value if value <= bounds.MAX_INTEGER else value - 2**64


def _sequence(value: int) -> int:
    if value == 0:
        raise BadBatch("the sequence number is 0; sequences begin at 1")
    return bounds.count(value, "sequence number")
