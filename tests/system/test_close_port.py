"""The example of the collection on hosts that boot: a port is closed on exactly the hosts that have it, then audited.

The hosts are deployed from a bundle first; the controller asks over the network, as a person that has logged in.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from system.booted import booted
from system.deployed import Site, build_bundles, why_not_deployed
from system.installed import BIN, ROOT
from system.laboratory import laboratory

from demo.programs import until

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("bootable"), pytest.mark.timeout(900)]

FLEETNET = Path(sys.executable).parent / "fleetnet"
EXPOSED = ("hub", "web1")
PORT = 8080
UNIT = """
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory /srv {port} --bind {address}
[Install]
WantedBy=multi-user.target
"""
POLICY = f"""
[[rule]]
name = "nothing on {PORT}"
forbid = [{{ port = {PORT}, exposed = true }}]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three hosts: two serve on a port to everybody, one to itself. The controller may ask."""
    if why := why_not_deployed():
        pytest.skip(why)
    with laboratory(tmp_path_factory.mktemp("lab")) as lab, ExitStack() as stack:
        made = Site(lab.directory / "site", lab.fabric.add_host("controller"))
        made.prepare()
        build_bundles(ROOT, made.dist)
        for name in (*EXPOSED, "web2"):
            host = stack.enter_context(booted(lab.fabric.add_host(name), lab.directory / name, lab.programs))
            made.let_in(host)
            unit = host.upper / "etc/systemd/system/shop.service"
            unit.parent.mkdir(parents=True)
            unit.write_text(UNIT.format(port=PORT, address="0.0.0.0" if name in EXPOSED else "127.0.0.1"))
            host.start()
            host.run("systemctl", "enable", "--now", "shop")
            made.hosts[name] = host
        made.play("site").succeeded()
        log_in(made)
        yield made


def log_in(site: Site) -> None:
    """Have the controller's admin be known to the collector."""
    token = site.directory / "admin.token"
    token.touch(mode=0o600)
    token.write_text(site.collector.run(f"{BIN}/fleetnet", "token", "create", "--person", "admin", "--role", "viewer"))
    address = site.collector.place.address
    site.run(str(FLEETNET), "login", "--server", f"{address}:7444", "--token-file", str(token))


def state(site: Site) -> dict[str, tuple[str, str]]:
    """Of each host, whether its shop runs and whether it will after a boot."""
    return {
        name: (host.property("shop.service", "ActiveState"), host.property("shop.service", "UnitFileState"))
        for name, host in site.hosts.items()
    }


def test_a_port_is_closed_on_exactly_the_hosts_that_have_it_open_and_then_audited(site: Site) -> None:
    (site.directory / "policy.toml").write_text(POLICY)
    (site.directory / "fleet.fleetnet.yml").write_text(
        f"plugin: fleetnet.fleetnet.fleetnet\ncommand: {FLEETNET}\nlistens: [{PORT}]\nexposed: true\n"
    )
    given = (
        *("--inventory=inventory.yml", "--inventory=fleet.fleetnet.yml", f"--extra-vars=fleetnet_port={PORT}"),
        *(f"--extra-vars=fleetnet_command={FLEETNET}", f"--extra-vars=fleetnet_policy={site.directory}/policy.toml"),
    )
    until(lambda: len(site.ask("who-listens", str(PORT))) == 3, within_s=60.0, what="the three listeners")
    assert site.attempt(str(FLEETNET), "audit", "policy.toml").returncode == 1

    closed = site.play("close_port", *given).succeeded()
    assert {host for host, changed in closed.changed.items() if changed} == set(EXPOSED), closed.said
    assert set(closed.recap) == {"localhost", *EXPOSED}
    assert state(site) == {
        "hub": ("inactive", "disabled"),
        "web1": ("inactive", "disabled"),
        "web2": ("active", "enabled"),
    }
    assert [item["host"] for item in site.ask("who-listens", str(PORT))] == ["web2"]
    assert site.attempt(str(FLEETNET), "audit", "policy.toml").returncode == 0

    again = site.play("close_port", *given).succeeded()
    assert set(again.changed.values()) == {0}
    assert set(again.recap) == {"localhost"}
