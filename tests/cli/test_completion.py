"""What shells complete: in a real bash, zsh and fish, with the names of a fleet, and never with a word that acts."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from cli.canned import Canned
from cli.conftest import SCRIPT, Ran
from fleetnet_cli import known_hosts
from fleetnet_cli.output.presentation import FORMATS
from fleetnet_cli.settings import Destination
from fleetnet_proto.v1 import query_pb2

# A line as it is typed, up to the TAB, and what is proposed.
TYPED = {
    # What is asked of each shell.
    "fleetnet who-": {"who-listens", "who-holds", "who-talks-to"},
    "fleetnet who-holds clo": {"CLOSE", "CLOSE_WAIT", "CLOSING"},
    "fleetnet hosts -o ": set(FORMATS),
    # The rest is the same program's.
    "fleetnet token ": {"create", "list", "revoke"},
    "fleetnet who-holds TIME_WAIT SYN_S": {"SYN_SENT"},
    "fleetnet who-holds --by ": {"host", "process", "remote"},
    "fleetnet who-holds --by host,": {"host,process", "host,remote"},
    "fleetnet who-talks-to web1 --by process,s": {"process,socket"},
    "fleetnet audit p.toml -o ": {*FORMATS, "junit", "sarif"},
    "fleetnet map -o ": {"table", "wide", "json", "ndjson", "csv", "dot", "mermaid"},
    "fleetnet map --external e": {"each"},
    "fleetnet explain -o ": {"table", "wide", "json", "ndjson"},
    "fleetnet watch who-listens -o ": {"table", "ndjson"},
    "fleetnet hosts --ou": {"--output"},
    "fleetnet host s": {"show"},
    "fleetnet host --ou": {"--output"},
    "fleetnet host label --ho": {"--host"},
    "fleetnet help tim": {"times"},
    "fleetnet explain time": {"TIME_WAIT", "Timer"},
    "fleetnet who-listens post": {"postgresql", "postgres"},
    "fleetnet completion z": {"zsh"},
    "fleetnet --context ": {"home", "lab"},
    "fleetnet who-listens 44": set(),
}

IN_BASH = """
source <(fleetnet completion bash)
function=$(complete -p fleetnet | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
while IFS= read -r line; do
    read -ra COMP_WORDS <<< "$line"
    [[ $line == *' ' ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    $function fleetnet
    echo "${COMPREPLY[*]}"
done
"""
# What only the line editor of zsh has is put in its place; it shows what it is given.
IN_ZSH = """
compdef() { function=$1 }
compadd() { proposed+=($completions) }
_describe() { proposed+=(${completions_with_descriptions%%:*}) }
source <(fleetnet completion zsh)
while IFS= read -r line; do
    words=(${(s: :)line}); [[ $line == *' ' ]] && words+=("")
    CURRENT=$#words proposed=()
    $function
    print -r -- $proposed
done
"""
IN_FISH = """
fleetnet completion fish | source
while read --line line
    echo (complete -C $line | string split --fields 1 \\t)
end
"""
SHELLS = {"bash": ["--norc", "-c", IN_BASH], "zsh": ["-f", "-c", IN_ZSH], "fish": ["--no-config", "-c", IN_FISH]}


@pytest.fixture
def proposed(tmp_path: Path) -> Callable[..., list[set[str]]]:
    """What a shell proposes for each of these lines."""

    def ask(shell: str, *lines: str, folder: Path = tmp_path) -> list[set[str]]:
        # Where the shell is missing tests/install-tools says how to have it.
        if shutil.which(shell) is None:
            pytest.skip(f"needs {shell} (run tests/install-tools as root)")
        environment = {**os.environ, "PATH": f"{SCRIPT.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
        done = subprocess.run(
            [shell, *SHELLS[shell]], input="".join(f"{line}\n" for line in lines), env=environment, cwd=folder,
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        assert done.stderr == ""
        return [set(words.split()) for words in done.stdout.splitlines()]

    return ask


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_options_and_values(
    shell: str, proposed: Callable[..., list[set[str]]], tmp_path: Path
) -> None:
    (tmp_path / "config/fleetnet").mkdir(parents=True)
    (tmp_path / "config/fleetnet/config.toml").write_text('[contexts]\nhome = {server = "/a"}\nlab = {server = "/b"}\n')
    lines = {line: words for line, words in TYPED.items() if "post" not in line or Path("/etc/services").exists()}
    if shell != "bash":
        lines = dict(islice(lines.items(), 3))
    assert dict(zip(lines, proposed(shell, *lines), strict=True)) == lines


def test_bash_completes_what_stands_behind_an_equals_sign(proposed: Callable[..., list[set[str]]]) -> None:
    assert proposed("bash", "fleetnet hosts --output = js", "fleetnet hosts --output =") == [
        {"json"},
        set(FORMATS),
    ]


def test_bash_completes_the_hosts_of_the_fleet_and_no_hostile_name(
    canned: Canned, proposed: Callable[..., list[set[str]]], tmp_path: Path
) -> None:
    for name in ("web*", "-rf", "$(id)", "a b", "we\x1b[2J", "web1;id", "Web9"):
        canned.hosts.append(query_pb2.HostItem(host=name))
    # A module that lies where one happens to be is not run.
    (tmp_path / "here").mkdir()
    (tmp_path / "here/grpc.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    lines = (
        "fleetnet netstat ",
        "fleetnet netstat we",
        "fleetnet hosts --host d",
        "fleetnet host d",
        "fleetnet host show o",
        "fleetnet host label d",
        "fleetnet history o",
        "fleetnet who-talks-to d",
    )
    expected = [{"db1", "odd", "web1", "web2"}, {"web1", "web2"}, {"db1"}, {"db1"}, {"odd"}, {"db1"}, {"odd"}, {"db1"}]
    # The first TAB waits a fifth of a second for them; on a slow machine a later one has them.
    until_s = time.monotonic() + 60
    while (found := proposed("bash", *lines, folder=tmp_path / "here")) != expected and time.monotonic() < until_s:
        pass
    assert found == expected
    assert not (tmp_path / "run").exists()


def test_labels_are_completed_by_their_keys_and_values_and_no_hostile_one_is(
    canned: Canned, proposed: Callable[..., list[set[str]]]
) -> None:
    labels = (("role", "web"), ("role", "db"), ("role", "a;id"), ("rack", "7"), ("zone", "$(id)"), ("zone", "x=y"))
    canned.hosts.extend(query_pb2.HostItem(host="x", labels=[query_pb2.Label(key=k, value=v)]) for k, v in labels)
    # As bash hands on what is typed: "=" is a word of its own, and what stands before it stays.
    lines = {
        "fleetnet hosts --label r": {"role", "role=db", "role=web", "rack", "rack=7"},
        "fleetnet hosts --label role =": {"db", "web"},
        "fleetnet hosts --label role = w": {"web"},
        "fleetnet watch who-listens --label = ra": {"rack", "rack=7"},
        "fleetnet hosts --label = zone = ": {"x=y"},
        "fleetnet host label web1 ro": {"role=db", "role=web"},
        "fleetnet host label role = d": {"db"},
        "fleetnet token create --host y --label rack =": {"7"},
    }
    until_s = time.monotonic() + 60
    while (found := proposed("bash", *lines)) != list(lines.values()) and time.monotonic() < until_s:
        pass
    assert dict(zip(lines, found, strict=True)) == lines


def completed(line: str) -> Ran:
    """What the program tells bash."""
    words = line.split(" ")
    environment = {"_FLEETNET_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [SCRIPT], env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_whatever_is_amiss_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Ran(0, "\n", "")
    monkeypatch.setenv("FLEETNET_SERVER", f"unix://{tmp_path}/absent.sock")
    assert completed("fleetnet netstat ") == nothing
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert completed("fleetnet netstat ") == nothing
    monkeypatch.delenv("FLEETNET_SERVER")
    (tmp_path / "config/fleetnet").mkdir(parents=True)
    (tmp_path / "config/fleetnet/config.toml").write_text("server = ")
    assert completed("fleetnet netstat ") == Ran(0, "", "")
    assert completed('fleetnet who-holds "') == Ran(0, completed("fleetnet who-holds ").out, "")
    monkeypatch.setenv("_FLEETNET_COMPLETE", "tcsh_complete")
    done = subprocess.run([SCRIPT], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_to_complete_loads_nothing_heavy() -> None:
    program = "import sys; from fleetnet_cli.main import main; main(); print(*sys.modules, file=sys.stderr)"
    environment = {"_FLEETNET_COMPLETE": "bash_complete", "COMP_WORDS": "fleetnet who-holds C", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "plain,CLOSE_WAIT" in done.stdout
    assert not set(done.stderr.split()) & {"grpc", "google", "rich", "pydantic", "tomllib"}


def test_an_unknown_shell_is_told_what_is_near(fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet("completion", "bsh")
    assert (ran.status, ran.out) == (2, "")
    assert 'did you mean "bash"?' in ran.err


@pytest.fixture
def kept(canned: Canned, tmp_path: Path) -> tuple[Destination, Path]:
    """The collector, and the file with the names that were asked for there."""
    collector = Destination(f"{tmp_path}/admin.sock")
    known_hosts.ask(collector)
    (file,) = (tmp_path / "cache/fleetnet").glob("hosts-*.json")
    return collector, file


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would be run to ask anew; nothing is."""
    commands: list[list[str]] = []

    def popen(command: list[str], **_how: object) -> None:
        commands.append(command)
        raise OSError

    monkeypatch.setattr(subprocess, "Popen", popen)
    return commands


def test_names_are_not_asked_for_again_within_a_minute(kept: tuple[Destination, Path], asked: list[list[str]]) -> None:
    collector, file = kept
    assert known_hosts.names(collector) == ["db1", "odd", "web1", "web2"]
    assert asked == []
    assert oct(file.parent.stat().st_mode)[-3:] == "700"
    os.utime(file, (time.time() - 90,) * 2)
    assert known_hosts.names(collector) == ["db1", "odd", "web1", "web2"]
    assert len(asked) == 1


def test_names_of_yesterday_are_not_proposed(kept: tuple[Destination, Path], asked: list[list[str]]) -> None:
    collector, file = kept
    os.utime(file, (time.time() - 100_000,) * 2)
    assert known_hosts.names(collector) == []


def test_names_of_another_collector_or_a_damaged_file_are_not_proposed(
    kept: tuple[Destination, Path], asked: list[list[str]]
) -> None:
    collector, file = kept
    for content in (
        json.dumps({"collector": "unix:///other", "hosts": ["web1"]}), "{", "[]", "null", '{"hosts": 7}',
        json.dumps({"collector": str(collector), "hosts": 7, "labels": {"role": 7}}),
        json.dumps({"collector": str(collector), "hosts": [7, "$(id)"]}),
    ):  # fmt: skip
        file.write_text(content)
        assert known_hosts.names(collector) == []
        assert known_hosts.labels(collector).keys() <= set()


def test_a_link_in_the_place_of_the_file_leads_nowhere(kept: tuple[Destination, Path], tmp_path: Path) -> None:
    collector, file = kept
    (tmp_path / "elsewhere").write_text("as it was")
    file.with_suffix(".new").symlink_to(tmp_path / "elsewhere")
    known_hosts.ask(collector)
    assert not file.is_symlink()
    file.with_suffix(".lock").unlink()
    file.with_suffix(".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        known_hosts.ask(collector)
    assert (tmp_path / "elsewhere").read_text() == "as it was"
    assert oct(file.stat().st_mode)[-3:] == "600"


def test_two_that_ask_at_once_ask_once(kept: tuple[Destination, Path], canned: Canned) -> None:
    import fcntl

    collector, file = kept
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            known_hosts.ask(collector)
    assert len(canned.asked) == 1
