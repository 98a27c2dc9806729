"""What a host says of a socket and of who holds it, from protobuf messages to records.

Hostile, as all of translate_report.py, which says what is refused and what is brought into its range.

A busy fleet tells of thousands of sockets a second: the fields of a message are read in one step, and one condition
lets through what is plainly right. What must stay true: it lets nothing through that the rules behind it refuse. They
have the words, and judge all that is not so plain.
"""

from collections.abc import Sequence
from operator import attrgetter

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
_FAMILY_OF: dict[int, int] = {
    sockets_pb2.PROTOCOL_UNIX: sockets_pb2.FAMILY_UNIX,
    sockets_pb2.PROTOCOL_PACKET: sockets_pb2.FAMILY_PACKET,
}
_PROTOCOLS = frozenset(sockets_pb2.Protocol.values()) - {sockets_pb2.PROTOCOL_UNSPECIFIED}
_TYPES = frozenset(sockets_pb2.SocketType.values())
_UNIX_PATH_BYTES = 108  # UNIX_PATH_MAX of include/uapi/linux/un.h

# Bytes of an address by protocol and family: the pairs that _check_endpoints lets through.
_BYTES_OF: dict[tuple[int, int], int] = {
    (protocol, family): size
    for protocol in _PROTOCOLS
    for family, size in _ADDRESS_BYTES.items()
    if _FAMILY_OF.get(protocol) == (None if size else family)
}
# A record is made of a tuple: a NamedTuple's own constructor takes its arguments apart in Python first.
_made = tuple.__new__
# Looked up once: in a module of protobuf's that costs as much as reading a field.
_UNIX, _MOST, _LAST_PORT = sockets_pb2.PROTOCOL_UNIX, bounds.MAX_INTEGER, 0xFFFF
_LAST_STATE, _LAST_SOURCE = sockets_pb2.STATE_CLOSING, sockets_pb2.SOURCE_PROC
_OPENED_SEEN, _LAST_OPENED = sockets_pb2.OPENED_AT_IS_SEEN, sockets_pb2.OPENED_AT_IS_UNSEEN
_CLOSED_SEEN, _LAST_CLOSED = sockets_pb2.CLOSED_AT_IS_SEEN, sockets_pb2.CLOSED_AT_IS_GAP

_fields_of_process = attrgetter("pid", "started_at_us", "name", "exe", "program")
_fields_of_holder = attrgetter("owners", "user", "unit", "container", "owner_status", "runtime")
_fields_of_key = attrgetter("netns", "protocol", "cookie")
_fields_of_closed = attrgetter("key", "closed_at_us", "closed_at_is")
_fields_of_socket = attrgetter(
    "key", "family", "state", "local_address", "local_port", "remote_address", "remote_port", "interface", "recv_queue",
    "send_queue", "inode", "source", "holder", "opened_at_us", "opened_at_is", "type", "path", "peer_inode",
)  # fmt: skip


def process(message: sockets_pb2.Process) -> records.Process:
    """A process. Raises BadBatch, as all here."""
    pid, started_at_us, name, exe, program = _fields_of_process(message)
    return _made(records.Process, (
        bounds.small(pid, 2**31 - 1, "pid"),
        min(max(started_at_us, 0), bounds.LAST_US),
        bounds.text(name, bounds.NAME), bounds.text(exe, bounds.PATH), bounds.text(program, bounds.NAME),
    ))  # fmt: skip


def holder(message: sockets_pb2.Holder, processes: Sequence[records.Process]) -> records.Holder:
    """A holder of a batch with these processes."""
    owners, user, unit, container, owner_status, runtime = _fields_of_holder(message)
    if len(owners) > MAX_OWNERS:
        raise BadBatch(f"a holder has {len(owners)} owners; at most {MAX_OWNERS} are taken")
    if owners and max(owners) >= len(processes):
        raise BadBatch("a holder points at a process that is not in the batch")
    return _made(records.Holder, (
        message.uid if message.HasField("uid") else None,
        bounds.text(user, bounds.WORDS), bounds.text(unit, bounds.WORDS), bounds.text(container, bounds.WORDS),
        bounds.enum(owner_status, sockets_pb2.OWNER_STATUS_RACED, "owner status"),
        tuple([processes[index] for index in owners]),
        bounds.text(runtime, bounds.NAME),
    ))  # fmt: skip


def key_of(message: sockets_pb2.SocketKey) -> records.SocketKey:
    """What names a socket."""
    netns, protocol, cookie = _fields_of_key(message)
    if 0 < cookie <= _MOST and netns <= _MOST and protocol in _PROTOCOLS:
        return _made(records.SocketKey, (netns, protocol, cookie, 0, b""))
    if protocol not in _PROTOCOLS:
        raise BadBatch(f"a socket has protocol {protocol}, which this collector does not know")
    bounds.count(cookie, "cookie")
    inode = 0 if cookie else bounds.count(message.inode, "inode")
    four_tuple = b"" if cookie or inode else message.four_tuple
    # Twice an address of 4 or 16 bytes and a port of 2.
    if not (cookie or inode) and (len(four_tuple) not in (12, 36) or protocol in _FAMILY_OF):
        raise BadBatch("a socket has neither cookie nor inode nor addresses in its key")
    return records.SocketKey(bounds.count(netns, "namespace"), protocol, cookie, inode, four_tuple)


def socket(message: sockets_pb2.Socket, holders: Sequence[records.Holder], look_at_us: int) -> records.Socket:
    """A socket of a batch with these holders, whose look nothing in it is later than."""
    (
        named, family, state, local, local_port, remote, remote_port, interface, recv_queue, send_queue, inode, source,
        index, opened_at_us, opened_at_is, kind, path, peer_inode,
    ) = _fields_of_socket(message)  # fmt: skip
    netns, protocol, cookie = _fields_of_key(named)
    if (
        len(local) == _BYTES_OF.get((protocol, family))
        and (len(remote) == len(local) if remote else not remote_port)
        and local_port <= _LAST_PORT
        and remote_port <= _LAST_PORT
        and 0 < cookie <= _MOST
        and netns <= _MOST
        and inode <= _MOST
        and index < len(holders)
        and 1 <= state <= _LAST_STATE
        and 1 <= source <= _LAST_SOURCE
        and (1 <= opened_at_is <= _LAST_OPENED if opened_at_is else not opened_at_us)
        and (
            not (path or peer_inode)
            if protocol != _UNIX
            else not local_port and len(path) <= _UNIX_PATH_BYTES and peer_inode <= _MOST
        )
        and kind in _TYPES
    ):
        key = _made(records.SocketKey, (netns, protocol, cookie, 0, b""))
    else:
        key = judged(message, holders)
    return _made(records.Socket, (
        key, family, state, local, local_port, remote, remote_port,
        bounds.text(interface, bounds.NAME) if interface else "",
        message.v6only if message.HasField("v6only") else None,
        recv_queue, send_queue, key.inode or inode, source, holders[index],
        _not_after(opened_at_us, look_at_us), opened_at_is or _OPENED_SEEN, kind, path, peer_inode,
    ))  # fmt: skip


def judged(message: sockets_pb2.Socket, holders: Sequence[records.Holder]) -> records.SocketKey:
    """What names a socket that breaks no rule; the first that it breaks is told."""
    if message.holder >= len(holders):
        raise BadBatch("a socket points at a holder that is not in the batch")
    _check_endpoints(message)
    key = key_of(message.key)
    if message.opened_at_us or message.opened_at_is:
        bounds.enum(message.opened_at_is, _LAST_OPENED, "opened_at_is")
    bounds.enum(message.state, _LAST_STATE, "state")
    bounds.small(message.local_port, _LAST_PORT, "port")
    bounds.small(message.remote_port, _LAST_PORT, "port")
    if not key.inode:
        bounds.count(message.inode, "inode")
    bounds.enum(message.source, _LAST_SOURCE, "source")
    bounds.count(message.peer_inode, "inode of the other end")
    return key


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


def closed(message: sockets_pb2.ClosedSocket, look_at_us: int) -> records.ClosedSocket:
    """The end of a socket, by such a look."""
    named, closed_at_us, how = _fields_of_closed(message)
    if not (how or closed_at_us):
        how = _CLOSED_SEEN
    elif not 1 <= how <= _LAST_CLOSED:
        bounds.enum(how, _LAST_CLOSED, "closed_at_is")
    return _made(records.ClosedSocket, (key_of(named), _not_after(closed_at_us, look_at_us), how))


def _not_after(time_us: int, look_at_us: int) -> int:
    """A time inside a batch: 0 stands for the look, and nothing that it tells of lies after it."""
    if 0 < time_us <= look_at_us:
        return time_us
    return 1 if time_us < 0 else look_at_us
