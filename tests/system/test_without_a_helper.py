"""Other network namespaces as an agent sees them that has no helper: beside what ss says inside each."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fleetnet_agent.helper.numbers import Numbers
from fleetnet_agent.host import this_host
from fleetnet_agent.proc_namespaces import BEYOND
from fleetnet_agent.records import (
    LiveSocket,
    LiveWanted,
    SocketKey,
    Source,
    SourceStatus,
    State,
    Statistic,
    Trouble,
)
from fleetnet_agent.watch import Watch, open_watch
from system import oracles
from system.streets import PATH, RESIDENT, Resident, Street, Told, child_of, five, let_the_kernel_catch_up

from demo.fleet import Fleet, console_script
from demo.programs import Programs, until

pytestmark = pytest.mark.root

NOBODY = "65534"
GONE_WITHIN_S = 2.0


@pytest.fixture
def told() -> Iterator[Told]:
    watch = open_watch(this_host(), helper_socket=None, namespaces="all")
    yield Told(watch)
    watch.close()


@pytest.fixture
def street(programs: Programs) -> Iterator[Street]:
    with contextlib.ExitStack() as stack:
        yield Street(programs, stack)


def number(pid: int) -> int:
    """By which the namespace of a process is known without a helper."""
    return BEYOND + os.stat(f"/proc/{pid}/net/dev").st_ino


def as_proc_shows(rows: list[oracles.Row]) -> list[oracles.Row]:
    """Neither owners nor the limit of a backlog, nor the interface that a socket is bound to."""
    shown = (replace(row, owners=(), interface="") for row in rows)
    return sorted(replace(row, send_queue=0) if row.state == "LISTEN" else row for row in shown)


def seen_by_nobody(programs: Programs) -> dict[str, Any]:
    """What an agent of no privilege sees at one look."""
    for directory in (programs.directory, *programs.directory.parents[:2]):
        directory.chmod(0o755)
    once = [sys.executable, "-m", "system.without", f"user:{NOBODY}", "--", "once", "-o", "json", "--namespaces", "all"]
    program = programs.start("nobody", once, {"PYTHONPATH": PATH})
    program.succeed(within_s=60.0)
    document: dict[str, Any] = json.loads(program.says())
    return document


def status_of(watch: Watch) -> SourceStatus:
    return {status.name: status for status in watch.snapshot().sources}["namespaces"]


def test_nobody_sees_what_proc_shows_of_each_namespace_that_a_process_lives_in(
    programs: Programs, street: Street
) -> None:
    residents = five(street)
    hidden = residents.pop(1)  # its sockets are held from outside

    def differences() -> list[tuple[Resident, list[dict[str, Any]]]]:
        items = seen_by_nobody(programs)["items"]
        inside = [
            (each, [item for item in items if item["netns_inode"] == number(each.program.pid)]) for each in residents
        ]
        return [(each, own) for each, own in inside if oracles.of_items(inet(own)) != as_proc_shows(each.ss())]

    until(lambda: not differences(), within_s=60.0, what="rows equal to those of ss in all four")
    document = seen_by_nobody(programs)
    for each in residents:
        rows = inet([item for item in document["items"] if item["netns_inode"] == number(each.program.pid)])
        assert {row["state"] for row in rows} == {"LISTEN", "ESTABLISHED", "CLOSE", "TIME_WAIT"}
        assert {row["source"] for row in rows} == {"proc"}
        assert {row["owner_status"] for row in rows if row["state"] != "TIME_WAIT"} == {"no-helper"}
        assert {(row["owner_status"], row["uid"]) for row in rows if row["state"] == "TIME_WAIT"} == {("gone", None)}
        assert str(number(each.program.pid)) in {namespace["netns"] for namespace in document["namespaces"]}
    assert hidden.port not in {item["local_port"] for item in document["items"] if item["netns"] != "host"}


def inet(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in items if item["protocol"] in ("tcp", "udp")]


def test_a_container_is_told_as_such_and_its_connections_stay_one_through_all_states(
    told: Told, street: Street
) -> None:
    identity, group = street.control_group("docker-{}.scope")
    resident = street.move_in("sh", "-c", f"echo $$ > {group}/cgroup.procs && exec unshare --net {' '.join(RESIDENT)}")
    netns = number(resident.program.pid)
    until(lambda: told.look() and bool(told.inside(netns)), within_s=60.0, what="its sockets")
    until(lambda: told.look() and bool(told.namespaces[netns].unit), within_s=60.0, what="its unit")
    namespace = told.namespaces[netns]
    assert (namespace.container, namespace.runtime) == (identity, "docker")
    assert namespace.unit == f"docker-{identity}.scope"
    rows = told.inside(netns)
    assert {row.source for row in rows} == {Source.PROC}
    assert {row.holder.container for row in rows} == {identity}
    before = {row.key: row.state for row in rows if row.local_port == resident.port}
    for _ in range(5):
        difference = told.look()
        assert not [closed for closed in difference.closed if closed.key in before]


def test_looking_keeps_no_namespace_alive_and_its_end_is_told_as_not_known(told: Told, street: Street) -> None:
    resident = street.move_in("unshare", "--net", "--pid", "--mount", "--fork", *RESIDENT)
    netns = number(child_of(resident.program.pid))
    until(lambda: told.look() and bool(told.inside(netns)), within_s=60.0, what="its sockets")
    numbers = Numbers()
    try:
        with open(f"/proc/{child_of(resident.program.pid)}/ns/net") as inside:
            numbers.give(inside.fileno())
            nsid = numbers.of(inside.fileno())
        assert nsid in numbers.all()
        let_the_kernel_catch_up(numbers)
        resident.program.stop()

        def gone() -> bool:
            told.look()
            return nsid not in numbers.all()

        until(gone, within_s=GONE_WITHIN_S, what="the end of the namespace in the kernel")
    finally:
        numbers.close()
    until(lambda: told.look() and netns in told.gone, within_s=60.0, what="its end")
    assert told.inside(netns) == []
    assert any("nobody knows since when" in reason for reason in told.gaps if str(netns) in reason)


def test_a_live_look_has_its_statistics_and_says_what_it_cannot_have(told: Told, street: Street) -> None:
    resident = street.move_in("unshare", "--net", *RESIDENT)
    netns = number(resident.program.pid)
    until(lambda: told.look() and bool(told.inside(netns)), within_s=60.0, what="its sockets")
    items = list(told.watch.live(LiveWanted(sockets=True, interfaces=True, statistics=True)))
    live = {item.socket.key for item in items if isinstance(item, LiveSocket)}
    assert {row.key for row in told.inside(netns)} <= live
    assert [item for item in items if isinstance(item, Statistic) and (item.netns, item.group) == (netns, "Tcp")]
    sentences = {item.sentence for item in items if isinstance(item, Trouble)}
    where = f"network namespace {netns}, which cannot be entered"
    assert {f"sockets of {where}, are shown as the last look saw them", f"interfaces of {where}, are not known"} <= (
        sentences
    )


def test_a_helper_that_may_not_enter_is_asked_for_owners_and_no_row_is_there_twice(
    programs: Programs, street: Street
) -> None:
    path = programs.directory / "helper.sock"
    command = [sys.executable, "-m", "system.without", "capability:sys_admin", "--", "helper", "--socket", str(path)]
    programs.start("helper", command, {"PYTHONPATH": PATH}).wait_for("ready")
    resident = street.move_in("unshare", "--net", *RESIDENT)
    watch = open_watch(this_host(), helper_socket=path, namespaces="all")
    told = Told(watch)
    try:
        netns = number(resident.program.pid)

        def owned() -> bool:
            told.look()
            owners = {owner.pid for row in told.inside(netns) for owner in row.holder.owners}
            return owners == {resident.program.pid}

        until(owned, within_s=60.0, what="the owners of its sockets")
        assert "may not enter" in status_of(watch).detail
        assert all(key.netns == 0 or key.netns > BEYOND for key in told.rows)
        assert len(listeners(told, resident.port)) == 1
    finally:
        watch.close()


def listeners(told: Told, port: int) -> list[SocketKey]:
    return [key for key, row in told.rows.items() if (row.state, row.local_port) == (State.LISTEN, port)]


def test_an_agent_that_has_a_helper_when_it_is_started_again_tells_no_socket_twice(
    programs: Programs, here: Fleet, street: Street
) -> None:
    resident = street.move_in("unshare", "--net", *RESIDENT)
    here.enroll("here")
    without = [console_script("fleetnet-agent"), "run", "--state", str(here.state("here")), "--namespaces", "all"]
    agent = programs.start("agent", without)
    netns = number(resident.program.pid)

    def rows(*options: str) -> dict[int, dict[str, Any]]:
        items = here.ask("who-listens", str(resident.port), "-o", "json", *options).items
        return {item["netns_inode"]: item for item in items if item["netns_inode"] in (netns, resident.inode)}

    until(lambda: rows().keys() == {netns}, within_s=60.0, what="the listener, without a helper")
    assert rows()[netns]["netns"] == str(netns)
    then = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    agent.stop()
    here.start_agent("here", None, "--namespaces", "all")
    until(lambda: rows().keys() == {resident.inode}, within_s=60.0, what="the listener, with a helper")
    past = rows("--at", then)
    assert past.keys() == {netns}
    assert past[netns]["closed_at_is"] == "gap", "it did not close: nobody knows"
