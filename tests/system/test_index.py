"""The collection on a host that takes libraries from a package index of the site's own instead of from a bundle.

The index is what `python -m http.server` makes of a directory of wheels. One host, and things happen to it in order.
"""

import json
import platform
import shutil
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from fleetnet_agent.version import VERSION
from system.booted import Booted, booted
from system.deployed import ANSIBLE, LIBRARIES, Site, build_bundles, why_not_deployed
from system.installed import ROOT
from system.laboratory import laboratory

from demo.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("bootable"), pytest.mark.timeout(600)]

PORT: Final = 8000
PASSWORD: Final = "hTnw7Pq"
PLAY: Final = """
- hosts: fleetnet_agents
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: fleetnet.fleetnet.agent
        tasks_from: install.yml
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A host, its controller, and an index beside that."""

    site: Site
    host: Booted
    index: Path
    served: Program

    def install(self) -> "tuple[int, str]":
        """How the play ended, and what it said, with all that Ansible tells who looks for a fault."""
        self.site.write_inventory()
        done = self.site.attempt(str(ANSIBLE / "ansible-playbook"), "-vvv", "install.yml")
        said = done.stdout + done.stderr
        assert PASSWORD not in said
        return done.returncode, said

    def asked(self) -> list[str]:
        """What the index was asked for until now."""
        return [line for line in self.served.says().splitlines() if '"GET ' in line]

    def wheel(self, name: str) -> Path:
        """One that is in the index."""
        (found,) = self.index.glob(f"{name}/*.whl")
        return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if why := why_not_deployed():
        pytest.skip(why)
    with laboratory(tmp_path_factory.mktemp("lab")) as lab:
        controller = lab.fabric.add_host("controller")
        site = Site(lab.directory / "site", controller)
        site.prepare()
        build_bundles(ROOT, site.dist, kinds=("agent",))
        (bundle,) = site.dist.glob("*-cp*.tar.gz")
        wheels = [*(LIBRARIES / bundle.name.split(f"{VERSION}-")[1].removesuffix(".tar.gz")).iterdir()]
        index = publish([*wheels, *(site.directory / f"wheels-{ROOT.name}").iterdir()], lab.directory / "index")
        command = (sys.executable, "-u", "-m", "http.server", str(PORT), "--directory", str(index))
        served = lab.programs.start("index", controller.command(*command))
        site.variables["fleetnet_index"] = f"http://mirror:{PASSWORD}@{controller.address}:{PORT}"
        (site.directory / "install.yml").write_text(PLAY)
        with booted(lab.fabric.add_host("web1"), lab.directory / "web1", lab.programs) as host:
            site.let_in(host)
            host.start()
            site.hosts["web1"] = host
            yield Stage(site, host, index, served)


def publish(wheels: list[Path], index: Path) -> Path:
    """A directory for each project, as an index has them (PEP 503)."""
    for wheel in wheels:
        project = index / wheel.name.split("-")[0].replace("_", "-").lower()
        project.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel, project)
    return index


def test_what_is_not_what_was_meant_is_not_installed(stage: Stage) -> None:
    wheel = stage.wheel("fleetnet-agent")
    meant = wheel.read_bytes()
    wheel.write_bytes(meant + b"\n")
    status, said = stage.install()
    wheel.write_bytes(meant)
    assert status != 0
    assert "the index did not give what was meant" in said
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in said
    assert list((stage.host.root / "opt/fleetnet").iterdir()) == []
    assert not (stage.host.root / "etc/systemd/system/fleetnet-agent.service").exists()


def test_a_host_has_of_the_index_what_it_would_have_of_a_bundle(stage: Stage) -> None:
    status, said = stage.install()
    assert status == 0, said
    place = stage.host.root / "opt/fleetnet" / VERSION
    assert stage.host.run("/opt/fleetnet/current/bin/fleetnet-agent", "--version").split()[-1] == VERSION
    told = json.loads((place / "release.json").read_text())
    assert (told["architecture"], told["components"]) == (platform.machine(), ["agent"])
    (bundle,) = stage.site.dist.glob("*-cp*.tar.gz")
    with tarfile.open(bundle) as tar:
        packed = {Path(name).relative_to(Path(name).parts[0]): tar.extractfile(name) for name in tar.getnames()}
        # What pip notes of how it came, and the lists that have that in them, are others.
        noted = {"RECORD", "direct_url.json", "REQUESTED", "release.json"}
        for name, file in packed.items():
            if file is not None and name.name not in noted:
                assert (place / name).read_bytes() == file.read(), name


def test_a_second_run_changes_nothing_and_asks_the_index_for_nothing(stage: Stage) -> None:
    before = stage.asked()
    status, said = stage.install()
    assert status == 0, said
    assert "changed=0" in said
    assert stage.asked() == before != []
