"""What a host reports, from protobuf messages to records: checked, bounded, resolved.

Everything here is hostile. Numbers, counts and indexes that cannot be true are refused with BadBatch, for an agent of
ours never sends them; text is cut with a mark, for a host's long names are no reason to lose its sockets; times are
brought into their range, for a host's clock may be wrong. What leaves this module can be stored by every engine:
integers fit 64 bits with a sign, text holds no NUL.
"""

from operator import attrgetter

from fleetnet_proto.v1 import report_pb2

from fleetnet_server import records
from fleetnet_server.errors import BadBatch
from fleetnet_server.rpc import bounds, translate_backlog, translate_network, translate_sockets

# The wire's own bound, which no agent's channel passes: what one host may have others wait for.
MAX_MESSAGE_BYTES = 1024 * 1024
# An agent keeps its batches to some 20,000 rows; these bounds stop only what is not an agent.
MAX_ROWS = 65_536
MAX_PROCESSES = 65_536
MAX_HOLDERS = 65_536
MAX_OWNER_REFERENCES = 262_144
MAX_SOURCES = 64
MAX_GAPS = 1_024
MAX_PARTS = 100_000

_key_of = attrgetter("key")


def hello(message: report_pb2.Hello) -> records.Hello:
    """The opening of a stream. Raises BadBatch."""
    facts = message.facts
    return records.Hello(
        agent_version=bounds.text(message.agent_version, bounds.NAME),
        boot_id=bounds.boot_id(message.boot_id),
        epoch=_epoch(message.epoch),
        machine_id_hash=_machine_id_hash(message.machine_id_hash),
        wall_clock_us=bounds.time(message.wall_clock_us),
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
        spool_bytes=min(message.spool_bytes, bounds.MAX_INTEGER),
        spool_oldest_us=min(max(message.spool_oldest_us, 0), bounds.LAST_US),
    )


def batch(message: report_pb2.Batch) -> records.Batch:
    """One batch. Raises BadBatch."""
    _check_sizes(message)
    look_at_us = bounds.time(message.look_at_us)
    processes = [translate_sockets.process(process) for process in message.processes]
    holders = [translate_sockets.holder(holder, processes) for holder in message.holders]
    snapshot = _snapshot(message)
    opened = tuple([translate_sockets.socket(socket, holders, look_at_us) for socket in message.opened])
    changed = tuple([translate_sockets.socket(socket, holders, look_at_us) for socket in message.changed])
    if len(set(map(_key_of, opened + changed))) != len(opened) + len(changed):
        raise BadBatch("a socket is named twice in one batch")
    return records.Batch(
        boot_id=bounds.boot_id(message.boot_id),
        epoch=_epoch(message.epoch),
        sequence=_sequence(message.sequence),
        look_at_us=look_at_us,
        # A clock that was set back makes the look before the later one; nothing can have been seen after this look.
        previous_look_at_us=min(max(message.previous_look_at_us, 0), look_at_us),
        snapshot=snapshot,
        opened=opened,
        changed=changed,
        closed=tuple([translate_sockets.closed(socket, look_at_us) for socket in message.closed]),
        sources=tuple([_source(source) for source in message.sources]),
        gaps=tuple([_gap(gap) for gap in message.gaps]),
        namespaces=translate_network.namespaces(message.namespaces) if message.namespaces else (),
        namespaces_gone=translate_network.gone(message.namespaces_gone) if message.namespaces_gone else (),
        backlog=translate_backlog.backlog(message, holders) if message.HasField("backlog") else None,
        digest=_digest(message.digest) if message.HasField("digest") else None,
        look_boottime_us=min(max(message.look_boottime_us, 0), bounds.LAST_US),
    )


def refused(message: report_pb2.Batch, reason: str) -> records.RefusedBatch:
    """A batch that could not be read, by what names it. Raises BadBatch if not even that can be read."""
    return records.RefusedBatch(
        boot_id=bounds.boot_id(message.boot_id),
        epoch=_epoch(message.epoch),
        sequence=_sequence(message.sequence),
        look_at_us=min(max(message.look_at_us, 0), bounds.LAST_US),
        previous_look_at_us=min(max(message.previous_look_at_us, 0), bounds.LAST_US),
        reason=bounds.text(reason, bounds.SENTENCE),
        message=message.SerializeToString(),
        past_us=translate_backlog.past(message),
        past_last=message.backlog.last,
    )


def rows(message: report_pb2.Batch) -> int:
    """Sockets that a batch tells of."""
    late = translate_backlog.rows(message.backlog) if message.HasField("backlog") else 0
    return len(message.opened) + len(message.changed) + len(message.closed) + late


def owners_beyond(message: report_pb2.Batch) -> int:
    """Owners of holders beyond one each: each is a row to store, as a socket is, and a message of few bytes may tell of
    thousands."""
    return max(0, sum(len(holder.owners) for holder in message.holders) - len(message.holders))


def parts(message: report_pb2.Batch) -> int:
    """How much of a batch there can be many of: what it costs to translate it."""
    # Not rows alone: what no row points at costs as much to read.
    others = len(message.processes) + len(message.holders) + len(message.gaps) + len(message.sources)
    others += owners_beyond(message)
    others += len(message.namespaces_gone)
    networks = translate_network.parts(message.namespaces) if message.namespaces else 0
    return rows(message) + others + networks


def _check_sizes(message: report_pb2.Batch) -> None:
    for what, size, most in (
        ("rows", rows(message), MAX_ROWS),
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


def _source(message: report_pb2.SourceStatus) -> records.SourceStatus:
    return records.SourceStatus(
        bounds.text(message.name, bounds.NAME), message.ok, bounds.text(message.detail, bounds.SENTENCE)
    )


def _digest(message: report_pb2.Digest) -> records.Digest:
    return records.Digest(bounds.count(message.sockets, "number of open sockets"), message.sum)


def _gap(message: report_pb2.Gap) -> records.Gap:
    ends = sorted(bounds.time(us) for us in (message.from_us, message.to_us))
    return records.Gap(ends[0], ends[1], bounds.text(message.reason, bounds.WORDS), message.kept)


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
