"""The collection on a host that takes libraries from a package index of the site's own instead of from a bundle.

The index is what `python -m http.server` makes of a directory of wheels. One host, and things happen to it in order.
"""

import contextlib
import json
import platform
import shutil
import sys
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from fleetnet_agent.version import VERSION
from system.booted import Booted, booted
from system.deployed import ANSIBLE, LIBRARIES, Site, build_bundles, why_not_deployed
from system.laboratory import laboratory

from demo.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("bootable"), pytest.mark.timeout(600)]

PORT: Final = 8000
PIP: Final = "-m pip install"
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
    heard: list[str] = field(default_factory=list, repr=False)  # from Ansible, and command lines while it was at work

    def install(self) -> "tuple[int, str]":
        """How the play ended, and what it said, with all that Ansible tells who looks for a fault."""
        self.site.write_inventory()
        with ThreadPoolExecutor(1) as pool:
            at_work = pool.submit(self.site.attempt, str(ANSIBLE / "ansible-playbook"), "-vvv", "install.yml")
            while not at_work.done():
                self.heard.extend(command_lines())
                time.sleep(0.5)
        done = at_work.result()
        said = done.stdout + done.stderr
        self.heard.append(said)
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
        build_bundles(site.dist, kinds=("agent",))
        (bundle,) = site.dist.glob("*-cp*.tar.gz")
        wheels = [*(LIBRARIES / bundle.name.split(f"{VERSION}-")[1].removesuffix(".tar.gz")).iterdir()]
        index = publish([*wheels, *(site.directory / "wheels").iterdir()], lab.directory / "index")
        command = (sys.executable, "-u", "-m", "http.server", str(PORT), "--directory", str(index))
        served = lab.programs.start("index", controller.command(*command))
        site.variables["fleetnet_index"] = f"http://mirror:{PASSWORD}@{controller.address}:{PORT}"
        (site.directory / "install.yml").write_text(PLAY)
        with booted(lab.fabric.add_host("web1"), lab.directory / "web1", lab.programs) as host:
            site.let_in(host)
            host.start()
            site.hosts["web1"] = host
            yield Stage(site, host, index, served)


def command_lines() -> list[str]:
    """Those that are pip's, or have the password in them, of all processes here, those of hosts too."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = file.read_text(errors="replace").replace("\0", " ")
            if PIP in line or PASSWORD in line:
                found.append(line)
    return found


def publish(wheels: list[Path], index: Path) -> Path:
    """A directory for each project, as an index has them (PEP 503)."""
    for wheel in wheels:
        project = index / wheel.name.split("-")[0].replace("_", "-").lower()
        project.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel, project)
    # Nobody asks for what is newer.
    (index / "psutil/psutil-99.0-py3-none-any.whl").write_bytes(b"")
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
        packed = {
            Path(*Path(member.name).parts[1:]): file.read()
            for member in tar.getmembers()
            if (file := tar.extractfile(member))
        }
    libraries = {file.relative_to(place) for file in place.glob("lib/**/*") if file.is_file() and file.suffix != ".pyc"}
    noted = ("RECORD", "direct_url.json")  # by pip, of where it came from
    assert {name for name in libraries if name.name not in noted} == {
        name for name in packed if name.parts[0] == "lib" and name.name not in noted
    }
    for name in packed.keys() - {Path("release.json")}:
        assert name.name in noted or (place / name).read_bytes() == packed[name], name


def test_a_second_run_changes_nothing_and_asks_the_index_for_nothing(stage: Stage) -> None:
    before = stage.asked()
    status, said = stage.install()
    assert status == 0, said
    assert "changed=0" in said
    assert stage.asked() == before != []


def test_the_password_of_the_index_is_in_no_command_line_and_nothing_that_ansible_says(stage: Stage) -> None:
    assert any(PIP in line for line in stage.heard)
    assert [said for said in stage.heard if PASSWORD in said] == []
