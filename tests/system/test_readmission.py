"""A real agent whose certificate ended while its host slept: it watches, keeps, asks, and is let in."""

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

import hasty
import pytest
from fleetnet_agent import keys, state
from fleetnet_agent.spool import paths
from server.agents import Identity
from server.slept import aged
from system.laboratory import Laboratory

from demo.fleet import Fleet, console_script, on
from demo.programs import until

pytestmark = [pytest.mark.root, pytest.mark.slow]


@dataclass(slots=True)
class _Signs:
    data: Path
    ca_pem: bytes


def _sleep_past_the_end(fleet: Fleet, name: str) -> None:
    """The identity of a host, as it is when its certificate has ended."""
    directory = fleet.state(name)
    now = state.load(directory)
    old = aged(_Signs(fleet.data, now.ca_pem), Identity(name, now.key_pem, now.certificate_pem, now.ca_pem))
    facts = keys.read_certificate(old.certificate_pem)
    state.prepare(directory, old.key_pem)
    state.save(
        directory,
        dataclasses.replace(
            now,
            key_pem=old.key_pem,
            certificate_pem=old.certificate_pem,
            valid_from_us=facts.valid_from_us,
            valid_until_us=facts.valid_until_us,
        ),
    )


def test_what_happens_while_it_waits_to_be_approved_is_told_afterwards(lab: Laboratory) -> None:
    host = lab.fabric.add_host("sleeper")
    fleet = lab.fleet()
    fleet.enroll("sleeper", host)
    agent = fleet.start_agent("sleeper", host)
    fleet.wait_until_fresh("sleeper")
    agent.stop()
    _sleep_past_the_end(fleet, "sleeper")

    agent = fleet.start_agent("sleeper", host, environment=hasty.ENVIRONMENT)
    waits = agent.wait_for(
        r"waits for an operator: (fleetnet host approve sleeper) \(key ([0-9a-f]{16})\)", within_s=60.0
    )
    agent.wait_for("keeping on disk", within_s=120.0)
    listener = lab.start(host, "listening", "brief", "tcp:0.0.0.0:8002")
    listener.wait_for("ready")
    _written(fleet.state("sleeper"))
    listener.stop()
    _written(fleet.state("sleeper"))

    [item] = fleet.ask("hosts", "-o", "json").items
    assert item["status"] == "pending-renewal"
    shown = fleet.ask("hosts").output
    assert "pending renewal" in shown
    assert f"{host.address} asks for another, for the key {waits[2]}, and waits to be approved" in shown
    doctor = lab.programs.start(
        "doctor", on(host, console_script("fleetnet-agent"), "doctor", "--state", str(fleet.state("sleeper")))
    )
    doctor.wait_for(rf"an operator runs: {waits[1]} \(key {waits[2]}\)", within_s=60.0)

    fleet.expect(0, *waits[1].split()[1:])
    agent.wait_for("certificate renewed", within_s=120.0)
    agent.wait_for("all that was kept while no collector answered has been told", within_s=120.0)
    fleet.wait_until_fresh("sleeper")
    [item] = fleet.ask("hosts", "-o", "json").items
    assert item["status"] == "active"
    assert not [one for one in item["degraded"] if one.startswith("certificate")]
    told = json.dumps(fleet.ask("history", "sleeper:8002", "-o", "json").items)
    assert '"closed_at": "' in told, told
    log = fleet.ask("log", "-o", "json").items
    assert [(one["action"], one["subject"], one["result"]) for one in log][:1] == [("approve-hosts", "sleeper", "done")]


def _written(directory: Path) -> None:
    """Some looks later, of which something was kept."""
    since_us = time.time_ns() // 1_000

    def kept() -> bool:
        there = paths.there(directory)
        return there is not None and there[1] > since_us and time.time_ns() // 1_000 > since_us + 3_000_000

    until(kept, within_s=60.0, what="something that is kept")
