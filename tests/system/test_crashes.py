"""kill -9 in the midst of things, several times: nothing is doubled, and nothing that lives is called closed.

The moments of the kills are drawn from a seed, so that they fall anywhere: between look and batch, batch and commit,
commit and acknowledgement.
"""

import random
import time
from functools import partial

import pytest
from system import archive, ledger, oracles
from system.archive import Archive
from system.laboratory import Laboratory
from system.ledger import Entry

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import Program, until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

_CRASHES = 4
_CONNECTED_S = 60.0  # on a slow machine the collector is away long enough for a place in the round
_CAUGHT_UP_S = 90.0
_MOST_OPEN = 300  # more than are ever open at once, see churn.py


def settle(fleet: Fleet, host: Host, churn: Program) -> list[Entry]:
    """End the coming and going; returns what is open when the answer equals that of ss."""
    churn.tell("")
    churn.wait_for("^ledger ")

    def equal() -> bool:
        items = fleet.ask("netstat", "churn", "-tuan", "-o", "json").items
        return oracles.of_items(items) == oracles.of_ss(host)

    until(equal, within_s=_CAUGHT_UP_S, what="an answer equal to that of ss")
    return ledger.read(churn.says())


def connected(fleet: Fleet) -> None:
    """Wait until the one agent is."""
    items = partial(fleet.ask, "hosts", "-o", "json")
    until(lambda: items().items[0]["connected"], within_s=_CONNECTED_S, what="the agent")


def told_all(agent: Program) -> None:
    """Wait until nothing is kept on its disk, where a slow machine made the collector be away for that long."""
    kept, told = "keeping on disk", "all that was kept while no collector answered has been told"
    until(lambda: agent.says().rfind(told) >= agent.says().rfind(kept), within_s=_CAUGHT_UP_S, what=told)


def assert_true_to(kept: Archive, entries: list[Entry]) -> None:
    """No interval is doubled; what is open is open in the archive, what was open all along has one interval only."""
    assert kept.doubled() == []
    assert len(kept.intervals) > _MOST_OPEN, "there was no load"
    for entry in entries:
        intervals = kept.of(entry)
        assert intervals, f"{entry} is not there"
        assert intervals[-1].closed_at_us is None, f"{entry} is open, but the archive has it closed"
        if entry.kind == "steady":
            assert len(intervals) == 1, f"{entry} never closed, but has {len(intervals)} intervals"


@pytest.mark.parametrize("seed", [1])
def test_history_stays_true_when_the_collector_is_killed_under_load(lab: Laboratory, seed: int) -> None:
    draw = random.Random(seed)
    host = lab.fabric.add_host("churn")
    fleet = lab.fleet()
    fleet.enroll("churn", host)
    churn = lab.start(host, "churn", str(seed))
    agent = fleet.start_agent("churn", host)
    fleet.wait_until_fresh("churn")
    for _ in range(_CRASHES):
        time.sleep(draw.uniform(0.2, 2.0))  # not waiting for anything: the moment of the kill
        fleet.collector.kill()
        fleet.start_collector()
        connected(fleet)
    entries = settle(fleet, host, churn)
    told_all(agent)
    agent.stop()
    fleet.collector.stop()
    kept = archive.read(fleet.data, "churn")
    assert_true_to(kept, entries)
    assert kept.gaps == [], "the agent kept all that it saw while there was no collector"


@pytest.mark.parametrize("seed", [3])
def test_history_stays_true_when_the_agent_is_killed_under_load(lab: Laboratory, seed: int) -> None:
    draw = random.Random(seed)
    host = lab.fabric.add_host("churn")
    fleet = lab.fleet()
    fleet.enroll("churn", host)
    churn = lab.start(host, "churn", str(seed))
    agent = fleet.start_agent("churn", host)
    fleet.wait_until_fresh("churn")
    for _ in range(_CRASHES):
        agent.wait_for("snapshot of .* acknowledged")
        time.sleep(draw.uniform(0.2, 2.0))  # not waiting for anything: the moment of the kill
        agent.kill()
        agent = fleet.start_agent("churn", host)
    entries = settle(fleet, host, churn)
    agent.stop()
    fleet.collector.stop()
    kept = archive.read(fleet.data, "churn")
    assert_true_to(kept, entries)
    assert len(kept.gaps) == _CRASHES
    assert {gap.reason for gap in kept.gaps} == {"agent restarted"}
    assert all(gap.from_us < gap.to_us for gap in kept.gaps)


def test_what_lives_and_dies_while_the_collector_is_away_is_in_history(lab: Laboratory) -> None:
    host = lab.fabric.add_host("web1")
    fleet = lab.fleet()
    fleet.enroll("web1", host)
    agent = fleet.start_agent("web1", host)
    fleet.wait_until_fresh("web1")
    fleet.collector.kill()
    listeners = lab.start(host, "many", "3")
    listeners.wait_for("^ledger ")
    time.sleep(2.5)  # not waiting for anything: how long they live, which is more than one look
    listeners.stop()
    fleet.start_collector()
    connected(fleet)
    told_all(agent)
    agent.stop()
    fleet.collector.stop()
    kept = archive.read(fleet.data, "web1")
    for entry in ledger.read(listeners.says()):
        (interval,) = kept.of(entry)
        assert interval.closed_at_us is not None
        assert 1.0e6 < interval.closed_at_us - interval.opened_at_us < 4.5e6
    assert kept.gaps == []
