"""Sockets in one state each, packed with the holders and processes they point at. Pure.

A pack is an encoded Batch that has processes, holders and a Backlog of sockets, and nothing else: what travels. A row
alone is a pack of one. What must stay true: no pack is larger than MAX_BATCH_BYTES; a checksum covers all of it.
"""

import struct
import zlib
from collections.abc import Iterable
from hashlib import blake2b

from fleetnet_proto.v1 import report_pb2, sockets_pb2

from fleetnet_agent.spool.errors import SpoolDamagedError
from fleetnet_agent.wire.batches import MAX_BATCH_BYTES, MAX_BATCH_OWNERS, MAX_BATCH_ROWS
from fleetnet_agent.wire.sockets import size_of

_STAND = struct.Struct(">BHH")


def name_of(key: sockets_pb2.SocketKey) -> bytes:
    """What names a socket, as bytes; the key can be read from them."""
    return key.SerializeToString(deterministic=True)


def stand_of(socket: sockets_pb2.Socket) -> int:
    """A number for state and addresses, as SQLite takes it: while it stays the interval goes on."""
    numbers = _STAND.pack(socket.state, socket.local_port, socket.remote_port)
    addresses = socket.local_address + b"|" + socket.remote_address
    return int.from_bytes(blake2b(numbers + addresses, digest_size=8).digest(), "big", signed=True)


class Pack:
    """A pack being filled."""

    def __init__(self) -> None:
        self._batch = report_pb2.Batch()
        self._size_bytes = self._owners = 0
        self._holders: dict[bytes, int] = {}
        self._processes: dict[bytes, int] = {}
        self._source: report_pb2.Batch | None = None
        self._moved: dict[int, int] = {}  # positions of the source's holders, and here
        self.from_us = self.to_us = 0

    def __len__(self) -> int:
        return len(self._batch.backlog.sockets)

    def add(self, source: report_pb2.Batch, socket: sockets_pb2.Socket, closed_at_us: int, how: int) -> bool:
        """Take in an interval whose holder is in `source`; False, and nothing is taken, if it does not fit."""
        if self._source is not source:
            self._source, self._moved = source, {}
        past = report_pb2.PastSocket(closed_at_us=closed_at_us, closed_at_is=how)  # type: ignore[arg-type]  # the wire's number
        past.socket.CopyFrom(socket)
        owners = len(source.holders[socket.holder].owners)
        cost = size_of(past) + (0 if socket.holder in self._moved else _cost_of(source, socket.holder))
        if len(self) and (
            len(self) >= MAX_BATCH_ROWS
            or self._owners + owners > MAX_BATCH_OWNERS
            or self._size_bytes + cost > MAX_BATCH_BYTES
        ):
            return False
        position = self._moved.get(socket.holder)
        if position is None:
            position = self._moved[socket.holder] = self._position_of(source, source.holders[socket.holder])
            self._owners += owners
        past.socket.holder = position
        self._size_bytes += cost
        self.from_us = min(self.from_us or socket.opened_at_us, socket.opened_at_us)
        self.to_us = max(self.to_us, closed_at_us, socket.opened_at_us)
        self._batch.backlog.sockets.append(past)
        return True

    def add_all(self, pack: report_pb2.Batch) -> bool:
        """Take in all of another pack, if there is room for all; else nothing."""
        if len(self) and (
            len(self) + len(pack.backlog.sockets) > MAX_BATCH_ROWS
            or self._size_bytes + pack.ByteSize() > MAX_BATCH_BYTES
            or self._owners + sum(len(holder.owners) for holder in pack.holders) > MAX_BATCH_OWNERS
        ):
            return False
        for past in pack.backlog.sockets:
            if not self.add(pack, past.socket, past.closed_at_us, past.closed_at_is):
                raise AssertionError("a pack that fits has a row that does not")
        return True

    def encoded(self) -> bytes:
        """The pack."""
        return self._batch.SerializeToString()

    def _position_of(self, source: report_pb2.Batch, holder: sockets_pb2.Holder) -> int:
        moved = sockets_pb2.Holder()
        moved.CopyFrom(holder)
        moved.owners[:] = [self._position_of_process(source.processes[owner]) for owner in holder.owners]
        name = moved.SerializeToString(deterministic=True)
        if name not in self._holders:
            self._holders[name] = len(self._holders)
            self._batch.holders.append(moved)
        return self._holders[name]

    def _position_of_process(self, process: sockets_pb2.Process) -> int:
        name = process.SerializeToString(deterministic=True)
        if name not in self._processes:
            self._processes[name] = len(self._processes)
            self._batch.processes.append(process)
        return self._processes[name]


def _cost_of(source: report_pb2.Batch, position: int) -> int:
    """What a holder costs at most; one that is there already costs less."""
    holder = source.holders[position]
    return size_of(holder) + 2 * len(holder.owners) + sum(size_of(source.processes[owner]) for owner in holder.owners)


def alone(source: report_pb2.Batch, socket: sockets_pb2.Socket) -> bytes:
    """A row that stands alone."""
    pack = Pack()
    pack.add(source, socket, 0, sockets_pb2.CLOSED_AT_IS_UNSPECIFIED)
    return pack.encoded()


def unpacked(body: bytes) -> report_pb2.Batch:
    """A pack, to be read. Raises SpoolDamagedError."""
    try:
        return report_pb2.Batch.FromString(body)
    except Exception as error:  # protobuf's own kind of it differs from version to version
        raise SpoolDamagedError("a row of it cannot be read") from error


def checksum(*parts: bytes | int | None) -> int:
    """Over all that a row says."""
    total = 0
    for part in parts:
        text = part if isinstance(part, bytes) else repr(part).encode()
        total = zlib.crc32(b"%d:" % len(text) + text, total)
    return total


def verify(checksum_there: int, parts: Iterable[bytes | int | None]) -> None:
    """Raises SpoolDamagedError where a row does not say what was written."""
    if checksum(*parts) != checksum_there:
        raise SpoolDamagedError("a row of it does not say what was written")
