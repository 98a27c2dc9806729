"""The house checks its own plan: one version, locked requirements, and import contracts that the linter cannot say."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from fleetnet_agent import enroll
from fleetnet_agent.errors import AgentError
from fleetnet_cli import client, enrollment
from fleetnet_cli import labels as cli_labels
from fleetnet_cli.commands import token
from fleetnet_cli.errors import UsageError
from fleetnet_server.identity import names
from fleetnet_server.services import labels, news

ROOT = Path(__file__).resolve().parents[1]
DISTRIBUTIONS = ["proto", "agent", "server", "cli"]


def project(distribution: str) -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / distribution / "pyproject.toml").read_text())["project"]
    return table


def test_the_four_distributions_have_one_version() -> None:
    assert len({str(project(d)["version"]) for d in DISTRIBUTIONS}) == 1


def test_the_changelog_knows_the_version() -> None:
    assert f"## {project('cli')['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("lock", sorted(p.name for p in (ROOT / "requirements").glob("*.txt")))
def test_lock_files_carry_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*--(index|extra-index|find-links)", text, re.MULTILINE)
    pins = re.findall(r"^[a-z0-9][\w.-]*==.*$", text, re.MULTILINE)
    assert pins
    assert text.count("--hash=sha256:") >= len(pins)


@pytest.mark.parametrize("distribution", ["agent", "server", "cli"])
def test_a_lock_file_holds_all_that_its_distribution_declares(distribution: str) -> None:
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / f"requirements/{distribution}.txt").read_text(), re.MULTILINE))
    declared = {re.split(r"[\[<>=]", str(d))[0] for d in project(distribution)["dependencies"]}  # type: ignore[attr-defined]  # a TOML array of strings
    assert declared - {"fleetnet-proto"} <= locked


def test_the_agent_declares_its_four_libraries_and_nothing_else() -> None:
    declared = {re.split(r"[\[<>=]", str(d))[0] for d in project("agent")["dependencies"]}  # type: ignore[attr-defined]  # a TOML array of strings
    assert declared == {"fleetnet-proto", "grpcio", "protobuf", "psutil", "cryptography"}


def test_every_make_target_named_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / ".ci/run"]:
        named = set(re.findall(r"(?:^|`|\n)make ([a-z-]+)", document.read_text()))
        assert named <= targets, f"{document.name} names {named - targets}"


def test_every_relative_link_in_the_documents_leads_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.relative_to(ROOT)} links to {target}"


def test_every_shell_script_parses() -> None:
    for script in ["requirements/bootstrap", "tests/install-tools", ".ci/run"]:
        shell = "bash" if "bash" in (ROOT / script).read_text().splitlines()[0] else "sh"
        subprocess.run([shell, "-n", ROOT / script], check=True)


def test_the_console_scripts_answer_to_help() -> None:
    for script in ["fleetnet", "fleetnet-agent", "fleetnet-helper", "fleetnet-server"]:
        done = subprocess.run(
            [Path(sys.executable).parent / script, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{script}: {done.stderr}"
        assert "usage" in done.stdout.lower()


def test_the_points_of_failure_are_the_same_in_agent_and_collector() -> None:
    agent = (ROOT / "agent/fleetnet_agent/failpoints.py").read_text()
    server = (ROOT / "server/fleetnet_server/failpoints.py").read_text()
    # Neither may import the other; what they have in common is held together here.
    for function in ("parse", "wanted", "reached", "notice", "_kill", "_error", "_sleep", "_trace"):
        (mine,), (theirs,) = (
            re.findall(rf"^def {function}\(.*?\n(?=\n\n\S)", text, re.S | re.M) for text in (agent, server)
        )
        assert mine == theirs, f"{function} differs"


def test_agent_and_collector_tell_the_service_manager_alike() -> None:
    agent = (ROOT / "agent/fleetnet_agent/notify.py").read_text()
    server = (ROOT / "server/fleetnet_server/run/notify.py").read_text()
    for part in ("class Notifier", "def _address", "def _watchdog_s"):
        mine, theirs = (re.findall(rf"^{part}.*?(?=^\S|\Z)", text, re.S | re.M) for text in (agent, server))
        assert mine == theirs != [], f"{part} differs"


def _function(module: Path, name: str) -> str:
    """As it runs: without comments and docstring, and whether it is the module's own or not."""
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.removeprefix("_") == name:
            node.name, node.body = name, node.body[ast.get_docstring(node) is not None :]
            return ast.dump(node)
    raise AssertionError(f"{module} has no {name}")


@pytest.mark.parametrize(
    ("module", "name"),
    [("keys", "make_key_and_request"), ("keys", "is_certificate"), ("reach", "join_address"), ("reach", "trust")],
)
def test_hosts_and_people_come_to_the_enrollment_port_in_one_way(module: str, name: str) -> None:
    # Neither may import the other, and a mend of one is due to the other.
    agent, cli = (ROOT / f"{room}/{module}.py" for room in ("agent/fleetnet_agent", "cli/fleetnet_cli"))
    assert _function(agent, name) == _function(cli, name)


@pytest.mark.parametrize(
    "text",
    ["", "fnt1.", "fnt2.AAAA", "fnt1.A", "fnt1.not base64", "fnt1." + "A" * 43, "fnt1." + "A" * 100, "fnt1.\u00e9"],
)
def test_a_bad_token_is_one_to_agent_and_command_line(text: str) -> None:
    with pytest.raises(AgentError) as agent:
        enroll.decode_token(text)
    with pytest.raises(UsageError) as cli:
        enrollment.decode_token(text)
    assert str(agent.value).partition(";")[0] == str(cli.value).partition(";")[0]


def test_what_the_command_line_takes_for_a_name_or_a_label_the_collector_does_too() -> None:
    for ours, theirs in (
        (cli_labels._KEY, labels._KEY),
        (enrollment._PERSON, names._PERSON_NAME),
        (token._PERSON_NAME, names._PERSON_NAME),
        (token._HOST_NAME, names._HOST_NAME),
    ):
        assert ours.pattern.replace("(?:", "(") == theirs.pattern.replace("(?:", "(")
    assert cli_labels._MOST_OF_A_VALUE == labels._MOST_OF_A_VALUE


def test_who_watches_waits_for_three_marks() -> None:
    assert client._MARKS_S == 3 * news.MARK_S


def test_the_readme_says_where_each_table_is() -> None:
    readme = (ROOT / "README.md").read_text()
    schemas = (ROOT / "server/fleetnet_server/storage").glob("schema*.py")
    assert [path.name for path in schemas if f"storage/{path.name}`" not in readme] == []
