"""Names of rows made from what they name: 63 bits of a BLAKE2b hash.

So a write needs no look-up, and writing a thing twice meets the same row. 63 bits keep a number positive in every
engine. Two of a host's sockets would have to share them for one to be taken for the other; at a million sockets of
one host the odds are 1 in 18 million.
"""

from hashlib import blake2b
from struct import Struct

from fleetnet_server.network import Route
from fleetnet_server.records import Holder, Process, SocketKey

_SOCKET = Struct(">QBcQ")  # netns, protocol, what kind of name follows, the name
_LAST_BYTE = 0xFF  # the last protocol that _SOCKET has room for; 0 is none
_PROCESS = Struct(">QqHHH")  # pid, started_at_us, lengths of the texts
_HOLDER = Struct(">qBHHH")  # uid, owner status, lengths of the texts
_ROUTE = Struct(">BBIBBBIIBIIIIB")  # all its numbers in their order, length of the preferred source
_NO_UID = -1
_WITH_RUNTIME = 0x80  # no owner status reaches so far
_MASK = 2**63 - 1


def socket_id(boot_id: bytes, key: SocketKey) -> int:
    """The socket named by its cookie, or else its inode, or else its addresses, within one boot."""
    protocol, more = (key.protocol, b"") if key.protocol <= _LAST_BYTE else (0, key.protocol.to_bytes(2, "big"))
    if key.cookie:
        return _hash(boot_id + _SOCKET.pack(key.netns, protocol, b"c", key.cookie) + more)
    if key.inode:
        return _hash(boot_id + _SOCKET.pack(key.netns, protocol, b"i", key.inode) + more)
    return _hash(boot_id + _SOCKET.pack(key.netns, protocol, b"a", 0) + more + key.four_tuple)


def process_id(boot_id: bytes, process: Process) -> int:
    """The process with all that is told of it: one that renames itself is another row."""
    texts = [process.name.encode(), process.exe.encode(), process.program.encode()]
    head = _PROCESS.pack(process.pid, process.started_at_us, *map(len, texts))
    return _hash(boot_id + head + b"".join(texts))


def holder_id(holder: Holder, process_ids: list[int]) -> int:
    """The holder with all that is told of it; the order of its processes does not matter."""
    texts = [holder.user.encode(), holder.unit.encode(), holder.container.encode()]
    uid = _NO_UID if holder.uid is None else holder.uid
    known = holder.owner_status
    if holder.runtime:
        # Marked, and not simply longer, so that holders without one keep the name that they have always had.
        known |= _WITH_RUNTIME
        texts.append(holder.runtime.encode() + b"\0")
    head = _HOLDER.pack(uid, known, *map(len, texts[:3]))
    return _hash(head + b"".join(texts) + b"".join(i.to_bytes(8, "big") for i in sorted(process_ids)))


def route_id(route: Route, next_hops: bytes) -> int:
    """The route with all that is told of it; `next_hops` as they are kept."""
    head = _ROUTE.pack(
        route.family,
        route.prefix_length,
        route.table,
        route.type,
        route.protocol,
        route.scope,
        route.metric,
        route.flags,
        route.tos,
        route.advmss,
        route.window,
        route.rtt,
        route.mtu,
        len(route.preferred_source),
    )
    return _hash(head + route.destination + route.preferred_source + next_hops)


def _hash(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big") & _MASK
