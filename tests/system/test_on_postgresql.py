"""A collector on PostgreSQL, with a real agent: the same answers, and the server killed in the midst of things."""

import random
import time
from collections.abc import Iterator

import pytest
from server.databases import own_server
from server.postgresql import Server
from system import archive
from system.laboratory import Laboratory
from system.test_crashes import assert_true_to, connected, settle, told_all

from demo.fleet import Fleet
from demo.programs import until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

_CRASHES = 3


@pytest.fixture
def postgresql() -> Iterator[Server]:
    """A server of the test's own."""
    with own_server() as server:
        server.execute("CREATE DATABASE fleet")
        yield server


def test_history_stays_true_when_postgresql_is_killed_under_load(lab: Laboratory, postgresql: Server) -> None:
    draw = random.Random(5)
    host = lab.fabric.add_host("churn")
    fleet = Fleet(lab.directory, lab.programs, lab.fabric.add_host("collector"))
    fleet.start_collector("--database", postgresql.url("fleet"))
    fleet.enroll("churn", host)
    churn = lab.start(host, "churn", "5")
    agent = fleet.start_agent("churn", host)
    fleet.wait_until_fresh("churn")
    for _ in range(_CRASHES):
        time.sleep(draw.uniform(0.2, 2.0))  # not waiting for anything: the moment of the kill
        postgresql.kill()
        away = fleet.ask("who-listens", "1-65535")
        assert (away.status, away.output) == (2, "")
        assert "does not answer; see that the server runs and can be reached" in away.errors
        assert len(away.errors.splitlines()) == 1
        time.sleep(draw.uniform(0.0, 1.0))  # nor here: how long it is away
        postgresql.start()
    entries = settle(fleet, host, churn)
    told_all(agent)
    listening = {entry.local_port for entry in entries if entry.state == "LISTEN"}
    told = fleet.expect(0, "who-listens", "1-65535", "--tcp", "--host", "churn", "-o", "json").items
    assert listening <= {item["local_port"] for item in told}
    steady = next(entry for entry in entries if entry.kind == "steady" and entry.state == "LISTEN")
    [now] = fleet.expect(0, "who-listens", str(steady.local_port), "-o", "json").items
    assert [owner["pid"] for owner in now["owners"]] == list(steady.pids)
    agent.stop()
    fleet.collector.stop()
    assert "Traceback" not in fleet.collector.says()
    kept = archive.read_postgresql(postgresql.url("fleet"), "churn")
    assert_true_to(kept, entries)
    assert kept.gaps == [], "the agent kept all that it saw while there was no database"


def test_a_collector_that_is_killed_comes_back_to_all_that_it_kept(lab: Laboratory, postgresql: Server) -> None:
    host = lab.fabric.add_host("web1")
    fleet = Fleet(lab.directory, lab.programs, lab.fabric.add_host("collector"))
    database = ("--database", postgresql.url("fleet"))
    fleet.start_collector(*database)
    fleet.enroll("web1", host)
    fleet.start_agent("web1", host)
    fleet.wait_until_fresh("web1")
    many = lab.start(host, "many", "3")
    many.wait_for("^ledger ")

    def listeners() -> int:
        return len(fleet.ask("who-listens", "1-65535", "--tcp", "-o", "json").items)

    until(lambda: listeners() >= 3, within_s=60.0, what="the listeners")
    before = listeners()
    fleet.collector.kill()
    # The server has not noticed yet that its client is gone, and must not hold the next one up.
    fleet.start_collector(*database)
    assert listeners() == before
    connected(fleet)
