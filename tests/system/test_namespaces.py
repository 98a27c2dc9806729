"""Every network namespace of this machine, seen by one agent through its helper: beside what ss says inside each."""

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleetnet_agent.helper.client import HelperClient
from fleetnet_agent.helper.numbers import Numbers
from fleetnet_agent.helper.requests import MOST_OPENED, TABLE_FILES, Kind
from fleetnet_agent.host import this_host
from fleetnet_agent.namespaces import Namespaces
from fleetnet_agent.once import document
from fleetnet_agent.records import State
from fleetnet_agent.watch import Watch, open_watch
from system import nobody, oracles
from system.streets import PATH, RESIDENT, Street, Told, child_of, control_group, five, let_the_kernel_catch_up, run

from demo.fleet import Fleet
from demo.programs import FailedError, Program, Programs, until

pytestmark = pytest.mark.root

GONE_WITHIN_S = 2.0


@pytest.fixture
def container() -> Iterator[tuple[str, Path]]:
    """Of docker, as systemd keeps them."""
    with control_group("docker-{}.scope") as made:
        yield made


@pytest.fixture
def helper(programs: Programs) -> tuple[Program, Path]:
    path = programs.directory / "helper.sock"
    started = programs.start("helper", [sys.executable, "-m", "fleetnet_agent.helper.main", "--socket", str(path)])
    started.wait_for("ready")
    return started, path


@pytest.fixture
def told(helper: tuple[Program, Path]) -> Iterator[Told]:
    watch = open_watch(this_host(), helper_socket=helper[1], namespaces="all")
    yield Told(watch)
    watch.close()


@pytest.fixture
def street(programs: Programs) -> Iterator[Street]:
    with contextlib.ExitStack() as stack:
        yield Street(programs, stack)


def ours(watch: Watch, inode: int, name: str) -> list[oracles.Row]:
    items = document(watch.snapshot())["items"]
    return oracles.of_items([item for item in items if item["netns"] == (name or str(inode))])


def test_in_five_kinds_of_namespaces_each_row_equals_that_of_ss(told: Told, street: Street) -> None:
    residents = five(street)

    def agree() -> bool:
        told.look()
        return all(ours(told.watch, each.inode, each.name) == each.ss() for each in residents)

    until(agree, within_s=60.0, what="rows equal to those of ss in all five")
    for each in residents:
        assert told.namespaces[each.inode].name == each.name
        rows = told.inside(each.inode)
        assert {row.state for row in rows} == {State.LISTEN, State.ESTABLISHED, State.CLOSE, State.TIME_WAIT}
        assert {"lo"} < {row.interface for row in rows} | {"lo", ""}
        assert [row.interface for row in rows].count("lo") == 1
        assert {owner.pid for row in rows for owner in row.holder.owners} == {each.program.pid}
    assert next(iter(told.watch.snapshot().namespaces)).netns == 0


def test_brief_connections_are_told_with_the_namespace_that_they_were_in(told: Told, street: Street) -> None:
    residents = five(street)
    told.look()
    told.look()
    made = {each.inode: sorted(each.make_short(10 + number)) for number, each in enumerate(residents)}

    def clients(inode: int) -> list[int]:
        at = next(each.port for each in residents if each.inode == inode)
        return sorted(brief.remote_port for brief in told.briefs if brief.netns == inode and brief.local_port == at)

    def all_told() -> bool:
        told.look()
        return {inode: clients(inode) for inode in made} == made

    try:
        until(all_told, within_s=60.0, what="every brief connection under its own namespace")
    except FailedError:
        found = {inode: clients(inode) for inode in made}
        pytest.fail(f"made {made}, told {found}; gaps: {told.gaps}; sources: {told.watch.snapshot().sources}")
    ports = {(port, each.port) for each in residents for port in made[each.inode]}
    elsewhere = [
        brief
        for brief in told.briefs
        if brief.netns not in made and (brief.remote_port, brief.local_port) in ports and brief.netns == 0
    ]
    assert elsewhere == []


def test_a_container_appears_under_its_own_namespace_and_unit_and_leaves_nothing_in_the_kernel(
    told: Told, street: Street, container: tuple[str, Path]
) -> None:
    identity, group = container
    move = f"echo $$ > {group}/cgroup.procs && exec unshare --net --pid --mount --fork {' '.join(RESIDENT)}"
    resident = street.move_in("sh", "-c", move)

    def appears() -> bool:
        told.look(everything=False)
        return bool(told.inside(resident.inode))

    until(appears, within_s=60.0, what="the container's sockets")
    until(lambda: told.look() and bool(told.namespaces[resident.inode].unit), within_s=60.0, what="its unit")
    namespace = told.namespaces[resident.inode]
    assert (namespace.container, namespace.unit) == (identity, f"docker-{identity}.scope")

    def placed() -> bool:
        told.look()
        return {row.holder.container for row in told.inside(resident.inode)} == {identity}

    until(placed, within_s=60.0, what="the container of every row, what is in TIME_WAIT among them")
    assert {row.holder.unit for row in told.inside(resident.inode) if row.inode} == {f"docker-{identity}.scope"}

    numbers = Numbers()
    try:
        with open(f"/proc/{child_of(resident.program.pid)}/ns/net") as inside:
            number = numbers.of(inside.fileno())
        assert number is not None
        let_the_kernel_catch_up(numbers)
        resident.program.stop()

        def gone() -> bool:
            told.look(everything=False)  # as often as it can: nothing that looking opens may keep it
            return number not in numbers.all()

        until(gone, within_s=GONE_WITHIN_S, what="the end of the namespace in the kernel")
    finally:
        numbers.close()
    until(lambda: told.look() and resident.inode in told.gone, within_s=60.0, what="the end of the namespace")
    assert told.inside(resident.inode) == []
    assert not any("could not be read" in reason for reason in told.gaps if str(resident.inode) in reason)


def test_while_the_helper_is_away_nothing_of_other_namespaces_is_closed_and_then_there_is_a_gap(
    told: Told, street: Street, helper: tuple[Program, Path], programs: Programs
) -> None:
    resident = street.move_in("unshare", "--net", *RESIDENT)
    told.look()
    before = told.inside(resident.inode)
    assert before
    helper[0].stop()
    told.look()
    assert told.inside(resident.inode) == before
    status = {status.name: status for status in told.watch.snapshot().sources}["namespaces"]
    assert "the helper does not answer" in status.detail
    again = programs.start("helper", [sys.executable, "-m", "fleetnet_agent.helper.main", "--socket", str(helper[1])])
    again.wait_for("ready")

    def told_of_it() -> bool:
        told.look()
        return any(str(resident.inode) in reason for reason in told.gaps)

    until(told_of_it, within_s=60.0, what="the gap")
    assert {row.key for row in told.inside(resident.inode)} >= {row.key for row in before if row.inode}


def test_a_hundred_namespaces_cost_a_few_requests_and_a_few_descriptors(
    told: Told, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [street.named() for _ in range(100)]
    there = {os.stat(f"/run/netns/{name}").st_ino for name in names}
    until(lambda: told.look() and there <= told.namespaces.keys(), within_s=60.0, what="all of them")
    asked: list[int] = []
    most: list[int] = []
    inside = Namespaces._open

    def counted(self: Namespaces, kind: Kind, netns: list[int]) -> object:
        opened = inside(self, kind, netns)
        asked.append(len(netns))
        most.append(_descriptors())
        return opened

    monkeypatch.setattr(Namespaces, "_open", counted)
    before = _descriptors()
    told.look()
    others = len(told.namespaces) - 1
    assert sum(asked) in range(len(there), others + 10)  # others may come and go
    assert len(asked) <= others // MOST_OPENED + 2
    assert max(most) <= before + MOST_OPENED * (1 + len(TABLE_FILES)) + 5
    assert _descriptors() == before


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_listener_in_another_namespace_is_found_through_the_collector(here: Fleet, street: Street) -> None:
    resident = street.move_in("unshare", "--net", *RESIDENT)
    here.enroll("here")
    here.start_agent("here", None, "--namespaces", "all")
    here.wait_until_fresh("here")

    def found() -> list[str] | None:
        items = here.ask("who-listens", str(resident.port), "-o", "json").items
        return [item["netns"] for item in items if item["owners"][0]["pid"] == resident.program.pid] or None

    assert until(found, within_s=60.0, what="the listener") == [str(resident.inode)]


def test_an_agent_without_privilege_sees_them_too_and_cannot_change_anything_in_them(
    programs: Programs, street: Street
) -> None:
    resident = street.move_in("unshare", "--net", *RESIDENT)
    for directory in (programs.directory, *programs.directory.parents[:2]):
        directory.chmod(0o755)
    path = programs.directory / "helper.sock"
    command = [sys.executable, "-m", "fleetnet_agent.helper.main", "--socket", str(path), "--allow-uid", "65534"]
    programs.start("helper", command).wait_for("ready")
    looks = [sys.executable, "-m", "system.nobody", str(path), str(resident.inode)]
    told = json.loads(programs.start("nobody", looks, {"PYTHONPATH": PATH}).wait_for("^nobody (.*)$")[1])
    assert resident.port in told["ports"]
    assert told["refused"] == errno.EPERM
    assert "LOOPBACK,UP" in run("nsenter", f"--net={resident.door}", "ip", "link", "show", "lo")


def test_not_even_root_changes_anything_by_a_socket_that_the_helper_lent(
    helper: tuple[Program, Path], street: Street
) -> None:
    # As if a program that is always root's had been started with the socket as its standard output.
    resident = street.move_in("unshare", "--net", *RESIDENT)
    client = HelperClient(helper[1])
    assert resident.inode in [one.inode for one in client.namespaces().namespaces]
    with client.open(Kind.ROUTE, [resident.inode]) as inside:
        assert nobody.take_loopback_down(inside.take(resident.inode)["route"]) == errno.EPERM
    assert "LOOPBACK,UP" in run("nsenter", f"--net={resident.door}", "ip", "link", "show", "lo")
