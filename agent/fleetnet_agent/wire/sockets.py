"""Sockets and who holds them to protobuf, for batches and live looks alike.

What must stay true: a message has each holder and each process once; the owners of one socket take no more than
HOLDER_BYTES, whatever the host shows. Enumerations are cast, not translated: the records' numbers are the wire's (a
test compares them).
"""

import itertools
from dataclasses import dataclass
from typing import Final, cast

from fleetnet_proto.v1 import live_pb2, report_pb2, sockets_pb2
from google.protobuf.message import Message

from fleetnet_agent.bounded import NAME_BYTES, PATH_BYTES, UNIT_BYTES, bounded
from fleetnet_agent.records import Holder, Process, Protocol, Socket, SocketKey

FIELD_OVERHEAD_BYTES: Final = 5  # tag and length that an embedded message of up to 1 MiB costs (1 or 2, and 3)
SUN_PATH_BYTES: Final = 108  # include/uapi/linux/un.h
# Bounds on owners; those on text are in `bounded.py`.
MAX_OWNERS: Final = 16_384  # of one socket: more pre-forked workers than anyone runs, and less than a batch holds
HOLDER_BYTES: Final = 900_000  # of the owners of one socket: beyond it paths are left out, for all are to be told


@dataclass(frozen=True, slots=True)
class NewHolder:
    """A holder that a message does not have yet, with those of its processes that it does not have either."""

    holder: Holder
    message: sockets_pb2.Holder
    processes: list[tuple[Process, sockets_pb2.Process]]
    cost_bytes: int


class Dictionary:
    """The holders and processes of one message, each there once, and their positions."""

    def __init__(self, message: report_pb2.Batch | live_pb2.LivePart) -> None:
        self._message = message
        self._holders: dict[Holder, int] = {}
        self._processes: dict[Process, int] = {}

    def position_of(self, holder: Holder) -> tuple[int, NewHolder | None]:
        """Where the holder is; where it is not yet, where it will be, and what is to be taken in for that."""
        position = self._holders.get(holder)
        return (len(self._holders), self._new_holder(holder)) if position is None else (position, None)

    def take(self, new: NewHolder) -> None:
        """The message has these from now on."""
        for process, encoded in new.processes:
            self._processes[process] = len(self._processes)
            self._message.processes.append(encoded)
        self._holders[new.holder] = len(self._holders)
        self._message.holders.append(new.message)

    def _new_holder(self, holder: Holder) -> NewHolder:
        positions: list[int] = []
        new: list[tuple[Process, sockets_pb2.Process]] = []
        for process, encoded in _owners(holder):
            position = self._processes.get(process)
            if position is None:
                position = len(self._processes) + len(new)
                new.append((process, encoded))
            positions.append(position)
        message = sockets_pb2.Holder(
            uid=holder.uid,
            user=bounded(holder.user, UNIT_BYTES),
            unit=bounded(holder.unit, UNIT_BYTES),
            container=bounded(holder.container, UNIT_BYTES),
            owner_status=cast("sockets_pb2.OwnerStatus", holder.owner_status),
            owners=positions,
            runtime=bounded(holder.runtime, NAME_BYTES),
        )
        return NewHolder(holder, message, new, size_of(message) + sum(size_of(process) for _, process in new))


def size_of(message: Message) -> int:
    """Bytes that the message takes in another."""
    return message.ByteSize() + FIELD_OVERHEAD_BYTES


def _owners(holder: Holder) -> list[tuple[Process, sockets_pb2.Process]]:
    """Who holds it, in HOLDER_BYTES: all of them, without their paths if need be. Only beyond that are the last cut."""
    owners = holder.owners[:MAX_OWNERS]
    encoded = [_process(process, PATH_BYTES) for process in owners]
    if sum(map(size_of, encoded)) > HOLDER_BYTES:
        encoded = [_process(process, 0) for process in owners]
    sizes = itertools.accumulate(map(size_of, encoded))
    fitting = itertools.takewhile(lambda size: size <= HOLDER_BYTES, sizes)
    return list(zip(owners, encoded, strict=True))[: sum(1 for _ in fitting)]


def _process(process: Process, path_bytes: int) -> sockets_pb2.Process:
    return sockets_pb2.Process(
        pid=process.pid,
        started_at_us=process.started_at_us,
        name=bounded(process.name, NAME_BYTES),
        exe=bounded(process.exe, path_bytes),
        program=bounded(process.program, NAME_BYTES),
    )


def key_message(key: SocketKey) -> sockets_pb2.SocketKey:
    """What names a socket."""
    return sockets_pb2.SocketKey(
        netns=key.netns,
        protocol=cast("sockets_pb2.Protocol", key.protocol),
        cookie=key.cookie,
        inode=key.inode,
        four_tuple=key.four_tuple,
    )


def socket_message(socket: Socket, holder: int) -> sockets_pb2.Socket:
    """A socket whose holder is at this position."""
    message = sockets_pb2.Socket(
        key=key_message(socket.key),
        family=cast("sockets_pb2.Family", socket.family),
        state=cast("sockets_pb2.State", socket.state),
        local_address=socket.local_address,
        local_port=socket.local_port,
        remote_address=socket.remote_address,
        remote_port=socket.remote_port,
        interface=bounded(socket.interface, NAME_BYTES),
        v6only=socket.v6only,
        recv_queue=socket.recv_queue,
        send_queue=socket.send_queue,
        holder=holder,
        source=cast("sockets_pb2.Source", socket.source),
        inode=socket.inode if socket.key.cookie else 0,
    )
    if (
        socket.key.protocol > Protocol.RAW
    ):  # most are neither UNIX nor packet sockets, and an absent field costs nothing
        message.type = cast("sockets_pb2.SocketType", socket.type or 0)
        message.path = socket.path[:SUN_PATH_BYTES]
        message.peer_inode = socket.peer_inode
    return message
