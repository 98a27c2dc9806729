"""Names of rows made from what they name: 63 bits of a BLAKE2b hash.

So a write needs no look-up, and writing a thing twice meets the same row. 63 bits keep a number positive in every
engine. Two of a host's sockets would have to share them for one to be taken for the other; at a million sockets of
one host the odds are 1 in 18 million.
"""

from hashlib import blake2b
from struct import Struct

from fleetnet_server.records import Holder, Process, SocketKey

_SOCKET = Struct(">QBcQ")  # netns, protocol, what kind of name follows, the name
_PROCESS = Struct(">QqHHH")  # pid, started_at_us, lengths of the texts
_HOLDER = Struct(">qBHHH")  # uid, owner status, lengths of the texts
_NO_UID = -1
_MASK = 2**63 - 1


def socket_id(boot_id: bytes, key: SocketKey) -> int:
    """The socket named by its cookie, or else its inode, or else its addresses, within one boot."""
    if key.cookie:
        return _hash(boot_id + _SOCKET.pack(key.netns, key.protocol, b"c", key.cookie))
    if key.inode:
        return _hash(boot_id + _SOCKET.pack(key.netns, key.protocol, b"i", key.inode))
    return _hash(boot_id + _SOCKET.pack(key.netns, key.protocol, b"a", 0) + key.four_tuple)


def process_id(boot_id: bytes, process: Process) -> int:
    """The process with all that is told of it: one that renames itself is another row."""
    texts = [process.name.encode(), process.exe.encode(), process.program.encode()]
    head = _PROCESS.pack(process.pid, process.started_at_us, *map(len, texts))
    return _hash(boot_id + head + b"".join(texts))


def holder_id(holder: Holder, process_ids: list[int]) -> int:
    """The holder with all that is told of it; the order of its processes does not matter."""
    texts = [holder.user.encode(), holder.unit.encode(), holder.container.encode()]
    uid = _NO_UID if holder.uid is None else holder.uid
    head = _HOLDER.pack(uid, holder.owner_status, *map(len, texts))
    return _hash(head + b"".join(texts) + b"".join(i.to_bytes(8, "big") for i in sorted(process_ids)))


def _hash(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big") & _MASK
