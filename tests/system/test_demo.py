"""The demo as a user runs it: its answers are right, and however it ends, nothing is left behind."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from demo import fabric, story
from demo.fleet import Fleet
from demo.programs import FailedError, Program, Programs, until
from demo.story import Service

ROOT = Path(__file__).resolve().parents[2]


def start_demo(programs: Programs, run: Path, *options: str) -> Program:
    command = [sys.executable, "-m", "demo", "--run", str(run), *options]
    return programs.start("demo", command, {"PYTHONPATH": str(ROOT)})


def assert_nothing_left(demo: Program, run: Path) -> None:
    assert not run.exists()
    assert namespaces_of(demo) == []
    assert processes_that_know(run) == []
    # The kernel takes them away a moment after their namespace.
    left = partial(Path("/sys/class/net").glob, f"fn{demo.pid}*")
    until(lambda: not list(left()), within_s=60.0, what="the end of the demo's interfaces")


def namespaces_of(demo: Program) -> list[str]:
    return [name for name in fabric.list_namespaces() if name.startswith(f"fleetnet-{demo.pid}-")]


def processes_that_know(run: Path) -> list[str]:
    """Command lines of processes that have the demo's folder in their arguments or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if os.fsencode(run) in told:
                found.append((process / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue  # has ended meanwhile, or is another user's
    return found


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "run"


@pytest.mark.root
def test_four_hosts_answer_six_questions_and_nothing_is_left(programs: Programs, run: Path) -> None:
    before = sorted(path for path in (ROOT / "demo").iterdir())
    demo = start_demo(programs, run)
    demo.succeed(within_s=200.0)
    said = demo.says()
    for question in (
        "who-listens 443",
        "who-listens 5432",
        "who-holds CLOSE_WAIT",
        "who-listens 443 --at",
        "netstat app1 -tn --live --timers",
        "netstat db1 -rn",
    ):
        assert f"$ fleetnet {question}" in said
    assert "All answers were right." in said
    assert_nothing_left(demo, run)
    assert sorted(path for path in (ROOT / "demo").iterdir()) == before


def test_this_machine_alone_answers_too(programs: Programs, run: Path) -> None:
    demo = start_demo(programs, run, "--alone")
    demo.succeed(within_s=200.0)
    assert "All answers were right." in demo.says()
    assert_nothing_left(demo, run)


@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["collector.log", "web1.log", "shop.log"])
def test_a_signal_ends_it_in_good_order(programs: Programs, run: Path, number: signal.Signals, moment: str) -> None:
    demo = start_demo(programs, run)
    until((run / moment).exists, within_s=60.0, what=moment)
    os.kill(demo.pid, number)
    assert demo.wait(within_s=60.0) == 128 + number
    assert "Traceback" not in demo.says()
    assert_nothing_left(demo, run)


@pytest.mark.root
def test_what_a_killed_demo_leaves_the_next_one_sweeps(programs: Programs, run: Path) -> None:
    demo = start_demo(programs, run)
    demo.wait_for("^1. Who listens", within_s=60.0)
    demo.kill()
    assert namespaces_of(demo)
    next_one = start_demo(programs, run)
    next_one.wait_for("^Starting", within_s=60.0)
    assert namespaces_of(demo) == []
    next_one.stop()
    assert_nothing_left(demo, run)


def test_a_second_demo_in_the_same_folder_is_told_so(programs: Programs, run: Path) -> None:
    first = start_demo(programs, run, "--alone")
    until((run / "collector.log").exists, within_s=60.0, what="the first demo's collector")
    second = programs.start("second", [sys.executable, "-m", "demo", "--run", str(run)], {"PYTHONPATH": str(ROOT)})
    assert second.wait() == 1
    assert f"another demo is running in {run}" in second.says()
    assert first.running
    first.stop()
    assert_nothing_left(first, run)


def test_a_wrong_answer_ends_it_with_a_sentence_and_the_answer(here: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "_CATCH_UP_S", 0.1)
    with pytest.raises(FailedError, match="who-listens does not show the web server of web1") as failed:
        story.who_listens(here, Service("web1", 443, here.collector))
    assert "$ fleetnet who-listens 443" in failed.value.log
