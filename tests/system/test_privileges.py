"""Started as root with its helper, the agent gives root up, and still learns who holds what root has opened."""

from pathlib import Path

import pytest
from system.laboratory import Laboratory
from system.ledger import read
from system.stepping_down import NOBODY, start_agent

from demo.programs import until

pytestmark = pytest.mark.root


def status_of(pid: int) -> dict[str, str]:
    lines = (line.split(":", 1) for line in Path("/proc", str(pid), "status").read_text().splitlines())
    return {name: value.strip() for name, value in lines}


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path("/proc", str(pid), "task", str(pid), "children").read_text().split()]


def test_the_agent_gives_root_up_and_its_helper_still_finds_the_owners(lab: Laboratory) -> None:
    host = lab.fabric.add_host("web1")
    fleet = lab.fleet()
    fleet.enroll("web1", host)
    many = lab.start(host, "many", "3")
    many.wait_for("^ledger ")
    agent = start_agent(lab, host, fleet.state("web1"), "--namespaces", "own")
    fleet.wait_until_fresh("web1")

    status = status_of(agent.pid)
    assert status["Uid"].split() == [str(NOBODY)] * 4
    assert status["Gid"].split() == [str(NOBODY)] * 4
    assert status["Groups"] == ""
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")} == {0}
    (helper,) = children_of(agent.pid)
    assert status_of(helper)["Uid"].split()[0] == "0"

    def owners_known() -> bool:
        items = fleet.expect(0, "who-listens", "-o", "json").items
        return [tuple(owner["pid"] for owner in item["owners"]) for item in items] == [
            entry.pids for entry in read(many.says())
        ]

    until(owners_known, within_s=60.0, what="the owners, who are root's")
    agent.kill()
    until(
        lambda: not Path("/proc", str(helper)).exists(),
        within_s=60.0,
        what="the end of the helper, whose agent was killed",
    )
