"""Programs that tests and demo start: they end when they should, and say why when they end before."""

import os
import sys
from pathlib import Path

import pytest

from demo import programs as under_test
from demo.programs import FailedError, Programs, until


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_that_does_not_listen_to_term_is_killed(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_STOP_S", 0.2)
    stubborn = programs.start("stubborn", ["sh", "-c", "trap '' TERM; echo trapped; while :; do sleep 1; done"])
    stubborn.wait_for("^trapped")
    stubborn.stop()
    assert not stubborn.running


def test_the_children_of_one_end_with_it(programs: Programs) -> None:
    parent = programs.start("parent", ["sh", "-c", "sleep 1000 & echo $!; wait"])
    child = int(parent.wait_for(r"^(\d+)")[1])
    assert alive(child)
    parent.stop()
    until(lambda: not alive(child), within_s=60.0, what="the child's end")


def test_one_that_ends_before_it_says_what_is_waited_for_shows_its_log(programs: Programs) -> None:
    short = programs.start("short", ["sh", "-c", "echo the reason; exit 3"])
    with pytest.raises(FailedError, match="short ended with status 3") as failed:
        short.wait_for("^ready")
    assert failed.value.log == "the reason"


def test_what_never_comes_is_named(programs: Programs) -> None:
    with pytest.raises(FailedError, match=r"a miracle did not come within 0\.1 s"):
        until(lambda: False, within_s=0.1, what="a miracle")


def test_one_does_not_outlive_a_maker_that_is_killed(programs: Programs) -> None:
    maker = (
        "import os, pathlib, sys; from demo.programs import Programs;"
        "started = Programs(pathlib.Path(sys.argv[1]), os.environ).start('child', ['sleep', '1000']);"
        "print(started.pid, flush=True); sys.stdin.read()"
    )
    root = str(Path(__file__).resolve().parents[2])
    made = programs.start("maker", [sys.executable, "-c", maker, str(programs.directory)], {"PYTHONPATH": root})
    child = int(made.wait_for(r"^(\d+)")[1])
    assert alive(child)
    os.kill(made.pid, 9)
    until(lambda: not alive(child), within_s=60.0, what="the child's end")
