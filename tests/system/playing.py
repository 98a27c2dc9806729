"""Ansible as who deploys runs it: from an environment of its own, with the collection of this tree and nothing else.

What must stay true: no setting of this machine's counts, and nothing is left in anybody's home.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
BIN: Final = ROOT / ".ansible-venv/bin"
_FLEETNET: Final = Path(sys.executable).parent
_WITHIN_S: Final = 240.0


def why_not_playing() -> str:
    """Why no play can be run here, as one sentence; empty if one can."""
    if (BIN / "ansible-playbook").exists():
        return ""
    return "ansible is not set up (`make test` does, or `make .ansible-venv/.done`)"


class Controller:
    """A folder that plays are run from. The command line `fleetnet` is on its PATH."""

    def __init__(self, directory: Path, **environment: str) -> None:
        """Make the folder; `environment` is had by everything that is run."""
        self.directory = directory
        home = directory / "home"
        collections = directory / "collections/ansible_collections/fleetnet"
        for made in (home, collections):
            made.mkdir(parents=True)
        (collections / "fleetnet").symlink_to(ROOT / "ansible")
        self.environment = {
            "HOME": str(home),
            "PATH": f"{BIN}:{_FLEETNET}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "ANSIBLE_CONFIG": str(self.write("ansible.cfg", "[defaults]\n")),
            "ANSIBLE_HOME": str(home / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(directory / "collections"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            **environment,
        }

    def write(self, name: str, text: str) -> Path:
        """A file in the folder."""
        (self.directory / name).write_text(text)
        return self.directory / name

    def run(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run one of Ansible's programs to its end."""
        return subprocess.run(
            command,
            cwd=self.directory,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_WITHIN_S,
            check=False,
        )

    def play(self, playbook: Path, *options: str, inventory: Sequence[Path] = ()) -> "subprocess.CompletedProcess[str]":
        """Run a playbook."""
        named = [f"--inventory={each}" for each in inventory]
        return self.run("ansible-playbook", *named, *options, str(playbook))
