"""Hosts that boot, deployed by the Ansible collection from a controller of their own, on a switch without a way out.

The controller is a network namespace on the same switch: it has the collection as `ansible-galaxy collection install`
puts it, the bundles as packaging/bundle.py makes them, and ssh to the hosts. Each bundle is made once for a run.
"""

import json
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fleetnet_agent.version import VERSION
from system.booted import Booted
from system.booted_image import image
from system.installed import BIN, ROOT, build_wheels

from demo.fabric import Host
from demo.programs import FailedError

ANSIBLE: Final = ROOT / ".ansible-venv/bin"
LIBRARIES: Final = Path("/var/cache/fleetnet-tests/libraries")
KINDS: Final = ("agent", "collector")
_PLAY_S: Final = 300.0
_RECAP: Final = re.compile(r"^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


def why_not_deployed() -> str:
    """Why nothing can be deployed here; empty if it can."""
    if not (ANSIBLE / "ansible-playbook").exists():
        return "deploying needs .ansible-venv (make test makes it)"
    return "" if shutil.which("ssh") and shutil.which("ssh-keygen") else "deploying needs ssh (run tests/install-tools)"


@dataclass(frozen=True, slots=True)
class Recap:
    """How a play ended for a host."""

    changed: int
    unreachable: int
    failed: int


@dataclass(frozen=True, slots=True)
class Play:
    """What a play said, and how it ended."""

    status: int
    said: str

    @property
    def recap(self) -> dict[str, Recap]:
        """By host."""
        found = _RECAP.findall(self.said)
        return {host: Recap(int(changed), int(gone), int(failed)) for host, _, changed, gone, failed in found}

    @property
    def changed(self) -> dict[str, int]:
        """How much was changed on each host."""
        return {host: told.changed for host, told in self.recap.items()}

    def succeeded(self) -> "Play":
        """Itself. Raises FailedError where it did not."""
        if self.status != 0:
            raise FailedError(f"the play ended with status {self.status}", self.said)
        return self


@dataclass(slots=True)
class Site:
    """The controller, and the hosts of its inventory. The first is the collector."""

    directory: Path
    controller: Host
    hosts: dict[str, Booted] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)

    def prepare(self) -> None:
        """Lay everything ready that an admin has."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.run(
            str(ANSIBLE / "ansible-galaxy"),
            "collection",
            "install",
            str(ROOT / "ansible"),
            "-p",
            str(self._collections),
        )
        shutil.copy(ROOT / "ansible/examples/ansible.cfg", self.directory)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.directory / "key")], check=True, timeout=60
        )

    def let_in(self, host: Booted) -> None:
        """Have a host that is off let the controller in, and the controller know it."""
        keys = host.upper / "root/.ssh/authorized_keys"
        keys.parent.mkdir(mode=0o700, parents=True)
        shutil.copy(self.directory / "key.pub", keys)
        known = (host.lower / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
        with (self.directory / "known_hosts").open("a") as file:
            file.write(f"{host.place.address} {known}")

    @property
    def _collections(self) -> Path:
        return self.directory / "collections"

    @property
    def dist(self) -> Path:
        """Where the bundles are."""
        return self.directory / "dist"

    def write_inventory(self) -> None:
        """As `hosts` and `variables` are now."""
        names = {name: {"ansible_host": host.place.address} for name, host in self.hosts.items()}
        first = next(iter(names))
        inventory = {
            "all": {
                "vars": {
                    "ansible_user": "root",
                    "ansible_python_interpreter": "/usr/bin/python3",
                    "ansible_ssh_private_key_file": str(self.directory / "key"),
                    "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.directory / 'known_hosts'}",
                    "fleetnet_dist": str(self.dist),
                    **self.variables,
                },
                "children": {
                    "fleetnet_collectors": {"hosts": {first: names[first]}},
                    "fleetnet_agents": {"hosts": names},
                    "web": {"hosts": {name: {} for name in names if name.startswith("web")}},
                },
            }
        }
        (self.directory / "inventory.yml").write_text(json.dumps(inventory, indent=1))

    def play(self, book: str, *options: str, within_s: float = _PLAY_S) -> Play:
        """Run a playbook of the collection."""
        self.write_inventory()
        done = self.attempt(str(ANSIBLE / "ansible-playbook"), f"fleetnet.fleetnet.{book}", *options, within_s=within_s)
        with (self.directory / "plays.log").open("a") as log:
            log.write(f"$ {book} {' '.join(options)}\n{done.stdout}{done.stderr}\n")
        return Play(done.returncode, done.stdout + done.stderr)

    def attempt(self, *command: str, within_s: float = _PLAY_S) -> "subprocess.CompletedProcess[str]":
        """Run a command on the controller."""
        return subprocess.run(
            self.controller.command(*command),
            env=self.environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )

    def run(self, *command: str) -> str:
        """Run a command on the controller that succeeds; its output."""
        done = self.attempt(*command)
        if done.returncode != 0:
            raise FailedError(f"`{' '.join(command)}` ended with status {done.returncode}", done.stdout + done.stderr)
        return done.stdout

    @property
    def environment(self) -> Mapping[str, str]:
        """Of the controller's commands."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "ANSIBLE_HOME": str(self.directory / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(self._collections),
            "ANSIBLE_NOCOLOR": "1",
        }

    def ask(self, *question: str) -> list[dict[str, Any]]:
        """The items of `fleetnet QUESTION`, asked on the collector; none where nothing was found."""
        done = self.collector.attempt(f"{BIN}/fleetnet", *question, "-o", "json")
        if done.returncode not in (0, 1, 3):
            raise FailedError(f"`fleetnet {' '.join(question)}` ended with status {done.returncode}", done.stderr)
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return items

    @property
    def collector(self) -> Booted:
        """The host that the collector is on."""
        return next(iter(self.hosts.values()))


def build_bundles(to: Path, *, kinds: Sequence[str] = KINDS) -> None:
    """The bundles for the Python of hosts that boot here, with their SHA256SUMS."""
    (python,) = {path.name.removeprefix("python") for path in (image() / "usr/bin").glob("python3.*[0-9]")}
    wheels = to.parent / "wheels"
    build_wheels(wheels)
    command = [
        *(sys.executable, str(ROOT / "packaging/bundle.py"), "--wheels", str(wheels), "--to", str(to)),
        *("--libraries", str(LIBRARIES), "--python", python),
        *("--architecture", platform.machine(), "--level", "1"),
        *(word for kind in kinds for word in ("--kind", kind)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise FailedError("no bundle could be built", done.stdout + done.stderr)
    _sum_up(to)


# An agent that nothing but the collector can tell from a good one: it says that it is ready, and that it is alive.
NEVER_REPORTS: Final = """
import os
import time

from fleetnet_agent.notify import Notifier


def main() -> None:
    notifier = Notifier(os.environ)
    notifier.ready()
    while True:
        notifier.alive("well")
        time.sleep(1)
"""


def raise_bundles(dist: Path, version: str, to: Path, *, kinds: Sequence[str] = KINDS, agent: str = "") -> None:
    """The bundles of `dist` as those of another version, with another main module of the agent if one is given. Their
    libraries are the same, so they are not gathered anew."""
    to.mkdir()
    for kind in kinds:
        [archive] = dist.glob(f"fleetnet-{kind}-{VERSION}-cp*.tar.gz")
        with tempfile.TemporaryDirectory(dir=to) as scratch:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            tree = Path(scratch, f"fleetnet-{kind}-{version}")
            Path(scratch, f"fleetnet-{kind}-{VERSION}").rename(tree)
            [packages] = tree.glob("lib/python3*/site-packages")
            texts = (*packages.glob("fleetnet_*/version.py"), *packages.glob("fleetnet*.dist-info/METADATA"))
            for file in (*texts, *(tree / "bin").iterdir(), tree / "release.json"):
                file.write_text(file.read_text().replace(VERSION, version))
            if agent:
                (packages / "fleetnet_agent/main.py").write_text(agent)
            name = archive.name.replace(VERSION, version)
            packed = (
                "tar",
                "--use-compress-program=gzip -1",
                "--owner=0",
                "--group=0",
                "-cf",
                str(to / name),
                tree.name,
            )
            subprocess.run(packed, cwd=scratch, check=True, timeout=60)
    _sum_up(to)


def _sum_up(dist: Path) -> None:
    names = sorted(path.name for path in dist.glob("*.tar.gz"))
    sums = subprocess.run(["sha256sum", *names], cwd=dist, capture_output=True, text=True, check=True).stdout
    (dist / "SHA256SUMS").write_text(sums)


def give_nft(host: Booted) -> None:
    """Put nft on a host that is off, with its libraries: this machine's, of the same release."""
    listed = subprocess.run(["ldd", "/usr/sbin/nft"], capture_output=True, text=True, check=True).stdout
    for file in ("/usr/sbin/nft", *re.findall(r"=> (/\S+)", listed)):
        if not (host.lower / file[1:]).exists():
            target = host.upper / Path(file).resolve().parent.relative_to("/") / Path(file).name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
