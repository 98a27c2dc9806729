"""Intervals that have ended: written as compressed packs, merged into fewer, and dropped where there are too many.

What must stay true: nothing is dropped that merging would have made room for; what is dropped is the oldest, and from
the beginning of the first of these intervals to the end of the last is a gap. Inside a transaction of the caller's.
"""

import zlib
from typing import Any, Final

from fleetnet_proto.v1 import report_pb2, sockets_pb2

from fleetnet_agent.spool.errors import SpoolDamagedError
from fleetnet_agent.spool.file import SpoolFile
from fleetnet_agent.spool.rows import Pack, checksum, unpacked, verify

NO_ROOM: Final = "collector unreachable, spool full"
TOO_OLD: Final = "collector unreachable for longer than is kept"
MERGE_AT: Final = 64  # chunks of single looks, some minutes of a quiet host
WORTH_MERGING: Final = 8  # chunks: with fewer there is hardly room to be had
SMALL_BYTES: Final = 450_000  # of a pack: two of them make one
MERGED_MOST_US: Final = 43_200_000_000  # half a day of looking, for packs grow too old as a whole
_MOST_RAW_BYTES: Final = 4 << 20  # whatever the file says a pack decompresses to
_COLUMNS: Final = "id, segment, boot, from_us, to_us, kept_us, raw_bytes, body, checksum"

SMALL_ONES: Final = """
WITH small AS (SELECT id, segment, kept_us / ?2 AS half_day FROM chunk WHERE raw_bytes < ?1)
SELECT id FROM small
WHERE (segment, half_day) IN (SELECT segment, half_day FROM small GROUP BY 1, 2 HAVING count(*) > 1)
ORDER BY id
"""  # not those that have nobody to be merged with: each time they would be read in vain


class Chunks:
    """The table `chunk`."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file
        self._pack = Pack()
        self._alone = 0  # written since they were merged last

    def add(
        self, where: tuple[int, bytes, int], source: report_pb2.Batch, past: sockets_pb2.Socket, end: tuple[int, int]
    ) -> None:
        """One more interval; `where` is segment, boot and time kept, `end` when and how. Written by `flush` at the
        latest."""
        if not self._pack.add(source, past, *end):
            self.flush(where)
            self._pack.add(source, past, *end)

    def flush(self, where: tuple[int, bytes, int]) -> None:
        """What was added is written."""
        pack, self._pack = self._pack, Pack()
        if len(pack):
            self._write(None, where, pack, 1)
            self._alone += 1
        if self._alone >= MERGE_AT:
            self.merge()

    def discard(self) -> None:
        """What was added is forgotten: its transaction failed."""
        self._pack = Pack()

    def merge(self, at_least: int = 2) -> None:
        """Neighbours that fit into one pack become one, if there are so many small ones."""
        self._alone = 0
        group: list[int] = []
        pack, where = Pack(), (0, b"", 0)
        rows = self._file.run(SMALL_ONES, SMALL_BYTES, MERGED_MOST_US)
        if len(rows) < at_least:
            return
        for (number,) in rows:
            chunk = self.read(number)
            here = (chunk.segment, chunk.boot, chunk.kept_us)
            is_next = bool(group) and not self._file.run(
                "SELECT 1 FROM chunk WHERE id > ? AND id < ?", group[-1], number
            )
            is_alike = here[:2] == where[:2] and here[2] // MERGED_MOST_US == where[2] // MERGED_MOST_US
            if not (is_next and is_alike and pack.add_all(chunk.pack)):
                self._replace(group, where, pack)
                group, pack = [], Pack()
                pack.add_all(chunk.pack)
            group.append(number)
            where = here
        self._replace(group, where, pack)

    def drop_oldest(self, reason: str) -> bool:
        """Drop one, which becomes a gap; False if there is none."""
        for (number,) in self._file.run("SELECT id FROM chunk ORDER BY id LIMIT 1"):
            chunk = self.read(number)
            self._file.run("DELETE FROM chunk WHERE id = ?", number)
            # The neighbour of what was dropped before: between the two nothing was kept.
            add_gap(self._file, chunk.from_us, chunk.to_us, reason, near_us=60_000_000)
            return True
        return False

    def drop_older(self, than_kept_us: int) -> None:
        """Drop what was kept before so much had been looked in all."""
        while self._file.run(
            "SELECT 1 FROM (SELECT kept_us FROM chunk ORDER BY id LIMIT 1) WHERE kept_us < ?", than_kept_us
        ):
            self.drop_oldest(TOO_OLD)

    def read(self, number: int) -> "Chunk":
        """One of them. Raises SpoolDamagedError."""
        [row] = self._file.run(f"SELECT {_COLUMNS} FROM chunk WHERE id = ?", number)  # noqa: S608 - a constant
        verify(row[-1], row[1:-1])
        return Chunk(row)

    def _write(self, number: int | None, where: tuple[int, bytes, int], pack: Pack, effort: int) -> None:
        raw = pack.encoded()
        row = (*where[:2], pack.from_us, pack.to_us, where[2], len(raw), zlib.compress(raw, effort))
        self._file.run("INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", number, *row, checksum(*row))

    def _replace(self, group: list[int], where: tuple[int, bytes, int], pack: Pack) -> None:
        if len(group) > 1:
            self._file.run("DELETE FROM chunk WHERE id BETWEEN ? AND ?", group[0], group[-1])
            self._write(group[-1], where, pack, 6)


class Chunk:
    """A row of the table `chunk`."""

    def __init__(self, row: Any) -> None:  # noqa: ANN401 - as SQLite has it
        self.number, self.segment, self.boot, self.from_us, self.to_us, self.kept_us, self.raw_bytes, body, _ = row
        try:
            raw = zlib.decompressobj().decompress(body, _MOST_RAW_BYTES)
        except zlib.error as error:
            raise SpoolDamagedError("a row of it cannot be read") from error
        self.pack = unpacked(raw)


def add_gap(file: SpoolFile, from_us: int, to_us: int, reason: str, near_us: int = 0) -> None:
    """A time about which nothing is known. Where the last one for this reason reaches so far (or nearly), it goes on;
    and a week of many is told in as few as MOST_GAPS."""
    from_us, to_us = min(from_us, to_us), max(from_us, to_us)
    last = file.run("SELECT id, from_us, to_us FROM gap WHERE reason = ? ORDER BY id DESC LIMIT 1", reason)
    [(count,)] = file.run("SELECT count(*) FROM gap")
    if last and (from_us <= last[0][2] + near_us or count >= MOST_GAPS):
        number, first_us, last_us = last[0]
        file.run(
            "UPDATE gap SET from_us = ?, to_us = ? WHERE id = ?", min(first_us, from_us), max(last_us, to_us), number
        )
    elif count >= MOST_GAPS:
        file.run(
            "UPDATE gap SET from_us = min(from_us, ?), to_us = max(to_us, ?), reason = ? "
            "WHERE id = (SELECT max(id) FROM gap)",
            from_us,
            to_us,
            MANY_REASONS,
        )
    else:
        file.run("INSERT INTO gap VALUES (NULL, ?, ?, ?)", from_us, to_us, reason)


MOST_GAPS: Final = 256
MANY_REASONS: Final = "many gaps, told as one"
