"""A host that has gone silent: answered from what was last known of it, marked, and told from one that is fresh."""

import pytest
from system import ledger
from system.judging import judge
from system.laboratory import Laboratory

from demo.fleet import Answer
from demo.programs import until

pytestmark = pytest.mark.root

PARTIAL = 3


def test_a_silent_host_is_answered_from_its_last_known_state_and_marked(lab: Laboratory) -> None:
    hosts = {name: lab.fabric.add_host(name) for name in ("silent", "well")}
    fleet = lab.fleet()
    agents = {}
    for name, host in hosts.items():
        fleet.enroll(name, host)
        agents[name] = fleet.start_agent(name, host)
    listeners = lab.start(hosts["silent"], "many", "2")
    listeners.wait_for("^ledger ")
    opened = ledger.read(listeners.says())

    def all_is_told() -> bool:
        answer = fleet.ask("who-listens", "-o", "json")
        return answer.status == 0 and not judge(answer.items, opened)

    until(all_is_told, within_s=60.0, what="what is open, while no host is silent yet")
    agents["silent"].kill()

    # A beat comes once a minute only, but on the other host something happens all the while, so that it is heard.
    lab.start(hosts["well"], "churn", "1")

    def ask() -> Answer:
        return fleet.ask("who-listens", "-o", "json", "--max-age", "3s")

    def only_it_is_stale() -> bool:
        return [stale["host"] for stale in ask().document["coverage"]["hosts_stale"]] == ["silent"]

    until(only_it_is_stale, within_s=60.0, what="the mark on the silent host")
    answer = ask()
    assert answer.status == PARTIAL
    assert not judge([item for item in answer.items if item["host"] == "silent"], opened)
    table = fleet.ask("who-listens", "--max-age", "3s")
    assert table.status == PARTIAL
    assert "silent" in table.output.splitlines()[-1]
