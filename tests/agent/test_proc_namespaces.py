"""Namespaces as /proc shows them to anybody, and which way is taken, on a /proc of files."""

import os
from pathlib import Path

import pytest
from agent.proc_tree import Clock, ProcTree, fixture_host
from agent.test_neighbours import ScriptedHelper, listed
from fleetnet_agent.helper.requests import Kind
from fleetnet_agent.host import Host
from fleetnet_agent.namespaces import Namespaces
from fleetnet_agent.owners.lookup import OwnerLookup
from fleetnet_agent.proc_namespaces import BEYOND, MOST_READ, NO_HELPER, ProcNamespaces, open_ways
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import SourceError
from fleetnet_agent.watch import Watch

CONTAINER = "cd" * 32
LATER_S = 10.0  # by then all processes are looked at again


class Street:
    """Namespaces: folders that processes share."""

    def __init__(self, proc: ProcTree) -> None:
        self.proc = proc

    def move(self, pid: int | str, namespace: str) -> None:
        """The process lives there from now on."""
        there = self.proc.root / f"namespace-{namespace}"
        there.mkdir(exist_ok=True)
        (there / "dev").touch()
        (there / "tcp").write_text(f"of {namespace}")
        (self.proc.root / str(pid)).mkdir(exist_ok=True)
        link = self.proc.root / str(pid) / "net"
        link.unlink(missing_ok=True)
        link.symlink_to(there)

    def number(self, namespace: str) -> int:
        return BEYOND + (self.proc.root / f"namespace-{namespace}" / "dev").stat().st_ino


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def street(tmp_path: Path) -> Street:
    made = Street(ProcTree(tmp_path / "proc"))
    made.move("self", "own")
    made.move(1, "own")
    return made


@pytest.fixture
def host(street: Street, clock: Clock) -> Host:
    return fixture_host(street.proc.root, clock)


@pytest.fixture
def ways(host: Host) -> ProcNamespaces:
    return ProcNamespaces(host, *NO_HELPER)


def test_each_is_known_by_a_number_that_no_namespace_can_have(street: Street, ways: ProcNamespaces) -> None:
    for pid, namespace in ((10, "blue"), (11, "blue"), (12, "red")):
        street.proc.add(pid)
        street.move(pid, namespace)
    (street.proc.root / "11/cgroup").write_text(f"0::/system.slice/docker-{CONTAINER}.scope\n")
    assert ways.ask()
    assert set(ways.others) == {street.number("blue"), street.number("red")}
    assert min(ways.others) > 0xFFFFFFFF, "an inode of a namespace is an unsigned int"
    known = ways.others[street.number("blue")]
    assert (known.name, known.nsid) == ("", None)
    assert (known.place.container, known.place.runtime) == (CONTAINER, "docker")
    assert not ways.ask()


def test_a_file_is_read_of_a_process_that_is_there_and_nowhere_else(street: Street, ways: ProcNamespaces) -> None:
    for pid in (10, 11):
        street.proc.add(pid)
        street.move(pid, "blue")
    ways.ask()
    blue = street.number("blue")
    street.move(10, "own")
    assert ways.read(blue, "tcp") == b"of blue"
    with pytest.raises(FileNotFoundError):
        ways.read(blue, "tcp6")
    street.proc.end(11)
    with pytest.raises(SourceError, match="no process of it can be found"):
        ways.read(blue, "tcp")
    assert list(ways.inside(Kind.TABLES, [blue])) == [(blue, "no process of it can be found")]


def test_one_without_a_process_is_seen_no_longer_and_nobody_says_that_it_has_ended(
    street: Street, ways: ProcNamespaces, clock: Clock
) -> None:
    street.proc.add(10)
    street.move(10, "blue")
    ways.ask()
    blue = street.number("blue")
    assert ways.has_ended(blue, None) is False
    street.proc.end(10)
    clock.go(LATER_S)
    assert ways.ask()
    assert not ways.others
    assert ways.has_ended(blue, None) is None


def test_no_more_than_so_many_are_read_and_always_the_same(street: Street, ways: ProcNamespaces, clock: Clock) -> None:
    for pid in range(10, 10 + MOST_READ + 3):
        street.proc.add(pid)
        street.move(pid, f"n{pid}")
    ways.ask()
    first = set(ways.others)
    assert len(first) == MOST_READ
    assert f"3 more than {MOST_READ} are left out" in ways.status.detail
    clock.go(LATER_S)
    assert not ways.ask()
    assert set(ways.others) == first
    gone = next(pid for pid in range(10, 60) if street.number(f"n{pid}") in first)
    street.proc.end(gone)
    clock.go(LATER_S)
    assert ways.ask()
    assert len(first & set(ways.others)) == MOST_READ - 1
    assert len(ways.others) == MOST_READ


def test_the_files_of_counters_are_closed_again(street: Street, ways: ProcNamespaces) -> None:
    street.proc.add(10)
    street.move(10, "blue")
    ways.ask()
    before = len(os.listdir("/proc/self/fd"))
    for _, opened in ways.inside(Kind.STATISTICS, ways.others):
        assert isinstance(opened, dict)
        assert set(opened) == {"dev"}
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_looks_take_a_smaller_share_of_the_time_this_way(host: Host, ways: ProcNamespaces) -> None:
    watch = Watch(host, OwnerLookup(host, None, is_root=True), [], DiagSocket(), namespaces=ways)
    watch._pacing._readings_took_us = (100_000, 100_000)
    assert watch.interval_s() == 10.0
    watch.close()


@pytest.mark.parametrize(
    ("wanted", "refused", "away", "by_proc"),
    [
        ("all", "", False, False),
        ("all", "Operation not permitted", False, True),
        ("", "Permission denied", False, True),
        ("all", "No such file or directory", False, False),
        ("own", "Operation not permitted", False, False),
        ("all", "", True, False),
    ],
)
def test_with_a_helper_the_way_leads_through_it_unless_it_may_not_enter_any(
    host: Host, wanted: str, refused: str, away: bool, by_proc: bool
) -> None:
    helper = ScriptedHelper()
    helper.there, helper.refused, helper.away = (listed(7), listed(8)), refused, away
    ways = open_ways(host, helper, wanted=wanted)
    ways.close()
    assert isinstance(ways, ProcNamespaces) is by_proc
    if by_proc:
        assert ways.status is not None
        assert "CAP_SYS_ADMIN" in ways.status.detail


@pytest.mark.parametrize(("wanted", "by_proc"), [("all", True), ("", False), ("own", False)])
def test_without_a_helper_others_are_read_through_proc_where_all_are_asked_for(
    host: Host, wanted: str, by_proc: bool
) -> None:
    ways = open_ways(host, None, wanted=wanted)
    ways.close()
    assert isinstance(ways, ProcNamespaces) is by_proc
    if isinstance(ways, Namespaces):
        assert ways.status is None
    else:
        assert ways.status is not None
        assert ways.status.detail.startswith("no helper: those that a process lives in are read through /proc")
