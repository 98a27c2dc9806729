"""What a host says of a socket and of who holds it, from protobuf messages to records.

Hostile, as all of translate_report.py, which says what is refused and what is brought into its range.
"""

from collections.abc import Sequence

from fleetnet_proto.v1 import sockets_pb2

from fleetnet_server import records
from fleetnet_server.errors import BadBatch
from fleetnet_server.rpc import bounds

# Of one holder: every socket that it holds is answered with all of them.
MAX_OWNERS = 16_384

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


def process(message: sockets_pb2.Process) -> records.Process:
    """A process. Raises BadBatch, as all here."""
    return records.Process(
        pid=bounds.small(message.pid, 2**31 - 1, "pid"),
        started_at_us=min(max(message.started_at_us, 0), bounds.LAST_US),
        name=bounds.text(message.name, bounds.NAME),
        exe=bounds.text(message.exe, bounds.PATH),
        program=bounds.text(message.program, bounds.NAME),
    )


def holder(message: sockets_pb2.Holder, processes: Sequence[records.Process]) -> records.Holder:
    """A holder of a batch with these processes."""
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


def key_of(message: sockets_pb2.SocketKey) -> records.SocketKey:
    """What names a socket."""
    if message.protocol not in _PROTOCOLS:
        raise BadBatch(f"a socket has protocol {message.protocol}, which this collector does not know")
    cookie = bounds.count(message.cookie, "cookie")
    inode = 0 if cookie else bounds.count(message.inode, "inode")
    four_tuple = b"" if cookie or inode else message.four_tuple
    # Twice an address of 4 or 16 bytes and a port of 2.
    if not (cookie or inode) and (len(four_tuple) not in (12, 36) or message.protocol in _FAMILY_OF):
        raise BadBatch("a socket has neither cookie nor inode nor addresses in its key")
    return records.SocketKey(bounds.count(message.netns, "namespace"), message.protocol, cookie, inode, four_tuple)


def socket(message: sockets_pb2.Socket, holders: Sequence[records.Holder], look_at_us: int) -> records.Socket:
    """A socket of a batch with these holders, whose look nothing in it is later than."""
    if message.holder >= len(holders):
        raise BadBatch("a socket points at a holder that is not in the batch")
    _check_endpoints(message)
    key = key_of(message.key)
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


def closed(message: sockets_pb2.ClosedSocket, look_at_us: int) -> records.ClosedSocket:
    """The end of a socket, by such a look."""
    how: int = message.closed_at_is
    if message.closed_at_us == 0 and how == sockets_pb2.CLOSED_AT_IS_UNSPECIFIED:
        how = sockets_pb2.CLOSED_AT_IS_SEEN
    bounds.enum(how, sockets_pb2.CLOSED_AT_IS_GAP, "closed_at_is")
    return records.ClosedSocket(key_of(message.key), _not_after(message.closed_at_us, look_at_us), how)


def _not_after(time_us: int, look_at_us: int) -> int:
    """A time inside a batch: 0 stands for the look, and nothing that it tells of lies after it."""
    return look_at_us if time_us == 0 else min(max(time_us, 1), look_at_us)
