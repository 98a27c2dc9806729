"""What changed on real hosts between two times: services that began, stopped, were started again or gave way to others,
and a host whose agent was away in between."""

import datetime
import sys

import pytest
from system.laboratory import Laboratory

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import Program, until

pytestmark = pytest.mark.root

DIFFERENT, PARTIAL = 1, 3
RESTARTED, STOPPED, TAKEN_OVER, BEGUN, ELSEWHERE = 8001, 8002, 8003, 8004, 8005

Listeners = dict[tuple[str, int], int]  # by host and port, the pid


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


def service(lab: Laboratory, host: Host, name: str, port: int) -> Program:
    """One of the demo's services, listening."""
    command = host.command(sys.executable, "-m", "demo.services", name, "0.0.0.0", str(port))
    program = lab.programs.start(f"{host.name}.{port}", command)
    program.wait_for(rf"^ready {port}")
    return program


def wait_until_told(fleet: Fleet, meant: Listeners) -> None:
    """Wait until just these are told to listen."""

    def told() -> bool:
        items = fleet.ask("who-listens", "8001-8005", "-o", "json").items
        return {(i["host"], i["local_port"]): i["owners"][0]["pid"] for i in items if i["owners"]} == meant

    until(told, within_s=60.0, what=f"{meant} in the answer")


def differences(fleet: Fleet, status: int, *options: str) -> dict[tuple[str, int], str]:
    items = fleet.expect(status, "diff", "8001-8005", *options, "-o", "json").items
    return {(i["host"], (i["after"] or i["before"])["local_port"]): i["change"] for i in items}


def what_happened_is_in_history(fleet: Fleet, then: str) -> None:
    items = fleet.expect(0, "history", f"here:{TAKEN_OVER}", "--tcp", "--since", then, "-o", "json").items
    lives = [(i["owners"][0]["name"], i["closed_at"] is None) for i in items if i["what"] == "socket"]
    assert lives == [("database", True), ("web", False)]
    items = fleet.expect(PARTIAL, "history", f"away:{ELSEWHERE}", "--since", then, "-o", "json").items
    told = {item["what"]: item for item in items}
    assert sorted(told) == ["agent-start", "gap", "socket"]
    assert told["socket"]["opened_at_is"] == "before"


def both_hosts_are_shown_as_they_are(fleet: Fleet, hosts: dict[str, Host]) -> None:
    for name, host in hosts.items():
        (sheet,) = fleet.expect(0, "host", name, "-o", "json").items
        assert host.address in [each["address"] for each in sheet["addresses"]]
        ports = {RESTARTED, TAKEN_OVER, BEGUN} if name == "here" else {ELSEWHERE}
        assert ports == {each["local_port"] for each in sheet["listening"] if each["local_port"] in range(8001, 8006)}
        told = {each["what"] for each in sheet["lately"]}
        assert told == ({"agent-start"} if name == "here" else {"agent-start", "gap"})


def test_what_began_stopped_and_gave_way_is_told_and_a_restart_is_not(lab: Laboratory) -> None:
    here, away = lab.fabric.add_host("here"), lab.fabric.add_host("away")
    fleet = lab.fleet()
    for host in (here, away):
        fleet.enroll(host.name, host)
    fleet.start_agent("here", here)
    agent = fleet.start_agent("away", away)
    was = {port: service(lab, here, "web", port) for port in (RESTARTED, STOPPED, TAKEN_OVER)}
    fleet.wait_until_fresh("here", "away")
    wait_until_told(fleet, {("here", port): program.pid for port, program in was.items()})
    agent.kill()

    then = now()
    for program in was.values():
        program.stop()
    restarted = service(lab, here, "web", RESTARTED)
    taken_over = service(lab, here, "database", TAKEN_OVER)
    begun = service(lab, here, "database", BEGUN)
    elsewhere = service(lab, away, "web", ELSEWHERE)
    fleet.start_agent("away", away)
    wait_until_told(
        fleet,
        {
            ("here", RESTARTED): restarted.pid,
            ("here", TAKEN_OVER): taken_over.pid,
            ("here", BEGUN): begun.pid,
            ("away", ELSEWHERE): elsewhere.pid,
        },
    )

    on_here = {("here", STOPPED): "stopped", ("here", TAKEN_OVER): "changed", ("here", BEGUN): "began"}
    assert differences(fleet, DIFFERENT, "--since", then, "--host", "here") == on_here
    assert differences(fleet, PARTIAL, "--since", then) == {**on_here, ("away", ELSEWHERE): "not-known"}
    shown = fleet.expect(PARTIAL, "diff", "8001-8005", "--since", then)
    marks = [line.split()[:2] for line in shown.output.splitlines()[1:5]]
    assert marks == [["?", "away"], ["-", "here"], ["~", "here"], ["+", "here"]]
    assert "web → database" in shown.output
    what_happened_is_in_history(fleet, then)
    both_hosts_are_shown_as_they_are(fleet, {each.name: each for each in (here, away)})
    quiet = fleet.expect(0, "diff", str(RESTARTED), "--since", then, "--host", "here", "-q")
    assert (quiet.output, quiet.errors) == ("", "")
    assert fleet.ask("diff", str(RESTARTED), "--since", then, "--until", now(), "--host", "here", "-q").output == ""
