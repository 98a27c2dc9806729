"""What the program loads, counted: whoever asks does not wait for what only another command, format or error needs."""

import shlex
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.canned import Canned
from cli.conftest import SCRIPT, Ran
from cli.loading import loaded
from fleetnet_cli.output.presentation import FORMATS
from fleetnet_cli.version import VERSION

HEAVY = {"rich", "pydantic", "pydantic_core", "sqlalchemy", "cryptography", "structlog", "psutil", "httpx"}
OF_QUESTIONS = {"grpc", "google", "fleetnet_proto"}

# For a plain question, whatever its format. Who adds to it makes every question wait for it.
PLAIN = {
    "", ".__main__", ".main", ".version", ".exits", ".errors", ".text", ".times", ".settings", ".options", ".records",
    ".commands", ".commands.start", ".given_twice", ".output", ".output.presentation", ".output.terminal",
    ".commands.who_listens", ".asking", ".ports", ".protocols", ".services", ".targets", ".users", ".output.sockets",
    ".client", ".channel", ".identities", ".labels", ".wire",
}  # fmt: skip
OF_FORMATS = {
    "table": {".output.coverage", ".output.table"},
    "wide": {".output.coverage", ".output.table"},
    "json": {".output.document", ".output.flow", ".output.json"},
    "ndjson": {".output.document", ".output.flow", ".output.ndjson"},
    "csv": {".output.coverage", ".output.csv", ".output.flow"},
    "name": {".output.coverage", ".output.flow", ".output.name"},
}


def libraries(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def own(modules: set[str]) -> set[str]:
    """Those of the command line itself, without its name."""
    return {name.removeprefix("fleetnet_cli") for name in modules if name.partition(".")[0] == "fleetnet_cli"}


def test_for_the_version_next_to_nothing_is_loaded() -> None:
    status, modules = loaded("--version")
    assert status == 0
    assert own(modules) == {"", ".__main__", ".version"}
    assert not libraries(modules) & {*HEAVY, *OF_QUESTIONS, "typer", "click", "importlib.metadata", "asyncio"}


def test_the_quick_way_to_the_version_says_what_the_long_way_does(
    script: Callable[..., Ran], fleetnet: Callable[..., Ran]
) -> None:
    for ran in (script("--version"), script("--timeout", "1s", "--version"), fleetnet("--version")):
        assert (ran.status, ran.out, ran.err) == (0, f"fleetnet {VERSION}\n", "")


def test_a_version_that_cannot_be_written_is_an_error_as_any_answer_is() -> None:
    command = shlex.join([str(SCRIPT), "--version"])
    for redirection, said in ((">&-", "stdout is closed"), (">/dev/full", "No space left on device")):
        done = subprocess.run(
            ["sh", "-c", f"{command} {redirection}"], capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["who-listens", "--help"], ["help", "times"]])
def test_help_loads_nothing_of_questions(arguments: list[str]) -> None:
    status, modules = loaded(*arguments)
    assert status == 0
    assert not libraries(modules) & {*HEAVY, *OF_QUESTIONS, "asyncio"}


def test_the_help_of_netstat_loads_nothing_of_what_it_asks_and_shows() -> None:
    rare = {".live", ".lives", ".network", ".output.netstat", ".output.kernel", ".output.names"}
    status, modules = loaded("netstat", "--help")
    assert status == 0
    assert not own(modules) & rare


def test_wrong_usage_loads_nothing_of_questions() -> None:
    status, modules = loaded("who-listens", "no-such-service")
    assert status == 2
    assert not libraries(modules) & {*HEAVY, *OF_QUESTIONS, "asyncio"}


@pytest.mark.parametrize("output", FORMATS)
def test_a_plain_question_loads_what_it_needs_and_no_module_more(canned: Canned, output: str) -> None:
    status, modules = loaded("who-listens", "443", "-o", output)
    assert status == 0
    assert libraries(modules) >= OF_QUESTIONS
    assert not libraries(modules) & {*HEAVY, "tomllib", "zoneinfo", "multiprocessing"}
    assert own(modules) == PLAIN | OF_FORMATS[output]


@pytest.mark.parametrize(
    "question",
    [
        ["hosts"],
        ["who-holds", "CLOSE_WAIT"],
        ["who-talks-to", "10.0.0.5"],
        ["netstat", "web1"],
        ["netstat", "web1", "-r"],
        ["diff", "--since", "1h ago"],
        ["history", "web1"],
        ["host", "web1"],
    ],
    ids=" ".join,
)
def test_no_question_loads_anything_heavy_nor_another_command(canned: Canned, question: list[str]) -> None:
    status, modules = loaded(*question)
    assert status in (0, 1, 3)
    assert not libraries(modules) & HEAVY
    commands = {name.split(".")[2] for name in own(modules) if name.startswith(".commands.")}
    # These two have words for others, and ask for them.
    assert commands <= {"start", "who_listens", "netstat", question[0].replace("-", "_")}


def test_the_version_in_the_program_is_that_of_its_distribution() -> None:
    written = (Path(__file__).resolve().parents[2] / "cli/pyproject.toml").read_text()
    assert tomllib.loads(written)["project"]["version"] == VERSION
