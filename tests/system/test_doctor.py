"""`fleetnet doctor` beside a real collector: with nobody in its fleet, with a host, killed, and started again."""

from demo.fleet import Fleet
from demo.programs import until

WELL, WARNED, UNREACHABLE = 0, 1, 5


def verdicts(fleet: Fleet, status: int) -> dict[str, str]:
    """The worst of each topic."""
    order = ("ok", "warning", "problem")
    found: dict[str, str] = {}
    for item in fleet.expect(status, "doctor", "-o", "json").items:
        found[item["topic"]] = max(found.get(item["topic"], "ok"), item["verdict"], key=order.index)
    return found


def test_the_doctor_says_what_is_wrong_at_each_turn_of_a_collectors_life(here: Fleet) -> None:
    told = verdicts(here, WARNED)
    assert {topic for topic, verdict in told.items() if verdict != "ok"} == {"hosts"}
    assert {"settings", "socket", "collector", "version", "clock", "certificate", "quarantine", "gaps"} <= told.keys()
    here.enroll("here")
    here.start_agent("here")
    here.wait_until_fresh("here")
    assert verdicts(here, here.ask("doctor").status)["hosts"] == "ok"
    here.collector.kill()
    killed = here.ask("doctor", "-q")
    assert killed.status == UNREACHABLE
    assert killed.output.startswith(
        f"problem collector: nobody answers at {here.admin_socket}, where a collector was; "
    )
    here.start_collector()
    until(lambda: here.ask("doctor").status in (WELL, WARNED), within_s=60.0, what="a collector that answers")
    here.collector.stop()
    assert "there is no" in here.ask("doctor", "-q").output
