"""The collection's plugins and modules, run by Ansible itself against a canned collector."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli.canned import Canned, serve
from system.playing import BIN, Controller, why_not_playing

from cli import fleet

PLUGIN = "plugin: fleetnet.fleetnet.fleetnet\n"


@dataclass(frozen=True, slots=True)
class Listed:
    """What `ansible-inventory --list` said."""

    hosts: dict[str, dict[str, Any]]  # the variables of each
    groups: dict[str, list[str]]  # but for all and ungrouped; Ansible lists none that is empty
    told: str  # warnings, in one line


Lists = Callable[..., Listed]


def whole() -> Canned:
    """A collector of the small fleet, all of it fresh."""
    canned = Canned()
    canned.narrows = True
    canned.coverage = fleet.all_fresh()
    canned.sockets = fleet.listeners() + fleet.connections()
    canned.hosts = fleet.hosts()
    return canned


@pytest.fixture
def canned(tmp_path: Path) -> Iterator[Canned]:
    """Where `controller` and `lists` ask."""
    canned = whole()
    end = serve(canned, tmp_path / "admin.sock")
    yield canned
    end()


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Controller:
    """Who runs plays and lists inventories."""
    if why := why_not_playing():
        pytest.skip(why)
    return Controller(tmp_path_factory.mktemp("controller"))


@pytest.fixture(scope="module")
def warm(controller: Controller) -> Iterator["subprocess.Popen[str]"]:
    """warm.py."""
    command = [BIN / "python", Path(__file__).with_name("warm.py")]
    with subprocess.Popen(
        command, env=controller.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def lists(warm: "subprocess.Popen[str]", canned: Canned, tmp_path: Path) -> Lists:
    """Lists the inventory that a file describes. Where the plugin refuses, Ansible warns and lists nothing."""
    assert canned

    def run(text: str = "", *options: str, name: str = "some.fleetnet.yml", **environment: str) -> Listed:
        (tmp_path / name).write_text(PLUGIN + text)
        out, err = tmp_path / "out", tmp_path / "err"
        asked = {
            "arguments": [f"--inventory={tmp_path / name}", *options, "--list"],
            "environment": {"FLEETNET_SERVER": f"unix://{tmp_path / 'admin.sock'}", **environment},
            "out": str(out),
            "err": str(err),
        }
        assert warm.stdin is not None
        assert warm.stdout is not None
        warm.stdin.write(json.dumps(asked) + "\n")
        warm.stdin.flush()
        assert warm.stdout.readline() == "0\n", err.read_text()
        document = json.loads(out.read_text())
        groups = {
            group: of["hosts"] for group, of in document.items() if "hosts" in of and group not in ("all", "ungrouped")
        }
        return Listed(document["_meta"]["hostvars"], groups, " ".join(err.read_text().split()))

    return run
