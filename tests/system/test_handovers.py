"""A listener that one real process passes on to another: who held it then is asked later, and told as it was."""

import datetime

import pytest
from system.laboratory import Laboratory

from demo.fleet import Fleet
from demo.programs import until

pytestmark = pytest.mark.root

PORT = 8001
FOUND, NOTHING, DIFFERENT = 0, 1, 1


def wait_until_told(fleet: Fleet, pid: int) -> None:
    def told() -> bool:
        items = fleet.ask("who-listens", str(PORT), "-o", "json").items
        return [[owner["pid"] for owner in item["owners"]] for item in items] == [[pid]]

    until(told, within_s=90.0, what=f"process {pid} alone as the owner in the answer")


def owners(fleet: Fleet, *options: str) -> list[tuple[str, int]]:
    items = fleet.expect(FOUND, "who-listens", str(PORT), *options, "-o", "json").items
    return [(owner["name"], owner["pid"]) for item in items for owner in item["owners"]]


def test_a_listener_that_was_passed_on_was_held_before_by_who_passed_it_on(lab: Laboratory) -> None:
    host = lab.fabric.add_host("here")
    fleet = lab.fleet()
    fleet.enroll("here", host)
    fleet.start_agent("here", host)
    program = lab.start(host, "handing_over", "old-master", "new-master", str(PORT))
    old = int(program.wait_for(r"^old-master (\d+)")[1])
    fleet.wait_until_fresh("here")
    wait_until_told(fleet, old)

    then = datetime.datetime.now(datetime.UTC).isoformat()
    program.tell("pass it on")
    new = int(program.wait_for(r"^new-master (\d+)")[1])
    wait_until_told(fleet, new)

    assert owners(fleet) == [("new-master", new)]
    assert owners(fleet, "--at", then) == [("old-master", old)]
    assert owners(fleet, "--at", then, "--process", "old-master") == [("old-master", old)]
    fleet.expect(NOTHING, "who-listens", str(PORT), "--at", then, "--process", "new-master")
    # No service began or stopped, but its place is another program's.
    [change] = fleet.expect(DIFFERENT, "diff", str(PORT), "--since", then, "-o", "json").items
    assert change["change"] == "changed"
    assert [change[side]["owners"][0]["pid"] for side in ("before", "after")] == [old, new]
    # One life, which either finds.
    for process in ("old-master", "new-master"):
        items = fleet.expect(FOUND, "history", f"here:{PORT}", "--process", process, "-o", "json").items
        lives = [item for item in items if item["what"] == "socket"]
        assert [life["owners"][0]["pid"] for life in lives] == [new]
