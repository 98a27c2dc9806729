"""The Ansible collection on hosts that boot: bare ones are deployed, and nothing is invented on the way.

One fabric of hosts for all tests here, which are in the order in which things happen to it.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from system.booted import Booted, booted
from system.deployed import Site, build_bundles, why_not_deployed
from system.installed import ROOT
from system.laboratory import Laboratory, laboratory

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("bootable"), pytest.mark.timeout(900)]

NAMES = ("hub", "web1", "web2", "db1")


class Stage:
    """The site, and hosts that can be added to it."""

    def __init__(self, lab: Laboratory, stack: ExitStack) -> None:
        self._lab, self._stack = lab, stack
        self.site = Site(lab.directory / "site", lab.fabric.add_host("controller"))
        self.site.prepare()

    def add(self, name: str) -> Booted:
        """A bare host, up."""
        host = self._stack.enter_context(
            booted(self._lab.fabric.add_host(name), self._lab.directory / name, self._lab.programs)
        )
        self.site.let_in(host)
        host.start()
        self.site.hosts[name] = host
        return host


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if why := why_not_deployed():
        pytest.skip(why)
    with laboratory(tmp_path_factory.mktemp("lab")) as lab, ExitStack() as stack:
        made = Stage(lab, stack)
        build_bundles(ROOT, made.site.dist)
        for name in NAMES:
            made.add(name)
        yield made


@pytest.fixture
def site(stage: Stage) -> Site:
    return stage.site


def test_a_check_of_bare_hosts_says_what_would_be_done_and_does_nothing(site: Site) -> None:
    said = site.play("site", "--check", "--diff").succeeded()
    assert all(changed > 0 for changed in said.changed.values()), said.said
    for host in site.hosts.values():
        assert not (host.root / "opt/fleetnet").exists()
        assert not (host.root / "etc/fleetnet").exists()


def test_bare_hosts_are_deployed_without_a_way_out(site: Site) -> None:
    for host in site.hosts.values():
        assert "default" not in host.run("ip", "route")
    said = site.play("site").succeeded()
    assert said.recap.keys() == set(NAMES)
    listening = {item["host"]: item for item in site.ask("who-listens", "22") if item["local_address"] == "0.0.0.0"}
    assert listening.keys() == set(NAMES)
    assert {(item["unit"], item["owners"][0]["name"]) for item in listening.values()} == {("ssh.service", "sshd")}
    labels = {item["host"]: item["labels"] for item in site.ask("hosts")}
    assert labels["web1"] == {"group/fleetnet_agents": "yes", "group/web": "yes"}


def test_a_second_run_changes_nothing_and_a_check_says_so(site: Site) -> None:
    assert set(site.play("site").succeeded().changed.values()) == {0}
    said = site.play("site", "--check", "--diff").succeeded()
    assert set(said.changed.values()) == {0}
    assert "+++" not in said.said
