"""Host and collector reckon a number over all that is open, and the collector says so where they differ."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fleetnet_server.records import Digest, Gap, Socket, SocketKey
from fleetnet_server.services import digests
from fleetnet_server.storage import hosts, sockets
from server.reports import (
    BEFORE,
    BOOT,
    GAP,
    LISTEN,
    SEEN,
    T0,
    TIME_WAIT,
    Collector,
    Interval,
    S,
    difference,
    hello,
    kept,
    snapshot,
    sock,
)
from server.stories import LO, PEER, connected, tell

CASES = json.loads((Path(__file__).parents[2] / "proto/digests.json").read_text())["cases"]


def digest_of(*open_sockets: Socket) -> Digest:
    return Digest(len(open_sockets), sum(digests.number(s.key, s.state) for s in open_sockets) % 2**64)


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_number_is_the_one_that_the_protocol_defines(case: dict[str, object]) -> None:
    rows = case["open"]
    assert isinstance(rows, list)
    numbers = []
    for row in rows:
        key = SocketKey(row["netns"], row["protocol"], row["cookie"], row["inode"], bytes.fromhex(row["four_tuple"]))
        assert digests.number(key, row["state"]) == row["number"]
        numbers.append(row["number"])
    assert (len(numbers), sum(numbers) % 2**64) == (case["sockets"], case["sum"])


# As hosts name their sockets: by a cookie, an inode, addresses, and by addresses while an inode is known besides.
NAMED = (
    sock(7, T0),
    sock(0, T0, port=80)._replace(key=SocketKey(0, 6, 0, 99, b""), inode=99),
    sock(0, T0, TIME_WAIT, local=LO, port=22, remote=PEER, remote_port=9)._replace(
        key=SocketKey(0, 6, 0, 0, LO + b"\x00\x16" + PEER + b"\x00\x09"), inode=0
    ),
    sock(0, T0, local=LO, port=23)._replace(key=SocketKey(0, 6, 0, 0, LO + b"\x00\x17" + bytes(6)), inode=55),
)  # fmt: skip


def test_what_is_kept_gives_the_same_number_however_its_sockets_are_named(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, snapshot(1, T0, *NAMED, digest=digest_of(*NAMED)))
        assert await c.db.read(lambda conn: digests.reckon(BOOT, sockets.named(conn, [1]))) == digest_of(*NAMED)
        assert await c.db.read(hosts.agreed, session.host_id) == T0
        assert await c.gaps() == []

    tell(tmp_path, story)


def test_where_they_differ_the_time_since_they_agreed_is_a_gap_and_a_snapshot_is_asked_for_once(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        seven, eight = sock(7, T0), sock(8, T0)
        await c.report(
            session,
            snapshot(1, T0, seven, eight),
            difference(2, T0 + S, previous_us=T0, digest=digest_of(seven, eight)),
            difference(3, T0 + 2 * S, previous_us=T0 + S),
        )
        differs = difference(4, T0 + 3 * S, previous_us=T0 + 2 * S, digest=digest_of(seven))
        for wanted in (digests.DRIFTED, ""):  # the second time it is stored already
            assert (await c.ingest.commit(session, differs, T0 + 3 * S)).snapshot_wanted == wanted
        assert await c.gaps() == [Gap(T0 + S, T0 + 3 * S, "history drifted from the host")]
        assert await c.db.read(hosts.agreed, session.host_id) == T0 + S
        # Nobody has heard of the host what it holds until it tells all; and when the one ended nobody knows.
        await c.report(session, difference(5, T0 + 4 * S, previous_us=T0 + 3 * S))
        assert (await c.ask(now_us=T0 + 4 * S)).items[0].last_seen_us == T0 + 2 * S
        look = T0 + 5 * S
        await c.report(session, snapshot(6, look, sock(7, look, how=BEFORE), digest=digest_of(seven)))
        assert await c.intervals() == [
            Interval(7, LISTEN, T0, SEEN),
            Interval(8, LISTEN, T0, SEEN, look, GAP, T0 + 2 * S),
        ]
        assert await c.db.read(hosts.agreed, session.host_id) == look
        assert (await c.ask(now_us=look)).coverage.hosts_fresh == 1

    tell(tmp_path, story)


def test_without_a_digest_that_agreed_the_doubt_begins_with_the_first_look_of_the_stream(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        first = await c.connect(host, hello(T0))
        await c.report(first, snapshot(1, T0, sock(7, T0), digest=digest_of(sock(7, T0))))
        at = T0 + 60 * S
        session = await c.connect(host, hello(at), at)
        wrong = Digest(1, 5)
        await c.report(
            session,
            snapshot(2, at, sock(7, at, how=BEFORE)),
            difference(3, at + S, previous_us=at, digest=wrong),
        )
        assert await c.gaps() == [Gap(at, at + S, digests.DRIFTED)]

    tell(tmp_path, story)


@pytest.mark.parametrize("sockets_told", [(sock(7, T0),), ()])
def test_a_snapshot_that_differs_from_its_own_digest_is_still_what_the_host_told(
    tmp_path: Path, sockets_told: tuple[Socket, ...]
) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        told = snapshot(1, T0, *sockets_told, digest=Digest(2, 5))
        assert (await c.ingest.commit(session, told, T0)).snapshot_wanted == digests.DRIFTED
        assert await c.gaps() == []
        assert (await c.ask()).coverage.hosts_fresh == 1

    tell(tmp_path, story)


def test_nothing_is_compared_while_a_snapshot_is_under_way_or_the_past_is_told(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        wrong = Digest(9, 9)
        gap = Gap(T0 - S, T0, "")
        await c.report(
            session,
            snapshot(1, T0, sock(7, T0), last=False, digest=wrong),
            difference(2, T0 + S, opened=(sock(8, T0 + S),), digest=wrong),
            snapshot(3, T0 + S, part=1),
            replace(kept(4, gap), digest=wrong),
        )
        assert await c.gaps() == []

    tell(tmp_path, story)
