"""Ports of a host that lead into another network namespace, by a rule of the kernel's or by a program: what nmap finds
of them, what `who-listens --exposed` says, and what an audit makes of it.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from system import nmap
from system.laboratory import laboratory

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import Programs, until

pytestmark = pytest.mark.root

VIOLATED, PARTIAL = 1, 3
OWN, PROXIED, TRANSLATED, REDIRECTED = 80, 8081, 8443, 8444
INSIDE, INNER = "10.3.3.2", 8080
_NAT = f"""
table ip published {{
    chain prerouting {{
        type nat hook prerouting priority -100;
        fib daddr type local tcp dport {TRANSLATED} dnat to {INSIDE}:{INNER};
        fib daddr type local tcp dport {REDIRECTED} redirect to :{OWN};
    }};
}}
"""


@dataclass(frozen=True)
class Scene:
    """A host, what is inside it, one that looks at it, and the fleet."""

    directory: Path
    programs: Programs
    fleet: Fleet
    gate: Host
    inner: Host
    scanner: Host

    def exposed(self) -> list[dict[str, Any]]:
        """What is told of the host and of what is inside it; other namespaces of this machine are none of it."""
        items = self.fleet.ask("who-listens", "--exposed", "--host", "gate", "-o", "json").items
        return [item for item in items if item["netns"] in ("host", self.inner.namespace)]

    def order(self, port: int) -> str:
        """What answers the scanner at a port of the host."""
        command = (sys.executable, "-m", "system.shop", "order", f"{self.gate.address}:{port}", "1")
        program = self.programs.start("order", self.scanner.command(*command))
        program.succeed()
        return program.says().strip()

    def audited(self, rule: str) -> int:
        """How an audit by one rule ends."""
        path = self.directory / "policy.toml"
        path.write_text(f'[[rule]]\nname = "r"\nhosts = ["gate"]\n{rule}\n')
        return self.fleet.ask("audit", str(path)).status


@pytest.fixture
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    nmap.require("nft")
    with laboratory(tmp_path_factory.mktemp("lab")) as lab:
        gate, inner, scanner = (lab.fabric.add_host(name) for name in ("gate", "inner", "scanner"))
        # What is inside is on no switch: packets to it go through the gate alone.
        inner.ip("link", "set", "eth0", "down")
        gate.ip("link", "add", "to-inner", "type", "veth", "peer", "eth1", "netns", inner.namespace)
        for place, address, device in ((gate, "10.3.3.1", "to-inner"), (inner, INSIDE, "eth1")):
            place.ip("address", "add", f"{address}/24", "dev", device)
            place.ip("link", "set", device, "up")
        inner.ip("route", "add", "default", "via", "10.3.3.1")
        scanner.ip("route", "add", INSIDE, "via", gate.address)
        gate.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        gate.run("nft", _NAT)
        for place, name, port, *upstream in (
            (inner, "shop", INNER),
            (gate, "web", OWN),
            (gate, "proxy", PROXIED, "--upstream", f"{INSIDE}:{INNER}"),
        ):
            lab.start(place, "shop", name, f"0.0.0.0:{port}", *upstream, name=name).wait_for("^ready")
        fleet = lab.fleet()
        fleet.enroll("gate", fleet.place)
        fleet.start_agent("gate", gate, "--namespaces", "all")
        fleet.wait_until_fresh("gate")
        yield Scene(lab.directory, lab.programs, fleet, gate, inner, scanner)


def test_a_port_that_leads_into_another_namespace_is_unknown_where_it_leads_and_a_programs_is_its_own(
    scene: Scene,
) -> None:
    until(lambda: len(scene.exposed()) == 3, within_s=60.0, what="the host's two listeners and the one inside")
    told = {(item["netns"], item["local_port"]): item["exposed"] for item in scene.exposed()}
    assert told == {("host", OWN): True, ("host", PROXIED): True, (scene.inner.namespace, INNER): "unknown"}

    for port, answers in ((OWN, "web"), (PROXIED, "proxy shop"), (TRANSLATED, "shop"), (REDIRECTED, "web")):
        assert scene.order(port) == answers

    found = nmap.scan(scene.scanner, [scene.gate.address, INSIDE], nmap.tcp("1-9999"))
    mine = {port for (_, port), exposed in told.items() if exposed is True}
    assert nmap.of_state(found[scene.gate.address], nmap.OPEN) == mine | {TRANSLATED, REDIRECTED}
    # Here there is a route to what is inside, of which nothing on the host tells that it is one.
    assert nmap.of_state(found[INSIDE], nmap.OPEN) == {INNER}

    assert scene.audited(f"forbid = [{{ port = {INNER}, exposed = true }}]") == PARTIAL, "nobody knows what leads there"
    assert scene.audited(f'forbid = [{{ port = {INNER}, netns = "!host" }}]') == VIOLATED
    assert scene.audited(f"forbid = [{{ port = {OWN}, exposed = true }}]") == VIOLATED
