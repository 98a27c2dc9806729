"""Whether a host and this collector hold the same open, told by a number that both reckon.

proto/fleetnet_proto/v1/report.proto defines the number; tests/proto/digests.json has cases that both sides are held to.
Where they differ, history has drifted from the host: a gap says since when, and the stream is asked for a snapshot.
"""

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct

import structlog

from fleetnet_server.records import Batch, Digest, Gap, Session, SocketKey
from fleetnet_server.storage import gaps, hosts, ids, sessions, sockets
from fleetnet_server.storage.database import Connection

DRIFTED = "history drifted from the host"

_HEAD = Struct(">QHB")  # netns, protocol, state
_NAMED = Struct(">QHBcQ")  # the same, what kind of name follows, the name
_PORT = Struct(">H")
_ALL = 2**64 - 1

_log = structlog.get_logger()


def number(key: SocketKey, state: int) -> int:
    """What one socket adds to the sum."""
    if key.cookie:
        named = _NAMED.pack(key.netns, key.protocol, state, b"c", key.cookie)
    elif key.inode:
        named = _NAMED.pack(key.netns, key.protocol, state, b"i", key.inode)
    else:
        named = _HEAD.pack(key.netns, key.protocol, state) + b"a" + key.four_tuple
    return int.from_bytes(blake2b(named, digest_size=8).digest(), "big")


def reckon(boot_id: bytes, kept: Iterable[sockets.Named]) -> Digest:
    """The digest of what is kept open of a host."""
    count = total = 0
    for row in kept:
        count += 1
        total += number(_key(boot_id, row), row.state)
    return Digest(count, total & _ALL)


def agree(conn: Connection, session: Session, batch: Batch, standing: sessions.Standing) -> bool:
    """Compare the digest of a batch that makes a look whole, once its rows are stored, and keep what comes of it."""
    host_id, look_at_us, told = session.host_id, batch.look_at_us, batch.digest
    if told is None:
        return True
    ours = reckon(session.boot_id, sockets.named(conn, host_id))
    if told == ours:
        hosts.note_agreed(conn, host_id, look_at_us)
        return True
    _log.warning(
        "history has drifted from the host; a snapshot is asked for",
        host_id=host_id,
        theirs=f"{told.sum:016x}",
        ours=f"{ours.sum:016x}",
        sockets_theirs=told.sockets,
        sockets_ours=ours.sockets,
    )
    from_us = _since(conn, session, standing, look_at_us)
    if from_us < look_at_us:
        gaps.record(conn, host_id, [Gap(from_us, look_at_us, DRIFTED)])
    return False


def _since(conn: Connection, session: Session, standing: sessions.Standing, look_at_us: int) -> int:
    """From when on they may have differed: the last look that agreed, or the stream's first, which was a snapshot."""
    begun_us = look_at_us if standing.first_at_us is None else standing.first_at_us + standing.clock_offset_us
    agreed_us = hosts.agreed(conn, session.host_id) or 0
    return max(begun_us, agreed_us) if agreed_us <= look_at_us else begun_us


def _key(boot_id: bytes, row: sockets.Named) -> SocketKey:
    """What names the socket of a row. It has the inode even where that is no part of the name; the id tells which."""
    if row.cookie:
        return SocketKey(row.netns, row.protocol, row.cookie, 0, b"")
    by_inode = SocketKey(row.netns, row.protocol, 0, row.inode, b"")
    if row.inode and ids.socket_id(boot_id, by_inode) == row.socket_id:
        return by_inode
    # Without a peer the remote address of a name is zeros.
    remote = row.remote_address or bytes(len(row.local_address))
    ends = (row.local_address, _PORT.pack(row.local_port), remote, _PORT.pack(row.remote_port))
    return SocketKey(row.netns, row.protocol, 0, 0, b"".join(ends))
