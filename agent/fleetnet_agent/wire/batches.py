"""Records to protobuf: what the agent knows, as batches for the report stream.

What must stay true: no batch is larger than MAX_BATCH_BYTES when encoded, whatever the host shows; each batch stands
alone, with its own processes and holders; all the parts together carry every row exactly once. Batches leave here
encoded and without boot id, epoch and sequence, which the uplink sets when it sends them.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from fleetnet_proto.v1 import network_pb2, report_pb2, sockets_pb2

from fleetnet_agent.bounded import DETAIL_BYTES, NAME_BYTES, UNIT_BYTES, bounded
from fleetnet_agent.digest import Digest
from fleetnet_agent.records import (
    Brief,
    Closed,
    Difference,
    Gap,
    Holder,
    HostFacts,
    Look,
    Namespace,
    Snapshot,
    Socket,
    SocketKey,
    SourceStatus,
)
from fleetnet_agent.wire.brief_rows import packer
from fleetnet_agent.wire.network import encode_namespace
from fleetnet_agent.wire.sockets import Dictionary, NewHolder, key_message, size_of, socket_message

MAX_BATCH_BYTES: Final = 1_000_000  # of rows; below the wire's 1 MiB there is room for sources, gaps and envelope
_NUMBER_BYTES: Final = 10  # that a packed number takes at most

# A collector takes 65,536 rows and four times as many owners; the ends of sockets are small, and many fit a batch.
MAX_BATCH_ROWS: Final = 20_000
MAX_BATCH_OWNERS: Final = 200_000
PART_ROWS: Final = 5_000
"""Of a part of a snapshot, so that a large table is never all in memory as messages: all of 10,000 rows at once
cost 2 MiB that were not given back."""

_Row = tuple[str, Socket | Closed | Brief | Namespace | int]
"""One row on its way into a batch: opened, changed or before (open at a snapshot) with a socket, closed, or brief;
namespace, or left with the number of one that is gone."""


def difference_batches(difference: Difference, digest: Digest | None = None) -> Iterator[bytes]:
    """A difference in as few batches as its size allows; an empty one makes one without rows. The last has the gaps,
    and the digest of what is open then."""
    template = report_pb2.Batch(
        look_at_us=difference.look_at_us,
        previous_look_at_us=difference.previous_look_at_us,
        look_boottime_us=difference.look_boottime_us,
    )
    # A namespace comes before its sockets, and its end after theirs.
    rows: Iterator[_Row] = itertools.chain(
        (("namespace", namespace) for namespace in difference.namespaces),
        (("opened", socket) for socket in difference.opened),
        (("changed", socket) for socket in difference.changed),
        (("closed", closed) for closed in difference.closed),
        (("brief", brief) for brief in difference.brief),
        (("left", netns) for netns in difference.namespaces_gone),
    )
    entered_at_us = {**dict.fromkeys(difference.restated), **difference.entered_at_us}
    for builder, last in _fill(template, rows, difference.sources, entered_at_us):
        if last:
            builder.batch.gaps.extend(map(_gap, difference.gaps))
            _digest(builder.batch, digest)
        yield builder.encoded()


def snapshot_batches(snapshot: Snapshot, gaps: Iterable[Gap] = ()) -> Iterator[tuple[bytes, bool]]:
    """A snapshot in parts, made one at a time, each with whether it is the last, which carries gaps and digest."""
    digest = Digest()

    def sockets() -> Iterator[Socket]:
        for socket in snapshot.sockets:
            digest.add(socket.key, socket.state)
            yield socket

    rows: Iterator[_Row] = itertools.chain(
        (("namespace", namespace) for namespace in snapshot.namespaces),
        (("before", socket) for socket in sockets()),
    )
    template = report_pb2.Batch(look_at_us=snapshot.look_at_us, look_boottime_us=snapshot.look_boottime_us)
    for part, (builder, last) in enumerate(_fill(template, rows, snapshot.sources, {}, PART_ROWS)):
        batch = builder.batch
        batch.snapshot.part = part
        batch.snapshot.last = last
        if last:
            batch.gaps.extend(map(_gap, gaps))
            _digest(batch, digest)
        yield builder.encoded(), last


def begins_at(body: bytes) -> int:
    """From when on an encoded batch tells: the look before it, or its own where there was none."""
    batch = report_pb2.Batch.FromString(body)
    return batch.previous_look_at_us or batch.look_at_us


def look_told(body: bytes) -> Look:
    """The look that an encoded batch tells of."""
    batch = report_pb2.Batch.FromString(body)
    return Look(batch.look_at_us, batch.look_boottime_us)


def as_of(look: Difference, body: bytes) -> bytes:
    """An encoded batch that lacks its look, as of this one. Fields that come again in an encoded message are joined."""
    head = report_pb2.Batch(
        look_at_us=look.look_at_us, previous_look_at_us=look.look_at_us, look_boottime_us=look.look_boottime_us
    )
    return head.SerializeToString() + body


def withdrawal(gap: Gap, boot: bytes) -> bytes:
    """The end of a backlog of which nothing (more) will come, as a batch that lacks its look."""
    backlog = report_pb2.Backlog(from_us=gap.from_us, to_us=gap.to_us, boot_id=boot, last=True)
    return report_pb2.Batch(backlog=backlog).SerializeToString()


def host_facts(facts: HostFacts) -> report_pb2.HostFacts:
    """Facts for the hello."""
    return report_pb2.HostFacts(
        os=bounded(facts.os, UNIT_BYTES),
        kernel=bounded(facts.kernel, UNIT_BYTES),
        architecture=bounded(facts.architecture, NAME_BYTES),
        cpu_count=facts.cpu_count,
        memory_bytes=facts.memory_bytes,
        booted_at_us=facts.booted_at_us,
    )


class _Builder:
    """A batch being filled, its dictionaries, and its size so far."""

    def __init__(
        self, template: report_pb2.Batch, entered_at_us: Mapping[SocketKey, int | None], most_rows: int
    ) -> None:
        self.batch = report_pb2.Batch()
        self.batch.CopyFrom(template)
        self._entered_at_us = entered_at_us
        self._most_rows = most_rows
        self._size_bytes = template.ByteSize()
        self._rows = 0
        self._owners = 0
        self._dictionary = Dictionary(self.batch)
        self._briefs: list[bytes] = []
        self._pack_brief = packer(lambda interface: bounded(interface, NAME_BYTES))
        self._last_holder: tuple[Holder | None, int] = (None, 0)  # of a brief socket, and its position

    def encoded(self) -> bytes:
        """The batch as it travels. Fields that come again in an encoded message go on where they were."""
        return b"".join((self.batch.SerializeToString(), *self._briefs))

    def add(self, row: _Row) -> bool:
        """Take the row in; False, and nothing is taken, if the batch would grow too large."""
        column, what = row
        if isinstance(what, Brief):
            return self._add_brief(what)
        if isinstance(what, Closed):
            return self._add_closed(what)
        if isinstance(what, Namespace):
            return self._add_namespace(encode_namespace(what))
        if isinstance(what, int):
            return self._add_left(what)
        socket = what
        position, new = self._dictionary.position_of(socket.holder)
        message = socket_message(socket, position)
        self._say_since_when(message, column, what)
        target = self.batch.changed if column == "changed" else self.batch.opened
        if not self._take(size_of(message), new):
            return False
        target.append(message)
        return True

    def _add_brief(self, brief: Brief) -> bool:
        # There may be ten thousand in a second, and most have the holder of the one before: its hash costs more.
        holder, position = self._last_holder
        new: NewHolder | None = None
        if brief.holder is not holder:
            position, new = self._dictionary.position_of(brief.holder)
        row = self._pack_brief(brief, position)
        if not self._take(len(row), new):
            return False
        self._briefs.append(row)
        self._last_holder = brief.holder, position
        return True

    def _add_closed(self, closed: Closed) -> bool:
        message = _closed(key_message(closed.key), closed.at_us, closed.before_us)
        if not self._take(size_of(message), None):
            return False
        self.batch.closed.append(message)
        return True

    def _take(self, cost: int, new: NewHolder | None) -> bool:
        """Count a row of `cost` bytes, and take in a holder and processes that no row before has had."""
        # Plain additions: this runs for every row, and most rows come alone.
        owners = self._owners
        if new is not None:
            cost += new.cost_bytes
            owners += len(new.message.owners)
        if (self._rows and owners > MAX_BATCH_OWNERS) or not self._has_room(cost):
            return False
        self._owners = owners
        if new is not None:
            self._dictionary.take(new)
        return True

    def _add_namespace(self, namespace: network_pb2.Namespace) -> bool:
        if not self._has_room(size_of(namespace)):
            return False
        self.batch.namespaces.append(namespace)
        return True

    def _add_left(self, netns: int) -> bool:
        if not self._has_room(_NUMBER_BYTES):
            return False
        self.batch.namespaces_gone.append(netns)
        return True

    def _has_room(self, cost_bytes: int) -> bool:
        """Take room for a row, if there is; the first row always finds some."""
        if self._rows and (self._rows >= self._most_rows or self._size_bytes + cost_bytes > MAX_BATCH_BYTES):
            return False
        self._size_bytes += cost_bytes
        self._rows += 1
        return True

    def _say_since_when(self, message: sockets_pb2.Socket, column: str, what: Socket) -> None:
        if column == "before":
            message.opened_at_us = self.batch.look_at_us
            message.opened_at_is = sockets_pb2.OPENED_AT_IS_BEFORE
        elif what.key in self._entered_at_us:
            at_us = self._entered_at_us[what.key]
            message.opened_at_us = self.batch.look_at_us if at_us is None else at_us
            message.opened_at_is = sockets_pb2.OPENED_AT_IS_SEEN if at_us is None else sockets_pb2.OPENED_AT_IS_EXACT


def _fill(
    template: report_pb2.Batch,
    rows: Iterable[_Row],
    sources: Iterable[SourceStatus],
    entered_at_us: Mapping[SocketKey, int | None],
    most_rows: int = MAX_BATCH_ROWS,
) -> Iterator[tuple[_Builder, bool]]:
    """Batches filled one after the other, and whether each is the last. There is always at least one."""
    builder = _Builder(template, entered_at_us, most_rows)
    for row in rows:
        if not builder.add(row):
            yield builder, False
            builder = _Builder(template, entered_at_us, most_rows)
            builder.add(row)
    builder.batch.sources.extend(_source(source) for source in sources)
    yield builder, True


def _source(source: SourceStatus) -> report_pb2.SourceStatus:
    return report_pb2.SourceStatus(
        name=bounded(source.name, NAME_BYTES), ok=source.ok, detail=bounded(source.detail, DETAIL_BYTES)
    )


def _gap(gap: Gap) -> report_pb2.Gap:
    return report_pb2.Gap(from_us=gap.from_us, to_us=gap.to_us, reason=bounded(gap.reason, DETAIL_BYTES), kept=gap.kept)


def _digest(batch: report_pb2.Batch, digest: Digest | None) -> None:
    if digest:
        batch.digest.sockets = digest.sockets
        batch.digest.sum = digest.sum


def _closed(key: sockets_pb2.SocketKey, at_us: int | None, before_us: int | None) -> sockets_pb2.ClosedSocket:
    if at_us is None and before_us is None:  # the batch's look found it gone
        return sockets_pb2.ClosedSocket(key=key)
    if at_us is None:
        return sockets_pb2.ClosedSocket(key=key, closed_at_us=before_us, closed_at_is=sockets_pb2.CLOSED_AT_IS_SEEN)
    return sockets_pb2.ClosedSocket(key=key, closed_at_us=at_us, closed_at_is=sockets_pb2.CLOSED_AT_IS_EXACT)
