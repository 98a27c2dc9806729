"""What Ansible's own `ansible-test sanity` says of the collection, as who publishes one is asked for it.

It wants a tree of a certain name, and for most of its tests an environment that it fetches from a package index, with
no look at a hash. Here these environments are .ansible-venv, in which the same packages are that hashes vouch for, so
nothing is fetched.
"""

import re
import shutil
from pathlib import Path
from typing import Final

import pytest
from system.playing import BIN, ROOT, Controller, why_not_playing

# All others are run, those too that a later ansible-test has.
LEFT_OUT: Final = {
    "ansible-doc": "4 s to lay out what validate-modules reads as well",
    "pslint": "there is no PowerShell in the collection",
    "pylint": "of the packages that it wants none is here, and ruff and mypy look at the same files (make check)",
    "shellcheck": "there is no shell script in the collection",
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What it said; it has ended well."""
    if why := why_not_playing():
        pytest.skip(why)
    if not any(BIN.parent.glob("lib/python3.*/site-packages/voluptuous")):
        pytest.skip("ansible-test's requirements are not set up (`make check` does, or `make .ansible-venv/.lint`)")
    controller = Controller(tmp_path_factory.mktemp("sanity"))
    # Not where the controller keeps collections, for there it is a link, and ansible-test goes by where it leads.
    tree = controller.directory / "tree/ansible_collections/fleetnet/fleetnet"
    shutil.copytree(ROOT / "ansible", tree, ignore=shutil.ignore_patterns("__pycache__"))
    version = next(BIN.glob("python3.*")).name.removeprefix("python")
    command = ["ansible-test", "sanity", "--color=no", f"--python={version}"]
    meant = [f"--skip-test={name}" for name in LEFT_OUT]
    # To explain that one it would need its environment, and stops.
    for one in ([*meant, "--skip-test=validate-modules"], ["--test=validate-modules"]):
        for wanted in _environments(_run(controller, tree, *command, *one, "--explain", "-v")[1]):
            _stand_in_for(wanted)
    status, told = _run(controller, tree, *command, *meant)
    assert status == 0, told
    return told


def _run(controller: Controller, tree: Path, *command: str) -> tuple[int, str]:
    done = controller.run("env", f"--chdir={tree}", *command)
    return done.returncode, done.stdout + done.stderr


def _environments(explained: str) -> set[Path]:
    """Those that ansible-test would make and install packages in, by what it says that it would do."""
    return {Path(path) for path in re.findall(r'virtual environment using "venv": (\S+/sanity\.\S+)', explained)}


def _stand_in_for(wanted: Path) -> None:
    """Have .ansible-venv in its place, marked as ansible-test marks one that is whole."""
    wanted.mkdir(parents=True)
    for part in ("bin", "lib", "pyvenv.cfg"):
        (wanted / part).symlink_to(BIN.parent / part)
    (wanted / "meta.yaml.json").write_text("true")  # the YAML library of ours is the quick one
    (wanted / "marker.txt").touch()


def test_the_collection_passes(said: str) -> None:
    ran = set(re.findall(r'Running sanity test "([\w-]+)"', said))
    assert {"compile", "ignores", "import", "pep8", "shebang", "validate-modules"} <= ran
    assert not ran & LEFT_OUT.keys()
    assert "Skipping" not in said


def test_nothing_was_fetched(said: str) -> None:
    assert "Downloading" not in said
