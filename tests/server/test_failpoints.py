"""Points of failure: off unless asked for, never on in a service, and as told when they are on."""

import subprocess
import sys
from pathlib import Path

import pytest
from fleetnet_server import failpoints

KILLED = -9


def run(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A process of its own, for the variable is read once."""
    told = {"PATH": "/usr/bin:/bin", **environment}
    command = [sys.executable, "-c", f"from fleetnet_server import failpoints\n{code}"]
    return subprocess.run(command, env=told, capture_output=True, text=True, check=False)


def test_nothing_happens_at_a_point_where_the_variable_is_not_set() -> None:
    done = run("failpoints.reached('here', 1); print(failpoints.notice(), 'on')")
    assert done.stdout == " on\n"


def test_the_process_ends_at_the_third_time_as_if_killed() -> None:
    code = "for n in range(1, 5): print(n, flush=True); failpoints.reached('here')"
    done = run(code, FLEETNET_FAILPOINTS="elsewhere=kill,here=kill@3")
    assert (done.returncode, done.stdout) == (KILLED, "1\n2\n3\n")


@pytest.mark.parametrize("mark", ["INVOCATION_ID", "NOTIFY_SOCKET"])
def test_in_a_service_the_variable_counts_for_nothing_and_that_is_said(mark: str) -> None:
    done = run(
        "failpoints.reached('here'); print(failpoints.notice())",
        FLEETNET_FAILPOINTS="here=kill",
        **{mark: "x"},
    )
    assert done.returncode == 0
    assert "ignored" in done.stdout
    assert "service" in done.stdout


def test_a_trace_has_a_line_for_each_time_with_what_the_point_knows(tmp_path: Path) -> None:
    code = "failpoints.reached('here', 7, 8); failpoints.reached('here', 9, 10)"
    assert run(code, FLEETNET_FAILPOINTS=f"here=trace:{tmp_path}/trace").returncode == 0
    lines = [[int(word) for word in line.split()] for line in (tmp_path / "trace").read_text().splitlines()]
    assert [line[1:] for line in lines] == [[7, 8], [9, 10]]
    assert lines[0][0] <= lines[1][0]


def test_an_error_is_that_of_a_disk_and_comes_the_one_time() -> None:
    points = failpoints.parse("here=error@2")["here"][0]
    points.hit(())
    with pytest.raises(OSError, match="asked for"):
        points.hit(())
    points.hit(())


@pytest.mark.parametrize("text", ["here", "here=explode", "here=kill@x", "here=kill@"])
def test_a_variable_that_means_nothing_ends_the_process_with_one_sentence(text: str) -> None:
    done = run("print('on')", FLEETNET_FAILPOINTS=text)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "unset it" in done.stderr
