"""A batch that tells of much is stored in several transactions, and leaves what it would leave at once."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fleetnet_server import failpoints
from fleetnet_server.errors import Fenced
from fleetnet_server.failpoints import Failpoint
from fleetnet_server.records import Batch, Gap, Holder, Process, Session, SourceStatus
from fleetnet_server.services import pieces, storing
from hypothesis import given
from hypothesis import strategies as st
from server.held import Held
from server.reports import (
    CLOSE,
    ESTABLISHED,
    EXACT,
    GAP,
    LISTEN,
    SEEN,
    T0,
    WEB,
    Collector,
    Interval,
    S,
    difference,
    gone,
    hello,
    interface,
    kept,
    past,
    route,
    snapshot,
    sock,
    space,
)
from server.stories import connected, tell
from sqlalchemy import Connection

UNSEEN = 4
LOST = Gap(T0, T0 + S, "lost")


class CutOffError(Exception):
    """The collector ends here."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of two rows."""
    monkeypatch.setattr(pieces, "MOST_ROWS", 2)


def cut_off_after(monkeypatch: pytest.MonkeyPatch, pieces_stored: int) -> None:
    def cut_off(_: tuple[int, ...]) -> None:
        raise CutOffError

    monkeypatch.setattr(failpoints, "_points", {"between-pieces": [Failpoint(cut_off, pieces_stored)]})


def told(sequence: int, at_us: int) -> Batch:
    """Of each kind something: what stays, changes, ends, begins, and what begins and ends between two looks."""
    return difference(
        sequence,
        at_us,
        previous_us=at_us - S,
        opened=(
            *(sock(n, at_us) for n in range(10, 15)),
            *(sock(n, at_us - S // 2, CLOSE, how=UNSEEN) for n in range(20, 25)),
        ),
        changed=(sock(1, at_us, ESTABLISHED), sock(2, at_us, holder=WEB._replace(unit="next.service"))),
        closed=(
            *(gone(n, at_us - S // 2, EXACT) for n in range(20, 25)),
            *(gone(n, at_us) for n in (3, 4, 5)),
            gone(1, at_us),
        ),
        namespaces=(space(7, "blue", interfaces=(interface(1), interface(2))), space(8, "red", routes=(route(1),))),
        namespaces_gone=(9,),
        gaps=(LOST,),
        sources=(SourceStatus("tcp", ok=True, detail=""),),
    )


def first() -> Batch:
    return snapshot(1, T0, *(sock(n, T0) for n in range(1, 7)), namespaces=(space(), space(9, "old")))


async def tell_it(c: Collector, session: Session) -> None:
    await c.report(session, told(2, T0 + S))


def history_of(tmp_path: Path, story: Any) -> dict[str, list[tuple[object, ...]]]:
    found = {}

    async def run(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, first())
        await story(c, session)
        assert await c.miscounted() == []
        found.update(await c.dump())

    tell(tmp_path, run)
    return found


def rows_of(dump: dict[str, list[tuple[object, ...]]]) -> dict[str, list[tuple[object, ...]]]:
    """Without the streams, of which one that broke off has one more, and what hosts note of them."""
    return {name: rows for name, rows in dump.items() if name not in ("hosts", "sessions")}


def test_in_pieces_it_leaves_what_it_leaves_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    at_once = history_of(tmp_path / "a", tell_it)
    assert len(pieces.cut(told(2, T0 + S))) == 1
    monkeypatch.setattr(pieces, "MOST_ROWS", 2)
    assert len(pieces.cut(told(2, T0 + S))) > 8
    assert history_of(tmp_path / "b", tell_it) == at_once
    assert len(at_once["history"]) == 10


@pytest.mark.parametrize("stored", range(1, 11))
@pytest.mark.engine("sqlite")
def test_whatever_is_stored_of_a_batch_when_the_collector_ends_it_is_right_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: int
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = rows_of(history_of(tmp_path / "a", tell_it))
    monkeypatch.setattr(pieces, "MOST_ROWS", 2)
    some = pieces.cut(told(2, T0 + S))
    assert stored < len(some)

    async def story(c: Collector, session: Session) -> None:
        cut_off_after(monkeypatch, stored)
        with pytest.raises(CutOffError):
            await c.ingest.commit(session, told(2, T0 + S), T0 + S)
        monkeypatch.undo()
        monkeypatch.setattr(pieces, "MOST_ROWS", 2)
        await c.restart()
        again = await c.connect(await c.enroll(), hello(T0), T0 + 2 * S)
        assert again.committed_sequence == 1, "none of it is acknowledged"
        ended = {i.cookie for i in await c.intervals() if i.closed_at_us}
        assert ended <= {1, 3, 4, 5, *range(20, 25)}, "what is said to be gone is gone"
        for _ in range(2):
            assert (await c.ingest.commit(again, told(2, T0 + S), T0 + S)).sequence == 2

    assert rows_of(history_of(tmp_path / "b", story)) == whole


def test_the_look_is_whole_with_the_last_piece_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, first())
        cut_off_after(monkeypatch, 4)
        with pytest.raises(CutOffError):
            await c.ingest.commit(session, told(2, T0 + S), T0 + S)
        [item] = (await c.ask_hosts(now_us=T0 + 2 * S)).items
        assert item.last_seen_us == T0
        # The agent was restarted too: what it had told in part it does not tell again.
        monkeypatch.setattr(failpoints, "_points", {})
        session = await c.connect(await c.enroll(), hello(T0 + 9 * S, epoch=2), T0 + 9 * S)
        await c.report(session, snapshot(1, T0 + 9 * S, sock(2, T0), sock(3, T0), epoch=2))
        assert Gap(T0, T0 + 9 * S, "agent restarted") in await c.gaps()
        found = {i.cookie: i for i in await c.intervals()}
        # Of what was open at the last whole look, and had not been told to be gone, nobody knows when it ended.
        assert found[6] == Interval(6, LISTEN, T0, SEEN, T0 + 9 * S, GAP, T0)
        assert found[3] == Interval(3, LISTEN, T0, SEEN), "it had not been told to be gone, and is not"

    tell(tmp_path, story)


def test_a_snapshot_in_pieces_ends_what_none_of_them_names(tmp_path: Path, small: None) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, first())
        look = T0 + 9 * S
        some = (sock(n, T0) for n in (1, 2, 3, 5, 6))
        gap = Gap(T0, look, "looked away")
        await c.report(session, snapshot(2, look, *some, namespaces=(space(), space(7)), gaps=(gap,)))
        ended = [i for i in await c.intervals() if i.closed_at_us]
        assert ended == [Interval(4, LISTEN, T0, SEEN, look, GAP, T0)]
        assert await c.gaps() == [gap]
        spaces = {span.what[0]: span.closed_at_us for span in await c.spans()}
        assert spaces == {0: 0, 7: 0, 9: look}

    tell(tmp_path, story)


def test_what_the_stream_tells_next_waits_for_the_last_piece(tmp_path: Path, small: None) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        later = [difference(n, T0 + n * S, opened=(sock(100 + n, T0 + n * S),)) for n in range(3, 8)]
        later.append(told(8, T0 + 8 * S))
        await c.report(session, first())
        told_all = [told(2, T0 + S), *later]
        stored = await asyncio.gather(*(c.ingest.commit(session, one, one.look_at_us) for one in told_all))
        assert [one.sequence for one in stored] == [one.sequence for one in told_all]
        assert not c.ingest._turns

    tell(tmp_path, story)


def test_others_get_between_the_pieces(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        other = await c.connect(await c.enroll("web2"), hello(T0))
        await c.report(session, first())
        order: list[str] = []
        waiting: list[asyncio.Task[Any]] = []

        def reached(name: str, *_: int) -> None:
            if name == "between-pieces":
                order.append("piece")
                if len(order) == 3:
                    waiting.append(asyncio.create_task(c.report(other, snapshot(1, T0, sock(1, T0)))))
                    waiting[0].add_done_callback(lambda _: order.append("other"))

        monkeypatch.setattr(failpoints, "reached", reached)
        await c.report(session, told(2, T0 + S))
        await asyncio.gather(*waiting)
        assert order.index("other") < len(order) - 2, order

    tell(tmp_path, story)


def test_a_newer_stream_fences_the_pieces_that_are_to_come(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, first())
        held = Held(c.db)
        await held.begun()
        telling = asyncio.create_task(c.ingest.commit(session, told(2, T0 + S), T0 + S))
        await asyncio.sleep(0)
        newer = asyncio.create_task(c.ingest.open("web1", hello(T0), T0 + S, "0a"))
        await asyncio.sleep(0)
        await held.end()
        again = await newer
        with pytest.raises(Fenced):
            await telling
        assert again.committed_sequence == 1
        await c.report(again, told(2, T0 + S))
        assert sum(i.cookie in range(20, 25) for i in await c.intervals()) == 5

    tell(tmp_path, story)


def test_what_cannot_be_stored_amid_a_batch_is_set_aside_with_all_of_it(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, first())
        store, count = storing.store, 0

        def fail_at_the_third(conn: Connection, rows: Any) -> Any:
            nonlocal count
            count += 1
            if count == 3:
                raise RuntimeError("no more")
            return store(conn, rows)

        monkeypatch.setattr(storing, "store", fail_at_the_third)
        stored = await c.ingest.commit(session, told(2, T0 + S), T0 + S, b"as it came")
        assert stored.sequence == 2
        assert "no more" in stored.refused
        assert any(gap.reason == "a report could not be stored" for gap in await c.gaps())
        assert (await c.ingest.commit(session, difference(3, T0 + 2 * S), T0 + 2 * S)).sequence == 3

    tell(tmp_path, story)


def test_a_backlog_comes_in_pieces_and_its_gap_goes_with_the_last(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, first())
        gap = Gap(T0, T0 + 60 * S, "away", kept=True)
        await c.report(session, snapshot(2, T0 + 60 * S, sock(1, T0), gaps=(gap,)))
        late = kept(
            3,
            gap,
            *(past(sock(n, T0 + n * S, ESTABLISHED), T0 + n * S + 1, EXACT) for n in range(30, 35)),
            ended=tuple(gone(n, T0 + n * S, EXACT) for n in range(2, 7)),
        )
        cut_off_after(monkeypatch, 2)
        with pytest.raises(CutOffError):
            await c.ingest.commit(session, late, T0 + 61 * S)
        assert [one.reason for one in await c.gaps()] == ["kept on the host, being sent"]
        monkeypatch.setattr(failpoints, "_points", {})
        for _ in range(2):
            assert (await c.ingest.commit(session, late, T0 + 61 * S)).sequence == 3
        assert await c.gaps() == []
        ended = {i.cookie: i.closed_at_us for i in await c.intervals() if i.closed_at_us}
        assert ended == {n: T0 + n * S for n in range(2, 7)} | {n: T0 + n * S + 1 for n in range(30, 35)}

    tell(tmp_path, story)


owners = st.integers(0, 5).map(lambda n: WEB._replace(owners=tuple(Process(p, T0, "x", "", "x") for p in range(n))))


@given(
    st.sets(st.integers(1, 30)),
    st.sets(st.integers(1, 30)),
    st.sets(st.integers(1, 40)),
    st.lists(st.integers(0, 4), max_size=5),
    st.lists(owners, min_size=1, max_size=3),
    st.integers(1, 8),
)
def test_the_pieces_together_tell_what_the_batch_tells_and_each_thing_once(
    opened: set[int], changed: set[int], closed: set[int], spaces: list[int], holders: list[Holder], most: int
) -> None:
    batch = replace(
        told(2, T0),
        opened=tuple(sock(n, T0, holder=holders[n % len(holders)]) for n in sorted(opened)),
        changed=tuple(sock(n, T0, holder=holders[n % len(holders)]) for n in sorted(changed - opened)),
        closed=tuple(gone(n, T0) for n in sorted(closed)),
        namespaces=tuple(space(n, interfaces=tuple(map(interface, range(size)))) for n, size in enumerate(spaces)),
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pieces, "MOST_ROWS", most)
        some = pieces.cut(batch)
    assert [one.first for one in some] == [True, *[False] * (len(some) - 1)]
    assert [one.last for one in some] == [*[False] * (len(some) - 1), True]
    for name in ("opened", "changed", "namespaces", "namespaces_gone", "gaps", "sources"):
        assert [x for one in some for x in getattr(one.batch, name)] == list(getattr(batch, name))
    assert sorted(x for one in some for x in one.batch.closed) == sorted(batch.closed)
    assert all(one.batch.sequence == 2 and one.batch.look_at_us == T0 for one in some)
    # What a batch opens and ends, it does in one piece; and what only ends does so when all is open that is.
    ends = {x.key: number for number, one in enumerate(some) for x in one.batch.closed}
    begins = {x.key: n for n, one in enumerate(some) for x in (*one.batch.opened, *one.batch.changed)}
    assert all(ends[key] == n for key, n in begins.items() if key in ends)
    assert all(n >= max(begins.values(), default=0) for key, n in ends.items() if key not in begins)


def test_most_batches_are_one_piece_and_none_has_more_rows_than_others_wait_for() -> None:
    quiet = difference(2, T0, opened=tuple(sock(n, T0) for n in range(1, 500)))
    [piece] = pieces.cut(quiet)
    assert piece.batch is quiet
    invented = difference(2, T0, opened=tuple(sock(n, T0) for n in range(1, 13_001)))
    some = pieces.cut(invented)
    assert len(some) == 26
    assert max(one.rows for one in some) <= pieces.MOST_ROWS + 1
