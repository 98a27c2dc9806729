"""Whether a host and this collector hold the same open, told by a number that both reckon.

proto/fleetnet_proto/v1/report.proto defines the number; tests/proto/digests.json has cases that both sides are held to.
Where they differ, history has drifted from the host: a gap says since when, and the stream is asked for a snapshot.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter
from struct import Struct

import structlog

from fleetnet_server.records import Digest, Gap, SocketKey
from fleetnet_server.services.steps import Step
from fleetnet_server.storage import gaps, hosts, ids, sockets
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


def differing(conn: Connection, steps: Sequence[Step]) -> set[int]:
    """The hosts of those that tell a digest which is not ours, once their rows are stored; all make a look whole, each
    of another host. What comes of it is kept."""
    told = {step.host_id: step for step in steps if step.batch.digest is not None}
    if not told:
        return set()
    ours = {host_id: Digest(0, 0) for host_id in told}
    for host_id, kept in groupby(sockets.named(conn, told), attrgetter("host_id")):
        ours[host_id] = reckon(told[host_id].session.boot_id, kept)
    differ = {host_id for host_id, step in told.items() if step.batch.digest != ours[host_id]}
    agreed = [(host_id, step.batch.look_at_us) for host_id, step in told.items() if host_id not in differ]
    hosts.note_agreed(conn, agreed)
    for host_id in differ:
        _note_drift(conn, told[host_id], ours[host_id])
    return differ


def _note_drift(conn: Connection, step: Step, ours: Digest) -> None:
    told, look_at_us = step.batch.digest, step.batch.look_at_us
    assert told is not None
    _log.warning(
        "history has drifted from the host; a snapshot is asked for",
        host_id=step.host_id,
        theirs=f"{told.sum:016x}",
        ours=f"{ours.sum:016x}",
        sockets_theirs=told.sockets,
        sockets_ours=ours.sockets,
    )
    from_us = _since(conn, step)
    if from_us < look_at_us:
        gaps.record(conn, step.host_id, [Gap(from_us, look_at_us, DRIFTED)])


def _since(conn: Connection, step: Step) -> int:
    """From when on they may have differed: the last look that agreed, or the stream's first, which was a snapshot."""
    standing, look_at_us = step.standing, step.batch.look_at_us
    begun_us = look_at_us if standing.first_at_us is None else standing.first_at_us + standing.clock_offset_us
    agreed_us = hosts.agreed(conn, step.host_id) or 0
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
