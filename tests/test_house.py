"""The house checks its own plan: one version, locked requirements, and import contracts that the linter cannot say."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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
