"""Command lines that nobody gets to read: real reads that hang, of pipes to which nobody writes."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent.proc_tree import ProcTree
from fleetnet_agent.helper import scan
from fleetnet_agent.helper.cmdlines import CommandLines
from fleetnet_agent.helper.scan import Question, describe

QUICK_S = 0.05


class Pipes:
    """Command lines that hang until the test lets them go."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[Path] = []

    def add(self, path: Path) -> str:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        self._made.append(path)
        return str(path)

    def release(self) -> None:
        """Whoever hangs in one reads that it is empty."""
        while self._made:
            path = self._made.pop()
            os.close(os.open(path, os.O_RDWR))
            threading.Thread(target=lambda at=path: os.close(os.open(at, os.O_WRONLY)), daemon=True).start()


@pytest.fixture
def pipes(tmp_path: Path) -> Iterator[Pipes]:
    made = Pipes(tmp_path)
    yield made
    made.release()
    for thread in threading.enumerate():
        if thread.name == "cmdlines":
            thread.join(5)
            assert not thread.is_alive()


def plain(path: Path, line: bytes = b"plain\0") -> str:
    path.write_bytes(line)
    return str(path)


def test_what_does_not_hang_is_read_whole_and_what_ended_is_left_out(tmp_path: Path) -> None:
    paths = [plain(tmp_path / str(number), b"%d" % number) for number in range(100)]
    found = CommandLines(QUICK_S).read([*paths, str(tmp_path / "none")])
    assert found == {path: path.rpartition("/")[2].encode() for path in paths}


def test_one_that_hangs_costs_a_moment_once_and_the_others_nothing(tmp_path: Path, pipes: Pipes) -> None:
    lines = CommandLines(QUICK_S)
    first, second = plain(tmp_path / "1"), plain(tmp_path / "3")
    hanging = pipes.add(tmp_path / "2")
    for _ in range(3):
        assert lines.read([first, hanging, second]) == {first: b"plain\0", second: b"plain\0"}
    assert sum(thread.name == "cmdlines" for thread in threading.enumerate()) == 1


def test_of_many_that_hang_only_a_few_threads_are_lost_and_they_come_back(tmp_path: Path, pipes: Pipes) -> None:
    lines = CommandLines(QUICK_S, most_stuck=3)
    hanging = [pipes.add(tmp_path / f"hangs-{number}") for number in range(10)]
    last = plain(tmp_path / "last")
    assert lines.read([*hanging, last]) == {}, "none is read as long as so many hang"
    assert sum(thread.name == "cmdlines" for thread in threading.enumerate()) == 3
    pipes.release()
    for thread in threading.enumerate():
        if thread.name == "cmdlines":
            thread.join(5)
    assert lines.read([last]) == {last: b"plain\0"}


def test_a_process_that_hides_its_command_line_hides_nothing_else(
    tmp_path: Path, pipes: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_COMMAND_LINES", CommandLines(QUICK_S))
    proc = ProcTree(tmp_path / "proc")
    proc.add(10, "sly", [5], cmdline=b"")
    proc.add(11, "honest", [6], cmdline=b"/usr/bin/honest\0")
    pipes.add(proc.root / "10/cmdline")
    answer = scan.scan(proc.root, Question())
    told = {process.pid: (process.name, process.program, process.inodes) for process in answer.processes}
    assert told == {10: ("sly", "sly", (5,)), 11: ("honest", "honest", (6,))}
    assert answer.unreadable == ()
    assert (describe(proc.root, 10) or answer.processes[0]).program == "sly"
