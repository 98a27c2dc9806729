"""From what looks tell to intervals: what is open in the segment, and what has ended.

What must stay true: a socket is in `open` from the look that told it to the one that told its end, once; what was open
and told when the segment began has no row of its own there, so only its end is kept. Inside a transaction of the
caller's; all times are the host's wall clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fleetnet_proto.v1 import report_pb2, sockets_pb2

from fleetnet_agent.spool.chunks import Chunks, add_gap
from fleetnet_agent.spool.file import SpoolFile
from fleetnet_agent.spool.rows import alone, checksum, name_of, stand_of, unpacked, verify

BEFORE, SEEN_OPEN = sockets_pb2.OPENED_AT_IS_BEFORE, sockets_pb2.OPENED_AT_IS_SEEN
EXACT, SEEN, GAP = sockets_pb2.CLOSED_AT_IS_EXACT, sockets_pb2.CLOSED_AT_IS_SEEN, sockets_pb2.CLOSED_AT_IS_GAP
NOT_ENDED = (0, sockets_pb2.CLOSED_AT_IS_UNSPECIFIED)

End = tuple[int, int]
"""When an interval ended, and how exactly that is known."""


@dataclass(frozen=True, slots=True)
class Known:
    """A row of `open`."""

    stand: int
    body: bytes | None


class Intervals:
    """The tables `open` and `ended`, and what goes from there to `chunk`."""

    def __init__(self, file: SpoolFile, chunks: Chunks, segment: int, boot: bytes, kept_us: int) -> None:
        self._file = file
        self._chunks = chunks
        self._segment = segment
        self._boot = boot
        self._where = (segment, boot, kept_us)

    def take(self, body: bytes) -> None:
        """What one batch of a difference tells."""
        batch = unpacked(body)
        passing: dict[bytes, sockets_pb2.Socket] = {}
        for socket in batch.opened:
            _say_since_when(socket, batch.look_at_us)
            if socket.opened_at_is == sockets_pb2.OPENED_AT_IS_UNSEEN:  # its end is in the same batch
                passing[name_of(socket.key)] = socket
            else:
                self._open(batch, socket)
        for socket in batch.changed:
            self._change(batch, socket)
        for closed in batch.closed:
            end = _end_of(closed, batch.look_at_us)
            socket_passing = passing.pop(name_of(closed.key), None)
            if socket_passing is None:
                self._end(name_of(closed.key), end)
            else:
                self._chunks.add(self._where, batch, socket_passing, end)
        for gap in batch.gaps:
            add_gap(self._file, gap.from_us, gap.to_us, gap.reason)

    def know(self, parts: Iterable[bytes]) -> None:
        """Parts of a snapshot, as of the last difference taken: what no difference told was open, and told, before."""
        for body in parts:
            self._file.many(
                "INSERT INTO open VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (_row(name_of(socket.key), stand_of(socket), None) for socket in unpacked(body).opened),
            )

    def reconcile(self, parts: Iterable[bytes]) -> None:
        """Parts of a snapshot, after a time of which nothing is known: what ended or began in it, did so somewhere."""
        self._file.run("CREATE TEMP TABLE IF NOT EXISTS found (name BLOB PRIMARY KEY) WITHOUT ROWID")
        self._file.run("DELETE FROM found")
        look_us = 0
        for body in parts:
            batch = unpacked(body)
            look_us = batch.look_at_us
            for socket in batch.opened:  # opened_at_us is the look's, and how it is known is BEFORE
                known = self._known(name_of(socket.key))
                if known is None or known.stand != stand_of(socket):
                    self._end(name_of(socket.key), (look_us, GAP), known)
                    self._put(name_of(socket.key), stand_of(socket), alone(batch, socket))
            self._file.many("INSERT OR IGNORE INTO found VALUES (?)", ((name_of(s.key),) for s in batch.opened))
        self._end_all("name NOT IN (SELECT name FROM found)", (look_us, GAP))
        self._file.run("DELETE FROM found")

    def end_all(self, at_us: int) -> None:
        """The host has booted: whatever was open has ended, somewhere between the last look and this one."""
        self._end_all("1", (at_us, GAP))

    def settle(self) -> None:
        """The segment has ended: what is open is told as of its end, and what is open then is another's matter."""
        self._end_all("body IS NOT NULL", NOT_ENDED)
        self._file.run("DELETE FROM open")

    def flush(self) -> None:
        """All of it is in the tables."""
        self._chunks.flush(self._where)

    def _end_all(self, which: str, end: End) -> None:
        last = b""
        while rows := self._file.run(
            f"SELECT name FROM open WHERE name > ? AND ({which}) ORDER BY name LIMIT 1000",  # noqa: S608 - constants
            last,
        ):
            for (name,) in rows:
                self._end(name, end)
            last = rows[-1][0]

    def _open(self, batch: report_pb2.Batch, socket: sockets_pb2.Socket) -> None:
        name = name_of(socket.key)
        known = self._known(name)
        if known:  # told twice, or a name that is used again
            self._end(name, (socket.opened_at_us, SEEN), known)
        self._put(name, stand_of(socket), alone(batch, socket))

    def _change(self, batch: report_pb2.Batch, socket: sockets_pb2.Socket) -> None:
        name, stand = name_of(socket.key), stand_of(socket)
        known = self._known(name)
        moved = socket.opened_at_us != 0 if known is None else known.stand != stand
        if moved:
            how = EXACT if socket.opened_at_is == sockets_pb2.OPENED_AT_IS_EXACT else SEEN
            _say_since_when(socket, batch.look_at_us)
            # A look is told as of its end: a state that it saw may have been left a moment before that.
            socket.opened_at_us = self._end(name, (socket.opened_at_us, how), known, was_told=True)
            self._put(name, stand, alone(batch, socket))
        elif known and known.body:  # other attributes of the same interval
            before = unpacked(known.body).backlog.sockets[0].socket
            socket.opened_at_us, socket.opened_at_is = before.opened_at_us, before.opened_at_is
            self._put(name, stand, alone(batch, socket))

    def _end(self, name: bytes, end: End, known: Known | None = None, *, was_told: bool = False) -> int:
        """An interval has ended: of one that was told before the segment, the end alone is kept. When it did: not
        before it began."""
        known = known or self._known(name)
        at_us = end[0]
        if known and known.body:
            row = unpacked(known.body)
            socket = row.backlog.sockets[0].socket
            at_us = max(at_us, socket.opened_at_us) if at_us else 0  # the clock may have been set back
            self._chunks.add(self._where, row, socket, (at_us, end[1]))
        elif (known or was_told or end[1] != GAP) and end[0]:
            key = sockets_pb2.SocketKey.FromString(name)
            closed = sockets_pb2.ClosedSocket(key=key, closed_at_us=end[0], closed_at_is=end[1])  # type: ignore[arg-type]  # the wire's number
            row_of_it = (self._segment, self._boot, closed.SerializeToString())
            self._file.run("INSERT INTO ended VALUES (NULL, ?, ?, ?, ?)", *row_of_it, checksum(*row_of_it))
        if known:
            self._file.run("DELETE FROM open WHERE name = ?", name)
        return at_us

    def _known(self, name: bytes) -> Known | None:
        for stand, body, there in self._file.run("SELECT stand, body, checksum FROM open WHERE name = ?", name):
            verify(there, (name, stand, body))
            return Known(stand, body)
        return None

    def _put(self, name: bytes, stand: int, body: bytes) -> None:
        self._file.run("INSERT OR REPLACE INTO open VALUES (?, ?, ?, ?)", *_row(name, stand, body))


def _row(name: bytes, stand: int, body: bytes | None) -> tuple[bytes, int, bytes | None, int]:
    return name, stand, body, checksum(name, stand, body)


def _say_since_when(socket: sockets_pb2.Socket, look_us: int) -> None:
    if not socket.opened_at_us:
        socket.opened_at_us, socket.opened_at_is = look_us, SEEN_OPEN


def _end_of(closed: sockets_pb2.ClosedSocket, look_us: int) -> End:
    return closed.closed_at_us or look_us, closed.closed_at_is or SEEN
