"""The rules that the collector's role loads: who knocks a thousand times is dropped, and nobody else notices."""

import json
import re
import statistics
import sys
import time
from pathlib import Path

import pytest
from system.laboratory import REPORT_PORT, Laboratory
from system.playing import ROOT, Controller, why_not_playing

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import Program, until

pytestmark = [pytest.mark.root, pytest.mark.slow]

ROLE = ROOT / "ansible/roles/collector"
RATE, BURST = 20, 100  # the role's defaults
A_SECOND, SECONDS = 400, 5
OTHERS_KNOCK = 50


def rules(directory: Path, **settings: object) -> Path:
    """What the role writes for these settings."""
    controller = Controller(directory)
    done = controller.run(
        *("ansible", "localhost", "--connection=local", "--module-name=ansible.builtin.template"),
        *("--args", f"src={ROLE}/templates/fleetnet.nft.j2 dest={directory}/rules mode=0600"),
        *(f"--extra-vars=@{ROLE}/defaults/main.yml", f"--extra-vars={json.dumps(settings)}"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory / "rules"


def knocks(lab: Laboratory, host: Host, fleet: Fleet, a_second: int, seconds: int) -> Program:
    """Connections from a host to the collector's port, begun."""
    assert fleet.place is not None
    return lab.start(
        host, "knocking", fleet.place.address, str(REPORT_PORT), str(a_second), str(seconds), name=host.name
    )


def came_of(program: Program) -> dict[str, float]:
    """What one that knocks said at its end."""
    counts: dict[str, float] = json.loads(program.wait_for(r'^(\{"knocked.*)$', within_s=60.0)[1])
    return counts


def resent(host: Host) -> int:
    """How often a host has sent a request to connect again, since it is there."""
    names, values = (line.split() for line in host.run("cat", "/proc/net/netstat").splitlines()[:2])
    return int(values[names.index("TCPSynRetrans")])


def refused(host: Host) -> int:
    """Segments that the rules have dropped."""
    found = re.search(r"packets (\d+)", host.run("nft", "list", "counter", "inet", "fleetnet", "refused"))
    assert found
    return int(found[1])


def latency_ms(fleet: Fleet) -> float:
    """What an answer takes, start of the command line included: the median of five."""
    took = []
    for _ in range(5):
        began_s = time.monotonic()
        fleet.expect(0, "who-listens", "--host", "web1", "-o", "name")
        took.append((time.monotonic() - began_s) * 1000)
    return statistics.median(took)


def test_a_flood_from_one_host_is_dropped_and_the_others_do_not_notice(
    lab: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    if why := why_not_playing():
        pytest.skip(why)
    fleet = lab.fleet()
    collector = fleet.place
    assert collector is not None
    web1, other, flooder = (lab.fabric.add_host(name) for name in ("web1", "other", "flooder"))
    listener = web1.command(sys.executable, "-m", "http.server", "--directory", str(lab.directory), "8080")
    lab.programs.start("web1.listener", listener)
    fleet.enroll("web1", web1)
    agent = fleet.start_agent("web1", web1)
    fleet.wait_until_fresh("web1")

    # Without the rules each of them is let in.
    before = came_of(knocks(lab, flooder, fleet, A_SECOND, 1))
    assert before["opened"] == before["knocked"] == A_SECOND

    collector.run("nft", "-f", str(rules(lab.directory / "role")))
    quiet_ms = latency_ms(fleet)
    flood = knocks(lab, flooder, fleet, A_SECOND, SECONDS)
    until(lambda: refused(collector) > 0, within_s=60.0, what="the first segment that is dropped")
    others = knocks(lab, other, fleet, OTHERS_KNOCK, 1)
    flooded_ms = latency_ms(fleet)
    came_of_others, came_of_flood = came_of(others), came_of(flood)

    assert came_of_flood["knocked"] == A_SECOND * SECONDS
    assert came_of_flood["opened"] <= BURST + RATE * (came_of_flood["seconds"] + 1)
    assert refused(collector) >= came_of_flood["knocked"] - came_of_flood["opened"]
    # Not one of the others' requests was dropped, so none was late by the second after which it is sent again.
    assert came_of_others["opened"] == came_of_others["knocked"] == OTHERS_KNOCK
    assert (resent(other), resent(web1)) == (0, 0)
    assert agent.running
    assert "the collector cannot be reached" not in agent.tail()
    fleet.wait_until_fresh("web1")
    with capsys.disabled():
        print(
            f"\n{came_of_flood['knocked']:.0f} knocked, {came_of_flood['opened']:.0f} let in, {refused(collector)} "
            f"segments dropped; an answer took {quiet_ms:.0f} ms before, {flooded_ms:.0f} ms meanwhile (median of 5)"
        )


def test_rules_are_loaded_again_name_exemptions_and_leave_other_tables_alone(lab: Laboratory) -> None:
    if why := why_not_playing():
        pytest.skip(why)
    host = lab.fabric.add_host("collector")
    host.run("nft", "add table inet other; add chain inet other mine")
    exempt = ["198.18.0.0/24", "10.1.2.3", "2001:db8::/32"]
    path = rules(lab.directory / "role", fleetnet_nftables_exempt=exempt)
    for _ in range(2):
        host.run("nft", "-f", str(path))
    loaded = host.run("nft", "list", "ruleset")
    assert loaded.count("table inet fleetnet {") == loaded.count("table inet other {") == 1
    assert "elements = { 10.1.2.3, 198.18.0.0/24 }" in loaded
    assert "elements = { 2001:db8::/32 }" in loaded
    bound = f'limit rate over {RATE}/second burst {BURST} packets }} counter name "refused" drop'
    assert f"update @sources4 {{ ip saddr {bound}" in loaded
    assert f"update @sources6 {{ ip6 saddr & ffff:ffff:ffff:ffff:: {bound}" in loaded
