"""The manual pages: all that --help knows is in them, and those who read roff strictly have nothing to say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from fleetnet_cli import main, options

from docs import generate_man
from docs.generate_man import Command, Page

ROOT = Path(__file__).resolve().parents[1]
NAMES = ["fleetnet-agent.8", "fleetnet-helper.8", "fleetnet-server.8", "fleetnet.1"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make man` fills, as of 1 March 2026."""
    folder = tmp_path_factory.mktemp("man")
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1772370000"}
    subprocess.run([sys.executable, ROOT / "docs/generate_man.py", folder], env=env, check=True, capture_output=True)
    return folder


def test_each_program_has_a_page_of_the_date_that_was_given(written: Path) -> None:
    assert sorted(p.name for p in written.iterdir()) == NAMES
    for path in written.iterdir():
        assert '"2026-03-01" "fleetnet 0.' in path.read_text().splitlines()[0]


@pytest.mark.parametrize("name", NAMES)
def test_mandoc_and_groff_have_nothing_to_complain_of(name: str, written: Path) -> None:
    readers = (["mandoc", "-T", "lint", "-W", "warning"], ["groff", "-man", "-ww", "-z"])
    here = [r for r in readers if shutil.which(r[0])]
    if not here:
        pytest.skip("needs mandoc or groff (run tests/install-tools as root)")
    for reader in here:
        done = subprocess.run([*reader, written / name], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_page_has_every_command_option_and_topic(written: Path) -> None:
    page = (written / "fleetnet.1").read_text().replace("\\-", "-")
    program = main.build()
    for path, option in options.of_commands(program):
        assert f".SS fleetnet {path}" in page or not path
        assert max(option.opts, key=len) in page
    for section in ("EXIT STATUS", "FILES", "TIMES", "FORMATS", "FILTERS", "SEE ALSO"):
        assert f"\n.SH {section}\n" in page


def test_the_pages_of_the_others_have_their_commands(written: Path) -> None:
    server = (written / "fleetnet-server.8").read_text().replace("\\-", "-")
    agent = (written / "fleetnet-agent.8").read_text().replace("\\-", "-")
    for command in ("run", "migrate", "backup", "restore", "doctor"):
        assert f".SS fleetnet-server {command} " in server
    for command in ("enroll", "run", "once", "doctor"):
        assert f".SS fleetnet-agent {command} " in agent
    assert ".B --namespaces {all,own}\n" in agent


def test_text_that_roff_would_act_upon_is_only_text() -> None:
    after = ".hidden\n\n'quoted\n  kept  as it is"
    command = Command("odd", "[-x]", "Does a\\b.\n\n.so /etc/passwd", [("-x, --ex FILE", ".ex of it")], after)
    assert generate_man.roff(Page(1, command, {"MORE": "one\n\ntwo"}, "ls(1)"), "2026-03-01").splitlines()[1:] == [
        ".SH NAME", "odd \\- Does a\\eb",
        ".SH SYNOPSIS", ".B odd", "[\\-x]",
        ".SH DESCRIPTION", "Does a\\eb.", ".PP", "\\&.so /etc/passwd",
        ".SH OPTIONS", ".TP", ".B \\-x, \\-\\-ex FILE", "\\&.ex of it",
        ".SH MORE", ".nf", "one", ".sp", "two", ".fi",
        ".SH NOTES", ".nf", "\\&.hidden", ".sp", "\\&'quoted", "  kept  as it is", ".fi",
        ".SH SEE ALSO", ".BR ls (1)",
    ]  # fmt: skip


def test_a_commands_own_options_stand_with_it_and_the_shared_ones_once() -> None:
    program = click.Group(
        "p", commands={"c": click.Command("c", params=[click.Option(["--own"]), click.Option(["--all"])])}
    )
    command = generate_man.of_click(program, click.Context(program, info_name="p"), frozenset({"--all"}))
    assert [[typed for typed, _ in below.options] for below in command.below] == [["--own TEXT"]]
