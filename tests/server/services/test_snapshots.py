"""What a snapshot says of what it does not name, and the gaps before it."""

from dataclasses import replace
from pathlib import Path

import pytest
from fleetnet_server.errors import BadBatch
from fleetnet_server.records import Gap, Session, SnapshotPart
from fleetnet_server.services.snapshots import Named, Snapshots
from server.reports import (
    BEFORE,
    CLOSE_WAIT,
    ESTABLISHED,
    GAP,
    LISTEN,
    NEXT_BOOT,
    SEEN,
    T0,
    Collector,
    Interval,
    S,
    difference,
    hello,
    snapshot,
    sock,
)
from server.stories import connected, tell


def test_a_new_epoch_records_a_gap_and_keeps_what_is_still_open(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await c.report(
            await c.connect(host, hello(T0)), snapshot(1, T0, sock(7, T0), sock(8, T0), sock(9, T0, ESTABLISHED))
        )
        session = await c.connect(host, hello(T0 + 60 * S, epoch=2))
        look = T0 + 60 * S
        await c.report(
            session,
            snapshot(1, look, sock(7, look, how=BEFORE), part=0, last=False, epoch=2),
            snapshot(2, look, sock(9, look, CLOSE_WAIT, how=BEFORE), part=1, epoch=2),
        )
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN),
            Interval(8, LISTEN, T0, SEEN, look, GAP, T0),
            Interval(9, ESTABLISHED, T0, SEEN, look, GAP, T0),
            Interval(9, CLOSE_WAIT, look, BEFORE),
        ]
        assert await c.gaps() == [Gap(T0, look, "agent restarted")]

    tell(tmp_path, story)


def test_a_reboot_ends_everything_that_was_open(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await c.report(await c.connect(host, hello(T0)), snapshot(1, T0, sock(7, T0)))
        look = T0 + 60 * S
        session = await c.connect(host, hello(look, epoch=2, boot_id=NEXT_BOOT))
        # The same cookie in another boot is another socket.
        await c.report(session, snapshot(1, look, sock(7, look, how=BEFORE), epoch=2, boot_id=NEXT_BOOT))
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN, look, GAP, T0),
            Interval(7, LISTEN, look, BEFORE),
        ]
        assert await c.gaps() == [Gap(T0, look, "host rebooted")]

    tell(tmp_path, story)


def test_the_first_word_from_a_new_boot_ends_the_sockets_of_the_boot_before(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await c.report(await c.connect(host, hello(T0)), snapshot(1, T0, sock(7, T0)))
        look = T0 + 60 * S
        session = await c.connect(host, hello(look, epoch=2, boot_id=NEXT_BOOT))
        first_part = snapshot(1, look, sock(8, look, how=BEFORE), last=False, epoch=2, boot_id=NEXT_BOOT)
        await c.report(session, first_part)
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN, look, GAP, T0),
            Interval(8, LISTEN, look, BEFORE),
        ]

    tell(tmp_path, story)


def test_a_reconnection_within_an_epoch_ends_as_seen_what_the_snapshot_does_not_name(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await c.report(await c.connect(host, hello(T0)), snapshot(1, T0, sock(7, T0), sock(8, T0)))
        session = await c.connect(host, hello(T0 + S))
        await c.report(session, snapshot(2, T0 + S, sock(7, T0 + S, how=BEFORE), previous_us=T0))
        assert [(i.cookie, i.closed_at_is) for i in await c.intervals()] == [(7, 0), (8, SEEN)]
        assert await c.gaps() == []

    tell(tmp_path, story)


def test_a_gap_declared_by_the_last_part_counts_for_what_the_parts_before_it_found(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        first = snapshot(1, T0, sock(7, T0, ESTABLISHED), sock(8, T0))
        await c.report(await c.connect(host, hello(T0)), first)
        session, look = await c.connect(host, hello(T0 + 90 * S)), T0 + 90 * S
        await c.report(
            session,
            snapshot(2, look, sock(7, look, CLOSE_WAIT, how=BEFORE), last=False, previous_us=look - S),
            snapshot(3, look, part=1, previous_us=look - S, gaps=(Gap(T0, look, "queue full"),)),
        )
        assert await c.intervals() == [
            Interval(7, ESTABLISHED, T0, SEEN, look, GAP, T0),
            Interval(7, CLOSE_WAIT, look, BEFORE),
            Interval(8, LISTEN, T0, SEEN, look, GAP, T0),
        ]

    tell(tmp_path, story)


def test_parts_of_a_snapshot_resent_over_a_new_stream_end_nothing(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        session = await c.connect(host, hello(T0))
        await c.report(session, snapshot(1, T0, sock(7, T0), last=False))
        await c.restart()
        session = await c.connect(host, hello(T0))
        await c.report(session, snapshot(2, T0, sock(8, T0), part=1), difference(3, T0 + S, opened=(sock(9, T0 + S),)))
        assert {i.cookie for i in await c.intervals() if not i.closed_at_us} == {7, 8, 9}
        # Nor does such a host count as heard: what it held is not known whole.
        assert (await c.ask(now_us=T0 + S)).coverage.hosts_fresh == 0
        await c.report(session, snapshot(4, T0 + 2 * S, sock(7, T0 + 2 * S)))
        assert {i.cookie for i in await c.intervals() if not i.closed_at_us} == {7}
        assert (await c.ask(now_us=T0 + 2 * S)).coverage.hosts_fresh == 1

    tell(tmp_path, story)


def test_parts_out_of_order_are_refused_and_a_snapshot_may_begin_anew(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, snapshot(1, T0, sock(7, T0), last=False))
        with pytest.raises(BadBatch, match=r"part 2 .* where part 1 was due"):
            await c.ingest.commit(session, snapshot(2, T0, sock(8, T0), part=2), T0)
        await c.report(session, snapshot(2, T0, sock(9, T0), last=False), snapshot(3, T0, sock(8, T0), part=1))
        assert {i.cookie for i in await c.intervals() if not i.closed_at_us} == {8, 9}

    tell(tmp_path, story)


class Meanwhile(int):
    """A host's number during whose comparison the writer's thread begins the snapshot of another host."""

    snapshots: Snapshots

    def __eq__(self, other: object) -> bool:
        self.snapshots.follow(Session(3, 1, b"", 1, 0), SnapshotPart(0, last=False), Named())
        return int(self) == other

    __hash__ = int.__hash__


def test_a_stream_may_begin_while_the_writers_thread_follows_snapshots_of_other_hosts() -> None:
    Meanwhile.snapshots = snapshots = Snapshots()
    begun = Session(1, 1, b"", 1, 0)
    for session in (begun, replace(begun, host_id=Meanwhile(2))):
        snapshots.follow(session, SnapshotPart(0, last=False), Named({7}))
    snapshots.drop_host(begun.host_id)
    assert snapshots.follow(begun, SnapshotPart(1, last=True), Named({8})) is None
    assert snapshots.follow(replace(begun, host_id=3), SnapshotPart(1, last=True), Named({9}, {5})) == Named({9}, {5})
