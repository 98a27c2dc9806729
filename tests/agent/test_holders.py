"""Who and what holds a socket: unit and container of those that have no control group, and who is asked for."""

from dataclasses import replace
from pathlib import Path

import pytest
from agent.diag_messages import listener, sighting
from agent.family_messages import packet, unix
from agent.proc_tree import Clock, ProcTree, fixture_host
from fleetnet_agent import holders as holding
from fleetnet_agent.cgroups import PLACE_LASTS_US, CGroups
from fleetnet_agent.holders import Holders, wanted
from fleetnet_agent.owners.lookup import OwnerLookup
from fleetnet_agent.records import Protocol, State

ID = "4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339cabcd"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def proc(tmp_path: Path) -> ProcTree:
    return ProcTree(tmp_path / "proc")


@pytest.fixture
def owners(proc: ProcTree, clock: Clock) -> OwnerLookup:
    return OwnerLookup(fixture_host(proc.root, clock), None, is_root=True)


@pytest.fixture
def holders(proc: ProcTree, clock: Clock, owners: OwnerLookup) -> Holders:
    host = fixture_host(proc.root, clock)
    return Holders(host, owners, CGroups(host.cgroup_root, clock))


def put(proc: ProcTree, pid: int, cgroup: str) -> None:
    (proc.root / str(pid) / "cgroup").write_text(f"1:name=systemd:/elsewhere.service\n0::{cgroup}\n")


def test_a_unix_socket_belongs_where_the_process_that_holds_it_does(
    proc: ProcTree, owners: OwnerLookup, holders: Holders
) -> None:
    proc.add(10, sockets=[5])
    put(proc, 10, f"/system.slice/docker-{ID}.scope")
    one = unix(1, inode=5)
    owners.follow([wanted(one)])
    owners.update(lambda inodes: inodes)
    held = holders.of(one)
    assert (held.unit, held.container, held.runtime) == (f"docker-{ID}.scope", ID, "docker")


def test_of_several_owners_it_is_not_systemd_that_tells_the_unit(
    proc: ProcTree, owners: OwnerLookup, holders: Holders
) -> None:
    proc.hold(1, [5])
    put(proc, 1, "/init.scope")
    proc.add(10, sockets=[5])
    put(proc, 10, "/system.slice/dbus.service")
    one = unix(1, inode=5)
    owners.follow([wanted(one)])
    owners.update(lambda inodes: inodes)
    assert [process.pid for process in holders.of(one).owners] == [1, 10]
    assert holders.of(one).unit == "dbus.service"


def test_without_an_owner_or_its_control_group_there_is_no_unit(
    proc: ProcTree, owners: OwnerLookup, holders: Holders
) -> None:
    proc.add(10, sockets=[5])
    owners.follow([wanted(unix(1, inode=5)), wanted(unix(2, inode=6))])
    owners.update(lambda inodes: inodes)
    assert [holders.of(unix(1, inode=inode)).unit for inode in (5, 6)] == ["", ""]


def test_the_unit_of_a_process_is_read_once_a_minute(
    proc: ProcTree, owners: OwnerLookup, holders: Holders, clock: Clock
) -> None:
    proc.add(10, sockets=[5])
    put(proc, 10, "/system.slice/ssh.service")
    one = unix(1, inode=5)
    owners.follow([wanted(one)])
    owners.update(lambda inodes: inodes)
    assert holders.of(one).unit == "ssh.service"
    put(proc, 10, "/user.slice/user-0.slice/session-1.scope")
    assert holders.of(one).unit == "ssh.service"
    clock.go(PLACE_LASTS_US / 1_000_000)
    assert holders.of(one).unit == "session-1.scope"


def test_holders_that_were_processes_which_have_ended_are_not_kept(
    proc: ProcTree, clock: Clock, owners: OwnerLookup, holders: Holders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "_MOST_SHARED", 5)
    kept: list[int] = []
    for pid in range(10, 50):
        proc.add(pid, sockets=[pid])
        one = sighting(pid, inode=pid)
        owners.follow([wanted(one)])
        clock.go(10)
        owners.update(lambda inodes: inodes)
        assert [owner.pid for owner in holders.of(one).owners] == [pid]
        owners.forget([pid])
        proc.end(pid)
        kept.append(max(len(holders._made), len(holders._shared)))
    assert max(kept) <= 5 + 4 + 1  # one process is there at a time


def test_sockets_that_are_likely_to_share_their_owner_share_a_hint() -> None:
    accepted = unix(1, path=b"/run/bus")
    assert set(wanted(accepted).hints) & set(wanted(unix(2, path=b"/run/bus", state=State.LISTEN)).hints)
    assert not set(wanted(accepted).hints) & set(wanted(unix(3, path=b"/run/other")).hints)
    client, other = wanted(unix(4), b"/run/bus"), wanted(unix(5), b"/run/bus")
    assert set(client.hints) & set(other.hints)
    assert not set(client.hints) & set(wanted(accepted).hints)
    assert not wanted(unix(6)).hints


def test_unix_sockets_are_patient_and_listeners_of_the_network_are_not() -> None:
    assert wanted(unix(1, state=State.LISTEN)).patient
    assert not wanted(listener(1)).patient
    assert not wanted(sighting(1)).patient
    assert not wanted(packet(1)).patient
    assert not wanted(replace(sighting(1), protocol=Protocol.RAW)).patient
