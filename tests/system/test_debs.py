"""The Debian packages on a host that boots, which has no package index: installed, joined, upgraded, and purged.

One host for all tests here, which are in the order in which things happen to it.
"""

import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from fleetnet_agent.version import VERSION
from system.booted import Booted, booted
from system.booted_image import image
from system.deployed import LIBRARIES
from system.installed import ROOT, build_wheels
from system.laboratory import laboratory

from demo.fleet import Fleet
from demo.programs import FailedError, until

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("bootable"), pytest.mark.timeout(600)]

SHIPPED: Final = {
    "fleetnet-agent": {
        "/usr/bin/fleetnet-agent",
        "/usr/share/man/man8/fleetnet-agent.8.gz",
        "/usr/share/man/man8/fleetnet-helper.8.gz",
        "/usr/share/doc/fleetnet-agent/README.Debian",
    },
    "fleetnet": {
        "/usr/bin/fleetnet",
        "/usr/share/man/man1/fleetnet.1.gz",
        "/usr/share/bash-completion/completions/fleetnet",
        "/usr/share/zsh/vendor-completions/_fleetnet",
        "/usr/share/fish/vendor_completions.d/fleetnet.fish",
    },
}
ENABLED: Final = ("fleetnet-helper.socket", "fleetnet-agent-enroll.service", "fleetnet-agent.service")
RAISED: Final = "99.0"
RUNNING: Final = ("fleetnet-helper.service", "fleetnet-agent.service")
# What the system itself keeps of what it did, whatever was installed: its logs, backups and caches.
_ITS_OWN: Final = (
    "/etc/.pwd.lock", "/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-", "/etc/ld.so.cache", "/root",
    "/var/cache", "/var/lib/dpkg", "/var/lib/systemd", "/var/log",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stage:
    """A host, off to begin with, the packages, and a collector to report to."""

    host: Booted
    packages: dict[str, Path]  # by their names
    fleet: Fleet

    def install(self, *names: str) -> "subprocess.CompletedProcess[str]":
        """dpkg on packages, which lie in the host's /srv."""
        return self.host.attempt("dpkg", "--install", *(f"/srv/{self.packages[name].name}" for name in names))

    def pids(self) -> dict[str, str]:
        """Of the services that run."""
        return {unit: self.host.property(unit, "MainPID") for unit in RUNNING}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("packages")
    (python,) = {path.name.removeprefix("python") for path in (image() / "usr/bin").glob("python3.*[0-9]")}
    build_wheels(directory / "wheels")
    command = [
        *(
            sys.executable,
            str(ROOT / "packaging/deb.py"),
            "--wheels",
            str(directory / "wheels"),
            "--to",
            str(directory),
        ),
        *("--libraries", str(LIBRARIES), "--python", python, "--architecture", platform.machine()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if "debhelper is not here" in done.stderr:
        pytest.skip("debhelper is not here (run tests/install-tools)")
    if done.returncode != 0:
        raise FailedError("no packages could be built", done.stdout + done.stderr)
    return {path.name.partition("_")[0]: path for path in directory.glob("*.deb")}


@pytest.fixture(scope="module")
def stage(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with laboratory(tmp_path_factory.mktemp("lab")) as lab:
        fleet = lab.fleet()
        with booted(lab.fabric.add_host("web1"), lab.directory / "web1", lab.programs) as host:
            host.start()
            for package in packages.values():
                (host.root / "srv" / package.name).write_bytes(package.read_bytes())
            yield Stage(host, packages, fleet)


@pytest.fixture(scope="module")
def before(stage: Stage) -> set[str]:
    return everything(stage.host)


def everything(host: Booted) -> set[str]:
    """Each file of a host with its rights and owner, each line of its users and groups."""
    kept = [word for place in _ITS_OWN for word in ("-path", place, "-prune", "-o")]
    listed = host.run("find", "/", "-xdev", *kept, "-printf", "%p %y %m %U %G %l\n").splitlines()
    accounts = [line for name in ("passwd", "group") for line in (host.root / "etc" / name).read_text().splitlines()]
    return {*listed, *accounts, *host.run("find", "/run", "-path", "*fleetnet*").splitlines()}


def test_the_packages_hold_manual_pages_and_completions(packages: dict[str, Path]) -> None:
    assert packages.keys() == SHIPPED.keys()
    for name, package in packages.items():
        listed = subprocess.run(["dpkg-deb", "--contents", str(package)], capture_output=True, text=True, check=True)
        assert SHIPPED[name] <= {line.split()[5].removeprefix(".") for line in listed.stdout.splitlines()}


def test_a_host_that_has_the_agent_from_a_bundle_is_let_be(stage: Stage, before: set[str]) -> None:
    unit = stage.host.root / "etc/systemd/system/fleetnet-agent.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    done = stage.install("fleetnet-agent")
    assert done.returncode != 0
    assert "this host has the agent from a bundle already (/etc/systemd/system/fleetnet-agent.service)" in done.stderr
    assert unit.exists()
    unit.unlink()
    stage.host.run("dpkg", "--purge", "fleetnet-agent")
    assert everything(stage.host) == before


def test_installed_it_waits_for_its_host_to_join(stage: Stage, before: set[str]) -> None:
    assert before
    done = stage.install("fleetnet-agent", "fleetnet")
    assert done.returncode == 0, done.stdout + done.stderr
    host = stage.host
    assert host.run("systemctl", "is-enabled", *ENABLED).split() == ["enabled"] * len(ENABLED)
    active = [host.property(unit, "ActiveState") for unit in (*ENABLED, *RUNNING)]
    assert active == ["active", "inactive", "inactive", "inactive", "inactive"]
    assert host.run("systemctl", "--failed", "--no-legend") == ""
    wrong = host.attempt("dpkg", "--verify", "fleetnet-agent", "fleetnet").stdout.splitlines()
    # The image of the host leaves these out, whatever package they are of.
    assert [line for line in wrong if not re.search(r" /usr/share/(doc|man)/", line)] == []
    assert host.run("fleetnet", "--version").startswith("fleetnet ")


def test_joined_it_reports_with_what_its_helper_tells_and_the_command_line_asks(stage: Stage) -> None:
    host, fleet = stage.host, stage.fleet
    token = fleet.expect(0, "token", "create", "--host", "web1", "-o", "json").items[0]["token"]
    (host.root / "etc/fleetnet/agent.toml").write_text(f'server = "{fleet.enroll_address}"\n')
    (host.root / "etc/fleetnet/enroll.token").write_text(token)
    (host.root / "etc/fleetnet/enroll.token").chmod(0o600)
    host.run("systemctl", "start", "fleetnet-agent-enroll")
    until(lambda: owners(fleet) == ["sshd"], within_s=60.0, what="the listener of web1, with its owner")
    assert not (host.root / "etc/fleetnet/enroll.token").exists()
    person = fleet.expect(0, "token", "create", "--person", "alice", "--role", "viewer").output
    host.run("fleetnet", "login", "--server", fleet.enroll_address, "--token-file", "-", told=person)
    assert "sshd" in host.run("fleetnet", "who-listens", "22")


def owners(fleet: Fleet) -> list[str]:
    """Of who listens for ssh on every address of the host."""
    found = fleet.ask("who-listens", "22", "-o", "json").items
    return [owner["name"] for item in found if item["local_address"] == "0.0.0.0" for owner in item["owners"]]


def test_upgraded_both_run_the_new_one_and_nothing_of_the_old_is_left(stage: Stage, tmp_path: Path) -> None:
    old = stage.pids()
    newer = raised(stage.packages["fleetnet-agent"], tmp_path)
    (stage.host.root / "srv" / newer.name).write_bytes(newer.read_bytes())
    stage.host.run("dpkg", "--install", f"/srv/{newer.name}")
    (stage.host.root / "srv" / newer.name).unlink()
    until(lambda: "0" not in stage.pids().values(), within_s=30.0, what="both services")
    assert all(stage.pids()[unit] != old[unit] for unit in RUNNING)
    (place,) = (stage.host.root / "usr/lib/fleetnet-agent").iterdir()
    assert place.name.startswith(RAISED)
    for pid in stage.pids().values():
        command = Path("/proc", str(stage.host.init), "root/proc", pid, "cmdline").read_bytes()
        assert f"/{place.name}/bin/python" in command.decode()
    stage.fleet.wait_until_fresh("web1")
    assert len(list(place.glob("lib/*/site-packages/fleetnet_agent/__pycache__/main.*.pyc"))) == 1


def raised(package: Path, directory: Path) -> Path:
    """A package as one of the next version, but for what is in its libraries."""
    tree, newer = directory / "tree", directory / f"raised-{package.name}"
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(tree)], check=True)
    (place,) = (tree / "usr/lib/fleetnet-agent").iterdir()
    named = RAISED + place.name.removeprefix(VERSION)
    for file in [*tree.glob("DEBIAN/*"), *tree.glob("lib/systemd/system/*"), *place.glob("bin/fleetnet-*")]:
        file.write_text(file.read_text().replace(place.name, named))
    command = tree / "usr/bin/fleetnet-agent"
    leads = command.readlink()
    command.unlink()
    command.symlink_to(str(leads).replace(place.name, named))
    place.rename(place.with_name(named))
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(newer)], check=True)
    return newer


def test_a_bundle_is_not_put_beside_the_package(stage: Stage) -> None:
    bundle = stage.host.root / "srv/bundle"
    bundle.mkdir()
    told = {"name": "fleetnet-agent", "version": "0.1.0", "components": ["agent"]}
    (bundle / "release.json").write_text(json.dumps(told))
    (bundle / "install").write_text((ROOT / "ansible/plugins/module_utils/releases.py").read_text())
    done = stage.host.attempt("python3", "/srv/bundle/install")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the agent is on this host as a Debian package (/usr/lib/fleetnet-agent)" in done.stderr
    assert not (stage.host.root / "opt/fleetnet").exists()
    stage.host.run("rm", "-r", "/srv/bundle")


def test_removed_it_runs_no_more_and_its_host_can_still_report(stage: Stage) -> None:
    stage.host.run("dpkg", "--remove", "fleetnet-agent", "fleetnet")
    assert stage.pids() == dict.fromkeys(RUNNING, "0")
    assert not (stage.host.root / "usr/lib/fleetnet-agent").exists()
    assert (stage.host.root / "var/lib/fleetnet-agent/agent.json").exists()
    assert (stage.host.root / "etc/fleetnet/agent.toml").exists()


def test_purged_nothing_of_it_is_left(stage: Stage, before: set[str]) -> None:
    stage.host.run("dpkg", "--purge", "fleetnet-agent", "fleetnet")
    assert everything(stage.host) == before
    known = stage.host.run("find", "/var/lib/dpkg/info", "/var/lib/systemd", "-name", "*fleetnet*")
    assert known == ""
    assert stage.host.attempt("systemctl", "list-unit-files", "--no-legend", "fleetnet*").stdout == ""
