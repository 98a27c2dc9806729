"""A process that was forked is what the console script would have been."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from warm import Process, Script

from demo.fabric import Fabric

# A main() that says all that it was told, and what it is.
PROGRAM = """
import os, sys, threading, time

def main():
    print("an error", file=sys.stderr)
    print(sys.argv[1:], os.getcwd(), sorted(os.environ), flush=True)
    if "sleep" in sys.argv:
        time.sleep(60)
    if "wait" in sys.argv:
        sys.stdin.read()
    print(threading.active_count(), sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1])
    return 7
"""
ENVIRONMENT = {"PATH": "/usr/bin", "TOLD": "all"}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.setattr("warm._ENVIRONMENT", {**os.environ, "PYTHONPATH": str(tmp_path)})
    script = Script("program", "program", ["json"])
    yield script
    script.end()


def begin(script: Script, folder: Path, *arguments: str, stdin: int = subprocess.DEVNULL) -> Process:
    with (folder / "errors").open("ab") as errors, open(os.devnull) as nothing:
        return script.start(
            arguments,
            nothing.fileno() if stdin == subprocess.DEVNULL else stdin,
            subprocess.PIPE,
            errors.fileno(),
            environment=ENVIRONMENT,
            folder=folder,
        )


def test_it_has_what_it_was_told_and_nothing_else(script: Script, tmp_path: Path) -> None:
    process = begin(script, tmp_path, "a", "b c")
    said, _ = process.communicate(timeout=60)
    assert said.splitlines() == [f"['a', 'b c'] {tmp_path} ['PATH', 'TOLD']", "1 [0, 1, 2]"]
    assert (process.returncode, process.poll(), process.wait(), process.pid > 0) == (7, 7, 7, True)
    assert (tmp_path / "errors").read_text() == "an error\n"


def test_many_are_apart_from_one_another_and_each_is_ended_by_itself(script: Script, tmp_path: Path) -> None:
    read, write = os.pipe()
    waiting = [begin(script, tmp_path, "wait", stdin=read) for _ in range(3)]
    os.close(read)
    assert begin(script, tmp_path).communicate(timeout=60)[0].endswith("1 [0, 1, 2]\n"), "of the others it has nothing"
    waiting[0].terminate()
    assert waiting[0].wait(60) == -signal.SIGTERM
    waiting[1].kill()
    assert waiting[1].wait(60) == -signal.SIGKILL
    waiting[1].kill()  # in vain
    assert waiting[2].poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        waiting[2].wait(0.01)
    os.close(write)
    assert waiting[2].communicate(timeout=60)[0].count("\n") == 2
    assert waiting[2].returncode == 7
    for each in waiting[:2]:
        each.communicate()


def test_what_has_not_ended_ends_with_whoever_forked_it(script: Script, tmp_path: Path) -> None:
    read, write = os.pipe()
    process = begin(script, tmp_path, "wait", stdin=read)
    script.end()
    assert process.wait(60) == -signal.SIGKILL
    process.communicate()
    os.close(read)
    os.close(write)


def test_it_ends_with_the_tests_though_they_are_killed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    code = (
        "import os, signal, subprocess; from warm import Script\n"
        "script = Script('program', 'program', [])\n"
        f"process = script.start(['wait'], stdout=subprocess.PIPE, environment={ENVIRONMENT}, folder='/')\n"
        "process.stdout.readline()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(tmp_path)])
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stderr is not None
        # To the end, which comes when the last that has it is gone; what it waits for never comes.
        assert tests.stderr.read() == "an error\n"
        assert tests.wait(60) == -signal.SIGKILL


def test_to_its_end_it_is_run_as_others_are(script: Script) -> None:
    done = script.run(["a"], environment=ENVIRONMENT, timeout=60)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (7, 2, "an error\n")
    with pytest.raises(subprocess.TimeoutExpired):
        script.run(["sleep"], environment=ENVIRONMENT, timeout=0.1)


@pytest.mark.parametrize("session", [False, True])
def test_it_is_of_the_session_that_was_asked_for(script: Script, tmp_path: Path, session: bool) -> None:
    read, write = os.pipe()
    process = script.start(["wait"], read, subprocess.PIPE, environment=ENVIRONMENT, folder=tmp_path, session=session)
    assert os.getsid(process.pid) == (process.pid if session else os.getsid(0))
    os.close(write)
    os.close(read)
    process.communicate(timeout=60)


@pytest.mark.root
def test_it_is_on_the_host_that_was_asked_for(script: Script, tmp_path: Path) -> None:
    with Fabric() as fabric:
        network = f"/run/netns/{fabric.add_host('web1').namespace}"
        process = script.start(
            ["wait"], subprocess.PIPE, subprocess.PIPE, environment=ENVIRONMENT, folder=tmp_path, network=network
        )
        assert os.stat(f"/proc/{process.pid}/ns/net").st_ino == os.stat(network).st_ino
        assert process.stdin is not None
        process.stdin.close()
        process.communicate(timeout=60)


def test_what_the_environment_says_to_python_itself_is_for_the_script(script: Script, tmp_path: Path) -> None:
    told = {**ENVIRONMENT, "PYTHONPATH": f"/elsewhere:{tmp_path}"}
    assert script.can_be_forked(told)
    (tmp_path / "sitecustomize.py").touch()
    assert not script.can_be_forked(told)
    assert not script.can_be_forked({**ENVIRONMENT, "FLEETNET_FAILPOINTS": "here=kill"})
