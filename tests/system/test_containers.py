"""A container, from its processes to an answer about the fleet, and what is left of it when it has ended.

What makes one is what the runtimes use themselves: namespaces of its own for network, processes and mounts, in a
control group that is called as theirs are. The agent, its helper, the collector and the command line are the real ones.
"""

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fleetnet_agent.helper.numbers import Numbers
from system.streets import RESIDENT, Resident, Street, child_of, let_the_kernel_catch_up

from demo.fleet import Fleet
from demo.programs import Programs, until

pytestmark = pytest.mark.root

GONE_WITHIN_S = 2.0
INSIDE = "exec unshare --net --pid --mount-proc --fork"


@pytest.fixture
def street(programs: Programs) -> Iterator[Street]:
    with contextlib.ExitStack() as stack:
        yield Street(programs, stack)


@pytest.fixture
def numbers() -> Iterator[Numbers]:
    opened = Numbers()
    yield opened
    opened.close()


def move_in(street: Street, group: Path) -> Resident:
    return street.move_in("sh", "-c", f"echo $$ > {group}/cgroup.procs && {INSIDE} {' '.join(RESIDENT)}")


def listeners(fleet: Fleet, resident: Resident, *options: str) -> list[dict[str, Any]]:
    """Those at its port in its namespace: another one may listen at the same port."""
    items = fleet.ask("who-listens", str(resident.port), "-o", "json", *options).items
    return [item for item in items if item["netns_inode"] == resident.inode]


def rows(fleet: Fleet, resident: Resident, *options: str) -> list[dict[str, Any]]:
    """Everything in its namespace."""
    items = fleet.ask("netstat", "here", "-a", "-o", "json", *options).items
    return [item for item in items if item["netns_inode"] == resident.inode]


def number_of(numbers: Numbers, pid: int) -> int | None:
    """That of the network namespace of a process, as the kernel knows it here."""
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return numbers.of(descriptor)
    finally:
        os.close(descriptor)


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


@pytest.mark.parametrize(("name", "runtime"), [("docker-{}.scope", "docker"), ("machine-{}.scope", "nspawn")])
def test_a_container_is_in_the_fleet_while_it_runs_and_in_its_history_afterwards(
    here: Fleet, street: Street, numbers: Numbers, name: str, runtime: str
) -> None:
    here.enroll("here")
    here.start_agent("here", None, "--namespaces", "all")
    here.wait_until_fresh("here")
    identity, group = street.control_group(name)
    resident = move_in(street, group)

    # It appears, under its own namespace, with all that is known of it.
    def appears() -> dict[str, Any] | None:
        found = listeners(here, resident)
        return found[0] if len(found) == 1 and found[0]["unit"] and found[0]["owners"] else None

    item = until(appears, within_s=60.0, what="its listener with unit and owner")
    assert (item["netns"], item["host"]) == (str(resident.inode), "here")
    assert (item["container"], item["container_runtime"]) == (identity, runtime)
    assert item["unit"] == name.format(identity)
    inside = child_of(resident.program.pid)
    assert [owner["pid"] for owner in item["owners"]] == [inside]
    table = here.expect(0, "who-listens", str(resident.port)).output
    assert "NETNS" in table.splitlines()[0]
    (line,) = [line for line in table.splitlines() if str(resident.inode) in line]
    assert f" {runtime}:{identity[:12]} " in line

    # It ends, and the kernel has nothing left of it, however often agent and helper look meanwhile.
    number = number_of(numbers, inside)
    assert number in numbers.all()
    let_the_kernel_catch_up(numbers)
    alive_at = now()
    resident.program.stop()
    until(lambda: number not in numbers.all(), within_s=GONE_WITHIN_S, what="the end of the namespace")

    # What it had is history.
    until(lambda: not rows(here, resident), within_s=60.0, what="the end of all that it had")
    assert not listeners(here, resident)
    before = rows(here, resident, "--at", alive_at)
    assert {item["state"] for item in before} == {"LISTEN", "ESTABLISHED", "CLOSE", "TIME_WAIT"}
    assert {item["container"] for item in before} == {identity}
    assert all(item["closed_at"] > alive_at for item in before)
    (past,) = listeners(here, resident, "--at", alive_at)
    assert (past["container"], past["closed_at_is"]) == (identity, "exact")
