"""The collector's disk is full: nothing is acknowledged that is not stored, and nothing is lost once there is room."""

import contextlib
import re
import time
from datetime import datetime
from pathlib import Path

import pytest
from system.judging import judge
from system.laboratory import Laboratory, inside, on_small_disk
from system.ledger import read

from demo.fleet import Fleet
from demo.programs import until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

_DISK_BYTES = 8 << 20
_LISTENERS = 500


def fill(disk: Path) -> Path:
    """Take all the room that is left; returns the file that does."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


def looked(trace: Path) -> int:
    """When the last look was."""
    return int(re.findall(r"^\d+ (\d+)$", trace.read_text(), re.MULTILINE)[-1])


def test_what_a_full_disk_could_not_take_arrives_when_there_is_room(lab: Laboratory) -> None:
    host, place = lab.fabric.add_host("web1"), lab.fabric.add_host("collector")
    fleet = Fleet(lab.directory, lab.programs, place)
    fleet.data.mkdir(mode=0o700)
    fleet.start_collector(wrap=lambda command: on_small_disk(place, fleet.data, _DISK_BYTES, command))
    fleet.enroll("web1", host)
    looks = lab.directory / "looks"
    agent = fleet.start_agent("web1", host, environment={"FLEETNET_FAILPOINTS": f"after-look=trace:{looks}"})
    fleet.wait_until_fresh("web1")

    filler = fill(inside(fleet.collector, fleet.data))
    opened = lab.start(host, "many", str(_LISTENERS))
    opened.wait_for("^ledger ")
    opened_us = time.time_ns() // 1_000
    fleet.collector.wait_for(r"storage failed")
    refused = [line for line in fleet.collector.says().splitlines() if "storage failed" in line]
    assert len(refused) == 1, "said once, not at every attempt"
    assert "disk" in refused[0]
    token = fleet.ask("token", "create", "--host", "web2")
    assert token.status == 2
    assert token.errors.count("\n") == 1
    assert "disk" in token.errors
    assert agent.running
    assert fleet.collector.running

    # What failed may have been a look in the midst of their opening.
    until(lambda: looked(looks) > opened_us, within_s=60.0, what="a look at all of them")
    filler.unlink()
    freed_at = time.time()

    def all_there() -> bool:
        items = fleet.ask("who-listens", "-o", "json").items
        return not judge(items, read(opened.says()))

    until(all_there, within_s=75.0, what="what was opened while the disk was full")
    fleet.collector.wait_for("storage works again")
    items = fleet.expect(0, "who-listens", "-o", "json").items
    openings = [datetime.fromisoformat(item["opened_at"]).timestamp() for item in items]
    assert max(openings) < freed_at, "they were seen while the disk was full, and history says so"
    for program in (agent, fleet.collector):
        assert "Traceback" not in program.says()


def test_a_collector_that_starts_on_a_full_disk_says_so(lab: Laboratory) -> None:
    place = lab.fabric.add_host("collector")
    fleet = Fleet(lab.directory, lab.programs, place)
    fleet.data.mkdir(mode=0o700)
    collector = fleet.launch_collector(wrap=lambda command: on_small_disk(place, fleet.data, 16 << 10, command))
    assert collector.wait() == 2
    assert "Traceback" not in collector.says()
    sentence = collector.says().splitlines()[-1]
    assert sentence.startswith("fleetnet-server: ")
    assert "disk" in sentence
