"""The module that asks in a play: each of these questions is a task of one play."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli.canned import Canned, serve
from system.playing import Controller

from cli import fleet

from .conftest import whole

EVERYTHING = {
    "process": "nginx", "unit": "nginx.service", "user": "root", "container": "0123456789ab", "cidr": "10.0.0.0/8",
    "hosts": ["web*", "db*"], "labels": ["role=web", "env"], "since": "2026-03-01", "until": "2026-03-02",
    "max_age": "1h", "timeout": "30s", "protocols": ["tcp", "udp"], "exposed": True, "ports": ["8000-8999"],
}  # fmt: skip
OTHERS = {  # what another program of that name might say, and what is said of it
    "echo hello": "no whole document",
    'echo \'{"api_version": "fleetnet/v2", "kind": "SocketList"}\'': "a SocketList of fleetnet/v2",
    'echo \'{"api_version": "fleetnet/v1", "kind": "SocketList"}\'': "no whole document",
    "echo '[]'": "no whole document",
}


def questions(directory: Path) -> dict[str, dict[str, Any]]:
    """The options of each task."""
    server, silent, nobody = (f"unix://{directory / name}" for name in ("admin.sock", "silent.sock", "nobody.sock"))
    found: dict[str, dict[str, Any]] = {
        "found": {"ports": ["https", 5432], "exposed": True, "server": server},
        "nothing": {"ports": [9999], "server": server},
        "everything": EVERYTHING | {"server": f"unix://{directory / 'everything.sock'}"},
        "partial": {"ports": [443], "server": silent},
        "allowed": {"ports": [443], "server": silent, "allow_partial": True},
        "nobody": {"server": nobody},
    }
    for number, text in enumerate(OTHERS):
        other = directory / f"other{number}"
        other.write_text(f"#!/bin/sh\n{text}\n")
        other.chmod(0o755)
        found[f"other{number}"] = {"command": str(other)}
    return found


@pytest.fixture(scope="module")
def full() -> Canned:
    """Who is asked with every option."""
    return whole()


@pytest.fixture(scope="module")
def answers(controller: Controller, full: Canned, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each task was answered."""
    directory = tmp_path_factory.mktemp("collectors")
    partial = whole()
    partial.coverage.hosts_stale.extend(fleet.stale(180, *(f"web{n}" for n in range(1, 8))))
    partial.coverage.hosts_asked, partial.coverage.hosts_fresh = 9, 2
    served = {"admin.sock": whole(), "silent.sock": partial, "everything.sock": full}
    ends = [serve(canned, directory / name) for name, canned in served.items()]
    asked = questions(directory)
    tasks: list[dict[str, Any]] = [
        {"fleetnet.fleetnet.fleetnet_listeners": options, "register": name, "ignore_errors": True}
        for name, options in asked.items()
    ]
    kept = ", ".join(f'"{name}": {name}' for name in asked)
    copied = {"dest": str(directory / "told"), "content": f"{{{{ {{{kept}}} | to_json }}}}", "mode": "0600"}
    tasks.append({"ansible.builtin.copy": copied, "check_mode": False})
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    (directory / "play.yml").write_text(json.dumps(play))
    done = controller.play(directory / "play.yml", "--check")
    for end in ends:
        end()
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads((directory / "told").read_text())
    return told


def test_it_hands_over_who_listens_and_how_far_the_answer_reaches_in_check_mode_too(answers: dict[str, Any]) -> None:
    found = answers["found"]
    assert (found["hosts"], found["changed"], found["shortfall"], found["failed"]) == (["web1"], False, "", False)
    assert [each["unit"] for each in found["listeners"]] == ["nginx.service"]
    assert (found["coverage"]["hosts_asked"], found["as_of"]) == (4, "2026-03-01T13:00:00.123456Z")


def test_nothing_found_is_an_answer(answers: dict[str, Any]) -> None:
    found = answers["nothing"]
    assert (found["hosts"], found["listeners"], found["changed"], found["failed"]) == ([], [], False, False)


def test_every_option_comes_to_the_question(answers: dict[str, Any], full: Canned) -> None:
    assert "msg" not in answers["everything"], answers["everything"]
    told = str(full.asked[-1])
    for value in ("nginx", "nginx.service", "root", "0123456789ab", "web*", "db*", "role", "env", "8000", "8999"):
        assert value in told, told
    for field in (
        "opened_since_us",
        "at_us: ",
        "max_age_ms",
        "local {",
        "PROTOCOL_TCP",
        "PROTOCOL_UDP",
        "exposed_only",
    ):
        assert field in told, told


def test_an_answer_that_is_not_whole_fails_or_says_so(answers: dict[str, Any]) -> None:
    lacking = "7 of 9 hosts answered from what was last known: web1, web2, web3, web4, web5 and 2 more"
    refused, allowed = answers["partial"], answers["allowed"]
    assert refused["failed"]
    assert refused["msg"] == f"the answer is not whole: {lacking} (allow_partial takes it as it is)"
    assert "hosts" not in refused
    assert (allowed["failed"], allowed["hosts"]) == (False, ["web1"])
    assert refused["shortfall"] == allowed["shortfall"] == lacking
    assert allowed["warnings"] == [f"fleetnet_listeners: the answer is not whole: {lacking}"]


def test_nobody_there_is_said(answers: dict[str, Any]) -> None:
    assert answers["nobody"]["failed"]
    assert "ended with 5" in answers["nobody"]["msg"]


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_a_program_that_is_another_is_noticed(answers: dict[str, Any], number: int) -> None:
    assert answers[f"other{number}"]["failed"]
    assert list(OTHERS.values())[number] in answers[f"other{number}"]["msg"]
