"""The files of packaging/, as far as they can be judged without a host: the tests in tests/system/test_units.py run
them."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from system.installed import BARS

ROOT = Path(__file__).resolve().parents[1]
UNITS = ROOT / "packaging/systemd"


def faults(unit: str) -> list[dict[str, object]]:
    """What systemd-analyze finds fault with in a unit."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here (Debian, Ubuntu: apt-get install systemd)")
    command = ["systemd-analyze", "security", "--no-pager", "--offline=yes", "--json=short", f"{UNITS}/{unit}.service"]
    found: list[dict[str, object]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return [one for one in found if one["set"] is False and one["exposure"]]


def test_every_service_has_a_bar() -> None:
    assert {file.stem for file in UNITS.glob("*.service")} == BARS.keys()


@pytest.mark.parametrize("unit", BARS)
def test_what_could_be_tighter_is_explained(unit: str) -> None:
    table = (ROOT / "docs/units.md").read_text().split("## What could be tighter")[1].replace("\\|", "|")
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    short = unit.removeprefix("fleetnet-agent-").removeprefix("fleetnet-")
    explained = {
        name for row in rows for name in re.findall(r"`([^`]+)`", row[0]) if row[1] == "all" or short in row[1]
    }
    assert {str(fault["name"]) for fault in faults(unit)} <= explained


def test_every_unit_runs_one_of_our_programs() -> None:
    scripts: set[str] = set()
    for distribution in ("agent", "server"):
        scripts |= tomllib.loads((ROOT / distribution / "pyproject.toml").read_text())["project"]["scripts"].keys()
    run = [
        re.search(r"^ExecStart=/opt/fleetnet/current/bin/(\S+)", file.read_text(), re.M)
        for file in UNITS.glob("*.service")
    ]
    assert {found[1] for found in run if found} == scripts
    assert all(run)


def test_every_user_and_group_that_a_unit_names_is_made() -> None:
    made = {
        line.split()[1]
        for file in (ROOT / "packaging/sysusers.d").iterdir()
        for line in file.read_text().splitlines()
        if line[:2] in ("u ", "g ")
    }
    for file in UNITS.iterdir():
        named = re.findall(r"^(?:User|Group|SocketUser)=(\S+)|--allow-uid (\S+)", file.read_text(), re.M)
        assert {"".join(names) for names in named} <= made, file.name
