"""A spool under test: a scripted host's looks go in, intervals come out and are put together again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.scripted_watch import ScriptedWatch
from fleetnet_agent.records import Difference, Gap, Look
from fleetnet_agent.spool.parts import Part
from fleetnet_agent.spool.spool import Spool
from fleetnet_agent.wire.batches import difference_batches, snapshot_batches
from fleetnet_proto.v1 import report_pb2

BOOT = bytes(range(16))
MIB = 1 << 20


def bodies(difference: Difference) -> list[bytes]:
    return list(difference_batches(difference))


def look_of(difference: Difference) -> Look:
    return Look(difference.look_at_us, difference.look_boottime_us)


def snapshot(watch: ScriptedWatch) -> list[bytes]:
    return [body for body, _ in snapshot_batches(watch.snapshot())]


@dataclass
class Told:
    """What came out."""

    past: list[tuple[int, int, int, int, int]] = field(default_factory=list)  # cookie, state, opened, closed, closed is
    ended: dict[int, tuple[int, int]] = field(default_factory=dict)  # by cookie
    boots: set[bytes] = field(default_factory=set)
    parts: list[report_pb2.Batch] = field(default_factory=list)

    def take(self, part: Part) -> None:
        batch = report_pb2.Batch.FromString(part.body)
        assert len(part.body) < MIB
        self.parts.append(batch)
        self.boots.add(batch.backlog.boot_id)
        for past in batch.backlog.sockets:
            socket = past.socket
            assert socket.holder < len(batch.holders)
            assert all(owner < len(batch.processes) for owner in batch.holders[socket.holder].owners)
            self.past.append(
                (socket.key.cookie, socket.state, socket.opened_at_us, past.closed_at_us, past.closed_at_is)
            )
        for closed in batch.backlog.ended:
            assert closed.key.cookie not in self.ended, "a socket ends once"
            self.ended[closed.key.cookie] = (closed.closed_at_us, closed.closed_at_is)


class Kept:
    """A host that is looked at into a spool."""

    def __init__(self, directory: Path, watch: ScriptedWatch, most_bytes: int = 64 * MIB) -> None:
        self.directory = directory
        self.watch = watch
        self.most_bytes = most_bytes
        self.spool = Spool(directory, most_bytes, BOOT)
        self.look = look_of(watch.look())

    def begin(self, differences: Sequence[Difference] = ()) -> None:
        waiting = [body for difference in differences for body in bodies(difference)]
        self.spool.begin(self.look.at_us, waiting, lambda: snapshot(self.watch), self.look)

    def keep(self) -> Look:
        difference = self.watch.look()
        self.look = look_of(difference)
        self.spool.keep(bodies(difference), self.look)
        return self.look

    def restart(self, boot: bytes = BOOT) -> Look:
        self.spool.close()
        self.spool = Spool(self.directory, self.most_bytes, boot)
        before_us = self.spool.last_look_us
        self.look = look_of(self.watch.look())
        gap = Gap(before_us, self.look.at_us, "agent restarted")
        self.spool.reconcile(lambda: snapshot(self.watch), self.look, [gap])
        return self.look

    def settle(self) -> list[Gap]:
        gaps = self.spool.declare(self.look)
        self.spool.settle(gaps[0])
        return gaps

    def parts(self) -> Iterator[Part]:
        part = self.spool.part(None)
        while part:
            yield part
            part = self.spool.part(part)

    def drain(self) -> Told:
        told = Told()
        for part in list(self.parts()):
            told.take(part)
            self.spool.taken(part)
        return told
