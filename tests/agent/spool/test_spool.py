"""What is kept comes out as intervals: all of it, once, with its times, or a gap says what does not."""

import itertools
import os
import random
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from agent.scripted_watch import ScriptedWatch, holder, process, tcp
from agent.spool.spools import BOOT, Kept, bodies, look_of
from fleetnet_agent.records import Gap, Look, State
from fleetnet_agent.spool.chunks import NO_ROOM, TOO_OLD, Chunk, Chunks
from fleetnet_agent.spool.errors import SpoolUnavailableError
from fleetnet_agent.spool.file import LOG_PAGES, PAGE_BYTES
from fleetnet_agent.spool.paths import NAME
from fleetnet_agent.spool.spool import KEPT, Spool
from hypothesis import given, settings
from hypothesis import strategies as st

EXACT, SEEN, AS_GAP = 1, 2, 3
HOUR_US = 3_600_000_000


def cookie(number: int) -> int:
    return 1_000_000 + number


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path, ScriptedWatch(*(tcp(n) for n in range(5))))


def test_what_stays_open_all_the_time_is_nothing_at_all(kept: Kept) -> None:
    kept.begin()
    for _ in range(10):
        kept.keep()
    gaps = kept.settle()
    told = kept.drain()
    assert (told.past, told.ended) == ([], {})
    assert [(gap.reason, gap.kept) for gap in gaps] == [(KEPT, True)]
    assert [batch.backlog.last for batch in told.parts] == [True]


def test_a_socket_that_came_and_went_is_one_interval(kept: Kept) -> None:
    kept.begin()
    kept.watch.open(tcp(100))
    opened = kept.keep()
    kept.keep()
    kept.watch.close(tcp(100))
    closed = kept.keep()
    kept.settle()
    told = kept.drain()
    assert told.past == [(cookie(100), State.ESTABLISHED, opened.at_us, closed.at_us, SEEN)]
    assert told.ended == {}


def test_each_state_is_an_interval_and_other_attributes_are_not(kept: Kept) -> None:
    kept.begin()
    kept.watch.open(tcp(100))
    first = kept.keep()
    kept.watch.open(tcp(100, held_by=holder(process(9, "other"))))
    kept.keep()
    kept.watch.open(tcp(100, State.CLOSE_WAIT, held_by=holder(process(9, "other"))))
    second = kept.keep()
    kept.settle()
    told = kept.drain()
    assert sorted(told.past) == [
        (cookie(100), State.ESTABLISHED, first.at_us, second.at_us, SEEN),
        (cookie(100), State.CLOSE_WAIT, second.at_us, 0, 0),
    ]
    names = {process.name for batch in told.parts for process in batch.processes}
    assert names == {"other"}, "the interval has the attributes it had last"


def test_of_what_was_told_before_the_end_alone_is_kept(kept: Kept) -> None:
    kept.begin()
    kept.watch.close(tcp(1))
    kept.watch.open(tcp(2, State.CLOSE_WAIT))
    moved = kept.keep()
    kept.watch.close(tcp(2))
    closed = kept.keep()
    kept.settle()
    told = kept.drain()
    assert told.ended == {cookie(1): (moved.at_us, SEEN), cookie(2): (moved.at_us, SEEN)}
    assert told.past == [(cookie(2), State.CLOSE_WAIT, moved.at_us, closed.at_us, SEEN)]


def test_a_brief_socket_is_one_interval_of_no_length(kept: Kept) -> None:
    kept.begin()
    kept.watch.pass_by(tcp(200))
    look = kept.keep()
    kept.settle()
    assert kept.drain().past == [(cookie(200), State.CLOSE, look.at_us - 1, look.at_us - 1, 1)]


def test_a_state_that_was_left_before_the_end_of_the_look_that_saw_it_is_a_moment(kept: Kept) -> None:
    kept.begin()
    kept.watch.open(tcp(100, State.FIN_WAIT2))
    seen = kept.keep()
    kept.watch.open(tcp(100, State.TIME_WAIT))
    difference = kept.watch.look()
    entered = replace(difference, entered_at_us={tcp(100).key: seen.at_us - 1})
    kept.look = look_of(difference)
    kept.spool.keep(bodies(entered), kept.look)
    kept.settle()
    assert kept.drain().past == [
        (cookie(100), State.FIN_WAIT2, seen.at_us, seen.at_us, EXACT),
        (cookie(100), State.TIME_WAIT, seen.at_us, 0, 0),
    ]


def test_what_waited_in_memory_is_taken_along(kept: Kept) -> None:
    from_us = kept.look.at_us
    kept.watch.open(tcp(100), tcp(1, State.CLOSE_WAIT), tcp(3, held_by=holder(process(9))))
    waiting = [kept.watch.look()]
    kept.watch.close(tcp(100), tcp(2))
    waiting.append(kept.watch.look())
    one, two = (difference.look_at_us for difference in waiting)
    kept.begin(waiting)
    kept.settle()
    told = kept.drain()
    assert told.ended == {cookie(1): (one, SEEN), cookie(2): (two, SEEN)}, "another owner ends nothing"
    assert sorted(told.past) == [
        (cookie(1), State.CLOSE_WAIT, one, 0, 0),
        (cookie(100), State.ESTABLISHED, one, two, SEEN),
    ]
    assert {batch.backlog.from_us for batch in told.parts} == {from_us}


def test_after_a_restart_it_goes_on_and_what_ended_meanwhile_did_so_in_a_gap(kept: Kept) -> None:
    kept.begin()
    kept.watch.open(tcp(100), tcp(101))
    opened = kept.keep()
    kept.watch.close(tcp(100), tcp(1))
    kept.watch.open(tcp(102))
    again = kept.restart()
    kept.watch.close(tcp(101))
    closed = kept.keep()
    gaps = kept.settle()
    told = kept.drain()
    assert [(gap.from_us, gap.to_us, gap.reason) for gap in gaps[1:]] == [
        (opened.at_us, again.at_us, "agent restarted")
    ]
    assert told.ended == {cookie(1): (again.at_us, AS_GAP)}
    assert sorted(told.past) == [
        (cookie(100), State.ESTABLISHED, opened.at_us, again.at_us, AS_GAP),
        (cookie(101), State.ESTABLISHED, opened.at_us, closed.at_us, SEEN),
        (cookie(102), State.ESTABLISHED, again.at_us, 0, 0),
    ]


def test_after_another_boot_all_of_it_ended_before_the_first_look_and_keeps_its_boot(kept: Kept) -> None:
    kept.begin()
    kept.watch.open(tcp(100))
    opened = kept.keep()
    again = kept.restart(b"another boot 16.")
    kept.settle()
    told = kept.drain()
    assert told.ended == {cookie(n): (again.at_us, AS_GAP) for n in range(5)}
    assert (cookie(100), State.ESTABLISHED, opened.at_us, again.at_us, AS_GAP) in told.past
    assert {row for row in told.past if row[3] == 0} == {
        (cookie(n), State.ESTABLISHED, again.at_us, 0, 0) for n in (*range(5), 100)
    }
    by_boot = {batch.backlog.boot_id: batch for batch in told.parts if batch.backlog.sockets}
    assert [past.socket.key.cookie for past in by_boot[BOOT].backlog.sockets] == [cookie(100)]
    assert len(by_boot[b"another boot 16."].backlog.sockets) == 6


def test_rows_leave_only_when_they_are_taken_and_the_file_goes_with_the_last(kept: Kept) -> None:
    kept.begin()
    for number in range(100, 130):
        kept.watch.open(tcp(number))
        kept.keep()
    kept.watch.close(*(tcp(number) for number in range(100, 130)), tcp(1))
    kept.keep()
    kept.settle()
    parts = list(kept.parts())
    kept.spool.close()
    kept.spool = Spool(kept.directory, kept.most_bytes, BOOT)
    assert list(kept.parts()) == parts
    kept.spool.taken(parts[0])
    assert list(kept.parts()) == [*parts[1:]]
    kept.drain()
    assert kept.spool.is_empty
    kept.spool.close()
    assert list(kept.directory.iterdir()) == []


def test_a_second_segment_grows_while_the_first_is_told(kept: Kept) -> None:
    kept.begin()
    kept.watch.close(tcp(1))
    kept.keep()
    first = kept.settle()[0]
    parts = list(kept.parts())
    kept.begin()
    kept.watch.close(tcp(2))
    kept.keep()
    kept.spool.taken(parts[0])
    second = kept.settle()[0]
    told = kept.drain()
    assert list(told.ended) == [cookie(2)]
    lasts = [(b.backlog.from_us, b.backlog.to_us) for b in told.parts if b.backlog.last]
    assert lasts == [(first.from_us, first.to_us), (second.from_us, second.to_us)]


def test_every_gap_that_was_declared_is_withdrawn(kept: Kept) -> None:
    kept.begin()
    kept.keep()
    declared = [kept.spool.declare(kept.look)[0]]  # by a snapshot that is lost
    kept.keep()
    declared.append(kept.spool.declare(kept.look)[0])
    kept.spool.settle(declared[1])
    lasts = [(b.backlog.from_us, b.backlog.to_us) for b in kept.drain().parts if b.backlog.last]
    assert lasts == [(gap.from_us, gap.to_us) for gap in declared]


def test_many_chunks_travel_in_few_parts(kept: Kept) -> None:
    kept.begin()
    for number in range(100, 400):
        kept.watch.pass_by(tcp(number))
        kept.keep()
    kept.settle()
    told = kept.drain()
    assert len(told.past) == 300
    assert len(told.parts) == 2


def test_a_full_spool_merges_first_then_drops_the_oldest_and_says_so(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ScriptedWatch(tcp(1)), most_bytes=1 << 18)
    kept.begin()
    truth: list[tuple[int, int]] = []
    draw = random.Random(7)
    for _ in range(60):
        numbers = draw.sample(range(1 << 40), 400)
        owners = [holder(process(number, os.urandom(7).hex())) for number in range(20)]
        kept.watch.pass_by(*(tcp(number, State.CLOSE, owners[number % 20]) for number in numbers))
        look = kept.keep()
        truth += [(cookie(number), look.at_us - 1) for number in numbers]
        assert (tmp_path / NAME).stat().st_size <= 1 << 18
    gaps = kept.settle()
    told = {(row[0], row[3]) for row in kept.drain().past}
    lost = [at_us for number, at_us in truth if (number, at_us) not in told]
    [gap] = [gap for gap in gaps if gap.reason == NO_ROOM]
    assert lost
    assert (gap.from_us, gap.to_us) == (min(lost), max(lost)), "the gap has exact times"
    assert told <= set(truth)
    assert len(told) > 3_000, "the rest is there"


def test_what_is_older_than_a_week_of_looking_is_dropped(kept: Kept) -> None:
    kept.spool.close()
    kept.spool = Spool(kept.directory, kept.most_bytes, BOOT, most_kept_us=5_000)
    kept.begin()
    kept.watch.pass_by(tcp(100))
    first = kept.keep()
    for _ in range(20):
        kept.keep()
    gaps = kept.settle()
    assert kept.drain().past == []
    assert [(gap.from_us, gap.to_us, gap.reason) for gap in gaps[1:]] == [(first.at_us - 1, first.at_us - 1, TOO_OLD)]


def test_a_quiet_past_grows_too_old_half_a_day_at_a_time(kept: Kept) -> None:
    kept.begin()
    hours = range(9 * 24)
    at_us = []
    for hour in hours:
        kept.watch.pass_by(tcp(1_000 + hour))
        difference = kept.watch.look()
        kept.look = Look(difference.look_at_us, hour * HOUR_US)
        kept.spool.keep(bodies(difference), kept.look)
        at_us.append(difference.look_at_us - 1)
    gaps = kept.settle()
    told = {row[0] for row in kept.drain().past}
    lost = [hour for hour in hours if cookie(1_000 + hour) not in told]
    assert lost == list(range(len(lost)))
    assert 36 <= len(lost) <= 48, "seven days, and half a day at most"
    assert [(gap.from_us, gap.to_us, gap.reason) for gap in gaps[1:]] == [(at_us[0], at_us[len(lost) - 1], TOO_OLD)]


def test_packs_that_nobody_can_be_merged_with_are_not_read_again(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, read = [], Chunks.read

    def counted(chunks: Chunks, number: int) -> Chunk:
        reads.append(number)
        return read(chunks, number)

    monkeypatch.setattr(Chunks, "read", counted)
    kept.begin()
    for hour in range(7 * 24):
        kept.watch.pass_by(tcp(1_000 + hour))
        difference = kept.watch.look()
        kept.spool.keep(bodies(difference), Look(difference.look_at_us, hour * HOUR_US))
    assert len(reads) < 2 * 7 * 24, "each once as it was written, and once as it was merged"


def test_its_log_stays_small_beside_a_small_file(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ScriptedWatch(tcp(1)), most_bytes=1 << 18)
    kept.begin()
    for number in range(300):
        kept.watch.pass_by(*(tcp(number * 100 + other) for other in range(100)))
        kept.keep()
        assert (tmp_path / f"{NAME}-wal").stat().st_size <= LOG_PAGES[0] * PAGE_BYTES + (1 << 18)


def test_the_file_is_its_owners_alone_and_one_process_has_it(kept: Kept) -> None:
    kept.begin()
    assert stat.S_IMODE((kept.directory / NAME).stat().st_mode) == 0o600
    with pytest.raises(SpoolUnavailableError, match="locked"):
        Spool(kept.directory, kept.most_bytes, BOOT)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_sockets_do_the_intervals_are_the_truth(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    watch = ScriptedWatch(*(tcp(n) for n in range(4)))
    kept = Kept(tmp_path_factory.mktemp("spool"), watch)
    kept.begin()
    truth: dict[int, list[tuple[int, int]]] = {n: [(0, State.ESTABLISHED)] for n in range(4)}  # when, and which state
    unknown: list[Gap] = []
    for _ in range(data.draw(st.integers(1, 12))):
        for number in data.draw(st.lists(st.integers(0, 7), max_size=4, unique=True)):
            here = next((s for s in watch.now.values() if s.key.cookie == cookie(number)), None)
            what = data.draw(st.sampled_from([None, *State]))
            if what is not None:
                watch.open(tcp(number, what))
            elif here is not None:
                watch.close(here)
        if data.draw(st.integers(0, 4)) == 0:
            before_us = kept.spool.last_look_us
            look = kept.restart()
            unknown.append(Gap(before_us, look.at_us, ""))
        else:
            look = kept.keep()
        now = {s.key.cookie - 1_000_000: s.state for s in watch.now.values()}
        for number in range(8):
            states = truth.setdefault(number, [])
            if (states[-1][1] if states else 0) != now.get(number, 0):
                states.append((look.at_us, now.get(number, 0)))
    kept.settle()
    told = kept.drain()
    kept.spool.close()
    assert _expected(truth, unknown) == (sorted(told.past), told.ended)


def _expected(truth: dict[int, list[tuple[int, int]]], unknown: list[Gap]) -> tuple[list[tuple[int, ...]], object]:
    ends_of_gaps = {gap.to_us for gap in unknown}
    past: list[tuple[int, ...]] = []
    ended: dict[int, tuple[int, int]] = {}
    for number, states in truth.items():
        for (since_us, state), (until_us, _) in itertools.pairwise([*states, (0, 0)]):
            how = (AS_GAP if until_us in ends_of_gaps else SEEN) if until_us else 0
            if state and since_us:
                past.append((cookie(number), state, since_us, until_us, how))
            elif state and until_us:
                ended[cookie(number)] = (until_us, how)
    return sorted(past), ended
