"""What the spool holds of settled segments, as backlog in parts; the way out.

What must stay true: parts come in one order, so that what is stored up to one of them can leave; none is larger than a
batch may be; the last of each declared gap comes when all that it covers was told.
"""

from dataclasses import dataclass

from fleetnet_proto.v1 import report_pb2

from fleetnet_agent.spool.chunks import Chunks
from fleetnet_agent.spool.file import SpoolFile
from fleetnet_agent.spool.rows import Pack, unpacked, verify
from fleetnet_agent.wire.batches import MAX_BATCH_BYTES, MAX_BATCH_ROWS

STAGES = ("ended", "chunk", "declared")


@dataclass(frozen=True, slots=True)
class Part:
    """Some of it, encoded as a Batch that wants its look; up to a row of one of the tables."""

    segment: int
    stage: int
    upto: int
    body: bytes
    from_us: int  # when the first of what it tells began
    to_us: int


class Parts:
    """The tables as a queue."""

    def __init__(self, file: SpoolFile, chunks: Chunks) -> None:
        self._file = file
        self._chunks = chunks

    def next(self, after: Part | None) -> Part | None:
        """The part behind `after`; the first without one."""
        segment, stage, upto = (after.segment, after.stage, after.upto) if after else (0, 0, 0)
        for number, from_us, to_us in self._file.run(
            "SELECT id, from_us, to_us FROM segment WHERE to_us IS NOT NULL AND id >= ? ORDER BY id", segment
        ):
            if number != segment:
                stage = upto = 0
            gap = (min(from_us, to_us), max(from_us, to_us))
            while stage < len(STAGES):
                part = (self._ended, self._of_chunks, self._last)[stage](number, upto, gap)
                if part:
                    return part
                stage, upto = stage + 1, 0
        return None

    def drop(self, part: Part) -> None:
        """What this part told leaves, and all before it."""
        for stage, name in enumerate(STAGES[: part.stage + 1]):
            upto = part.upto if stage == part.stage else (1 << 62)
            self._file.run(f"DELETE FROM {name} WHERE segment = ? AND id <= ?", part.segment, upto)  # noqa: S608 - a constant
        if not self._file.run("SELECT 1 FROM declared WHERE segment = ?", part.segment):
            self._file.run("DELETE FROM segment WHERE id = ?", part.segment)

    def waiting_bytes(self) -> int:
        """Bytes of all that is kept."""
        [(chunks,)] = self._file.run("SELECT sum(length(body)) FROM chunk")
        [(ended,)] = self._file.run("SELECT sum(length(body)) FROM ended")
        [(opened,)] = self._file.run("SELECT sum(length(name) + ifnull(length(body), 0)) FROM open")
        return (chunks or 0) + (ended or 0) + (opened or 0)

    def _ended(self, segment: int, upto: int, gap: tuple[int, int]) -> Part | None:
        rows = self._file.run(
            "SELECT id, boot, body, checksum FROM ended WHERE segment = ? AND id > ? ORDER BY id LIMIT ?",
            segment,
            upto,
            MAX_BATCH_ROWS,
        )
        batch, boot, size_bytes = report_pb2.Batch(), b"", 0
        for number, row_boot, body, checksum in rows:
            verify(checksum, (segment, row_boot, body))
            size_bytes += len(body) + 4
            if boot and (row_boot != boot or size_bytes > MAX_BATCH_BYTES):
                break
            boot, upto = row_boot, number
            batch.backlog.ended.add().ParseFromString(body)
        return self._part(batch, (segment, 0, upto), gap, boot, gap) if boot else None

    def _of_chunks(self, segment: int, upto: int, gap: tuple[int, int]) -> Part | None:
        pack, boot = Pack(), b""
        rows = self._file.run("SELECT id FROM chunk WHERE segment = ? AND id > ? ORDER BY id LIMIT 1000", segment, upto)
        for (number,) in rows:
            chunk = self._chunks.read(number)
            if (boot and chunk.boot != boot) or not pack.add_all(chunk.pack):
                break
            boot, upto = chunk.boot, number
        times = (pack.from_us, pack.to_us)
        return self._part(unpacked(pack.encoded()), (segment, 1, upto), gap, boot, times) if boot else None

    def _last(self, segment: int, upto: int, _: tuple[int, int]) -> Part | None:
        for number, from_us, to_us in self._file.run(
            "SELECT id, from_us, to_us FROM declared WHERE segment = ? AND id > ? ORDER BY id LIMIT 1", segment, upto
        ):
            batch = report_pb2.Batch(backlog=report_pb2.Backlog(last=True))
            [(boot,)] = self._file.run("SELECT boot FROM standing")
            return self._part(batch, (segment, 2, number), (from_us, to_us), boot, (from_us, to_us))
        return None

    def _part(
        self,
        batch: report_pb2.Batch,
        where: tuple[int, int, int],
        gap: tuple[int, int],
        boot: bytes,
        times: tuple[int, int],
    ) -> Part:
        backlog = batch.backlog
        backlog.from_us, backlog.to_us = gap
        backlog.boot_id = boot
        if not backlog.last:
            backlog.left_bytes = self._left_bytes(*where)
        return Part(*where, batch.SerializeToString(), *times)

    def _left_bytes(self, segment: int, stage: int, upto: int) -> int:
        behind = "SELECT sum(length(body)) FROM {} WHERE segment > ?1 OR (segment = ?1 AND id > ?2)"
        left = 0
        for number, name in enumerate(STAGES[:2]):
            from_row = 1 << 62 if number < stage else upto if number == stage else 0
            [(size_bytes,)] = self._file.run(behind.format(name), segment, from_row)
            left += size_bytes or 0
        return left
