"""Each option of each command, tried on the small fleet: the registry of commands says which there are, so that none is
offered that was never run. And what the documents mention in a sentence is a command, or an option of one.
"""

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import examples
import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_agent.helper.main import _parser as helper_parser
from fleetnet_agent.main import _parser as agent_parser
from fleetnet_cli.main import build
from fleetnet_cli.topics import guides
from fleetnet_server.main import _parser as server_parser

ANSWERED = (0, 1, 3)
_EXAMPLE = re.compile(r"^ +(fleetnet [^\[].*)$", re.MULTILINE)
# What each command is told beside the option.
TOLD = {
    "who-holds": "CLOSE_WAIT",
    "who-talks-to": "198.18.0.3",
    "watch who-holds": "CLOSE_WAIT",
    "watch who-talks-to": "198.18.0.3",
    "host show": "web1",
    "host label": "web1 role=web",
    "host approve": "web2",
    "host forget": "web1 --yes",
    "host revoke": "web1",
    "history": "web1",
    "netstat": "web1",
    "diff": "--since 2026-02-01",
    "audit": "policy.toml",
    "token create": "--host web1",
    "token revoke": "4f1c09a2b37e",
    "person role": "alice viewer",
    "person revoke": "alice",
}
# A word for each option that takes one.
WORDS = {
    "--process": "nginx", "--unit": "nginx.service", "--user": "root", "--container": "mail", "--cidr": "10.0.0.0/8",
    "--output": "ndjson", "--at": "1h ago", "--since": "2h ago", "--until": "1h ago", "--host": "web*",
    "--label": "role", "--max-age": "1h", "--limit": "5", "--timeout": "60s", "--by": "host", "--min": "1",
    "--port": "443", "--remote": "198.18.0.3", "--state": "ESTABLISHED", "--external": "each", "--protocol": "inet",
    "--netns": "host", "--max-uses": "3", "--ttl": "1h", "--context": "home",
}  # fmt: skip
# These hold only together with others, or instead of what else is told.
WITH = {
    "--min": "--by host",
    "--until": "--since 2026-01-01",
    "--timers": "--live",
}
INSTEAD = {
    ("audit", "--learn"): "audit --learn",
    ("host label", "--host"): "host label --host web* role=web",
    ("netstat", "--extend"): "netstat web1 -e",
    ("token create", "--host"): "token create --host web1",
    ("token create", "--person"): "token create --person alice --role viewer",
    ("token create", "--role"): "token create --person alice --role viewer",
    ("token create", "--max-uses"): "token create --label role=web --max-uses 3",
    ("token create", "--label"): "token create --host web1 --label role=web",
}


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """All that can be run, by its words."""
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            yield from commands(one, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(commands(build()))
NAMES = {" ".join(path.split()[:depth]) for path in COMMANDS for depth in (1, 2)}


def lines(path: str) -> Iterator[tuple[click.Option, list[str]]]:
    """For each option of a command, however it is spelled, what to type."""
    for one in (each for each in COMMANDS[path].params if isinstance(each, click.Option)):
        long = max(one.opts, key=len)
        for spelled in one.opts:
            if (path, long) in INSTEAD:
                yield one, INSTEAD[path, long].split()
            else:
                word = [] if one.is_flag else [WORDS[long]]
                yield one, [*path.split(), *TOLD.get(path, "").split(), spelled, *word, *WITH.get(long, "").split()]


def have_context(name: str) -> None:
    """Let the collector of the small fleet have a name."""
    settings = Path(os.environ["XDG_CONFIG_HOME"], "fleetnet/config.toml")
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[contexts.{name}]\nserver = {json.dumps(os.environ['FLEETNET_SERVER'])}\n")


# Of login it is told in tests/cli/test_login.py what comes of each, with a collector that lets people in.
@pytest.mark.parametrize("path", sorted(COMMANDS.keys() - {"login"}))
def test_each_option_is_answered_or_makes_no_sense_of_what_is_watched(
    path: str, canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    have_context("home")
    monkeypatch.setitem(WORDS, "--server", os.environ["FLEETNET_SERVER"])
    wrong = []
    for option, words in lines(path):
        ran = fleetnet(*words)
        right = ran.status in ANSWERED
        if path.startswith("watch"):
            # Of the small fleet it ends at once.
            right = ("makes no sense of what is watched" if option.hidden else "the collector went away") in ran.err
        if not right:
            wrong.append((words, ran))
    assert not wrong, wrong


# What stands for any word, and one in its place.
ANY = {"COMMAND": "who-listens", "HOST": "web1", "NAME": "web1", "USER": "root", "POLICY.toml": "policy.toml"}
PARSERS = {"fleetnet-agent": agent_parser, "fleetnet-helper": helper_parser, "fleetnet-server": server_parser}


@pytest.mark.parametrize("line", sorted({one.line for one in examples.mentioned()}))
def test_what_a_sentence_mentions_is_a_command_with_such_options(
    line: str, canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    program, *words = [ANY.get(word, word) for word in shlex.split(line.partition(" > ")[0])]
    if not words:
        return  # the program
    if program == "fleetnet":
        # A sentence may name a command and not what it is to be told.
        ran = fleetnet(*answered_by_nobody(words), *(["--help"] if " ".join(words) in NAMES else []))
        assert ran.status in ANSWERED, ran.err
    elif any(word.startswith("-") for word in words):
        PARSERS[program]().parse_args(words)
    else:
        # A name alone, likewise.
        with pytest.raises(SystemExit) as ended:
            PARSERS[program]().parse_args([*words, "--help"])
        assert ended.value.code == 0


def answered_by_nobody(words: list[str]) -> list[str]:
    """What asks whether that is meant is told so here, where nobody sits."""
    return [*words, "--yes"] if words[:2] == ["host", "forget"] and "--yes" not in words else words


def of_help(fleetnet: Callable[..., Ran]) -> set[str]:
    """The examples that the command line itself shows."""
    asked = [*([*path.split(), "--help"] for path in COMMANDS), [], ["help"], *(["help", topic] for topic in guides())]
    pages = (fleetnet(*words) for words in asked)
    found = {line for page in pages for line in _EXAMPLE.findall(page.out + page.err)}
    return {" ".join(re.split(r"  +| [|>] ", line)[0].split()) for line in found}


def test_each_example_that_the_command_line_shows_is_answered(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    have_context("lab")
    shown = of_help(fleetnet)
    assert len(shown) > 60
    wrong = []
    for line in sorted(line for line in shown if not line.startswith("fleetnet login")):  # see above
        ran = fleetnet(*answered_by_nobody(shlex.split(line)[1:]))
        told = line.startswith("fleetnet watch") and "the collector went away" in ran.err
        if not (told or ran.status in ANSWERED):
            wrong.append((line, ran))
    assert not wrong, wrong
