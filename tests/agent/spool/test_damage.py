"""A spool that is damaged, full, read-only or killed in the middle: nothing is made up, nothing ends the agent."""

import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agent.scripted_watch import ScriptedWatch, tcp
from agent.spool.spools import BOOT, Kept, Told, look_of
from fleetnet_agent.records import Gap, Look, State
from fleetnet_agent.spool.chunks import NO_ROOM, add_gap
from fleetnet_agent.spool.errors import SpoolDamagedError, SpoolError, SpoolUnavailableError
from fleetnet_agent.spool.file import SpoolFile
from fleetnet_agent.spool.paths import DAMAGED, NAME, is_there, set_aside
from fleetnet_agent.spool.spool import Spool


def filled(directory: Path) -> Kept:
    kept = Kept(directory, ScriptedWatch(*(tcp(n) for n in range(30))))
    kept.begin()
    for number in range(100, 130):
        kept.watch.open(tcp(number))
        kept.watch.pass_by(tcp(number + 1000))
        kept.keep()
    kept.watch.close(*(tcp(number) for number in range(100, 115)), *(tcp(number) for number in range(10)))
    kept.keep()
    return kept


@pytest.mark.parametrize(
    "content",
    [b"no database at all" * 500, b"", b"SQLite format 3\0" + bytes(4000)],
    ids=["another file", "nothing", "half a header"],
)
def test_what_is_no_spool_is_noticed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    if not content:
        assert Spool(tmp_path, 1 << 20, BOOT).is_empty
        return
    with pytest.raises(SpoolDamagedError):
        Spool(tmp_path, 1 << 20, BOOT)


def test_a_file_of_a_later_version_is_set_aside_and_not_touched(tmp_path: Path) -> None:
    filled(tmp_path).spool.close()
    later = sqlite3.connect(tmp_path / NAME)
    later.execute("PRAGMA user_version = 2")
    later.close()
    content = (tmp_path / NAME).read_bytes()
    with pytest.raises(SpoolDamagedError, match="another program or version"):
        Spool(tmp_path, 64 << 20, BOOT)
    set_aside(tmp_path)
    assert not is_there(tmp_path)
    assert (tmp_path / DAMAGED).read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [DAMAGED], "nothing else is left, and only the last is kept"


def test_a_truncated_file_is_noticed(tmp_path: Path) -> None:
    filled(tmp_path).spool.close()
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[: len(content) // 2])
    with pytest.raises(SpoolDamagedError):
        all_of_it(tmp_path)


def all_of_it(directory: Path) -> Told:
    spool = Spool(directory, 64 << 20, BOOT)
    try:
        if spool.since_us is not None:
            spool.settle(spool.declare(spool_look(spool))[0])
        told = Told()
        part = spool.part(None)
        while part:
            told.take(part)
            part = spool.part(part)
        return told
    finally:
        spool.let_go()


def spool_look(spool: Spool) -> Look:
    return Look(spool.last_look_us, 0)


def test_flipped_bits_are_noticed_or_make_no_difference(tmp_path: Path) -> None:
    filled(tmp_path).spool.close()
    content = (tmp_path / NAME).read_bytes()
    truth = all_of_it(tmp_path)
    draw = random.Random(5)
    noticed = 0
    for _ in range(150):
        damaged = bytearray(content)
        at = draw.randrange(len(damaged))
        damaged[at] ^= 1 << draw.randrange(8)
        (tmp_path / NAME).write_bytes(damaged)
        try:
            told = all_of_it(tmp_path)
        except (SpoolError, TypeError, ValueError):  # the keeper takes all of them for damage
            noticed += 1
        else:
            assert sorted(told.past) == sorted(truth.past)
            assert told.ended == truth.ended
        for beside in tmp_path.iterdir():
            beside.unlink()
    assert noticed > 10


def test_a_directory_that_cannot_be_written_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(SpoolUnavailableError):
        Spool(tmp_path / "missing", 1 << 20, BOOT)


def test_a_file_that_could_not_be_made_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetnet_agent.spool.file.TABLES", "CREATE TABLE segment (id); CREATE TABLE segment (id)")
    with pytest.raises(SpoolUnavailableError):
        Spool(tmp_path, 1 << 20, BOOT)
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_all_that_is_open_leaves_what_was_kept(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ScriptedWatch(tcp(1)), most_bytes=1 << 18)
    kept.begin()
    before_us = kept.keep().at_us
    kept.watch.open(*(tcp(number) for number in range(100, 5000)))
    with pytest.raises(SpoolUnavailableError, match="full"):
        kept.keep()
    assert kept.spool.last_look_us == before_us
    kept.watch.close(*(tcp(number) for number in range(100, 5000)))
    kept.restart()
    kept.settle()
    assert kept.drain().past == []


def test_what_was_open_when_the_disk_took_nothing_more_is_told_without_an_end(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ScriptedWatch(tcp(1), tcp(2)))
    kept.begin()
    kept.watch.open(tcp(100))
    opened = kept.keep()
    kept.watch.close(tcp(2), tcp(100))
    kept.look = look_of(kept.watch.look())  # which is not kept
    [declared] = kept.settle()
    assert (declared.from_us, declared.to_us) == (kept.spool.told[0][0], kept.look.at_us)
    told = kept.drain()
    assert told.past == [(1_000_100, State.ESTABLISHED, opened.at_us, 0, 0)]
    assert told.ended == {}, "whether they went on the snapshot has said"


def test_so_is_what_was_open_before_a_boot_after_which_the_disk_took_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ScriptedWatch(tcp(1)))
    kept.begin()
    kept.watch.open(tcp(100))
    kept.keep()
    kept.spool.close()
    kept.spool = Spool(tmp_path, kept.most_bytes, b"another boot 16.")
    kept.look = look_of(kept.watch.look())
    kept.settle()
    told = kept.drain()
    assert ([row[0] for row in told.past], told.boots) == ([1_000_100], {BOOT})


def test_a_gap_that_grew_after_a_snapshot_told_it_is_told_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ScriptedWatch(tcp(1)))
    kept.begin()
    kept.keep()
    add_gap(kept.spool._file, 100, 200, NO_ROOM)
    declared, *told = kept.spool.declare(kept.look)
    assert told == [Gap(100, 200, NO_ROOM)]
    add_gap(kept.spool._file, 200, 300, NO_ROOM)
    assert kept.spool.settle(declared) == [Gap(100, 300, NO_ROOM)]


def test_a_segment_that_could_not_be_settled_is_settled_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path, ScriptedWatch(tcp(1)))
    kept.begin()
    kept.watch.close(tcp(1))
    kept.keep()
    declared = kept.spool.declare(kept.look)[0]
    with kept.spool._file.transaction():
        add_gap(kept.spool._file, declared.from_us, declared.to_us, NO_ROOM)
    run = SpoolFile.run

    def fails(file: SpoolFile, sql: str, *values: object) -> list[Any]:
        if sql.startswith("DELETE FROM gap"):
            raise SpoolUnavailableError("disk I/O error")
        return run(file, sql, *values)

    monkeypatch.setattr(SpoolFile, "run", fails)
    with pytest.raises(SpoolUnavailableError):
        kept.spool.settle(declared)
    monkeypatch.undo()
    assert kept.spool.settle(declared) == [Gap(declared.from_us, declared.to_us, NO_ROOM)]
    assert list(kept.drain().ended) == [1_000_001]


KEEPS_ON = """
import sys
from pathlib import Path
from agent.scripted_watch import ScriptedWatch, tcp
from agent.spool.spools import Kept

kept = Kept(Path(sys.argv[1]), ScriptedWatch(tcp(1)))
kept.begin()
for number in range(100, 100_000):
    kept.watch.open(tcp(number))
    if number % 3 == 0:
        kept.watch.close(tcp(number - 2))
    print(number, kept.keep().at_us, flush=True)
"""


@pytest.mark.parametrize("looks", [1, 7, 40])
def test_what_a_finished_look_has_written_survives_a_kill(tmp_path: Path, looks: int) -> None:
    tests = Path(__file__).parents[2]
    command = [sys.executable, "-c", KEEPS_ON, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tests, stdin=subprocess.DEVNULL) as process:
        assert process.stdout
        lines = [process.stdout.readline().split() for _ in range(looks)]
        process.send_signal(signal.SIGKILL)
        lines += [line.split() for line in process.stdout.read().splitlines()]
    number, at_us = map(int, lines[-1])
    spool = Spool(tmp_path, 64 << 20, BOOT)
    assert spool.last_look_us >= at_us
    spool.let_go()
    opened = {row[0] - 1_000_000 for row in all_of_it(tmp_path).past}
    assert opened >= set(range(100, number + 1))
