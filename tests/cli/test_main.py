"""The program as a whole: its help, what it loads, its exit statuses, through the real console script."""

import json
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cli.canned import Canned
from cli.conftest import SCRIPT, Ran
from fleetnet_proto.v1 import query_pb2

from cli import fleet

COMMANDS = [
    ["who-listens"],
    ["who-holds"],
    ["who-talks-to"],
    ["host"],
    ["host", "show"],
    ["host", "label"],
    ["hosts"],
    ["diff"],
    ["history"],
    ["netstat"],
    ["audit"],
    ["watch"],
    ["watch", "who-listens"],
    ["token", "create"],
    ["person", "list"],
    ["person", "role"],
    ["person", "revoke"],
    ["login"],
    ["doctor"],
    ["explain"],
    ["config", "explain"],
    ["help"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_a_short_help_with_an_example(command: list[str], fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet(*command, "--help")
    assert ran.status == 0
    assert f"  fleetnet {' '.join(command)}" in ran.out.partition("Examples:")[2]
    assert len(ran.out.splitlines()) <= 40
    assert fleetnet("help", *command).out == ran.out


def test_the_help_says_of_since_what_it_means_there(fleetnet: Callable[..., Ran]) -> None:
    told = {c: " ".join(fleetnet(c, "--help").out.split()) for c in ("who-listens", "who-holds", "diff", "history")}
    for command in ("who-listens", "who-holds"):
        assert "--since TIME What began since" in told[command]
        assert "--until TIME With --since" in told[command]
    for command in ("diff", "history"):
        assert "--since TIME From when on" in told[command]
        assert "--until TIME" in told[command]
        assert "--at TIME" not in told[command]


def test_the_main_help_names_every_command(fleetnet: Callable[..., Ran]) -> None:
    listed = fleetnet("--help").out.partition("Commands:")[2]
    for command in COMMANDS:
        assert f"\n  {command[0]} " in listed


def test_the_version_is_that_of_the_distribution(script: Callable[..., Ran]) -> None:
    from importlib.metadata import version

    assert script("--version").out == f"fleetnet {version('fleetnet')}\n"


def test_found_is_0(canned: Canned, script: Callable[..., Ran]) -> None:
    ran = script("who-listens", "443")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.endswith("4 hosts, all fresh\n")


def test_nothing_found_is_1_and_says_so(canned: Canned, script: Callable[..., Ran]) -> None:
    canned.sockets = []
    ran = script("who-listens", "443", "5432")
    assert (ran.status, ran.err) == (1, "")
    assert ran.out == "nothing listens on 443, 5432: 4 hosts, all fresh\n"
    assert script("who-listens", "443", "-o", "json").status == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("who-listens --process python", 'nothing listens held by "python"'),
        ("who-listens 22 --user root --unit ssh", 'nothing listens on 22 of unit "ssh", of user "root"'),
        (
            "who-listens --exposed --cidr 10.0.0.0/8 --tcp --udp",
            "nothing listens exposed, in 10.0.0.0/8, by tcp or udp",
        ),
        (
            "who-talks-to 10.0.0.9 --state ESTAB --container x",
            'nobody talks to 10.0.0.9 in ESTABLISHED, in container "x"',
        ),
        ("who-holds LISTEN --port 22 --udp", "nobody holds a socket in LISTEN on port 22 by udp"),
    ],
)
def test_where_nothing_is_found_it_is_said_what_was_asked(
    asked: str, said: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.sockets = []
    assert fleetnet(*shlex.split(asked)).out == f"{said}: 4 hosts, all fresh\n"


def test_a_host_is_meant_in_any_case(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    for asked in ("netstat {}", "netstat {} -r", "host {}", "history {}:443", "hosts --host {}", "who-talks-to {}"):
        begun = len(canned.asked)
        status = fleetnet(*asked.format("WEB1").split()).status
        shouted = canned.asked[begun:]
        assert fleetnet(*asked.format("web1").split()).status == status
        said = canned.asked[begun + len(shouted) :]
        assert [_without_times(s) for s in shouted] == [_without_times(s) for s in said]


def _without_times(asked: object) -> str:
    return re.sub(r"[0-9]{10,}", "", str(asked))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("netstat web1 -tno", "-o is the format here; netstat's timers are --timers (live); "),
        ("netstat web1 -tanop", "-o p: -o is the format here; netstat's timers are --timers (live); "),
        ("netstat -tno web1", "-o web1: -o is the format here; netstat's timers are --timers (live); "),
        ("netstat web1 -tc", "-c: for what comes and goes use fleetnet watch"),
        ("netstat web1 -o jsn", 'there is no format "jsn"; did you mean "json"?'),
        ("netstat", "missing argument 'HOST'"),
        ("hosts -o", "option '-o' requires an argument"),
    ],
)
def test_habits_of_netstat_are_told_what_is_otherwise_here(
    asked: str, said: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet(*asked.split())
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    if "did you mean" not in said and "watch" not in said and asked != "netstat":
        assert f'see "fleetnet {asked.split()[0]} --help"' in ran.err
    assert_one_sentence(ran.err)


def test_a_uid_is_not_taken_for_a_name(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    for asked in (["who-listens"], ["who-talks-to", "10.0.0.5"], ["history", "web1"]):
        ran = fleetnet(*asked, "--user", "0")
        assert (ran.status, ran.out) == (2, "")
        assert "give the name" in ran.err


def test_wrong_usage_is_2(canned: Canned, script: Callable[..., Ran]) -> None:
    for arguments, said in [
        (["who-listens", "99999"], "99999 is not a port"),
        (["who-holds", "CLOSEWEIT"], 'did you mean "CLOSE_WAIT"?'),
        (["hosts", "--at", "tomorrow"], '"tomorrow" is not a time'),
        (["hosts", "-o", "jsn"], 'did you mean "json"?'),
        (["hosts", "--limit", "many"], "--limit"),
        (["hosts", "--server", "https://collector:7443"], "write HOST:PORT"),
        (["who-talks-to", "10.0.0.300"], "is no address"),
        (["who-talks-to", "nowhere"], 'no host "nowhere" in this fleet'),
        (["who-talks-to", "10.0.0.5", "--by", "hst"], 'did you mean "host"?'),
        (["who-talks-to", "10.0.0.5", "--since", "10m ago", "--at", "1h ago"], "is later than --at"),
        (["host", "web1", "-o", "csv"], "-o csv makes no sense for host show; ask for table, json or ndjson"),
        (["who-holds", "CLOSE_WAIT", "--remote", "web1"], '"fleetnet who-talks-to" knows hosts'),
        (["who-listens", "--cidr", "10.0.0.0/33"], "it is 0 to 32"),
        (["who-listen"], 'did you mean "who-listens"?'),
        (["hosts", "--ouput", "json"], 'did you mean "--output"?'),
        (["who-talks-to", "127.0.0.1:"], "has a colon and no port behind it; write it as 127.0.0.1:5432"),
        (["who-talks-to", "[::1]:"], "a port is missing"),
        (["who-holds", "CLOSE_WAIT", "--remote", "10.0.0.300"], "is no address and no net; write it as"),
        (["who-holds", "XYZ"], "and UNCONN, which is CLOSE"),
        (["hosts", "--at", "1772280000"], 'did you mean "@1772280000"?'),
        (["netstat", "nowhere"], 'no host "nowhere" in this fleet'),
        (["token", "create", "--host", "Web1"], 'did you mean "web1"?'),
    ]:
        ran = script(*arguments)
        assert (ran.status, ran.out) == (2, "")
        assert said in ran.err
        assert_one_sentence(ran.err)


def test_alone_it_shows_what_to_ask_and_each_of_it_can_be_asked(
    canned: Canned, script: Callable[..., Ran], fleetnet: Callable[..., Ran]
) -> None:
    ran = script()
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.splitlines()) <= 15
    proposed = [line.split("  ")[1].strip() for line in ran.err.splitlines() if line.startswith("  fleetnet")]
    assert len(proposed) == 5
    for line in proposed:
        assert fleetnet(*shlex.split(line)[1:]).status == 0


def test_a_group_alone_shows_its_help(script: Callable[..., Ran]) -> None:
    for group in ("token", "config"):
        ran = script(group)
        assert (ran.status, ran.out) == (2, "")
        assert f"Usage: fleetnet {group} " in ran.err


def test_a_slip_of_the_keyboard_is_told_what_was_probably_meant(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    for arguments, meant in [
        (["netstat", "wbe1"], "web1"),
        (["netstat", "wbe1", "-r"], "web1"),
        (["netstat", "wbe1", "--live"], "web1"),
        (["explain", "Snd-Q"], "Send-Q"),
        (["help", "tmies"], "times"),
        (["config", "explian"], "explain"),
    ]:
        ran = fleetnet(*arguments)
        assert (ran.status, ran.out) == (2, "")
        assert f'did you mean "{meant}"?' in ran.err
        assert_one_sentence(ran.err)


def test_in_a_fleet_without_hosts_no_name_is_guessed(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canned, "hosts", fleet.hosts()[:0])
    assert fleetnet("netstat", "wbe1").err == 'fleetnet: no host "wbe1" in this fleet; "fleetnet hosts" lists them\n'


@pytest.mark.parametrize(
    "question",
    [
        ("who-listens", "443", "--process", "nginx", "--process", "sshd"),
        ("who-listens", "443", "--unit", "a.service", "--unit=b.service"),
        ("who-talks-to", "10.0.0.5", "--user", "root", "--user", "root"),
        ("watch", "who-listens", "--container", "a", "--container", "b"),
        ("who-holds", "ESTAB", "--remote", "10.0.0.1", "--remote", "10.0.0.2"),
        ("who-holds", "ESTAB", "--min", "2", "--min", "3"),
        ("history", "web1", "--process", "nginx", "--process", "sshd"),
    ],
)
def test_what_narrows_a_question_is_not_overruled_in_silence(
    canned: Canned, script: Callable[..., Ran], question: tuple[str, ...]
) -> None:
    ran = script(*question)
    assert (ran.status, ran.out) == (2, "")
    (option,) = {word.partition("=")[0] for word in question if word.startswith("--")}
    assert ran.err == f"fleetnet: {option} is given twice; it takes one value, so ask once for each\n"


def test_of_how_an_answer_is_shown_the_last_word_holds(canned: Canned, script: Callable[..., Ran]) -> None:
    assert script("hosts", "-o", "json", "-o", "name").out == script("hosts", "-o", "name").out
    assert script("who-listens", "443", "--tcp", "--tcp").status == 0


def test_to_count_by_several_words_is_to_count_by_all(canned: Canned, script: Callable[..., Ran]) -> None:
    for command in (("who-holds", "ESTAB"), ("who-talks-to", "10.0.0.5")):
        both = script(*command, "--by", "process", "--by", "host")
        assert (both.out, both.status) == (script(*command, "--by", "host,process").out, 0)


def test_a_pattern_that_matches_no_host_is_named_beside_others_that_do(
    canned: Canned, script: Callable[..., Ran]
) -> None:
    canned.coverage.unmatched_globs.append("db9")
    ran = script("who-listens", "443", "--host", "web*", "--host", "db9")
    assert (ran.status, ran.out.splitlines()[-1]) == (0, '4 hosts, all fresh; no host matches "db9"')
    assert 'no host matches "db9"' in script("who-listens", "443", "--host", "web*", "--host", "db9", "-o", "name").err
    document = json.loads(script("who-listens", "443", "--host", "web*", "--host", "db9", "-o", "json").out)
    assert document["coverage"]["unmatched_globs"] == ["db9"]


@pytest.mark.parametrize(
    ("asked", "unmatched", "said"),
    [
        (["--label", "role=wbe"], [("role", "wbe")], 'no host has role=wbe, did you mean "role=web"? '),
        (["--label", "rloe"], [("rloe", "")], 'no host has rloe, did you mean "role"? '),
        (["--label", "x=1", "--label", "y"], [("x", "1"), ("y", "")], "no host has x=1 or y; "),
        (["--label", "role=web", "--label", "env=prod"], [], "no host has role=web and env=prod; "),
        (["--label", "role=web", "--host", "d*"], [], 'no host that matches "d*" has role=web; '),
    ],
)
def test_where_no_host_has_the_labels_that_is_1_and_what_was_probably_meant_is_said(
    asked: list[str], unmatched: list[tuple[str, str]], said: str, canned: Canned, script: Callable[..., Ran]
) -> None:
    canned.sockets = []
    canned.coverage.CopyFrom(query_pb2.Coverage(as_of_us=fleet.AS_OF_US))
    canned.coverage.unmatched_labels.extend(query_pb2.Label(key=k, value=v) for k, v in unmatched)
    ran = script("who-listens", *asked)
    assert (ran.status, ran.out) == (1, f'{said}"fleetnet hosts -o wide" lists them\n')


def test_of_patterns_that_match_no_host_with_a_label_it_is_not_said_that_they_match_none(
    canned: Canned, script: Callable[..., Ran]
) -> None:
    canned.coverage.unmatched_globs.append("db9")
    ran = script("who-listens", "443", "--host", "web*", "--host", "db9", "--label", "role=web")
    assert ran.out.splitlines()[-1] == '4 hosts, all fresh; no host that matches "db9" has role=web'


def test_stale_is_3_and_outranks_nothing_found(canned: Canned, script: Callable[..., Ran]) -> None:
    canned.coverage.hosts_fresh = 2
    canned.coverage.hosts_stale.extend(fleet.stale(180, "db1") + fleet.stale(3000, "web9"))
    ran = script("who-listens", "443")
    assert ran.status == 3
    assert ran.out.endswith("4 hosts, 2 stale: db1 (3 h), web9 (2 d)\n")
    canned.sockets = []
    assert script("who-listens", "443", "-q").status == 3


def test_a_gap_is_3(canned: Canned, script: Callable[..., Ran]) -> None:
    canned.coverage.gaps = 2
    ran = script("who-listens", "443")
    assert ran.status == 3
    assert "2 gaps overlap the time asked about" in ran.out


def test_an_answer_that_lacks_what_is_no_longer_kept_says_so_and_is_partial(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.coverage.not_kept.add(kind=query_pb2.KEPT_LISTENERS, since_us=fleet.AS_OF_US)
    ran = fleetnet("who-listens", "--at", "2026-01-01T00:00:00Z")
    assert ran.status == 3
    assert "; listeners that had ended by 2026-03-01 " in ran.out
    document = json.loads(fleetnet("who-listens", "-o", "json").out)
    assert document["coverage"]["not_kept"] == [{"kind": "listeners", "since": "2026-03-01T13:00:00.123456Z"}]


def test_an_answer_that_may_lack_sockets_whose_holders_nobody_saw_says_so_and_is_partial(
    canned: Canned, script: Callable[..., Ran]
) -> None:
    canned.coverage.unseen_holders = 3
    assert script("who-listens", "443", "--process", "nginx").status == 3
    canned.sockets = []
    ran = script("who-listens", "443", "--process", "sshd")
    assert ran.status == 3
    assert ran.out.endswith("4 hosts, all fresh; of 3 more it is not known who holds them\n")
    document = json.loads(script("who-listens", "--process", "sshd", "-o", "json").out)
    assert document["coverage"]["unseen_holders"] == 3


def test_not_authorised_is_4(canned: Canned, script: Callable[..., Ran]) -> None:
    canned.refuses = (grpc.StatusCode.PERMISSION_DENIED, "viewers only")
    ran = script("hosts")
    assert (ran.status, ran.out) == (4, "")
    assert ran.err == "fleetnet: the collector refuses: viewers only\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user that the socket refuses")
def test_a_closed_admin_socket_is_4(tmp_path: Path, as_nobody: Callable[..., Ran]) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o660)
        ran = as_nobody("hosts", "--server", f"unix://{path}")
    assert ran.status == 4
    assert "not open to you; ask as root or as a member of its group" in ran.err
    assert_one_sentence(ran.err)


def test_no_collector_is_5(tmp_path: Path, script: Callable[..., Ran]) -> None:
    absent = tmp_path / "absent.sock"
    left_behind = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(left_behind))
    (tmp_path / "file").touch()
    for path, said in [
        (absent, "start fleetnet-server"),
        (left_behind, "start fleetnet-server"),
        (tmp_path / "file", "is not the admin socket of a collector"),
        (tmp_path / ("x" * 120), "correct --server"),
    ]:
        ran = script("hosts", "--server", f"unix://{path}")
        assert (ran.status, ran.out) == (5, "")
        assert said in ran.err
        assert str(path) in ran.err
        assert_one_sentence(ran.err)


def test_a_silent_collector_is_5_after_the_timeout(canned: Canned, script: Callable[..., Ran]) -> None:
    canned.silent = threading.Event()
    ran = script("hosts", "--timeout", "300ms")
    assert (ran.status, ran.out) == (5, "")
    assert "said nothing for 0.3 s" in ran.err


def test_an_older_collector_is_2(canned: Canned, script: Callable[..., Ran]) -> None:
    canned.refuses = (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    ran = script("hosts")
    assert ran.status == 2
    assert "upgrade fleetnet-server" in ran.err


def test_hostile_words_of_a_collector_do_not_reach_the_terminal(canned: Canned, script: Callable[..., Ran]) -> None:
    canned.refuses = (grpc.StatusCode.INTERNAL, "x\x1b[2J\nroot# ‮")
    ran = script("hosts")
    assert ran.status == 2
    assert "\x1b" not in ran.err
    assert_one_sentence(ran.err)


def test_hostile_words_of_an_argument_do_not_reach_the_terminal(canned: Canned, script: Callable[..., Ran]) -> None:
    for arguments in (["who-listens", "\x1b[2J"], ["netstat", "a\x1bb"], ["\x1b[31m"], ["hosts", "--server", "\x1b"]):
        ran = script(*arguments)
        assert ran.status == 2
        assert "\x1b" not in ran.out + ran.err


def test_a_reader_that_has_had_enough_is_no_error(canned: Canned) -> None:
    canned.sockets = fleet.listeners() * 20_000
    with subprocess.Popen([SCRIPT, "who-listens"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(30) == 141
    assert said == b""


def test_an_interrupt_is_130_and_silent(canned: Canned) -> None:
    canned.silent = threading.Event()
    asked = threading.Event()
    canned.asked = Noticed(asked)
    with subprocess.Popen([SCRIPT, "hosts"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert asked.wait(20)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (130, b"", b"")


_AS_IT_LOADS = """
import os, signal, sys
from fleetnet_cli.__main__ import main

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
sys.exit(main())
"""


def test_an_interrupt_while_it_is_still_loading_is_130_and_silent() -> None:
    done = subprocess.run([sys.executable, "-c", _AS_IT_LOADS], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_the_script_begins_where_an_interrupt_is_expected() -> None:
    assert "from fleetnet_cli.__main__ import program" in SCRIPT.read_text()


_AT_ITS_END = """
import atexit, sys
from fleetnet_cli.__main__ import program

atexit.register(print, "taken to pieces", file=sys.stderr)
program()
"""


def test_it_ends_at_once_when_all_is_written(canned: Canned) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _AT_ITS_END, "hosts"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("4 hosts")


def closed(redirection: str, *arguments: str) -> Ran:
    """The program with one of its streams closed by the shell."""
    line = f"{shlex.quote(str(SCRIPT))} {shlex.join(arguments)} {redirection}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)
    return Ran(done.returncode, done.stdout, done.stderr)


def test_a_closed_stdout_is_2_and_one_sentence(canned: Canned) -> None:
    for arguments in (["hosts"], ["--help"], ["who-listens", "-o", "json"]):
        ran = closed(">&-", *arguments)
        assert ran.status == 2
        assert "stdout is closed" in ran.err
        assert_one_sentence(ran.err)


def test_a_closed_stderr_or_stdin_is_missed_by_nobody(canned: Canned, script: Callable[..., Ran]) -> None:
    asked = script("who-listens")
    for redirection in ("2>&-", "<&-", "<&- 2>&-"):
        assert closed(redirection, "who-listens") == Ran(0, asked.out, "")
    assert closed("2>&-", "who-listens", "-o", "csv").out == script("who-listens", "-o", "csv").out
    assert closed("2>&-", "who-listens", "99999") == Ran(2, "", "")
    assert closed(">&- 2>&-", "hosts") == Ran(2, "", "")
    assert closed("<&-", "audit", "-").err.startswith("fleetnet: ")


class Noticed(list):  # type: ignore[type-arg]  # whatever is asked
    """A list that tells when something is put into it."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def append(self, item: object) -> None:
        super().append(item)
        self._event.set()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_the_answer_is_2(canned: Canned, unbuffered: str) -> None:
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [SCRIPT, "hosts"], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60, env=env
        )
    assert done.returncode == 2
    assert "could not be written (No space left on device)" in done.stderr
    assert_one_sentence(done.stderr)


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What the program writes to a terminal."""
    parent, child = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "90", **environment}
    try:
        with subprocess.Popen([SCRIPT, *arguments], stdout=child, stderr=child, env=env) as process:
            os.close(child)
            written = bytearray()
            while chunk := _read(parent):
                written += chunk
        assert process.returncode in (0, 3)
    finally:
        os.close(parent)
    return written.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""  # what a terminal says when the last writer has left


def test_colour_is_for_terminals_and_can_be_declined(canned: Canned) -> None:
    canned.coverage.hosts_fresh = 3
    canned.coverage.hosts_stale.extend(fleet.stale(180, "db1"))
    coloured = on_a_terminal("who-listens")
    assert coloured.startswith("\x1b[1mHOST")
    assert "\x1b[33mdb1 " in coloured
    assert "\x1b[33m4 hosts, 1 stale: db1 (3 h)\x1b[0m\n" in coloured
    assert "\x1b" not in on_a_terminal("who-listens", NO_COLOR="1")
    assert "\x1b" not in on_a_terminal("who-listens", TERM="dumb")


def test_a_row_fits_the_terminal_and_shows_where_it_was_cut(canned: Canned) -> None:
    lines = on_a_terminal("who-holds", "CLOSE_WAIT", NO_COLOR="1", COLUMNS="150").splitlines()
    assert max(map(len, lines)) <= 150
    narrow = on_a_terminal("who-listens", NO_COLOR="1", COLUMNS="130").splitlines()
    assert max(map(len, narrow)) <= 130
    assert any("…" in line for line in narrow)
    assert "UNIT" in narrow[0]


def test_on_a_very_narrow_terminal_the_lesser_columns_leave(canned: Canned) -> None:
    lines = on_a_terminal("who-listens", NO_COLOR="1", COLUMNS="80").splitlines()
    rows = lines[: lines.index(next(line for line in lines if line.startswith("odd: ")))]
    assert max(map(len, rows)) <= 80
    assert rows[0].split() == ["HOST", "NETNS", "PROTO", "LOCAL", "PROCESS", "SINCE", "(UTC)"]
    assert rows[-1].split()[:2] == ["web1", "4026532281"]


def assert_one_sentence(said: str) -> None:
    assert said.startswith("fleetnet: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said
